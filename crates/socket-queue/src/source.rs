//! Groups of IPv6 with one sender (RFC 4607; MLDv2, RFC 3810, on the wire).

use std::io;
use std::mem;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Joins `group` on the interface with that index, for what `source` alone sends to it. The
/// membership ends with the socket.
///
/// # Errors
/// What the system says: addresses or an interface that will not do, a socket of another kind.
#[expect(unsafe_code, reason = "setsockopt with this option has no safe form in any crate of ours")]
pub fn join_source_v6(
    socket: BorrowedFd<'_>,
    group: Ipv6Addr,
    source: Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    // SAFETY: the structure is made of integers alone, for which zeros are values.
    let mut request: libc::group_source_req = unsafe { mem::zeroed() };
    request.gsr_interface = interface;
    for (place, address) in [(&mut request.gsr_group, group), (&mut request.gsr_source, source)] {
        // SAFETY: as above.
        let mut plain: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        plain.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        plain.sin6_addr.s6_addr = address.octets();
        let place: *mut libc::sockaddr_storage = place;
        // SAFETY: `sockaddr_storage` has room for every kind of address, and alignment as well
        // (POSIX, sys/socket.h); the place is that of a live local variable.
        unsafe { place.cast::<libc::sockaddr_in6>().write(plain) };
    }
    let length = mem::size_of_val(&request) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open; the kernel reads `length` bytes from the
    // address given, which is that of a live local variable of that size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::MCAST_JOIN_SOURCE_GROUP,
            (&raw const request).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn a_group_is_joined_once_per_sender_and_only_groups_are() -> io::Result<()> {
        let group: Ipv6Addr = "ff3e::4321:1234".parse().expect("a group");
        let socket = UdpSocket::bind("[::1]:0")?;
        let loopback = 1;
        join_source_v6(socket.as_fd(), group, Ipv6Addr::LOCALHOST, loopback)?;
        // The kernel read both addresses as they were meant: the same again is refused, another
        // sender is not, and what is no group cannot be joined.
        let again = join_source_v6(socket.as_fd(), group, Ipv6Addr::LOCALHOST, loopback);
        assert!(again.is_err());
        let other: Ipv6Addr = "2001:db8::1".parse().expect("an address");
        join_source_v6(socket.as_fd(), group, other, loopback)?;
        assert!(join_source_v6(socket.as_fd(), other, other, loopback).is_err());
        Ok(())
    }
}
