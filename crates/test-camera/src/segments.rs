//! Packets that leave in one message, which the kernel cuts up again: UDP GSO, `udp(7)`.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// What one system call sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// The size of the datagrams it is cut into, unless it is one.
    pub(crate) segment: Option<u16>,
    pub(crate) to: SocketAddr,
}

/// A run of packets for one address: all of one size, but that the last may be shorter.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    /// Where the run goes and the size of its first packet, if there is one.
    first: Option<(SocketAddr, usize)>,
    /// The kernel takes no segmented messages.
    refused: bool,
}

impl Run {
    /// Adds a packet, after sending the run that it does not continue. Returns how many packets
    /// were lost.
    #[must_use]
    pub(crate) fn add(
        &mut self,
        to: SocketAddr,
        packet: &[u8],
        send: impl FnMut(Message<'_>) -> Result<(), Errno>,
    ) -> u64 {
        let lost = if self.is_continued_by(to, packet.len()) { 0 } else { self.flush(send) };
        self.first.get_or_insert((to, packet.len()));
        self.bytes.extend_from_slice(packet);
        lost
    }

    /// Sends what there is. Returns how many packets were lost.
    ///
    /// A run that the kernel or the device does not take as a segmented message goes packet by
    /// packet, and so does all that follows, unless its packets were only too large for the path.
    #[must_use]
    pub(crate) fn flush(&mut self, mut send: impl FnMut(Message<'_>) -> Result<(), Errno>) -> u64 {
        let Some((to, size)) = self.first.take() else { return 0 };
        let packets = self.bytes.chunks(size.max(1));
        let count = packets.len() as u64;
        let segment = u16::try_from(size).ok().filter(|_| count > 1);
        let whole = segment.map(|_| send(Message { bytes: &self.bytes, segment, to }));
        let mut one_by_one = || -> u64 {
            let sent = packets.clone().map(|bytes| send(Message { bytes, segment: None, to }));
            sent.map(|sent| u64::from(sent.is_err())).sum()
        };
        let lost = match whole {
            Some(Ok(())) => 0,
            None | Some(Err(Errno::EMSGSIZE)) => one_by_one(),
            Some(Err(Errno::EIO | Errno::EINVAL | Errno::EOPNOTSUPP)) => {
                self.refused = true;
                one_by_one()
            }
            Some(Err(_)) => count,
        };
        self.bytes.clear();
        lost
    }

    fn is_continued_by(&self, to: SocketAddr, length: usize) -> bool {
        let Some((address, size)) = self.first else { return true };
        let gathered = self.bytes.len();
        !self.refused
            && address == to
            && length <= size
            // A shorter one was the last.
            && gathered.is_multiple_of(size)
            && gathered < size * MAX_SEGMENTS
            && gathered + length <= MAX_BYTES
    }
}

/// Sends messages over a socket.
pub(crate) fn over(socket: &UdpSocket) -> impl FnMut(Message<'_>) -> Result<(), Errno> {
    let fd = socket.as_raw_fd();
    move |Message { bytes, segment, to }| {
        let to = SockaddrStorage::from(to);
        let segment = segment.as_ref().map(ControlMessage::UdpGsoSegments);
        let bytes = [IoSlice::new(bytes)];
        sendmsg(fd, &bytes, segment.as_slice(), MsgFlags::MSG_NOSIGNAL, Some(&to)).map(drop)
    }
}

/// What every kernel that knows segmented messages takes in one.
const MAX_SEGMENTS: usize = 64;
/// The payload of the largest datagram over IPv4.
const MAX_BYTES: usize = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of what was sent, with the size of the segments.
    type Sent = Vec<(usize, Option<u16>)>;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// What packets of these sizes leave as, where segmented messages meet with `answer`: the
    /// messages taken, all bytes in order, and the packets lost.
    fn sent(run: &mut Run, sizes: &[usize], answer: Result<(), Errno>) -> (Sent, Vec<u8>, u64) {
        let (mut messages, mut bytes, mut lost) = (Vec::new(), Vec::new(), 0);
        let mut send = |message: Message<'_>| {
            if message.segment.is_some() {
                answer?;
            }
            messages.push((message.bytes.len(), message.segment));
            bytes.extend_from_slice(message.bytes);
            Ok(())
        };
        for (&size, fill) in sizes.iter().zip(0..) {
            lost += run.add(address(1), &vec![fill; size], &mut send);
        }
        lost += run.flush(&mut send);
        (messages, bytes, lost)
    }

