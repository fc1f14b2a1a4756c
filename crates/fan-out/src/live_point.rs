//! Where live is in a track's timestamps, and how what came before is mapped onto it.
//!
//! Pictures leave a camera in the order they are decoded in; with B-frames their timestamps go
//! back and forth. The live point is as far behind the newest timestamp as they have gone back
//! lately, so that nothing published from then on is before it. Until a whole key unit was seen
//! it is at the newest timestamp but one: what is yet to come between those two may be a B-frame.

use rtp_rtcp::{RtpHeader, RtpTime};

/// The instant, in a track's timestamps, that a catch-up leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LivePoint {
    at: RtpTime,
    /// What it is shown as: a later time where nothing has come for a while.
    shown: RtpTime,
}

/// The timestamps of the packets of one batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    oldest: RtpTime,
    newest: RtpTime,
    /// The newest one before `newest` came, or the same.
    previous: RtpTime,
    /// The furthest any of them is behind one before it.
    depth: u32,
}

/// How far a track's timestamps have come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Clock {
    newest: Option<RtpTime>,
    /// The newest one before `newest` came.
    previous: RtpTime,
    /// How many key units became known, as far as it matters.
    units: u8,
    /// The furthest any was behind one before it since the newest key unit became known.
    depth: u32,
    /// The same in the unit before that: the newest one may just have begun.
    depth_before: u32,
}

/// How many times faster a catch-up is shown than it was recorded: pictures of 25 per second are
/// a millisecond apart then, which players neither wait for nor take for one picture.
const COMPRESSION: u32 = 40;
/// A longer step back (in ticks, 5 s of the 90 kHz clock of video) is not reordering: the
/// timestamps began anew.
const MAX_REORDER: u32 = 450_000;
/// Where a packet has its timestamp (RFC 3550 section 5.1).
const TIMESTAMP: std::ops::Range<usize> = 4..8;

impl LivePoint {
    pub(crate) const fn at(at: RtpTime) -> Self {
        Self { at, shown: at }
    }

    /// Before live: as far before as it was, divided; else as it is.
    pub(crate) fn map(self, time: RtpTime) -> RtpTime {
        match u32::try_from(self.at.ahead_of(time)) {
            Ok(behind) => self.shown.plus((behind / COMPRESSION).wrapping_neg()),
            Err(_) => time,
        }
    }

    /// Whether what it leads to is shown later than what another does.
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.shown.ahead_of(other.shown) > 0
    }

    /// Writes the mapped timestamp into a copy of a packet.
    pub(crate) fn patch(self, packet: &mut [u8]) {
        if let Ok(header) = RtpHeader::parse(packet)
            && let Some(bytes) = packet.get_mut(TIMESTAMP)
        {
            bytes.copy_from_slice(&self.map(header.timestamp).0.to_be_bytes());
        }
    }
}

impl Times {
    /// Those of a batch that begins with a packet of this timestamp.
    pub(crate) const fn of(first: RtpTime) -> Self {
        Self { oldest: first, newest: first, previous: first, depth: 0 }
    }

    /// The next packet's.
    pub(crate) fn push(&mut self, time: RtpTime) {
        // Nearly always: another packet of the same picture.
        if time == self.newest {
            return;
        }
        let ahead = time.ahead_of(self.newest);
        let behind = ahead.unsigned_abs();
        if ahead > 0 {
            self.previous = self.newest;
            self.newest = time;
        } else if behind > MAX_REORDER {
            *self = Self { depth: self.depth, ..Self::of(time) };
        } else {
            self.depth = self.depth.max(behind);
            if time.ahead_of(self.oldest) < 0 {
                self.oldest = time;
            }
        }
    }
}

impl Clock {
    /// A batch was appended.
    pub(crate) fn append(&mut self, times: Times) {
        self.depth = self.depth.max(times.depth);
        let behind = |newest: RtpTime| u32::try_from(newest.ahead_of(times.oldest)).unwrap_or(0);
        let Some(newest) = self.newest.filter(|newest| behind(*newest) <= MAX_REORDER) else {
            self.newest = Some(times.newest);
            self.previous = times.previous;
            return;
        };
        self.depth = self.depth.max(behind(newest));
        if times.newest.ahead_of(newest) > 0 {
            let is_later = times.previous != times.newest && times.previous.ahead_of(newest) > 0;
            self.previous = if is_later { times.previous } else { newest };
            self.newest = Some(times.newest);
        }
    }

    /// A new key unit became known.
    pub(crate) fn begin_unit(&mut self) {
        self.depth_before = std::mem::take(&mut self.depth);
        self.units = self.units.saturating_add(1);
    }

    /// What comes next need not follow what came.
    pub(crate) fn clear(&mut self) {
        self.newest = None;
    }

    /// The live point now; none before the first packet.
    pub(crate) fn live(&self) -> Option<LivePoint> {
        let newest = self.newest?;
        let mut depth = self.depth.max(self.depth_before);
        if self.units < 2 {
            depth = depth.max(newest.ahead_of(self.previous).unsigned_abs());
        }
        Some(LivePoint::at(newest.plus(depth.wrapping_neg())))
    }

