//! What is measured: the cases of a full run, of the short form, and those asked for by options.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::options::{Over, RunOptions};

/// One case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) streams: usize,
    /// Readers of each stream.
    pub(crate) readers: usize,
    pub(crate) over: Over,
    /// How the camera lays out a frame's packets in time.
    pub(crate) pace: String,
    pub(crate) source: Source,
    pub(crate) what: What,
}

/// A synthetic stream at 25 frames per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) bitrate: u64,
    /// Frames from one key frame to the next.
    pub(crate) gop: u32,
    /// Bytes of a key frame.
    pub(crate) key: u64,
}

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The proxy and the bare loop in turn.
    Limit,
    /// The proxy alone, for what it loses.
    Loss,
    /// A second stream with a single reader, beside the first.
    Beside,
    /// So many more readers that ask for a picture at once, so many times.
    Joins { joining: usize, rounds: usize },
    /// Resident memory with full logs, after so many seconds.
    Memory { after: u64 },
    /// So many more streams that nobody reads.
    Idle { added: usize },
    /// What the proxy sends with so many shards, one for each core, against one.
    Cores { all: usize },
}

/// 4 Mbit/s, key frames of 60 KB every two seconds.
pub(crate) const USUAL: Source = Source { bitrate: 4_000_000, gop: 50, key: 60_000 };
/// Up to so many readers in all, a case leaves the CPUs idle much of the time: the scheduler may
/// place the programs anywhere, and does so differently from one measurement to the next. Whether
/// readers are woken on the sender's own core or on another, by an interrupt, halves or doubles
/// what a packet costs. Cases with more are measured on all cores: a thousand readers are spread
/// over the proxy's shards, which are one per core. A window of one period is too little for few
/// readers, too.
const FEW_READERS: usize = 500;
/// Readers for each core, where cores are compared: with what they are sent, half as much again as
/// a core can send.
const READERS_PER_CORE: usize = 1000;
/// Cores beyond these are not used, for readers take open files and ports.
const MOST_CORES: usize = 4;
/// What these readers are sent. Two seconds of it, by which readers over UDP may be late, fit into
/// a log.
const LARGE: Source = Source { bitrate: 40_000_000, gop: 50, key: 400_000 };
/// Frames per second of every source.
pub(crate) const FPS: u32 = 25;

impl Source {
    /// As the camera's option wants it.
    pub(crate) fn option(self) -> String {
        let Self { bitrate, gop, key } = self;
        format!("synthetic:bitrate={bitrate},fps={FPS},gop={gop},key={key}")
    }

    /// From one key frame to the next.
    pub(crate) fn period(self) -> Duration {
        Duration::from_secs(1) * self.gop / FPS
    }
}

impl Case {
    fn new(streams: usize, readers: usize, over: Over, pace: &str, what: What) -> Self {
        Self { streams, readers, over, pace: pace.to_owned(), source: USUAL, what }
    }

    /// Its name in tables, files and on the command line.
    pub(crate) fn name(&self) -> String {
        let Self { streams, readers, over, pace, .. } = self;
        match self.what {
            What::Limit | What::Loss => format!("{streams}x{readers}-{over}-{pace}"),
            What::Beside => format!("beside-{readers}-{over}-{pace}"),
            What::Joins { joining, .. } => format!("join-{joining}-beside-{readers}-{over}-{pace}"),
            What::Memory { .. } => {
                let mbit = self.source.bitrate / 1_000_000;
                format!("memory-{streams}x{readers}-{mbit}mbit-{over}-{pace}")
            }
            What::Idle { added } => format!("idle-{added}-{pace}"),
            What::Cores { .. } => format!("cores-{over}-{pace}"),
        }
    }

    /// Streams that the camera offers.
    pub(crate) fn offered(&self) -> usize {
        match self.what {
            What::Beside => self.streams + 1,
            What::Idle { added } => self.streams + added,
            _ => self.streams,
        }
    }

