use std::fmt;

/// The protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// 1 in `RTSP/1.0`.
    pub major: u8,
    /// 0 in `RTSP/1.0`.
    pub minor: u8,
}

impl Version {
    /// RFC 2326.
    pub const RTSP_1_0: Self = Self { major: 1, minor: 0 };
    /// RFC 7826.
    pub const RTSP_2_0: Self = Self { major: 2, minor: 0 };

    /// Reads `RTSP/1.0`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (protocol, numbers) = text.split_once('/')?;
        let (major, minor) = numbers.split_once('.')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !protocol.eq_ignore_ascii_case("RTSP") || !digits(major) || !digits(minor) {
            return None;
        }
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::RTSP_1_0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RTSP/{}.{}", self.major, self.minor)
    }
}