    fn bytes(sizes: &[usize]) -> Vec<u8> {
        sizes.iter().zip(0..).flat_map(|(&size, fill)| vec![fill; size]).collect()
    }

    #[test]
    fn a_run_ends_with_a_shorter_packet_or_before_a_longer_one() {
        let sizes = [30, 20, 20, 20, 15, 15, 40, 10, 10];
        let (messages, got, lost) = sent(&mut Run::default(), &sizes, Ok(()));
        let expected = [(50, Some(30)), (55, Some(20)), (15, None), (50, Some(40)), (10, None)];
        assert_eq!((messages.as_slice(), lost), (&expected[..], 0));
        assert_eq!(got, bytes(&sizes));
    }

    #[test]
    fn a_run_has_no_more_segments_and_bytes_than_a_message_may() {
        let (messages, _, _) = sent(&mut Run::default(), &[100; 130], Ok(()));
        assert_eq!(messages, [(6400, Some(100)), (6400, Some(100)), (200, Some(100))]);
        let (messages, _, _) = sent(&mut Run::default(), &[1412; 48], Ok(()));
        assert_eq!(messages, [(46 * 1412, Some(1412)), (2 * 1412, Some(1412))]);
        let (messages, _, _) = sent(&mut Run::default(), &[32_754, 32_753, 65_000, 508], Ok(()));
        assert_eq!(messages, [(65_507, Some(32_754)), (65_000, None), (508, None)]);
    }

    #[test]
    fn another_address_has_a_run_of_its_own() {
        let mut got = Vec::new();
        let mut send = |message: Message<'_>| {
            got.push((message.to.port(), message.bytes.len()));
            Ok(())
        };
        let mut run = Run::default();
        for port in [1, 1, 2, 1] {
            assert_eq!(run.add(address(port), &[0; 10], &mut send), 0);
        }
        assert_eq!(run.flush(&mut send), 0);
        assert_eq!(run.flush(&mut send), 0, "sent already");
        assert_eq!(got, [(1, 20), (2, 10), (1, 10)]);
    }

    #[test]
    fn what_is_refused_goes_packet_by_packet_and_so_does_all_that_follows() {
        let sizes = [20, 20, 20, 15];
        let singly = sizes.map(|size| (size, None));
        for errno in [Errno::EIO, Errno::EINVAL, Errno::EOPNOTSUPP] {
            let mut run = Run::default();
            let (messages, got, lost) = sent(&mut run, &sizes, Err(errno));
            assert_eq!((messages.as_slice(), lost), (&singly[..], 0), "{errno}");
            assert_eq!(got, bytes(&sizes));
            // Even if it were taken now.
            assert_eq!(sent(&mut run, &sizes, Ok(())), (singly.to_vec(), got, 0), "{errno}");
        }
    }

    #[test]
    fn packets_too_large_for_the_path_say_nothing_of_others() {
        let mut run = Run::default();
        let (messages, _, lost) = sent(&mut run, &[20, 20], Err(Errno::EMSGSIZE));
        assert_eq!((messages, lost), (vec![(20, None); 2], 0));
        assert_eq!(sent(&mut run, &[20, 20], Ok(())).0, [(40, Some(20))]);
    }

    #[test]
    fn a_full_socket_loses_the_run_and_not_the_next() {
        let mut run = Run::default();
        let (messages, _, lost) = sent(&mut run, &[20, 20, 15], Err(Errno::EAGAIN));
        assert_eq!((messages, lost), (vec![], 3));
        assert_eq!(sent(&mut run, &[20, 20], Ok(())), (vec![(40, Some(20))], bytes(&[20, 20]), 0));
    }
}