    /// The readers of each stream that has any.
    pub(crate) fn audiences(&self) -> Vec<usize> {
        let mut all = vec![self.readers; self.streams];
        if self.what == What::Beside {
            all.push(1);
        }
        all
    }

    /// How long it is measured: whole periods, longer where there is little to count.
    pub(crate) fn window(&self, asked: Option<Duration>) -> Duration {
        let periods = match self.what {
            What::Memory { after } => return Duration::from_secs(after),
            What::Beside => 4,
            What::Joins { .. } => 2,
            // A few hundredths of a core are too little to tell within one.
            _ if self.streams * self.readers <= FEW_READERS => 2,
            _ => 1,
        };
        asked.unwrap_or_else(|| periods * self.source.period())
    }

    /// Whether its programs are bound to cores: the proxy is held against the bare loop, and the
    /// scheduler would have a choice where they run.
    pub(crate) fn is_to_be_bound(&self) -> bool {
        self.what == What::Limit && self.streams * self.readers <= FEW_READERS
    }

    /// Whether whole-frame batches are a limit of their own here.
    pub(crate) fn has_whole_frames(&self) -> bool {
        self.pace == "burst" && self.streams == 1 && (50..=500).contains(&self.readers)
    }

    /// Whether the bare loop has enough to do here to show what its calls save: several packets in
    /// one, which evenly spread ones are not.
    pub(crate) fn can_prove(&self) -> bool {
        self.streams == 1 && (50..=500).contains(&self.readers) && self.pace != "spread"
    }
}

/// What the options ask for.
pub(crate) fn chosen(options: &RunOptions) -> Vec<Case> {
    let asked = !options.readers.is_empty() || !options.streams.is_empty();
    let mut cases = match (asked, options.quick) {
        (true, _) => matrix(options),
        (false, true) => quick(),
        (false, false) => suite(),
    };
    if !options.only.is_empty() {
        cases.retain(|case| options.only.iter().any(|part| case.name().contains(part.as_str())));
    }
    if let Some(over) = &options.over {
        cases.retain(|case| over.contains(&case.over));
    }
    cases
}

/// Every combination of what was asked for.
fn matrix(options: &RunOptions) -> Vec<Case> {
    let or = |asked: &[usize]| if asked.is_empty() { vec![1] } else { asked.to_vec() };
    let paces = match options.paces.as_slice() {
        [] => vec!["burst".to_owned()],
        paces => paces.to_vec(),
    };
    let what = if options.quick { What::Loss } else { What::Limit };
    let mut cases = Vec::new();
    for pace in &paces {
        for over in BOTH {
            for &streams in &or(&options.streams) {
                for &readers in &or(&options.readers) {
                    cases.push(Case::new(streams, readers, over, pace, what.clone()));
                }
            }
        }
    }
    cases
}

const BOTH: [Over; 2] = [Over::Udp, Over::Tcp];

/// Loss only, in less than a minute and a half.
fn quick() -> Vec<Case> {
    let mut cases = Vec::new();
    for over in BOTH {
        for (streams, readers, pace) in
            [(1, 1, "burst"), (1, 100, "burst"), (1, 100, "spread"), (50, 2, "burst")]
        {
            cases.push(Case::new(streams, readers, over, pace, What::Loss));
        }
    }
    cases
}

