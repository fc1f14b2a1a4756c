//! Whose a reader's reports are: read for every report, written when readers set up and go.
//!
//! Several sessions may claim one address: those that readers left behind without a word, and the
//! one of the reader that has its ports now. Who is there cannot be told, so a report keeps all of
//! them alive; what it says is taken for the latest one's.

use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::Arc;

use parking_lot::RwLock;
use rtsp_server::SessionId;
use smallvec::SmallVec;

/// From a reader's RTCP address to the sessions that claim it, of all shards.
#[derive(Clone, Default, Debug)]
pub(crate) struct RtcpRoutes {
    routes: Arc<RwLock<HashMap<SocketAddr, Claims>>>,
}

/// Where a report goes.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// The shard of the session whose report it is.
    pub(crate) shard: usize,
    /// That session.
    pub(crate) session: SessionId,
    /// The shards with sessions of that address, each once.
    pub(crate) shards: SmallVec<[usize; 1]>,
}

#[derive(Default, Debug)]
struct Claims {
    /// In order. All but the last are contested.
    order: SmallVec<[Claim; 1]>,
    /// Their shards, so that a report costs the same however many claims there are.
    shards: SmallVec<[usize; 1]>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    session: SessionId,
    shard: usize,
    /// Another one came later. It stays so when that one goes.
    contested: bool,
}

impl Claims {
    fn count_shards(&mut self) {
        self.shards = self.order.iter().map(|claim| claim.shard).collect();
        self.shards.sort_unstable();
        self.shards.dedup();
    }
}

impl RtcpRoutes {
    /// A session of this shard gets its reports from there, which makes it the latest. Returns the
    /// shard and session whose claim is contested by that and was not before.
    pub(crate) fn claim(
        &self,
        from: SocketAddr,
        shard: usize,
        session: SessionId,
    ) -> Option<(usize, SessionId)> {
        let mut routes = self.routes.write();
        let claims = routes.entry(key(from)).or_default();
        claims.order.retain(|claim| claim.session != session);
        let earlier = claims.order.last_mut().filter(|claim| !claim.contested).map(|claim| {
            claim.contested = true;
            (claim.shard, claim.session)
        });
        claims.order.push(Claim { session, shard, contested: false });
        claims.count_shards();
        earlier
    }

    /// A session gives an address up. Says whether another one claims it.
    pub(crate) fn release(&self, from: SocketAddr, session: SessionId) -> bool {
        let mut routes = self.routes.write();
        let from = key(from);
        let Some(claims) = routes.get_mut(&from) else { return false };
        claims.order.retain(|claim| claim.session != session);
        if claims.order.is_empty() {
            routes.remove(&from);
            return false;
        }
        claims.count_shards();
        true
    }

    /// Whether another session claimed the address after this one.
    pub(crate) fn is_contested(&self, from: SocketAddr, session: SessionId) -> bool {
        let routes = self.routes.read();
        let claims = routes.get(&key(from)).map(|claims| &claims.order);
        claims.into_iter().flatten().any(|claim| claim.session == session && claim.contested)
    }

    pub(crate) fn find(&self, from: SocketAddr) -> Option<Route> {
        let routes = self.routes.read();
        let claims = routes.get(&key(from))?;
        let latest = claims.order.last()?;
        Some(Route { shard: latest.shard, session: latest.session, shards: claims.shards.clone() })
    }
}

/// One form for one address, however it was come by. The link (scope) is part of it.
fn key(address: SocketAddr) -> SocketAddr {
    let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
    match (plain, address) {
        (SocketAddr::V6(plain), SocketAddr::V6(given)) => {
            SocketAddrV6::new(*plain.ip(), plain.port(), 0, given.scope_id()).into()
        }
        _ => plain,
    }
}

/// A port of a reader's host: on the link that its connection came by, where the address is one of
/// that link alone.
pub(crate) fn at_port(peer: SocketAddr, port: u16) -> SocketAddr {
    let mut address = peer;
    address.set_port(port);
    if let SocketAddr::V6(v6) = &mut address {
        // Belongs to the connection.
        v6.set_flowinfo(0);
    }
    address
}

