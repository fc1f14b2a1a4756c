use std::fmt;

/// A departure from the protocol that a client makes up for. Chosen by what is seen, never by
/// brand; counted, and reported once per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quirk {
    /// A response without `CSeq`: taken for the answer to the request under way.
    MissingCseq,
    /// A response with a `CSeq` never sent: taken for the answer to the request under way.
    ForeignCseq,
    /// A response while no request is under way: dropped.
    StrayResponse,
    /// SETUP answered without `Session`: later requests go without it.
    MissingSession,
    /// A later SETUP answered with another session: the newest is used.
    ChangedSession,
    /// A session timeout that cannot be meant: 60 s is used.
    OddSessionTimeout,
    /// SETUP answered without a usable `Transport`: what was asked for is taken as granted.
    MissingTransport,
    /// Other interleaved channels granted than asked for: the granted ones are used.
    OtherChannels,
    /// Granted channels that belong to another track: those asked for are used.
    TakenChannels,
    /// UDP asked for, interleaving granted: interleaving is used.
    InterleavedInstead,
    /// A `source` that no media can come from: the connection's address is used.
    OddSource,
    /// No server ports granted: they are learnt from the first datagram.
    MissingServerPorts,
    /// Datagrams come from other ports than granted: those are used, once.
    MovedServerPorts,
    /// Interleaved data on a channel nobody asked for: skipped by its length.
    UnknownChannel,
    /// RTCP on the RTP port or channel: taken as RTCP.
    MuxedRtcp,
    /// A keep-alive refused: another method is used.
    KeepAliveRefused,
    /// A keep-alive unanswered while media flows: another method is used.
    KeepAliveIgnored,
    /// A session called unknown in answer to a keep-alive while its media flows: disregarded.
    SessionDenied,
    /// PAUSE missing or refused: TEARDOWN is used, and a new SETUP when media is wanted again.
    NoPause,
    /// Media goes on after PAUSE was granted: TEARDOWN is used from now on.
    PauseIgnored,
    /// The idle connection was closed: it is opened again at the next keep-alive.
    IdleClose,
    /// A description announced by the backend in mid-session: acknowledged, not used.
    Announced,
    /// A track cannot be added to a session that plays: the session is set up anew.
    NoLateSetup,
    /// Media goes on after TEARDOWN was answered: the connection is closed.
    TeardownIgnored,
    /// `RTP-Info` that cannot be read, or whose numbers are not those of the packets: not used.
    OddRtpInfo,
    /// An `ssrc` in `Transport` that cannot be read, or is not that of the packets: not used.
    OddSsrc,
    /// Packets of a session that ended with another connection: dropped.
    StaleSession,
    /// The session ends as if keep-alives were none: another method is used.
    KeepAliveInVain,
    /// Multicast was granted without a group: that of the description is used.
    MissingGroup,
    /// A message that had to be repaired to be read.
    Message,
}

impl Quirk {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::Message as usize + 1;

    const ALL: [Self; Self::COUNT] = [
        Self::MissingCseq,
        Self::ForeignCseq,
        Self::StrayResponse,
        Self::MissingSession,
        Self::ChangedSession,
        Self::OddSessionTimeout,
        Self::MissingTransport,
        Self::OtherChannels,
        Self::TakenChannels,
        Self::InterleavedInstead,
        Self::OddSource,
        Self::MissingServerPorts,
        Self::MovedServerPorts,
        Self::UnknownChannel,
        Self::MuxedRtcp,
        Self::KeepAliveRefused,
        Self::KeepAliveIgnored,
        Self::SessionDenied,
        Self::NoPause,
        Self::PauseIgnored,
        Self::IdleClose,
        Self::Announced,
        Self::NoLateSetup,
        Self::TeardownIgnored,
        Self::OddRtpInfo,
        Self::OddSsrc,
        Self::StaleSession,
        Self::KeepAliveInVain,
        Self::MissingGroup,
        Self::Message,
    ];