/// All of it.
pub(crate) fn suite() -> Vec<Case> {
    let mut cases = Vec::new();
    for over in BOTH {
        let limit =
            |streams, readers, pace: &str| Case::new(streams, readers, over, pace, What::Limit);
        for readers in [1, 10, 100, 500, 1000] {
            cases.push(limit(1, readers, "burst"));
        }
        for pace in ["line:100", "spread"] {
            for readers in [100, 500] {
                cases.push(limit(1, readers, pace));
            }
        }
        for (streams, readers) in [(50, 2), (200, 1)] {
            cases.push(limit(streams, readers, "burst"));
        }
        let what = What::Joins { joining: 20, rounds: 5 };
        cases.push(Case::new(1, 50, over, "burst", what));
        let what = What::Joins { joining: 500, rounds: 2 };
        cases.push(Case::new(1, 1, over, "burst", what));
        cases.push(Case::new(1, 500, over, "burst", What::Beside));
    }
    let small = Source { bitrate: 1_000_000, gop: 50, key: 30_000 };
    let large = Source { bitrate: 20_000_000, gop: 250, key: 300_000 };
    for (streams, source, after) in [(200, small, 10), (20, large, 24)] {
        let what = What::Memory { after };
        cases.push(Case { source, ..Case::new(streams, 1, Over::Tcp, "spread", what) });
    }
    cases.push(Case::new(1, 0, Over::Tcp, "burst", What::Idle { added: 100 }));
    cases.push(cores(thread::available_parallelism().map_or(1, usize::from)));
    cases
}

/// A stream that so many cores cannot send to all its readers.
fn cores(there_are: usize) -> Case {
    let all = there_are.min(MOST_CORES);
    let what = What::Cores { all };
    Case { source: LARGE, ..Case::new(1, READERS_PER_CORE * all, Over::Udp, "burst", what) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_case_of_a_run_has_a_name_of_its_own() {
        for cases in [suite(), quick()] {
            let names: HashSet<String> = cases.iter().map(Case::name).collect();
            assert_eq!(names.len(), cases.len());
            let named = cases.iter().all(|case| case.name().ends_with(&format!("-{}", case.pace)));
            assert!(named, "its pace is a part of it: {names:?}");
        }
    }

    #[test]
    fn measurements_are_whole_periods_long() {
        for case in suite() {
            let window = case.window(None).as_millis();
            if case.what == What::Limit {
                assert_eq!(window % case.source.period().as_millis(), 0, "{}", case.name());
            }
            assert!((2_000..=30_000).contains(&window), "{}", case.name());
        }
    }

    #[test]
    fn cases_with_few_readers_and_a_bare_loop_are_bound_to_cores() {
        let bound: Vec<String> =
            suite().iter().filter(|case| case.is_to_be_bound()).map(Case::name).collect();
        let of = |over: Over| {
            let burst = ["1x1-O-burst", "1x10-O-burst", "1x100-O-burst", "1x500-O-burst"];
            let line = ["1x100-O-line:100", "1x500-O-line:100"];
            let spread = ["1x100-O-spread", "1x500-O-spread"];
            let many = ["50x2-O-burst", "200x1-O-burst"];
            let all = burst.into_iter().chain(line).chain(spread).chain(many);
            all.map(move |name| name.replace('O', &over.to_string()))
        };
        assert_eq!(bound, BOTH.into_iter().flat_map(of).collect::<Vec<_>>());
        assert!(!quick().iter().any(Case::is_to_be_bound));
    }

    #[test]
    fn each_core_has_readers_of_its_own_up_to_a_bound() {
        for (there_are, all) in [(1, 1), (2, 2), (64, MOST_CORES)] {
            let case = cores(there_are);
            assert_eq!((case.what, case.readers), (What::Cores { all }, all * READERS_PER_CORE));
        }
    }

    #[test]
    fn options_choose_among_the_cases() {
        let only = |part: &str| RunOptions { only: vec![part.to_owned()], ..RunOptions::default() };
        let names =
            |options: &RunOptions| chosen(options).iter().map(Case::name).collect::<Vec<_>>();
        assert_eq!(names(&only("1x1000-")), ["1x1000-udp-burst", "1x1000-tcp-burst"]);
        assert_eq!(names(&only("cores")), ["cores-udp-burst"]);
        let options = RunOptions {
            readers: vec![3],
            streams: vec![2],
            over: Some(vec![Over::Tcp]),
            paces: vec!["line:20".to_owned()],
            ..RunOptions::default()
        };
        assert_eq!(names(&options), ["2x3-tcp-line:20"]);
    }
}
