//! A length of time that changes slowly.

/// How a [`Servo`] may move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Law {
    /// The fastest it ever moves, in [`Slope`] units.
    pub(crate) limit: i64,
    /// An error is made good within about this many nanoseconds, if the limit allows it.
    pub(crate) settle: i64,
    /// Whether an error that keeps coming back is taken for a rate.
    pub(crate) learns: bool,
}

/// A length of time in nanoseconds that moves along straight lines: a rate that was learnt, and a
/// correction that ends when it has done its part. It is steered by errors (a PI controller,
/// critically damped) and steps only where [`Servo::jump`] is called.
///
/// Slopes are in units of 2^-32 (nanoseconds per nanosecond); instants are nanoseconds since an
/// epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Servo {
    law: Law,
    value: i64,
    since: i64,
    rate: i64,
    correction: i64,
    /// When the correction ends.
    until: i64,
}

impl Servo {
    pub(crate) const fn new(law: Law) -> Self {
        Self { law, value: 0, since: 0, rate: 0, correction: 0, until: 0 }
    }

    /// The value at `instant`.
    #[inline]
    pub(crate) fn at(&self, instant: i64) -> i64 {
        let correcting = instant.min(self.until) - self.since;
        let moved = moved(self.rate, instant - self.since) + moved(self.correction, correcting);
        self.value.saturating_add(moved)
    }

    /// The rate that was learnt, in parts per billion.
    pub(crate) const fn ppb(&self) -> i64 {
        moved(self.rate, 1_000_000_000)
    }

    /// How far the rate that was learnt moves it within `nanos`.
    pub(crate) const fn drift_within(&self, nanos: i64) -> i64 {
        moved(self.rate, nanos)
    }

    /// The value is `error` below what it should be.
    pub(crate) fn correct(&mut self, instant: i64, error: i64) {
        let Law { limit, settle, learns } = self.law;
        let passed = (instant - self.since).clamp(0, settle);
        self.settle_at(instant);
        let wanted = (i128::from(error) << 32) / i128::from(settle);
        let wanted = wanted.clamp(-4 * i128::from(limit), 4 * i128::from(limit)) as i64;
        let slope = (self.rate + wanted).clamp(-limit, limit);
        // What is too far off to be made good at once says nothing about the rate.
        if learns && slope == self.rate + wanted {
            let learnt = i128::from(wanted) * i128::from(passed) / (4 * i128::from(settle));
            self.rate = (self.rate + learnt as i64).clamp(-limit, limit);
        }
        self.correction = slope - self.rate;
        self.until = instant.saturating_add(settle);
    }

    /// Moves it at once.
    pub(crate) fn jump(&mut self, instant: i64, by: i64) {
        self.settle_at(instant);
        self.value = self.value.saturating_add(by);
        (self.correction, self.until) = (0, instant);
    }

    /// Stays where it is from here on, and forgets the rate that was learnt.
    pub(crate) fn hold(&mut self, instant: i64) {
        self.jump(instant, 0);
        self.rate = 0;
    }

    fn settle_at(&mut self, instant: i64) {
        self.value = self.at(instant);
        self.since = instant;
        self.until = self.until.max(instant);
    }
}

/// How far `slope` leads within `nanos`.
#[inline]
const fn moved(slope: i64, nanos: i64) -> i64 {
    ((slope as i128 * nanos as i128) >> 32) as i64
}

/// A slope of so many parts per million.
pub(crate) const fn ppm(parts: i64) -> i64 {
    (parts << 32) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const LAW: Law = Law { limit: ppm(500), settle: 20 * SECOND, learns: true };

    #[test]
    fn an_error_is_made_good_no_faster_than_the_limit_and_no_further_than_it_goes() {
        let mut servo = Servo::new(LAW);
        servo.correct(0, 1_000_000_000);
        assert!((499_000..=500_000).contains(&servo.at(SECOND)), "{}", servo.at(SECOND));
        servo.jump(SECOND, 0);
        let start = servo.at(SECOND);
        servo.correct(SECOND, 2_000_000);
        let end = servo.at(10_000 * SECOND);
        assert!((end - start - 2_000_000).abs() < 10_000, "{}", end - start);
    }

    #[test]
    fn a_rate_is_learnt_and_kept_when_nothing_more_is_heard() {
        let mut servo = Servo::new(LAW);
        let truth = |second: i64| second * 300_000;
        let mut worst = 0;
        for second in (0..2_000).step_by(5) {
            let error = truth(second) - servo.at(second * SECOND);
            worst = worst.max(error.abs());
            servo.correct(second * SECOND, error);
        }
        assert!(worst < 8_000_000, "{worst}");
        assert!((servo.ppb() - 300_000).abs() < 100, "{}", servo.ppb());
        let later = servo.at(5_600 * SECOND) - truth(5_600);
        assert!(later.abs() < 1_000_000, "{later}");
    }

    #[test]
    fn a_long_way_to_go_is_no_rate() {
        let mut servo = Servo::new(LAW);
        for second in (0..300).step_by(5) {
            servo.correct(second * SECOND, 200_000_000 - servo.at(second * SECOND));
        }
        assert_eq!(servo.ppb(), 0);
    }
}
