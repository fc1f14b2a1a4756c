//! The addresses under which readers find the streams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use proxy_config::Settings;

/// The URL of each stream, in order; `port` is the one that was bound.
pub(crate) fn play_urls(settings: &Settings, port: u16) -> Vec<String> {
    let host = host(&settings.global.bind);
    settings.streams.iter().map(|stream| format!("rtsp://{host}:{port}/{}", stream.name)).collect()
}

/// The address others reach us by, as it stands in a URL: one that was bound, or, where all were,
/// the one from which the machine speaks to the world.
fn host(bind: &[IpAddr]) -> String {
    let named = bind.iter().find(|address| !address.is_unspecified()).copied();
    let address = if bind.iter().any(IpAddr::is_unspecified) {
        bind.iter().find_map(|address| outward(*address)).or(named)
    } else {
        named
    };
    match address.unwrap_or_else(|| Ipv4Addr::LOCALHOST.into()) {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The address that packets to the world would have as their source. Nothing is sent: connecting a
/// UDP socket only asks the routing table.
fn outward(wildcard: IpAddr) -> Option<IpAddr> {
    if !wildcard.is_unspecified() {
        return None;
    }
    // Addresses kept for documentation (RFC 5737, RFC 3849): routed as the world is, owned by nobody.
    let world: IpAddr = match wildcard {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(wildcard, 0)).ok()?;
    socket.connect(SocketAddr::new(world, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_the_host_and_version_6_stands_in_brackets() {
        for (bind, expected) in [
            (&["127.0.0.1"][..], "127.0.0.1"),
            (&["::1"], "[::1]"),
            (&["10.1.2.3", "::1"], "10.1.2.3"),
        ] {
            let bind: Vec<IpAddr> =
                bind.iter().map(|address| address.parse().expect("an address")).collect();
            assert_eq!(host(&bind), expected);
        }
    }

    #[test]
    fn where_everything_was_bound_an_address_is_found_that_can_be_called() {
        let found = host(&[Ipv4Addr::UNSPECIFIED.into()]);
        let address: IpAddr = found.parse().expect("an address");
        assert!(!address.is_unspecified());
    }
}
