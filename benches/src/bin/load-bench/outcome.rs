//! What came of a case.

use serde::{Deserialize, Serialize};

use crate::cases::Case;
use crate::measured::Measured;

/// One measurement of the proxy and, right after it, of the bare loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) proxy: Measured,
    /// The proxy's own batches, sent again.
    pub(crate) bare: Option<Measured>,
    /// Each frame in one batch.
    pub(crate) whole_frames: Option<Measured>,
    /// A system call per packet.
    pub(crate) single_packets: Option<Measured>,
    /// The proxy with one shard, where it has one for each core else.
    pub(crate) one_shard: Option<Measured>,
}

impl Pair {
    pub(crate) fn of(proxy: Measured) -> Self {
        Self { proxy, bare: None, whole_frames: None, single_packets: None, one_shard: None }
    }

    /// How many times what one shard sends all of them do; `None` where the one could have sent
    /// more, for then it says nothing, or where readers were cut.
    pub(crate) fn growth(&self) -> Option<f64> {
        let one = self.one_shard.as_ref()?;
        let says_something = one.is_saturated() && one.closed == 0 && self.proxy.closed == 0;
        says_something.then(|| self.proxy.packets_per_second() / one.packets_per_second().max(1.0))
    }
}

/// What came of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) case: Case,
    /// Whether its programs were bound to cores; `None` where there was nothing to bind.
    pub(crate) bound: Option<bool>,
    pub(crate) pairs: Vec<Pair>,
    /// Over the pairs, the proxy's packets per CPU second against the bare loop's with the proxy's
    /// own batches.
    pub(crate) ratio: Option<Ratio>,
    /// The same against the bare loop's with whole frames.
    pub(crate) whole_frames_ratio: Option<Ratio>,
    /// Over the pairs, the throughput with a shard for each core against that with one shard.
    pub(crate) growth: Option<Ratio>,
    /// What the bare loop saves against a system call per packet.
    pub(crate) proof: Option<f64>,
    /// Bytes that the proxy's logs held in the end, as it says itself.
    pub(crate) log_bytes: Option<u64>,
    /// CPU time per second that an added stream without readers costs, in nanoseconds.
    pub(crate) idle_nanos: Option<f64>,
    /// What the proxy warned of.
    pub(crate) notes: Vec<String>,
}

/// A ratio that was measured several times.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// Between the quartiles: what the middle half of them differ by. One pair that something
    /// else disturbed does not make it greater.
    pub(crate) spread: f64,
}

impl Ratio {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let spread = quantile(values, 0.75)? - quantile(values, 0.25)?;
        Some(Self { median: median(values)?, spread })
    }

    /// Of the pairs, the proxy's packets per CPU second against the bare loop's with the proxy's own
    /// batches.
    pub(crate) fn of_limit(pairs: &[Pair]) -> Option<Self> {
        Self::against(pairs, |pair| &pair.bare)
    }

    /// The same against the bare loop's with whole frames.
    pub(crate) fn of_whole_frames(pairs: &[Pair]) -> Option<Self> {
        Self::against(pairs, |pair| &pair.whole_frames)
    }

    fn against(pairs: &[Pair], other: fn(&Pair) -> &Option<Measured>) -> Option<Self> {
        let ratio = |pair: &Pair| {
            let other = other(pair).as_ref()?.packets_per_cpu_second();
            Some(pair.proxy.packets_per_cpu_second() / other)
        };
        Self::of(&pairs.iter().filter_map(ratio).collect::<Vec<_>>())
    }

    /// About the standard error of the median of so many values, where they are distributed
    /// normally: quartiles are 1.35 standard deviations apart, and a median is by a quarter less
    /// certain than a mean.
    pub(crate) fn uncertainty(self, values: usize) -> f64 {
        self.spread / 1.35 * 1.25 / (values.max(1) as f64).sqrt()
    }
}