/// A reader's address for the log.
pub(crate) fn display(peer: Option<SocketAddr>) -> impl fmt::Display {
    match peer {
        Some(peer) => peer.to_string(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn session(number: u8) -> Result<SessionId, &'static str> {
        SessionId::parse(&format!("{number:032x}")).ok_or("no session's name")
    }

    fn route(shard: usize, session: SessionId, shards: &[usize]) -> Option<Route> {
        Some(Route { shard, session, shards: shards.iter().copied().collect() })
    }

    #[test]
    fn a_report_is_the_latest_ones_and_a_sign_of_life_of_each() -> TestResult {
        let routes = RtcpRoutes::default();
        let here = "192.0.2.1:5001".parse()?;
        let [a, b, c] = [session(1)?, session(2)?, session(3)?];
        assert_eq!(routes.find(here), None);
        assert_eq!(routes.claim(here, 1, a), None);
        assert_eq!(routes.claim(here, 1, a), None, "it is its own");
        assert_eq!(routes.find(here), route(1, a, &[1]));
        assert_eq!(routes.claim(here, 0, b), Some((1, a)));
        assert_eq!([a, b, c].map(|id| routes.is_contested(here, id)), [true, false, false]);
        assert_eq!(routes.find(here), route(0, b, &[0, 1]));
        assert_eq!(routes.claim(here, 1, c), Some((0, b)));
        assert_eq!(routes.find(here), route(1, c, &[0, 1]));
        // What was told once is not told again, unless the claim is.
        assert!(routes.release(here, c));
        assert_eq!(routes.find(here), route(0, b, &[0, 1]));
        assert_eq!(routes.claim(here, 1, c), None);
        assert_eq!(routes.claim(here, 0, b), Some((1, c)));
        assert_eq!([a, b, c].map(|id| routes.is_contested(here, id)), [true, false, true]);
        assert_eq!(routes.find("192.0.2.1:5003".parse()?), None);
        Ok(())
    }

    #[test]
    fn only_the_last_to_go_leaves_nobody_behind() -> TestResult {
        let routes = RtcpRoutes::default();
        let here = "192.0.2.1:5001".parse()?;
        let [a, b] = [session(1)?, session(2)?];
        for (first, then) in [(a, b), (b, a)] {
            routes.claim(here, 0, a);
            routes.claim(here, 1, b);
            assert!(!routes.release("192.0.2.1:5003".parse()?, first), "it has no claim there");
            assert!(routes.release(here, first));
            assert!(!routes.release(here, then));
            assert!(!routes.release(here, then), "twice is not another one");
            assert!(routes.routes.read().is_empty());
        }
        Ok(())
    }

    #[test]
    fn an_address_is_found_in_each_of_its_forms_and_on_its_own_link_alone() -> TestResult {
        let routes = RtcpRoutes::default();
        let [a, b] = [session(1)?, session(2)?];
        let ip: Ipv6Addr = "fe80::7".parse()?;
        // As a connection has it, whose flow is its own.
        let peer = |link| SocketAddr::from(SocketAddrV6::new(ip, 40_000, 77, link));
        for (link, session) in [(2, a), (3, b)] {
            assert_eq!(routes.claim(at_port(peer(link), 5001), 0, session), None);
        }
        // As a datagram has it.
        let from = |link| SocketAddr::from(SocketAddrV6::new(ip, 5001, 0, link));
        assert_eq!(at_port(peer(2), 5001), from(2));
        assert_eq!(routes.find(from(2)), route(0, a, &[0]));
        assert_eq!(routes.find(from(3)), route(0, b, &[0]));
        assert_eq!(routes.find(from(4)), None);
        routes.claim("[::ffff:192.0.2.1]:5001".parse()?, 0, a);
        assert_eq!(routes.find("192.0.2.1:5001".parse()?), route(0, a, &[0]));
        Ok(())
    }
}
