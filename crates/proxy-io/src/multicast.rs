//! Groups that backends send to: ports bound and memberships taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::reach::Interface;

/// A group and who sends to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) group: IpAddr,
    pub(crate) rtp_port: u16,
    pub(crate) rtcp_port: u16,
    /// The only sender wanted (RFC 4607); the kernel drops what others send.
    pub(crate) source: Option<IpAddr>,
    /// How far our reports go.
    pub(crate) ttl: u8,
}

/// An interface as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Device {
    index: u32,
    /// Its first address of version 4.
    v4: Option<Ipv4Addr>,
}

/// Binds the group's two ports and joins it on the interface, or on the one that `local` belongs
/// to. Who drops the sockets leaves.
pub(crate) fn join(
    member: &Membership,
    interface: Option<&Interface>,
    local: IpAddr,
) -> io::Result<(UdpSocket, UdpSocket)> {
    let device = match interface {
        Some(interface) => device(interface)?.ok_or_else(|| {
            let why = format!("there is no interface {interface} here");
            io::Error::new(io::ErrorKind::NotFound, why)
        })?,
        None => device(&Interface::Address(local))?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no interface leads there"))?,
    };
    let rtp = socket(member, member.rtp_port, device)?;
    let rtcp = socket(member, member.rtcp_port, device)?;
    match member.group {
        IpAddr::V4(_) => {
            rtcp.set_multicast_ttl_v4(u32::from(member.ttl))?;
            rtcp.set_multicast_if_v4(&address_of(device)?)?;
        }
        IpAddr::V6(_) => {
            rtcp.set_multicast_hops_v6(u32::from(member.ttl))?;
            rtcp.set_multicast_if_v6(device.index)?;
        }
    }
    Ok((rtp.into(), rtcp.into()))
}

fn socket(member: &Membership, port: u16, device: Device) -> io::Result<Socket> {
    // Bound to the group, not to every address: what else is sent to the port is not ours.
    let address = match member.group {
        IpAddr::V4(group) => SocketAddr::from((group, port)),
        IpAddr::V6(group) => SocketAddr::V6(SocketAddrV6::new(group, port, 0, device.index)),
    };
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Others may listen to the same group, this process among them.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    match member.group {
        IpAddr::V4(_) => socket.set_multicast_all_v4(false)?,
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
        }
    }
    socket.bind(&address.into())?;
    match (member.group, member.source) {
        (IpAddr::V4(group), None) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(device.index))?;
        }
        (IpAddr::V4(group), Some(IpAddr::V4(source))) => {
            socket.join_ssm_v4(&source, &group, &address_of(device)?)?;
        }
        (IpAddr::V6(group), None) => socket.join_multicast_v6(&group, device.index)?,
        (IpAddr::V6(group), Some(IpAddr::V6(source))) => {
            socket_queue::join_source_v6(socket.as_fd(), group, source, device.index)?;
        }
        (_, Some(source)) => {
            let why = format!("{source} cannot send to {}", member.group);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
    }
    Ok(socket)
}

fn address_of(device: Device) -> io::Result<Ipv4Addr> {
    let none = "the interface has no address of IP version 4";
    device.v4.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, none))
}

/// The interface of that name, or with that address.
fn device(wanted: &Interface) -> io::Result<Option<Device>> {
    let entries: Vec<(String, IpAddr)> = getifaddrs()?
        .filter_map(|entry| {
            let address = entry.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            Some((entry.interface_name, v4.or(v6)?))
        })
        .collect();
    let name = match wanted {
        Interface::Name(name) => name.clone(),
        Interface::Address(address) => {
            let found = entries.iter().find(|(_, own)| own == address);
            let Some((name, _)) = found else { return Ok(None) };
            name.clone()
        }
    };
    let Ok(index) = if_nametoindex(name.as_str()) else { return Ok(None) };
    let v4 = entries.iter().find_map(|(of, address)| match address {
        IpAddr::V4(v4) if *of == name => Some(*v4),
        _ => None,
    });
    Ok(Some(Device { index, v4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(group: &str, source: Option<&str>) -> Membership {
        let ip = |text: &str| text.parse().expect("an address");
        Membership {
            group: ip(group),
            rtp_port: 45_000,
            rtcp_port: 45_001,
            source: source.map(ip),
            ttl: 3,
        }
    }

    #[test]
    fn interfaces_are_found_by_name_and_by_address() -> io::Result<()> {
        let by_name = device(&Interface::from("lo"))?.expect("loopback");
        assert_eq!(by_name.v4, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(device(&Interface::from("127.0.0.1"))?, Some(by_name));
        assert_eq!(device(&Interface::from("no-such-device"))?, None);
        assert_eq!(device(&Interface::from("192.0.2.1"))?, None);
        Ok(())
    }

    #[test]
    fn several_may_join_one_group_and_reports_go_as_far_as_they_may() -> io::Result<()> {
        let lo = Interface::from("lo");
        let member = member("239.255.43.21", None);
        let (first, _) = join(&member, Some(&lo), Ipv4Addr::LOCALHOST.into())?;
        let (_second, rtcp) = join(&member, None, Ipv4Addr::LOCALHOST.into())?;
        assert_eq!(first.local_addr()?.port(), 45_000);
        assert_eq!(socket2::SockRef::from(&rtcp).multicast_ttl_v4()?, 3);
        Ok(())
    }

    #[test]
    fn one_sender_alone_is_heard_where_one_is_named() -> io::Result<()> {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let specific = Membership {
            rtp_port: 45_010,
            rtcp_port: 45_011,
            ..member("232.43.21.1", Some("127.0.0.9"))
        };
        let (rtp, _rtcp) = join(&specific, None, local)?;
        let send = |from: &str, what: &[u8]| -> io::Result<()> {
            let sender = UdpSocket::bind((from, 0))?;
            socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
            sender.send_to(what, (specific.group, specific.rtp_port)).map(drop)
        };
        send("127.0.0.8", b"a stranger")?;
        send("127.0.0.9", b"the one")?;
        rtp.set_nonblocking(false)?;
        rtp.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        let mut buf = [0; 32];
        let (length, from) = rtp.recv_from(&mut buf)?;
        assert_eq!(
            (&buf[..length], from.ip().to_string().as_str()),
            (&b"the one"[..], "127.0.0.9")
        );
        Ok(())
    }

    #[test]
    fn families_are_not_mixed() {
        let odd = member("239.1.2.3", Some("2001:db8::1"));
        assert!(join(&odd, None, Ipv4Addr::LOCALHOST.into()).is_err());
    }
}
