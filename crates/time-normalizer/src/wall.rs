//! Our wall clock, without its small steps.

use rtp_rtcp::NtpTime;

use crate::{
    ntp::{moved, nanos_between},
    servo::{Law, Servo, ppm},
};

/// The host's wall clock as it is shown to readers: it runs with the monotonic clock, follows
/// small corrections slowly and large ones at once.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    anchor: NtpTime,
    offset: Servo,
}

impl Wall {
    pub(crate) const fn new(now: NtpTime) -> Self {
        Self { anchor: now, offset: Servo::new(FOLLOW) }
    }

    /// What it shows `elapsed` nanoseconds after its beginning, when the host's clock shows `host`.
    pub(crate) fn at(&self, elapsed: i64, host: NtpTime) -> NtpTime {
        let shown = self.shown(elapsed);
        if nanos_between(shown, host).abs() > MAX_FOLLOWED { host } else { shown }
    }

    /// Follows the host's clock. By how much it stepped, if it did.
    pub(crate) fn observe(&mut self, elapsed: i64, host: NtpTime) -> Option<i64> {
        let error = nanos_between(self.shown(elapsed), host);
        if error.abs() > MAX_FOLLOWED {
            *self = Self::new(moved(host, -elapsed));
            return Some(error);
        }
        // The two clocks are not read at the same instant.
        let error = if error.abs() < NOISE { 0 } else { error };
        self.offset.correct(elapsed, error);
        None
    }

    fn shown(&self, elapsed: i64) -> NtpTime {
        moved(self.anchor, elapsed + self.offset.at(elapsed))
    }
}

/// A step of more than this is followed at once.
const MAX_FOLLOWED: i64 = 1_000_000_000;

const NOISE: i64 = 1_000_000;

const FOLLOW: Law = Law { limit: ppm(250), settle: 4_000_000_000, learns: false };

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_step_of_decades_is_followed_at_once_and_told_once() {
        let boot = NtpTime::from_unix(Duration::from_secs(60));
        let mut wall = Wall::new(boot);
        let host = NtpTime::from_unix(Duration::from_secs(1_800_000_000));
        assert_eq!(wall.at(SECOND, host), host);
        assert_eq!(wall.observe(SECOND, host).map(|by| by / SECOND), Some(1_799_999_939));
        assert_eq!(wall.at(SECOND, host), host);
        assert_eq!(wall.observe(2 * SECOND, host.plus(Duration::from_secs(1))), None);
    }

    #[test]
    fn half_a_second_is_followed_slowly_and_to_the_end() {
        let start = NtpTime::from_unix(Duration::from_secs(1_800_000_000));
        let mut wall = Wall::new(start);
        let host = |second: i64| moved(start, second * SECOND + SECOND / 2);
        let mut last = start;
        for second in 1..3_000 {
            assert_eq!(wall.observe(second * SECOND, host(second)), None);
            let shown = wall.at(second * SECOND, host(second));
            let step = nanos_between(last, shown) - SECOND;
            assert!((0..=260_000).contains(&step), "{step}");
            last = shown;
        }
        assert!(nanos_between(last, host(2_999)).abs() < 2_000_000);
    }
}
