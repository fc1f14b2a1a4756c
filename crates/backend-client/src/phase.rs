use std::fmt;

/// Where a client stands, for status lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Between two attempts.
    Waiting,
    /// Connecting, or DESCRIBE is under way.
    Describing,
    /// Described; the backend holds no session for us.
    Described,
    /// Tracks are being set up.
    SettingUp,
    /// All tracks are set up, none plays.
    Ready,
    /// PLAY is under way.
    Starting,
    /// Media flows, or should.
    Playing,
    /// PAUSE is under way.
    Pausing,
    /// TEARDOWN is under way.
    Leaving,
    /// Shut down.
    Finished,
}

impl Phase {
    /// A word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Describing => "describing",
            Self::Described => "described",
            Self::SettingUp => "setting up",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Playing => "playing",
            Self::Pausing => "pausing",
            Self::Leaving => "leaving",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
