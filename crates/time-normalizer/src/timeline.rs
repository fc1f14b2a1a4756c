//! The timeline of one stream.

use std::time::{Duration, Instant};

use rtp_rtcp::{ClockRate, Now, RtpTime, Ssrc};

use crate::{
    follow::Follower,
    track::{Heard, Track},
};

/// A timestamp that departs further from what arrivals let expect is a step of the source's clock,
/// not jitter.
pub const MAX_TIMESTAMP_STEP: Duration = Duration::from_secs(1);

/// A track of a [`Timeline`], counted from zero in the order of [`Timeline::add_track`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackIndex(pub usize);

/// One timeline per proxied stream; it exists before the first packet and survives backend
/// sessions.
///
/// It is kept on the monotonic clock, and follows the speed of the source's own by at most a
/// thousandth, so that [`Timeline::at`] stays with the packets for as long as a stream lives.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rtp_rtcp::{ClockRate, Now, NtpTime, RtpTime, Ssrc};
/// use time_normalizer::Timeline;
///
/// # #[expect(clippy::disallowed_methods, reason = "an example needs a beginning of time")]
/// let start = Now { mono: Instant::now(), wall: NtpTime::from_unix(Duration::from_secs(1)) };
/// let mut timeline = Timeline::new(start, 7);
/// let video = timeline.add_track(ClockRate::VIDEO);
/// let later = |ms| start.after(Duration::from_millis(ms));
///
/// // One session: the source's own spacing, wherever it begins.
/// let first = timeline.stamp(later(500), video, Ssrc(1), RtpTime(1_000_000));
/// assert_eq!(first, timeline.at(later(500), video));
/// let second = timeline.stamp(later(540), video, Ssrc(1), RtpTime(1_003_600));
/// assert_eq!(second.ahead_of(first), 3_600);
///
/// // Another one, ten seconds later: the gap is ten seconds.
/// timeline.restart();
/// let third = timeline.stamp(later(10_500), video, Ssrc(2), RtpTime(5));
/// assert_eq!(third.ahead_of(first), 900_000);
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    epoch: Instant,
    seed: u64,
    tracks: Vec<Track>,
    follower: Follower,
    refits: u64,
}

impl Timeline {
    /// A timeline that begins now. The tracks' first timestamps come from `seed` (RFC 3550,
    /// section 5.1: they are to be random).
    pub const fn new(now: Now, seed: u64) -> Self {
        Self {
            epoch: now.mono,
            seed,
            tracks: Vec::new(),
            follower: Follower::new(now.mono),
            refits: 0,
        }
    }

    /// Another track, whose timestamps count ticks of `rate`. How many there may be is bounded by
    /// the description that they come from.
    pub fn add_track(&mut self, rate: ClockRate) -> TrackIndex {
        let index = self.tracks.len();
        let base = RtpTime(scatter(self.seed, index as u64));
        self.tracks.push(Track::new(rate, base, MAX_TIMESTAMP_STEP));
        TrackIndex(index)
    }

    /// A new backend session, or one that goes on after PAUSE: each track is fitted anew at its
    /// next packet.
    pub fn restart(&mut self) {
        self.tracks.iter_mut().for_each(Track::restart);
    }

    /// The outgoing timestamp of a packet that came at `now`.
    ///
    /// The first of a session fits the track's constant offset, so that it leaves with the
    /// timeline's `now`, and in any case ahead of what the track has sent. From then on timestamps
    /// leave as they came, plus that offset: jitter, wraps, frames out of order, silence and the
    /// burst after a stall pass as they are.
    ///
    /// The fit is another one (and [`Timeline::refits`] counts) when the SSRC changes; when
    /// timestamps depart by more than [`MAX_TIMESTAMP_STEP`] from what arrivals let expect, for
    /// more than three packets, the first three of which leave by the new fit already and return
    /// to the old one if nothing comes of it; and when a source falls that far behind and does not
    /// make it good. When one turns out to be ahead by as much, the expectation gives way instead.
    ///
    /// A track that does not exist leaves the timestamp alone.
    pub fn stamp(
        &mut self,
        now: Now,
        track: TrackIndex,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> RtpTime {
        let elapsed = self.elapsed(now);
        let Some(track) = self.tracks.get_mut(track.0) else {
            return timestamp;
        };
        let expected = track.at(elapsed);
        let (outgoing, heard) = track.stamp(now.mono, expected, ssrc, timestamp);
        match heard {
            Heard::Near(departure) => {
                let nanos = i64::from(departure) * NANOS / i64::from(track.rate().hz());
                self.follower.on_arrival(now.mono, nanos);
            }
            Heard::Nothing => {}
            Heard::Refit => self.refits += 1,
        }
        outgoing
    }

    /// The track's outgoing timestamp at the instant `now`, for RTP-Info and sender reports: that
    /// of a packet that comes now and took the usual time.
    ///
    /// Zero for a track that does not exist.
    pub fn at(&self, now: Now, track: TrackIndex) -> RtpTime {
        self.tracks.get(track.0).map_or(RtpTime(0), |track| track.at(self.elapsed(now)))
    }

    /// How often a fit was replaced within a session.
    pub const fn refits(&self) -> u64 {
        self.refits
    }

    /// The sources' time since the epoch.
    fn elapsed(&self, now: Now) -> Duration {
        let elapsed = now.mono.saturating_duration_since(self.epoch);
        let ahead = self.follower.ahead();
        let gained = Duration::from_nanos(ahead.unsigned_abs());
        if ahead < 0 { elapsed.saturating_sub(gained) } else { elapsed.saturating_add(gained) }
    }
}

/// The `nth` of numbers that look random (SplitMix64).
const fn scatter(seed: u64, nth: u64) -> u32 {
    let mut bits = seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}

const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests;
