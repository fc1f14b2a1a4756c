//! What happens to access units after a loss.

use crate::access_unit::AccessUnit;

/// Which units leave after packets were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// All, broken ones too: decoders conceal what they can.
    #[default]
    Pass,
    /// Only whole ones.
    DropUnit,
    /// None until the next whole key unit.
    WaitKeyframe,
}

/// The stage behind a depacketizer that drops what [`OnLoss`] says.
#[derive(Clone, Debug, Default)]
pub struct LossGate {
    policy: OnLoss,
    waiting: bool,
    lost: u32,
    dropped: u64,
}

impl LossGate {
    /// With nothing lost yet.
    pub const fn new(policy: OnLoss) -> Self {
        Self { policy, waiting: false, lost: 0, dropped: 0 }
    }

    /// Gives back the units that leave. The packets that a dropped unit missed are counted on
    /// the next one that leaves.
    pub fn admit(&mut self, mut unit: AccessUnit) -> Option<AccessUnit> {
        let passes = match self.policy {
            OnLoss::Pass => true,
            OnLoss::DropUnit => unit.complete,
            OnLoss::WaitKeyframe => {
                self.waiting |= unit.lost > 0 || !unit.complete;
                self.waiting &= !(unit.key && unit.complete);
                !self.waiting
            }
        };
        if passes {
            unit.lost = unit.lost.saturating_add(std::mem::take(&mut self.lost));
            return Some(unit);
        }
        // A dropped unit is missing to whoever comes next, by at least one packet.
        self.lost = self.lost.saturating_add(unit.lost.max(1));
        self.dropped += 1;
        None
    }

    /// How many units were dropped.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp_rtcp::RtpTime;

    /// Key, complete, lost before.
    fn left(policy: OnLoss, units: &[(bool, bool, u32)]) -> Vec<(u32, u32)> {
        let mut gate = LossGate::new(policy);
        let left: Vec<_> = (0..)
            .zip(units)
            .filter_map(|(at, &(key, complete, lost))| {
                let mut unit = AccessUnit::of(RtpTime(at), key, vec![1]);
                (unit.complete, unit.lost) = (complete, lost);
                gate.admit(unit)
            })
            .map(|unit| (unit.timestamp.0, unit.lost))
            .collect();
        assert_eq!(gate.dropped(), (units.len() - left.len()) as u64);
        left
    }

    const UNITS: [(bool, bool, u32); 6] = [
        (true, true, 0),
        (false, true, 2),
        (false, false, 1),
        (true, false, 0),
        (false, true, 0),
        (true, true, 0),
    ];

    #[test]
    fn each_policy_lets_through_what_it_says() {
        let all = [(0, 0), (1, 2), (2, 1), (3, 0), (4, 0), (5, 0)];
        assert_eq!(left(OnLoss::Pass, &UNITS), all);
        assert_eq!(left(OnLoss::DropUnit, &UNITS), [(0, 0), (1, 2), (4, 2), (5, 0)]);
        assert_eq!(left(OnLoss::WaitKeyframe, &UNITS), [(0, 0), (5, 5)]);
    }

    #[test]
    fn formats_of_keys_alone_never_wait() {
        let units = [(true, true, 0), (true, true, 3), (true, false, 1), (true, true, 0)];
        assert_eq!(left(OnLoss::WaitKeyframe, &units), [(0, 0), (1, 3), (3, 1)]);
    }
}
