//! Readers of our own that note when each packet came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::raw::RawReader;
use crate::reader::Over;
use crate::tally::Packet;
use crate::{rtp, wait};

/// How often a sign of life is given.
const ALIVE: Duration = Duration::from_secs(20);
/// How far the time that timestamps leave out may be from the time that passed.
const TRUE_GAP: Duration = Duration::from_millis(500);
/// How long a track may be without media and reports: a report comes after 1 s, then every 2 s.
const SILENCE: Duration = Duration::from_secs(3);
/// The clock rates of the test camera's tracks.
const RATES: [(usize, u32); 2] = [(1, 90_000), (2, 48_000)];

/// A packet of media.
#[derive(Clone, Copy, Debug)]
struct Media {
    at: Instant,
    track: usize,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    is_key: bool,
}

#[derive(Default, Debug)]
struct Ledger {
    media: Vec<Media>,
    reports: Vec<(Instant, usize)>,
    byes: BTreeMap<usize, Instant>,
    closed: Option<Instant>,
}

/// A reader that is only told of what it gets.
#[derive(Debug)]
pub struct Witness {
    /// How it is sent.
    pub over: Over,
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<RawReader>>,
}

impl Witness {
    /// Plays these tracks.
    ///
    /// # Panics
    /// If that is refused.
    #[must_use]
    pub fn play(url: &str, over: Over, tracks: &[usize]) -> Self {
        let reader = RawReader::play_tracks(url, over, tracks);
        let (ledger, stop) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
        let (own, stopped) = (Arc::clone(&ledger), Arc::clone(&stop));
        let thread = std::thread::spawn(move || watch(reader, &own, &stopped));
        Self { over, ledger, stop, thread: Some(thread) }
    }

    /// When the first packet of media came after this instant.
    #[must_use]
    pub fn first_after(&self, instant: Instant) -> Option<Instant> {
        self.find(instant, |_| true)
    }

    /// When the first packet of a key frame came after this instant.
    #[must_use]
    pub fn key_after(&self, instant: Instant) -> Option<Instant> {
        self.find(instant, |media| media.is_key)
    }

    fn find(&self, instant: Instant, fits: impl Fn(&Media) -> bool) -> Option<Instant> {
        let ledger = self.ledger.lock();
        let found = ledger.media.iter().find(|media| media.at >= instant && fits(media));
        found.map(|media| media.at)
    }

    /// When its connection was closed by the proxy.
    #[must_use]
    pub fn closed(&self) -> Option<Instant> {
        self.ledger.lock().closed
    }

    /// The tracks that said goodbye.
    #[must_use]
    pub fn byes(&self) -> Vec<usize> {
        self.ledger.lock().byes.keys().copied().collect()
    }

    /// Ends the reading; what was not as it is for a reader that is held: each number once, time
    /// that goes on by as much as passed, never a long silence, no goodbye.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Vec::new() };
        let reader = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let ledger = self.ledger.lock();
        let mut wrong = Vec::new();
        if ledger.closed.is_some() {
            wrong.push("its connection was closed".to_owned());
        }
        if !ledger.byes.is_empty() {
            wrong.push(format!("goodbyes: {:?}", ledger.byes.keys()));
        }
        for (track, rate) in RATES {
            let media: Vec<_> = ledger.media.iter().filter(|m| m.track == track).collect();
            if media.is_empty() {
                wrong.push(format!("nothing of track {track}"));
                continue;
            }
            let dropped = reader.dropped(track);
            wrong
                .extend(steps(&media, rate, dropped).iter().map(|w| format!("track {track}: {w}")));
            let mut signs: Vec<_> = media.iter().map(|media| media.at).collect();
            signs.extend(ledger.reports.iter().filter(|(_, of)| *of == track).map(|(at, _)| *at));
            signs.sort_unstable();
            let longest = signs.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
            if longest > SILENCE {
                wrong.push(format!("track {track}: not a word for {longest:.1?}"));
            }
        }
        wrong.into_iter().map(|what| format!("reader over {:?}: {what}", self.over)).collect()
    }
}

/// What is wrong from one packet of a track to the next.
fn steps(media: &[&Media], rate: u32, dropped: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut missing = 0;
    for pair in media.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        match rtp::ahead(after.seq, before.seq) {
            1 => {}
            step if step > 1 => missing += u64::from(step.unsigned_abs()) - 1,
            step => wrong.push(format!("number {} after {} ({step})", after.seq, before.seq)),
        }
        if after.ssrc != before.ssrc {
            wrong.push("another SSRC".to_owned());
        }
        let ticks = after.timestamp.wrapping_sub(before.timestamp).cast_signed();
        if ticks < 0 {
            wrong.push(format!("{ticks} ticks at {}", after.seq));
        }
        let (told, passed) = (f64::from(ticks) / f64::from(rate), after.at - before.at);
        // A gap that is no outage is a burst after a busy moment.
        if passed > Duration::from_millis(900) || told > 0.9 {
            let off = told - passed.as_secs_f64();
            if off.abs() > TRUE_GAP.as_secs_f64() {
                wrong.push(format!("{told:.2} s by timestamp in {passed:.2?}"));
            }
        }
    }
    if missing > dropped {
        wrong.push(format!("{missing} numbers left out, {dropped} dropped by its own socket"));
    }
    wrong.truncate(5);
    wrong
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(mut reader: RawReader, ledger: &Mutex<Ledger>, stop: &AtomicBool) -> RawReader {
    let mut alive_at = wait::now() + ALIVE;
    while !stop.load(Ordering::Relaxed) {
        if let Some(packet) = reader.next(Duration::from_millis(100)) {
            note(&mut ledger.lock(), &packet);
        } else if reader.wire.is_closed() {
            ledger.lock().closed = Some(wait::now());
            break;
        }
        if wait::now() >= alive_at {
            alive_at = wait::now() + ALIVE;
            let url = reader.url().to_owned();
            reader.send("GET_PARAMETER", &url, &[]);
        }
    }
    reader
}

fn note(ledger: &mut Ledger, packet: &Packet) {
    let &Packet { track, rtcp, at, .. } = packet;
    if rtcp {
        if rtp::sender_report(&packet.data).is_some() {
            ledger.reports.push((at, track));
        }
        if rtp::is_bye(&packet.data) {
            ledger.byes.entry(track).or_insert(at);
        }
        return;
    }
    let header = packet.header();
    let is_key = track == 1 && rtp::begins_h264_key(packet.payload());
    let (seq, timestamp, ssrc) = (header.seq, header.timestamp, header.ssrc);
    ledger.media.push(Media { at, track, seq, timestamp, ssrc, is_key });
}
