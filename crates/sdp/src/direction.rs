//! Who sends, as a description says it.

use crate::line::Line;

/// RFC 8866 section 6.7, as ONVIF cameras use it: `recvonly` is what the client receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `a=sendrecv`, or nothing said.
    #[default]
    SendRecv,
    /// `a=sendonly`: in an ONVIF description, what the client sends to the camera.
    SendOnly,
    /// `a=recvonly`: what the client receives.
    RecvOnly,
    /// `a=inactive`.
    Inactive,
}

impl Direction {
    /// The first direction among `lines`, `None` where they say nothing.
    pub(crate) fn among(lines: &[Line]) -> Option<Self> {
        lines.iter().filter_map(Line::attribute).find_map(|(name, _)| {
            let known = [
                ("sendrecv", Self::SendRecv),
                ("sendonly", Self::SendOnly),
                ("recvonly", Self::RecvOnly),
                ("inactive", Self::Inactive),
            ];
            known.into_iter().find(|(text, _)| name.eq_ignore_ascii_case(text)).map(|(_, d)| d)
        })
    }
}
