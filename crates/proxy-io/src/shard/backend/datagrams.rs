//! A backend's UDP sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use backend_client::Input;
use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use udp_batch::{Receiver, SocketState};

use super::Task;
use crate::clock;
use crate::multicast::{self, Membership};
use crate::registry::StreamId;
use crate::shard::{Shard, Shared};
use crate::sockopt;

/// System calls on one UDP socket before others get their turn.
const UDP_STEP: usize = 16;

/// One track's two ports.
pub(super) struct TrackSockets {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    peers: Option<(SocketAddr, SocketAddr)>,
    _tasks: [Task; 2],
}

impl TrackSockets {
    /// What is sent from now on goes there.
    pub(super) fn connect(&mut self, rtp: SocketAddr, rtcp: SocketAddr) {
        self.peers = Some((rtp, rtcp));
    }

    pub(super) fn send(&self, rtcp: bool, data: &Bytes) {
        let Some((rtp_peer, rtcp_peer)) = self.peers else { return };
        let (socket, to) = if rtcp { (&self.rtcp, rtcp_peer) } else { (&self.rtp, rtp_peer) };
        // Reports and hole punching: one that is lost is followed by others.
        if let Err(error) = socket.try_send_to(data, to) {
            tracing::debug!(%to, %error, "datagram to backend not sent");
        }
    }
}

impl Shard {
    /// Binds a pair of ports for a track; says the even one.
    pub(super) fn bind_udp(&mut self, id: StreamId, track: usize) -> io::Result<u16> {
        let ip = self.local_ip(id)?;
        let range = self.homes.get(&id).and_then(|home| home.io.reach.ports.clone());
        let pair = match range {
            Some(range) => sockopt::udp_pair_within(ip, &range)?,
            None => sockopt::udp_pair(ip, 0, false)?,
        };
        let port = pair.0.local_addr()?.port();
        self.serve_udp(id, track, pair)?;
        Ok(port)
    }

    /// Joins a group for a track.
    pub(super) fn join_group(
        &mut self,
        id: StreamId,
        track: usize,
        member: &Membership,
    ) -> io::Result<()> {
        let local = self.local_ip(id)?;
        let home = self.homes.get(&id).ok_or_else(gone)?;
        let interface = home.io.reach.interface.as_ref();
        let pair = multicast::join(member, interface, local)?;
        tracing::debug!(stream = %home.entry.name, group = %member.group, port = member.rtp_port,
            source = member.source.map(tracing::field::display), "joined");
        self.serve_udp(id, track, pair)
    }

    /// Our end of the RTSP connection.
    fn local_ip(&self, id: StreamId) -> io::Result<IpAddr> {
        match self.homes.get(&id).and_then(|home| home.io.main.as_ref()) {
            Some(line) => line.local_ip(),
            None => Ok(Ipv4Addr::UNSPECIFIED.into()),
        }
    }

    fn serve_udp(
        &mut self,
        id: StreamId,
        track: usize,
        (rtp, rtcp): (std::net::UdpSocket, std::net::UdpSocket),
    ) -> io::Result<()> {
        let shard = self.shared().ok_or_else(gone)?;
        let home = self.homes.get_mut(&id).ok_or_else(gone)?;
        let granted = sockopt::receive_buffer(&rtp, sockopt::UDP_RECEIVE_BUFFER)?;
        crate::advice::receive_buffer(granted, sockopt::UDP_RECEIVE_BUFFER);
        let open = |socket: std::net::UdpSocket, rtcp: bool| -> io::Result<_> {
            let state = SocketState::new(&socket)?;
            let socket = Rc::new(UdpSocket::from_std(socket)?);
            let task = tokio::task::spawn_local(run_datagrams(
                Rc::clone(&shard),
                id,
                track,
                rtcp,
                Rc::clone(&socket),
                state,
            ));
            Ok((socket, Task(task.abort_handle())))
        };
        let (rtp, rtp_task) = open(rtp, false)?;
        let (rtcp, rtcp_task) = open(rtcp, true)?;
        let sockets = TrackSockets { rtp, rtcp, peers: None, _tasks: [rtp_task, rtcp_task] };
        home.io.udp.insert(track, sockets);
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

async fn run_datagrams(
    shard: Shared,
    id: StreamId,
    track: usize,
    rtcp: bool,
    socket: Rc<UdpSocket>,
    state: SocketState,
) {
    let mut datagrams = Vec::new();
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let more = {
            let now = clock::now();
            let mut this = shard.borrow_mut();
            let mut calls = 0;
            let more = loop {
                let each = |from, data| datagrams.push((from, data));
                let received = receive(&mut this.receiver, &socket, &state, each);
                for (from, data) in datagrams.drain(..) {
                    this.backend_input(now, id, Input::Datagram { track, rtcp, from, data });
                }
                calls += 1;
                match received {
                    Ok(true) if calls < UDP_STEP => {}
                    Ok(true) => break true,
                    Ok(false) | Err(_) => break false,
                }
            };
            this.drive_home(now, id);
            this.settle(now);
            more
        };
        if more {
            tokio::task::yield_now().await;
        }
    }
}

/// Takes what one system call brings, and says whether there may be more; `WouldBlock` when there
/// is nothing.
fn receive(
    receiver: &mut Receiver,
    socket: &UdpSocket,
    state: &SocketState,
    mut each: impl FnMut(SocketAddr, Bytes),
) -> io::Result<bool> {
    let mut received = None;
    let tried = socket.try_io(Interest::READABLE, || {
        let may_be_more = receiver.receive(socket, state, &mut each)?;
        received = Some(may_be_more);
        // The runtime forgets the readiness, which another call would only show to be gone.
        if may_be_more { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    match received {
        Some(may_be_more) => Ok(may_be_more),
        None => tried.map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_socket_whose_queue_was_emptied_is_ready_only_for_what_comes_later() -> io::Result<()>
    {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let state = SocketState::new(&socket)?;
        let socket = UdpSocket::from_std(socket)?;
        let from = std::net::UdpSocket::bind("127.0.0.1:0")?;
        from.connect(socket.local_addr()?)?;
        let mut receiver = Receiver::new();
        for round in 0..3 {
            for number in 0..=Receiver::MAX_MESSAGES {
                from.send(&[round, number as u8])?;
            }
            let mut got = Vec::new();
            let mut take = || receive(&mut receiver, &socket, &state, |_, data| got.push(data));
            socket.readable().await?;
            assert!(take()?, "one is left");
            // So the socket is still ready.
            socket.readable().await?;
            assert!(!take()?);
            assert!(matches!(take(), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
            let again = tokio::time::timeout(Duration::from_millis(20), socket.readable());
            assert!(again.await.is_err(), "ready for nothing");
            let sent = (0..=Receiver::MAX_MESSAGES).map(|number| [round, number as u8]);
            assert!(got.iter().map(|data| &data[..]).eq(sent.collect::<Vec<_>>().iter()));
        }
        Ok(())
    }
}
