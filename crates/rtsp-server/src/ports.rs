//! Which sessions are sent datagrams on which port of their reader's host.
//!
//! Several may be: a reader that went without a word leaves its session behind, and the next one on
//! that host may get the same port of its system. Who is there cannot be told from the claims, so
//! each of them counts; that another one came later is remembered.

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::time::Instant;

use smallvec::SmallVec;

use crate::ids::SessionId;

/// A host that readers come from: its address and, where that means something on one link alone,
/// the link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Host {
    ip: IpAddr,
    link: u32,
}

impl Host {
    pub(crate) fn of(peer: SocketAddr) -> Self {
        let ip = peer.ip().to_canonical();
        let link = match peer {
            SocketAddr::V6(v6) if ip.is_ipv6() => v6.scope_id(),
            _ => 0,
        };
        Self { ip, link }
    }
}

/// Sessions that claim one port. A client that never closes anything would have ever more.
const MAX_CLAIMS: usize = 32;

/// The ports of all hosts.
#[derive(Default, Debug)]
pub(crate) struct Ports {
    ports: HashMap<(Host, u16), Port>,
}

#[derive(Default, Debug)]
struct Port {
    /// In order. All but the last are contested.
    claims: SmallVec<[Claim; 1]>,
    /// When something last came from there: a sign of life of each that claims it, without a look
    /// at every one of them.
    reported: Option<Instant>,
}

#[derive(Debug)]
struct Claim {
    session: SessionId,
    /// Another session, which may be one of another server, claimed the port after this one. It
    /// stays so when that one ends.
    contested: bool,
}

impl Ports {
    /// Notes that a session is sent datagrams there, which makes it the latest. Returns the session
    /// whose claim is contested by that and was not before.
    pub(crate) fn claim(&mut self, host: Host, port: u16, session: SessionId) -> Option<SessionId> {
        let claims = &mut self.ports.entry((host, port)).or_default().claims;
        claims.retain(|claim| claim.session != session);
        let earlier = claims.last_mut().filter(|claim| !claim.contested).map(|claim| {
            claim.contested = true;
            claim.session
        });
        claims.push(Claim { session, contested: false });
        earlier
    }

    /// The session that is to give a port up, where too many claim it.
    pub(crate) fn surplus(&self, host: Host, port: u16) -> Option<SessionId> {
        let claims = &self.ports.get(&(host, port))?.claims;
        claims.first().filter(|_| claims.len() > MAX_CLAIMS).map(|claim| claim.session)
    }

    /// Notes that a session of another server claimed the port after this one did. Says whether
    /// this one had it and was not contested before.
    pub(crate) fn contest(&mut self, host: Host, port: u16, session: SessionId) -> bool {
        let claim = self.find(host, port, session);
        claim.is_some_and(|claim| !core::mem::replace(&mut claim.contested, true))
    }

    /// A session gives a port up.
    pub(crate) fn release(&mut self, host: Host, port: u16, session: SessionId) {
        let Some(known) = self.ports.get_mut(&(host, port)) else { return };
        known.claims.retain(|claim| claim.session != session);
        if known.claims.is_empty() {
            self.ports.remove(&(host, port));
        }
    }

    pub(crate) fn is_contested(&self, host: Host, port: u16, session: SessionId) -> bool {
        let claims = self.ports.get(&(host, port)).map(|known| &known.claims);
        claims.into_iter().flatten().any(|claim| claim.session == session && claim.contested)
    }

    /// Something came from there. Says whether any session claims it.
    pub(crate) fn on_report(&mut self, now: Instant, host: Host, port: u16) -> bool {
        let known = self.ports.get_mut(&(host, port));
        known.map(|known| known.reported = Some(now)).is_some()
    }

    /// When something last came from there.
    pub(crate) fn reported(&self, host: Host, port: u16) -> Option<Instant> {
        self.ports.get(&(host, port))?.reported
    }

    fn find(&mut self, host: Host, port: u16, session: SessionId) -> Option<&mut Claim> {
        let known = self.ports.get_mut(&(host, port))?;
        known.claims.iter_mut().find(|claim| claim.session == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;

    fn host(text: &str) -> Host {
        Host::of(text.parse().expect("an address"))
    }

    #[test]
    fn a_host_is_its_address_and_on_a_link_of_its_own_that_link() {
        assert_eq!(host("192.0.2.1:5000"), host("[::ffff:192.0.2.1]:6000"));
        assert_eq!(host("[fe80::1%2]:5000"), host("[fe80::1%2]:6000"));
        assert_ne!(host("[fe80::1%2]:5000"), host("[fe80::1%3]:5000"));
    }

    #[test]
    fn claims_are_contested_by_later_ones_and_ports_forgotten_with_the_last() {
        let mut ids = IdSource::new([3; 32]);
        let [a, b, c] = [(); 3].map(|()| ids.session(0));
        let here = host("192.0.2.1:1");
        let mut ports = Ports::default();
        let contested = |ports: &Ports| [a, b, c].map(|id| ports.is_contested(here, 5000, id));

        assert_eq!(ports.claim(here, 5000, a), None);
        assert_eq!(ports.claim(here, 5000, a), None, "it is its own");
        assert_eq!(ports.claim(here, 5000, b), Some(a));
        assert_eq!(ports.claim(here, 5000, c), Some(b), "the first one knows");
        assert_eq!(contested(&ports), [true, true, false]);
        // To claim it again is to come last.
        assert_eq!(ports.claim(here, 5000, a), Some(c));
        assert_eq!(contested(&ports), [false, true, true]);
        ports.release(here, 5000, a);
        assert_eq!(contested(&ports), [false, true, true], "what was, was");
        for id in [b, c] {
            ports.release(here, 5000, id);
        }
        assert!(ports.ports.is_empty());

        assert_eq!(ports.claim(here, 5000, a), None);
        assert!(!ports.contest(here, 5000, b), "it has no claim");
        assert!(!ports.contest(here, 5001, a));
        assert!(ports.contest(here, 5000, a));
        assert!(!ports.contest(here, 5000, a), "twice is not news");
        assert_eq!(contested(&ports), [true, false, false]);
        assert_eq!(ports.claim(here, 5000, b), None, "it knows");
    }
}