impl Outcome {
    pub(crate) fn new(case: &Case, pairs: Vec<Pair>, notes: Vec<String>) -> Self {
        let rate =
            |measured: &Option<Measured>| measured.as_ref().map(Measured::packets_per_cpu_second);
        let proofs =
            pairs.iter().filter_map(|pair| Some(rate(&pair.bare)? / rate(&pair.single_packets)?));
        Self {
            name: case.name(),
            ratio: Ratio::of_limit(&pairs),
            whole_frames_ratio: Ratio::of_whole_frames(&pairs),
            growth: Ratio::of(&pairs.iter().filter_map(Pair::growth).collect::<Vec<_>>()),
            proof: median(&proofs.collect::<Vec<_>>()),
            case: case.clone(),
            bound: None,
            log_bytes: None,
            idle_nanos: None,
            pairs,
            notes,
        }
    }

    /// Whether its ratio may be held against others of this case: not where they are of programs
    /// that were bound to cores, and this is not.
    pub(crate) fn is_comparable(&self) -> bool {
        self.bound != Some(false)
    }

    /// The median over the pairs of a figure of the proxy.
    pub(crate) fn proxy(&self, of: impl Fn(&Measured) -> f64) -> Option<f64> {
        median(&self.pairs.iter().map(|pair| of(&pair.proxy)).collect::<Vec<_>>())
    }

    /// The median over the pairs of a figure of the bare loop.
    pub(crate) fn bare(&self, of: impl Fn(&Measured) -> f64) -> Option<f64> {
        let bare = self.pairs.iter().filter_map(|pair| pair.bare.as_ref());
        median(&bare.map(of).collect::<Vec<_>>())
    }

    /// What the proxy's readers lost in all pairs.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let sum = |of: fn(&Measured) -> u64| self.pairs.iter().map(|pair| of(&pair.proxy)).sum();
        (sum(|m| m.lost_packets), sum(|m| m.lost_frames))
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Between two of the values it lies where it divides the way from one to the other.
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let place = part * values.len().checked_sub(1)? as f64;
    let (below, above) =
        (*values.get(place.floor() as usize)?, *values.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::measured::tests::{measured, unread};
    use crate::options::RunOptions;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn pairs_differ_by_what_the_middle_half_of_them_do() {
        let spread = |values: &[f64]| Ratio::of(values).map(|ratio| ratio.spread);
        assert_eq!(spread(&[1.0, 2.0, 4.0, 7.0, 100.0]), Some(5.0));
        assert_eq!(spread(&[1.0, 3.0]), Some(1.0));
        assert_eq!(spread(&[1.0]), Some(0.0));
        let certain = |values| Ratio { median: 0.9, spread: 0.108 }.uncertainty(values);
        assert!((certain(4) - 0.05).abs() < 1e-9 && (certain(16) - 0.025).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_own() {
        let case = &cases::chosen(&RunOptions::default())[0];
        let pair = |proxy, bare| Pair { bare: Some(measured(bare)), ..Pair::of(measured(proxy)) };
        // Each pair is of one time: 0.5, 1.0, 0.8.
        let pairs = vec![pair(100, 200), pair(900, 900), pair(40, 50)];
        let outcome = Outcome::new(case, pairs, Vec::new());
        assert_eq!(outcome.ratio, Some(Ratio { median: 0.8, spread: 0.25 }));
        assert_eq!((outcome.whole_frames_ratio, outcome.proof), (None, None));
        assert_eq!(outcome.bare(|m| m.packets as f64), Some(200.0));
    }

    #[test]
    fn growth_is_told_by_pairs_whose_one_shard_had_no_more_to_give() {
        let case = &cases::chosen(&RunOptions::default())[0];
        let pair = |all: Measured, one: Measured| Pair { one_shard: Some(one), ..Pair::of(all) };
        let cut = Measured { closed: 1, ..unread(190, 1.0) };
        let pairs = vec![
            pair(unread(190, 0.5), unread(100, 1.0)),
            pair(unread(300, 1.0), unread(100, 0.9)),
            pair(cut, unread(100, 1.0)),
        ];
        let growths: Vec<_> = pairs.iter().map(Pair::growth).collect();
        assert_eq!(growths, [Some(1.9), None, None]);
        let outcome = Outcome::new(case, pairs, Vec::new());
        assert_eq!(outcome.growth, Some(Ratio { median: 1.9, spread: 0.0 }));
    }
}
