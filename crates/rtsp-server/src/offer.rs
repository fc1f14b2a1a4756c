//! Choosing one of the transports that a reader offers (RFC 2326 section 12.39).

use core::net::IpAddr;

use rtp_rtcp::Ssrc;
use rtsp_proto::transport::{Lower, Profile, Transport};
use smallvec::SmallVec;

use crate::api::Chosen;

/// What a new track has to keep clear of.
#[derive(Clone, Default, Debug)]
pub(crate) struct Taken {
    /// Channels of its connection.
    pub(crate) channels: SmallVec<[u8; 8]>,
    /// Whether the session's other tracks are interleaved. One session is either or: its tracks
    /// start, pause and end together, and only an interleaved one dies with its connection.
    pub(crate) interleaved: Option<bool>,
}

/// The transport that this offer comes to, and its profile; `None` if it is not acceptable.
pub(crate) fn choose(
    offered: &Transport,
    track: usize,
    taken: &Taken,
) -> Option<(Chosen, Profile)> {
    let profile = offered.profile;
    if !matches!(profile, Profile::Avp | Profile::Avpf) {
        return None;
    }
    let plays = offered.mode.as_deref().is_none_or(|mode| {
        mode.split(',').any(|mode| mode.trim().trim_matches('"').eq_ignore_ascii_case("play"))
    });
    let interleaved = matches!(offered.lower, Lower::Tcp);
    if offered.multicast || !plays || taken.interleaved.is_some_and(|other| other != interleaved) {
        return None;
    }
    let chosen = if interleaved {
        Chosen::Tcp { channels: channels(offered.interleaved, track, &taken.channels)? }
    } else {
        let client_ports = offered.client_port?;
        // Port 0 cannot be sent to, and reports on the media's port would be taken for media.
        if client_ports.0 == 0 || client_ports.1 == 0 || client_ports.0 == client_ports.1 {
            return None;
        }
        Chosen::Udp { client_ports }
    };
    Some((chosen, profile))
}

/// The channels wished for; if none are, or they are in use, the track's usual ones; if those are
/// in use as well, the first free pair.
fn channels(wished: Option<(u8, u8)>, track: usize, taken: &[u8]) -> Option<(u8, u8)> {
    let is_free =
        |(rtp, rtcp): &(u8, u8)| rtp != rtcp && !taken.contains(rtp) && !taken.contains(rtcp);
    let pair = |n: u8| (n.saturating_mul(2), n.saturating_mul(2).saturating_add(1));
    let usual = u8::try_from(track).ok().filter(|n| *n <= LAST_PAIR).map(pair);
    wished
        .filter(is_free)
        .or_else(|| usual.filter(is_free))
        .or_else(|| (0..=LAST_PAIR).map(pair).find(is_free))
}

/// The `Transport` of the response.
pub(crate) fn accepted(
    chosen: Chosen,
    profile: Profile,
    server_ports: Option<(u16, u16)>,
    source: Option<IpAddr>,
    ssrc: Option<Ssrc>,
) -> Transport {
    let transport = match chosen {
        Chosen::Udp { client_ports } => {
            Transport { server_port: server_ports, ..Transport::udp(client_ports) }
        }
        Chosen::Tcp { channels } => Transport::tcp(channels),
    };
    Transport {
        profile,
        source: source.map(|source| source.to_string()),
        ssrc: ssrc.map(|Ssrc(ssrc)| ssrc),
        ..transport
    }
}

/// Channels 254 and 255 are the last pair.
const LAST_PAIR: u8 = 127;
