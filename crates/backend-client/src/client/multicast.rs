//! Media that comes to a group.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rtsp_proto::Response;
use rtsp_proto::transport::{Transport, parse_transports};

use super::{BackendClient, Link};
use crate::description::Group;
use crate::session::{Path, Remote, UdpPath};
use crate::state::Doing;
use crate::{Output, Quirk};

impl BackendClient {
    /// The group that SETUP granted, or that the description names; `None` if the backend would
    /// send to us alone.
    pub(super) fn group_path(&mut self, granted: Option<&Transport>) -> Option<Path> {
        if granted.is_some_and(|granted| !granted.multicast) {
            return None;
        }
        let Link::Open(link) = &self.link else { return None };
        let peer = link.peer;
        let (session, step) = self.state.step()?;
        let offer = session.description.offers.get(step.next)?;
        let (announced, port) = (offer.group, offer.port);
        let named = granted.and_then(|granted| granted.destination.as_deref()).and_then(address);
        let named = named.filter(IpAddr::is_multicast);
        let ports = granted.and_then(|granted| granted.port.or(granted.client_port));
        let ports = ports.filter(|(rtp, rtcp)| *rtp != 0 && *rtcp != 0);
        let group = named.or_else(|| announced.map(|announced| announced.address))?;
        let own = (port != 0).then(|| port.checked_add(1).map(|rtcp| (port, rtcp))).flatten();
        let (rtp, rtcp) = ports.or(own)?;
        if named.is_none() || ports.is_none() {
            self.tolerate(Quirk::MissingGroup, || {
                format!("{group} and port {rtp} of the description are used")
            });
        }
        let source = granted.and_then(|granted| granted.source.as_deref()).and_then(address);
        let source = source.or_else(|| announced.and_then(|announced| announced.source));
        let remote =
            Remote { rtp: SocketAddr::new(group, rtp), rtcp: SocketAddr::new(group, rtcp) };
        let hosts = [peer, source.unwrap_or(peer)];
        Some(Path::Udp(UdpPath { hosts, remote: Some(remote), learnt: true, group: true }))
    }

    /// Has the group joined. One sender alone is asked for where the description says so, and
    /// where the group is of the kind that has only one (RFC 4607 section 1).
    pub(super) fn join(&mut self, now: Instant, track: usize, remote: Remote, answer: &Response) {
        let transport = answer.headers.get("Transport").map(parse_transports).unwrap_or_default();
        let granted = transport.first();
        let Link::Open(link) = &self.link else { return };
        let peer = link.peer;
        let Some((session, _)) = self.state.step() else { return };
        let announced = session.track(track).and_then(|track| track.offer.group);
        let group = remote.rtp.ip();
        let named = granted.and_then(|granted| granted.source.as_deref()).and_then(address);
        let filter = announced.and_then(|announced| announced.source);
        let source = filter.or_else(|| is_source_specific(group).then(|| named.unwrap_or(peer)));
        let ttl = granted.and_then(|granted| granted.ttl);
        let ttl =
            ttl.or_else(|| announced.and_then(|announced| announced.ttl)).unwrap_or(DEFAULT_TTL);
        let until = now + self.options.request_timeout;
        if let Some((_, step)) = self.state.step_mut() {
            step.doing = Doing::Joining { until };
        }
        self.udp_bound = true;
        let (rtp_port, rtcp_port) = (remote.rtp.port(), remote.rtcp.port());
        self.outputs.push_back(Output::JoinMulticast {
            track,
            group,
            rtp_port,
            rtcp_port,
            source,
            ttl,
        });
    }

    /// Whether the shell joins a group for the track.
    pub(super) fn is_joining(&self, track: usize) -> bool {
        let Some((session, step)) = self.state.step() else { return false };
        matches!(step.doing, Doing::Joining { .. })
            && session.tracks.last().is_some_and(|last| last.offer.index == track)
    }

