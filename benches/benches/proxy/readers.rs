//! Readers that know when the kernel had their last packet.

use std::io::{self, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use benches::clock;
use benches::runs::{Receiver, Scratch};
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::rtp;
use integration_tests::sockets::Pair;
use integration_tests::wire::poll;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// How long a packet may be on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long there is nothing on its way any more.
const MOMENT: Duration = Duration::from_millis(50);
/// What is read of a socket that has nothing: no packets, and no time.
const NOTHING: (usize, Duration) = (0, Duration::ZERO);

/// Readers of one stream.
pub(crate) struct Readers {
    readers: Vec<Reader>,
    scratch: Scratch,
    bytes: Vec<u8>,
    control: Vec<u8>,
}

struct Reader {
    rtsp: RawReader,
    media: Media,
}

enum Media {
    Udp { rtp: Receiver, _rtcp: std::net::UdpSocket },
    Tcp { rest: Vec<u8> },
}

impl Readers {
    /// So many, all of which play.
    pub(crate) fn play(url: &str, over: Over, count: usize) -> io::Result<Self> {
        let readers = (0..count).map(|_| match over {
            Over::Udp => Reader::over_udp(url),
            Over::Tcp => Reader::over_tcp(url),
        });
        Ok(Self {
            readers: readers.collect::<io::Result<_>>()?,
            scratch: Scratch::new(2048),
            bytes: vec![0; 1 << 16],
            control: cmsg_space!(TimeSpec),
        })
    }

    /// Takes so many packets of media for each, and says when the kernel had the last of all, by
    /// the wall clock since 1970.
    pub(crate) fn take(&mut self, packets: usize) -> io::Result<Duration> {
        let mut latest = Duration::ZERO;
        let Self { readers, scratch, bytes, control } = self;
        for reader in readers {
            let mut left = packets;
            while left > 0 {
                if !poll(&mut [PollFd::new(reader.fd(), PollFlags::POLLIN)], PATIENCE) {
                    let what = format!("{left} of {packets} packets did not come");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
                let (taken, at) = reader.read(scratch, bytes, control)?;
                left = left.saturating_sub(taken);
                latest = latest.max(at);
            }
        }
        Ok(latest)
    }

    /// Takes what comes within a moment, however much that is.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        clock::sleep_until(clock::mono() + MOMENT);
        let Self { readers, scratch, bytes, control } = self;
        for reader in readers {
            while reader.read(scratch, bytes, control)? > NOTHING {}
        }
        Ok(())
    }
}

impl Reader {
    fn over_udp(url: &str) -> io::Result<Self> {
        let mut rtsp = RawReader::connect(url, Over::Udp);
        rtsp.describe();
        // Sockets of our own, which tell the time.
        let Pair { rtp, rtcp, port, .. } = Pair::bind(Ipv4Addr::LOCALHOST.into());
        let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
        let answer = rtsp.request("SETUP", &rtsp.track_url(1), &[("Transport", &transport)]);
        let session = answer.session().ok_or(io::ErrorKind::InvalidData)?;
        let url = rtsp.url().to_owned();
        let answer = rtsp.request("PLAY", &url, &[("Session", session), ("Range", "npt=0.000-")]);
        if answer.status != 200 {
            return Err(io::Error::other(format!("{answer:?}")));
        }
        let media = Media::Udp { rtp: Receiver::of_datagrams(rtp)?, _rtcp: rtcp };
        Ok(Self { rtsp, media })
    }

    fn over_tcp(url: &str) -> io::Result<Self> {
        let mut rtsp = RawReader::play_tracks(url, Over::Tcp, &[1]);
        setsockopt(rtsp.wire.stream(), sockopt::ReceiveTimestampns, &true)?;
        // Before the backend sends there are at most reports.
        while rtsp.wire.take().is_some() {}
        Ok(Self { rtsp, media: Media::Tcp { rest: Vec::new() } })
    }

    /// What brings media.
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.media {
            Media::Udp { rtp, .. } => rtp.socket().as_fd(),
            Media::Tcp { .. } => self.rtsp.wire.fd(),
        }
    }

    /// Takes what one system call brings: the packets of media that became complete, and when the
    /// last of them came.
    fn read(
        &mut self,
        scratch: &mut Scratch,
        bytes: &mut [u8],
        control: &mut [u8],
    ) -> io::Result<(usize, Duration)> {
        let (mut packets, mut latest) = NOTHING;
        match &mut self.media {
            Media::Udp { rtp, .. } => {
                let _nothing_yet = rtp.take(scratch, |message| {
                    // Reports may come here too.
                    packets += usize::from(!rtp::is_rtcp(message.bytes));
                    latest = latest.max(message.at.unwrap_or_else(clock::wall));
                });
            }
            Media::Tcp { rest } => {
                let fd = self.rtsp.wire.fd().as_raw_fd();
                let mut iov = [IoSliceMut::new(bytes)];
                let (count, at) =
                    match recvmsg::<()>(fd, &mut iov, Some(control), MsgFlags::MSG_DONTWAIT) {
                        Ok(message) => {
                            let at = message.cmsgs()?.find_map(|one| match one {
                                ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                                _ => None,
                            });
                            (message.bytes, at)
                        }
                        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(NOTHING),
                        Err(errno) => return Err(errno.into()),
                    };
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                latest = at.unwrap_or_else(clock::wall);
                rest.extend_from_slice(bytes.get(..count).unwrap_or_default());
                packets = complete(rest);
            }
        }
        Ok((packets, latest))
    }
}

/// Removes whole frames, and counts those of channel 0.
fn complete(held: &mut Vec<u8>) -> usize {
    let (mut at, mut packets) = (0, 0);
    while let Some(&[dollar, channel, high, low]) = held.get(at..).and_then(<[u8]>::first_chunk) {
        assert_eq!(dollar, b'$', "an interleaved frame");
        let end = at + 4 + usize::from(u16::from_be_bytes([high, low]));
        if end > held.len() {
            break;
        }
        packets += usize::from(channel == 0);
        at = end;
    }
    held.drain(..at);
    packets
}
