//! The ratios that a run is compared with, kept in the repository for each kind of machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Ratio};

/// What a median may fall by.
const TOLERATED: f64 = 0.10;

/// Ratios by machine and case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Baseline {
    machines: BTreeMap<String, BTreeMap<String, Kept>>,
}

/// What is kept of a case.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct Kept {
    /// Packets per CPU second against the bare loop with the proxy's batches.
    limit: Ratio,
    /// The same against the bare loop with whole frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole_frames: Option<Ratio>,
    /// Whether programs were bound to cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound: Option<bool>,
}

impl Baseline {
    /// Reads the file; there need be none.
    pub(crate) fn load() -> Result<Self> {
        let path = path();
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes the file.
    pub(crate) fn store(&self) -> Result<()> {
        let path = path();
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        eprintln!("{} is renewed: commit it and say why", path.display());
        Ok(())
    }

    /// Takes the ratios of these cases for those that others are compared with.
    pub(crate) fn accept(&mut self, machine: &str, outcomes: &[Outcome]) {
        let kept = self.machines.entry(machine.to_owned()).or_default();
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        for outcome in comparable(outcomes) {
            let rounded =
                |ratio: Ratio| Ratio { median: round(ratio.median), spread: round(ratio.spread) };
            if let Some(limit) = outcome.ratio.map(rounded) {
                let whole_frames = outcome.whole_frames_ratio.map(rounded);
                let one = Kept { limit, whole_frames, bound: outcome.bound };
                kept.insert(outcome.name.clone(), one);
            }
        }
    }

    /// What has become worse, by more than is tolerated and by more than pairs differ.
    pub(crate) fn compare(&self, machine: &str, outcomes: &[Outcome]) -> Vec<String> {
        let Some(kept) = self.machines.get(machine) else {
            eprintln!("no ratios are kept for {machine}: --accept makes these the first");
            return Vec::new();
        };
        let mut worse = Vec::new();
        for outcome in comparable(outcomes) {
            let (name, Some(then)) = (&outcome.name, kept.get(&outcome.name)) else { continue };
            if then.bound != outcome.bound {
                eprintln!("{name}: not compared, for what is kept was not bound to cores alike");
                continue;
            }
            let limits = [
                ("the limit", outcome.ratio, Some(then.limit)),
                ("the limit of whole frames", outcome.whole_frames_ratio, then.whole_frames),
            ];
            for (limit, now, then) in limits {
                if let (Some(now), Some(then)) = (now, then)
                    && now.fell_from(then)
                {
                    worse.push(format!(
                        "{name}: {:.2} of {limit} (half of the pairs within {:.2}), kept are {:.2} (within {:.2})",
                        now.median, now.spread, then.median, then.spread
                    ));
                }
            }
        }
        worse
    }
}

impl Ratio {
    fn fell_from(self, kept: Self) -> bool {
        let fall = kept.median - self.median;
        fall > TOLERATED * kept.median && fall > self.spread.max(kept.spread)
    }
}

/// Those whose ratios may be held against others; says which are not.
fn comparable(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let (taken, left): (Vec<_>, Vec<_>) = outcomes.iter().partition(|one| one.is_comparable());
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|outcome| outcome.name.as_str()).collect();
        eprintln!("neither compared nor accepted, as not bound to cores: {}", names.join(", "));
    }
    taken
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::options::RunOptions;

    fn outcome(ratio: f64, spread: f64) -> Vec<Outcome> {
        let case = &cases::chosen(&RunOptions::default())[0];
        let ratio = Some(Ratio { median: ratio, spread });
        vec![Outcome { ratio, bound: Some(true), ..Outcome::new(case, Vec::new(), Vec::new()) }]
    }

    #[test]
    fn a_fall_counts_if_it_is_greater_than_a_tenth_and_than_what_pairs_differ_by() {
        let mut baseline = Baseline::default();
        baseline.accept("this", &outcome(0.90, 0.05));
        let worse = |ratio, spread| baseline.compare("this", &outcome(ratio, spread)).len();
        assert_eq!(worse(0.95, 0.01), 0);
        assert_eq!(worse(0.82, 0.01), 0, "less than a tenth");
        assert_eq!(worse(0.80, 0.01), 1);
        assert_eq!(worse(0.80, 0.15), 0, "pairs differ by more");
        assert_eq!(worse(0.70, 0.15), 1);
        assert!(baseline.compare("another", &outcome(0.1, 0.0)).is_empty());
    }

    #[test]
    fn whole_frames_are_compared_too() {
        let with = |whole_frames| {
            let whole_frames_ratio = Some(Ratio { median: whole_frames, spread: 0.02 });
            vec![Outcome { whole_frames_ratio, ..outcome(0.9, 0.01).remove(0) }]
        };
        let mut baseline = Baseline::default();
        baseline.accept("this", &with(0.95));
        assert!(baseline.compare("this", &with(0.9)).is_empty());
        let worse = baseline.compare("this", &with(0.8));
        assert!(matches!(&worse[..], [one] if one.contains("whole frames")), "{worse:?}");
    }

    #[test]
    fn a_case_that_was_left_unbound_is_neither_compared_nor_accepted() {
        let unbound = |ratio| vec![Outcome { bound: Some(false), ..outcome(ratio, 0.0).remove(0) }];
        let one_core = |ratio| vec![Outcome { bound: None, ..outcome(ratio, 0.0).remove(0) }];
        let mut baseline = Baseline::default();
        baseline.accept("this", &unbound(0.9));
        assert!(baseline.machines["this"].is_empty());
        baseline.accept("this", &outcome(0.9, 0.0));
        assert!(baseline.compare("this", &unbound(0.1)).is_empty());
        assert_eq!(baseline.compare("this", &outcome(0.1, 0.0)).len(), 1);
        let kept = baseline.machines["this"].values().next().copied();
        let before = Kept { bound: None, ..kept.unwrap() };
        baseline.machines.get_mut("this").unwrap().values_mut().for_each(|kept| *kept = before);
        assert!(baseline.compare("this", &outcome(0.1, 0.0)).is_empty(), "kept was another thing");
        baseline.accept("one core", &one_core(0.9));
        assert_eq!(baseline.compare("one core", &one_core(0.1)).len(), 1, "nothing to bind");
    }

    #[test]
    fn what_is_accepted_leaves_other_cases_as_they_were() {
        let mut baseline = Baseline::default();
        let mut other = outcome(0.5, 0.1);
        other[0].name = "other".to_owned();
        baseline.accept("this", &other);
        baseline.accept("this", &outcome(0.9, 0.1));
        baseline.accept("this", &outcome(0.8, 0.2));
        let text = serde_json::to_string(&baseline).unwrap();
        let again: Baseline = serde_json::from_str(&text).unwrap();
        let kept: Vec<_> = again.machines["this"].values().map(|kept| kept.limit.median).collect();
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&0.5) && kept.contains(&0.8), "{text}");
    }
}