    /// A name for counters and fixtures.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingCseq => "missing-cseq",
            Self::ForeignCseq => "foreign-cseq",
            Self::StrayResponse => "stray-response",
            Self::MissingSession => "missing-session",
            Self::ChangedSession => "changed-session",
            Self::OddSessionTimeout => "odd-session-timeout",
            Self::MissingTransport => "missing-transport",
            Self::OtherChannels => "other-channels",
            Self::TakenChannels => "taken-channels",
            Self::InterleavedInstead => "interleaved-instead",
            Self::OddSource => "odd-source",
            Self::MissingServerPorts => "missing-server-ports",
            Self::MovedServerPorts => "moved-server-ports",
            Self::UnknownChannel => "unknown-channel",
            Self::MuxedRtcp => "muxed-rtcp",
            Self::KeepAliveRefused => "keep-alive-refused",
            Self::KeepAliveIgnored => "keep-alive-ignored",
            Self::SessionDenied => "session-denied",
            Self::NoPause => "no-pause",
            Self::PauseIgnored => "pause-ignored",
            Self::IdleClose => "idle-close",
            Self::Announced => "announced",
            Self::NoLateSetup => "no-late-setup",
            Self::TeardownIgnored => "teardown-ignored",
            Self::OddRtpInfo => "odd-rtp-info",
            Self::OddSsrc => "odd-ssrc",
            Self::StaleSession => "stale-session",
            Self::KeepAliveInVain => "keep-alive-in-vain",
            Self::MissingGroup => "missing-group",
            Self::Message => "message",
        }
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuirkCounts {
    quirks: [u64; Quirk::COUNT],
    /// Repairs of messages and descriptions, by their names, of which there are so many.
    repairs: Vec<(&'static str, u64)>,
}

impl QuirkCounts {
    /// Counts one; true the first time.
    pub(crate) fn count(&mut self, quirk: Quirk) -> bool {
        let Some(count) = self.quirks.get_mut(quirk as usize) else { return false };
        *count = count.saturating_add(1);
        *count == 1
    }

    /// Counts a repair; true the first time.
    pub(crate) fn count_repair(&mut self, name: &'static str) -> bool {
        match self.repairs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => {
                *count = count.saturating_add(1);
                false
            }
            None => {
                self.repairs.push((name, 1));
                true
            }
        }
    }

    /// All that were seen. What had to be repaired in messages stands there by its own names.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let single = Quirk::ALL.into_iter().filter(|quirk| *quirk != Quirk::Message);
        let seen = single.map(|quirk| (quirk.name(), self.of(quirk)));
        seen.filter(|(_, count)| *count > 0).chain(self.repairs.iter().copied())
    }

    pub(crate) fn of(&self, quirk: Quirk) -> u64 {
        self.quirks.get(quirk as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quirk_is_told_once_and_counted_always() {
        let mut counts = QuirkCounts::default();
        assert!(counts.count(Quirk::Message));
        assert!(!counts.count(Quirk::Message));
        assert!(counts.count(Quirk::MissingCseq));
        assert_eq!((counts.of(Quirk::Message), counts.of(Quirk::Announced)), (2, 0));
        assert!(counts.count_repair("folded-header") && !counts.count_repair("folded-header"));
        assert!(counts.count(Quirk::IdleClose));
        let seen: Vec<_> = counts.seen().collect();
        assert_eq!(seen, [("missing-cseq", 1), ("idle-close", 1), ("folded-header", 2)]);
    }

    #[test]
    fn every_quirk_has_its_place_and_a_name_of_its_own() {
        for (place, quirk) in Quirk::ALL.into_iter().enumerate() {
            assert_eq!(quirk as usize, place);
            assert_eq!(Quirk::ALL.iter().filter(|other| other.name() == quirk.name()).count(), 1);
        }
    }
}