    /// The live point while nothing comes: all that came is before it, and shown up to `present`.
    pub(crate) fn still(&self, present: RtpTime) -> Option<LivePoint> {
        let at = self.newest?;
        let is_later = present.ahead_of(at) > 0;
        Some(LivePoint { at, shown: if is_later { present } else { at } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(of: &[u32]) -> Times {
        let mut times = Times::of(RtpTime(of[0]));
        of.iter().skip(1).for_each(|time| times.push(RtpTime(*time)));
        times
    }

    fn live(batches: &[&[u32]]) -> u32 {
        let mut clock = Clock { units: 2, ..Clock::default() };
        batches.iter().for_each(|batch| clock.append(times(batch)));
        clock.live().expect("something was appended").at.0
    }

    #[test]
    fn without_b_frames_live_is_the_newest_timestamp() {
        assert_eq!(live(&[&[0, 0, 3600], &[3600, 7200]]), 7200);
        assert_eq!(live(&[&[u32::MAX - 10], &[5]]), 5);
    }

    #[test]
    fn with_b_frames_live_is_behind_the_newest_by_the_longest_step_back() {
        // I0 P3 B1 B2 P6 B4 B5, however they are cut into batches.
        assert_eq!(live(&[&[0, 10_800, 3600, 7200, 21_600, 14_400, 18_000]]), 14_400);
        assert_eq!(live(&[&[0], &[10_800], &[3600], &[7200], &[21_600]]), 14_400);
        assert_eq!(live(&[&[0, 10_800], &[3600, 7200, 21_600]]), 14_400);
    }

    #[test]
    fn a_unit_just_begun_is_taken_to_be_ordered_as_the_one_before_it() {
        let mut clock = Clock { units: 2, ..Clock::default() };
        clock.append(times(&[0, 10_800, 3600, 7200]));
        clock.begin_unit();
        clock.append(times(&[21_600]));
        assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(14_400))));
        clock.begin_unit();
        clock.append(times(&[25_200]));
        assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(25_200))));
    }

    #[test]
    fn in_the_first_unit_what_may_yet_come_is_not_before_live() {
        for batches in
            [&[&[0, 10_800][..]][..], &[&[0], &[10_800]], &[&[0], &[0], &[10_800, 10_800]]]
        {
            let mut clock = Clock::default();
            clock.begin_unit();
            batches.iter().for_each(|batch| clock.append(times(batch)));
            assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(0))));
            clock.append(times(&[3600, 7200, 21_600]));
            assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(10_800))));
            clock.begin_unit();
            assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(14_400))));
        }
    }

    #[test]
    fn timestamps_that_begin_anew_are_no_reordering() {
        assert_eq!(live(&[&[1_000_000], &[100]]), 100);
        assert_eq!(live(&[&[1_000_000, 100, 3700]]), 3700);
        let mut clock = Clock::default();
        clock.append(times(&[1_000_000]));
        clock.clear();
        assert_eq!(clock.live(), None);
        clock.append(times(&[999_000]));
        assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(999_000))));
    }

    #[test]
    fn pictures_before_live_come_a_fortieth_as_far_apart() {
        let live = LivePoint::at(RtpTime(100));
        assert_eq!(live.map(RtpTime(100)), RtpTime(100));
        assert_eq!(live.map(RtpTime(3700)), RtpTime(3700));
        assert_eq!(live.map(RtpTime(60)), RtpTime(99));
        // Shown as something later.
        let still = LivePoint { at: RtpTime(100), shown: RtpTime(9_100) };
        assert_eq!(still.map(RtpTime(100)), RtpTime(9_100));
        assert_eq!(still.map(RtpTime(60)), RtpTime(9_099));
        assert_eq!(still.map(RtpTime(9_200)), RtpTime(9_200));
        // Through the wrap.
        assert_eq!(
            live.map(RtpTime(100_u32.wrapping_sub(7200))),
            RtpTime(100_u32.wrapping_sub(180))
        );
    }

    proptest! {
        #[test]
        fn the_map_keeps_the_order(live: u32, times in prop::collection::vec(-1_000_000_i32..1_000_000, 2..20)) {
            let point = LivePoint::at(RtpTime(live));
            let at = |offset: i32| RtpTime(live.wrapping_add_signed(offset));
            for pair in times.windows(2) {
                let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
                prop_assert!(point.map(at(high)).ahead_of(point.map(at(low))) >= 0);
                let expected = if low < 0 { -((-low) / 40) } else { low };
                prop_assert_eq!(point.map(at(low)).ahead_of(RtpTime(live)), expected);
            }
        }

        #[test]
        fn how_packets_are_cut_into_batches_does_not_matter(
            times in prop::collection::vec(0_u32..400_000, 1..40),
            cuts in prop::collection::vec(any::<bool>(), 40),
        ) {
            let mut newest = 0;
            let mut depth = 0;
            for (index, time) in times.iter().enumerate() {
                newest = if index == 0 { *time } else { newest.max(*time) };
                depth = depth.max(newest - time);
            }
            let mut clock = Clock { units: 2, ..Clock::default() };
            let mut batch: Option<Times> = None;
            for (time, cut) in times.iter().zip(&cuts) {
                match &mut batch {
                    Some(batch) => batch.push(RtpTime(*time)),
                    None => batch = Some(Times::of(RtpTime(*time))),
                }
                if *cut && let Some(batch) = batch.take() {
                    clock.append(batch);
                }
            }
            batch.into_iter().for_each(|batch| clock.append(batch));
            prop_assert_eq!(clock.live(), Some(LivePoint::at(RtpTime(newest.wrapping_sub(depth)))));
        }
    }
}