    pub(super) fn on_joined(&mut self, track: usize) {
        let Some((session, _)) = self.state.step() else { return };
        if let Some(Path::Udp(UdpPath { remote: Some(Remote { rtp, rtcp }), .. })) =
            session.track(track).map(|track| &track.path)
        {
            let (rtp, rtcp) = (*rtp, *rtcp);
            self.outputs.push_back(Output::ConnectUdp { track, rtp, rtcp });
        }
        self.on_track_ready(track);
    }
}

impl Group {
    /// Reads the value of a `c=` line (RFC 8866 section 5.7).
    pub(crate) fn parse(connection: &str) -> Option<Self> {
        let mut words = connection.split_ascii_whitespace();
        let (_, kind, rest) = (words.next()?, words.next()?, words.next()?);
        let mut parts = rest.split('/');
        let address = address(parts.next()?).filter(IpAddr::is_multicast)?;
        // For IPv6 there is no TTL, what follows is a number of groups.
        let ttl = parts.next().filter(|_| kind.eq_ignore_ascii_case("IP4"));
        let ttl = ttl.and_then(|ttl| ttl.trim().parse().ok());
        Some(Self { address, ttl, source: None })
    }

    /// With the sender of an `a=source-filter` (RFC 4570 section 3), if it is about this group.
    pub(crate) fn filtered(self, filter: Option<&str>) -> Self {
        let mut words = filter.unwrap_or_default().split_ascii_whitespace();
        let includes = words.next().is_some_and(|mode| mode.eq_ignore_ascii_case("incl"));
        let group = words.nth(2);
        let about = group.is_some_and(|group| group == "*" || address(group) == Some(self.address));
        let source = words.next().filter(|_| includes && about).and_then(address);
        Self { source, ..self }
    }
}

/// An address literal, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.trim().trim_matches(['[', ']']).parse().ok()?;
    Some(ip.to_canonical()).filter(|ip| !ip.is_unspecified())
}

/// 232/8 (RFC 4607 section 1), ff3x::/32 (section 1 too).
fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets().first() == Some(&232),
        IpAddr::V6(group) => {
            group.segments().first().is_some_and(|first| first & 0xfff0 == 0xff30)
                && group.segments().get(1) == Some(&0)
        }
    }
}

/// Within the site, where nothing is said.
const DEFAULT_TTL: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_connection_lines() {
        let read = |line| Group::parse(line).map(|group| (group.address.to_string(), group.ttl));
        assert_eq!(read("IN IP4 224.2.17.12/127"), Some(("224.2.17.12".into(), Some(127))));
        assert_eq!(read("IN IP4 239.1.1.1"), Some(("239.1.1.1".into(), None)));
        assert_eq!(read("IN IP6 ff15::101/3"), Some(("ff15::101".into(), None)));
        for none in ["IN IP4 0.0.0.0", "IN IP4 192.0.2.1", "IN", "IN IP4 cam.example", ""] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_source_filter_counts_for_its_group() {
        let source = |filter| {
            let group = Group::parse("IN IP4 232.3.4.5/127").expect("a group");
            group.filtered(filter).source.map(|source| source.to_string())
        };
        let expected = Some("192.0.2.10".to_owned());
        assert_eq!(source(Some(" incl IN IP4 232.3.4.5 192.0.2.10")), expected);
        assert_eq!(source(Some("incl IN IP4 * 192.0.2.10 192.0.2.11")), expected);
        assert_eq!(source(Some("excl IN IP4 232.3.4.5 192.0.2.10")), None);
        assert_eq!(source(Some("incl IN IP4 232.9.9.9 192.0.2.10")), None);
        assert_eq!(source(Some("incl")), None);
        assert_eq!(source(None), None);
    }

    #[test]
    fn some_groups_have_one_sender() {
        let specific = |text: &str| is_source_specific(text.parse().expect("an address"));
        assert!(specific("232.1.2.3") && specific("ff3e::1"));
        assert!(!specific("239.1.2.3") && !specific("ff3e:30::1") && !specific("ff15::1"));
    }
}
