//! The bare sending loop: recorded batches to as many sockets as ask for them, with the cheapest
//! calls there are and nothing else.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use benches::clock;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl;
use nix::sys::socket::SockaddrIn;
use parking_lot::Mutex;
use test_camera::Stamp;

use crate::options::{BareOptions, Calls, Over};
use crate::recording::{Batch, Mark, RTP_HEADER, Recording};
use crate::send::{TcpSender, UdpSender};
use crate::wire::{self, Item};

/// Who has asked for media.
#[derive(Default)]
struct Destinations {
    udp: Vec<Option<SockaddrIn>>,
    tcp: Vec<TcpSender>,
}

pub(crate) fn run(options: &BareOptions) -> Result<()> {
    let text = fs::read_to_string(&options.recording)
        .with_context(|| options.recording.display().to_string())?;
    let mut recording: Recording = serde_json::from_str(&text)?;
    if options.calls == Calls::Frames {
        recording = recording.in_whole_frames();
    }
    let mut batches: Vec<Image> =
        recording.batches.iter().map(|batch| Image::new(batch, options.over)).collect();
    let mut sender = UdpSender::new()?;

    let destinations = Arc::new(Mutex::new(Destinations::default()));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("rtsp://{}/bare", listener.local_addr()?);
    io::stdout().flush()?;
    let (asked, port) = (Arc::clone(&destinations), sender.port()?);
    std::thread::spawn(move || {
        if let Err(error) = answer(&listener, port, &asked) {
            eprintln!("load-bench bare: {error:#}");
            std::process::exit(1);
        }
    });
    // Whoever started this ends it by closing its standard input, willingly or not.
    std::thread::spawn(|| {
        let _ended = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });

    // Sleeps end when they are meant to, as a wake-up by a socket would.
    prctl::set_timerslack(1)?;
    let (mono, wall) = (clock::mono(), clock::wall());
    let period = Duration::from_nanos(recording.period_nanos);
    let mut seq: u16 = 0;
    for turn in 0_u32.. {
        let begin = period * turn;
        let timestamp = (u64::from(turn) * recording.period_nanos * 9 / 100_000) as u32;
        let first_frame = u64::from(turn) * u64::from(recording.frames);
        for batch in &mut batches {
            clock::sleep_until(mono + begin + batch.at);
            batch.patch(&mut seq, timestamp, first_frame, wall + begin);
            let mut to = destinations.lock();
            match options.calls {
                Calls::Batches | Calls::Frames => batch.send(&mut sender, &mut to)?,
                Calls::Packets => batch.send_singly(&sender, &mut to)?,
            }
        }
    }
    Ok(())
}

/// A batch as it goes on the wire.
struct Image {
    at: Duration,
    bytes: Vec<u8>,
    packets: Vec<Placed>,
    /// Messages of equal datagrams: their bytes and the size of one.
    runs: Vec<(Range<usize>, u16)>,
}

/// Where a packet is in the image.
struct Placed {
    begin: usize,
    end: usize,
    timestamp: u32,
    stamp: Option<Mark>,
}

/// The most that one segmented message may carry.
const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 65_507;
/// `$`, channel and length.
const FRAME_HEADER: usize = 4;

impl Image {
    fn new(batch: &Batch, over: Over) -> Self {
        let mut bytes = Vec::new();
        let mut packets = Vec::new();
        for packet in &batch.packets {
            if over == Over::Tcp {
                let length = u16::try_from(packet.size).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&[b'$', 0]);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            let begin = bytes.len();
            bytes.extend_from_slice(&packet.head);
            bytes.resize(begin + packet.size, b'U');
            let (timestamp, stamp) = (packet.timestamp, packet.stamp);
            packets.push(Placed { begin, end: bytes.len(), timestamp, stamp });
        }
        let at = Duration::from_nanos(u64::try_from(batch.at_nanos).unwrap_or_default());
        let runs = if over == Over::Udp { runs(&packets) } else { Vec::new() };
        Self { at, bytes, packets, runs }
    }

    /// Writes what differs from one turn to the next.
    fn patch(&mut self, seq: &mut u16, timestamp: u32, first_frame: u64, begin: Duration) {
        for packet in &self.packets {
            let Some(bytes) = self.bytes.get_mut(packet.begin..packet.end) else { continue };
            let Some((header, payload)) = bytes.split_at_mut_checked(RTP_HEADER) else { continue };
            if let Some(number) = header.get_mut(2..4) {
                number.copy_from_slice(&seq.to_be_bytes());
            }
            if let Some(time) = header.get_mut(4..8) {
                time.copy_from_slice(&packet.timestamp.wrapping_add(timestamp).to_be_bytes());
            }
            *seq = seq.wrapping_add(1);
            let place = payload.get_mut(Stamp::OFFSET..Stamp::OFFSET + Stamp::LEN);
            if let (Some(place), Some(mark)) = (place, packet.stamp) {
                let sent = begin.as_nanos() as i64 + mark.sent_nanos;
                write_stamp(place, first_frame + u64::from(mark.frame), &mark, sent);
            }
        }
    }

    fn send(&self, sender: &mut UdpSender, to: &mut Destinations) -> Result<()> {
        for (bytes, segment) in &self.runs {
            let bytes = self.bytes.get(bytes.clone()).unwrap_or_default();
            sender.send(bytes, *segment, &to.udp)?;
        }
        to.tcp.retain_mut(|reader| reader.send(&self.bytes));
        Ok(())
    }

    fn send_singly(&self, sender: &UdpSender, to: &mut Destinations) -> Result<()> {
        let slice = |begin, packet: &Placed| self.bytes.get(begin..packet.end).unwrap_or_default();
        let datagrams: Vec<&[u8]> =
            self.packets.iter().map(|packet| slice(packet.begin, packet)).collect();
        sender.send_singly(&datagrams, &to.udp)?;
        to.tcp.retain_mut(|reader| {
            self.packets
                .iter()
                .all(|packet| reader.send(slice(packet.begin.saturating_sub(FRAME_HEADER), packet)))
        });
        Ok(())
    }
}

/// Cuts packets that lie one after the other into messages of equal datagrams, the last of each
/// possibly shorter.
fn runs(packets: &[Placed]) -> Vec<(Range<usize>, u16)> {
    let size = |packet: &Placed| packet.end - packet.begin;
    let mut runs = Vec::new();
    let mut rest = packets;
    while let Some(first) = rest.first() {
        let segment = size(first);
        let mut count = 1;
        while let Some(packet) = rest.get(count)
            && count < MAX_SEGMENTS
            && size(packet) <= segment
            && packet.end - first.begin <= MAX_BYTES
        {
            count += 1;
            if size(packet) < segment {
                break;
            }
        }
        let end = rest.get(count - 1).map_or(first.end, |last| last.end);
        runs.push((first.begin..end, u16::try_from(segment).unwrap_or(u16::MAX)));
        rest = rest.get(count..).unwrap_or_default();
    }
    runs
}

/// Writes a stamp as the camera does, behind its first four letters.
fn write_stamp(place: &mut [u8], frame: u64, mark: &Mark, sent_nanos: i64) {
    let fields = [
        (frame, 12),
        (u64::from(mark.packet), 4),
        (u64::from(mark.packets), 4),
        (sent_nanos.cast_unsigned(), 16),
    ];
    let Some((magic, mut rest)) = place.split_at_mut_checked(4) else { return };
    magic.copy_from_slice(b"TCAM");
    for (value, width) in fields {
        let Some((digits, after)) = rest.split_at_mut_checked(width) else { return };
        for (index, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(value >> (4 * index) & 0xF) as usize];
        }
        rest = after;
    }
}

/// A reader's connection before it plays, and after.
struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    /// The port it wants datagrams on.
    port: Option<u16>,
}

const LISTENER: u64 = u64::MAX;

/// Answers readers' requests for ever: just enough that they get media.
fn answer(listener: &TcpListener, port: u16, to: &Mutex<Destinations>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut peers: HashMap<u64, Peer> = HashMap::new();
    let mut next = 0;
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in events.iter().take(count) {
            if event.data() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, next))?;
                    peers.insert(next, Peer { stream, input: Vec::new(), port: None });
                    next += 1;
                }
            } else if let Some(peer) = peers.get_mut(&event.data())
                && !peer.read(port, to)
            {
                // Its file is closed with it, which takes it out of the epoll as well.
                peers.remove(&event.data());
            }
        }
    }
}

impl Peer {
    /// Reads and answers; `false` at the end of the connection.
    fn read(&mut self, port: u16, to: &Mutex<Destinations>) -> bool {
        let mut buf = [0; 4096];
        match self.stream.read(&mut buf) {
            Ok(0) => return false,
            Ok(n) => self.input.extend_from_slice(buf.get(..n).unwrap_or_default()),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
        let input = std::mem::take(&mut self.input);
        let taken = wire::take(&input, |item| {
            if let Item::Message(text) = item {
                self.serve(text, port, to);
            }
        });
        self.input.extend_from_slice(input.get(taken..).unwrap_or_default());
        true
    }

    fn serve(&mut self, request: &str, port: u16, to: &Mutex<Destinations>) {
        let method = request.split(' ').next().unwrap_or_default();
        let cseq = wire::header(request, "CSeq").unwrap_or("0");
        let transport = wire::header(request, "Transport").unwrap_or("RTP/AVP");
        let mut answer = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\n");
        if method == "SETUP" {
            self.port = wire::client_ports(request).map(|ports| ports.start);
            answer.push_str(&format!("Transport: {transport};server_port={port}-{}\r\n", port + 1));
        }
        answer.push_str("\r\n");
        // A reader that is gone is noticed when it is read.
        let _gone = self.stream.write_all(answer.as_bytes());
        if method == "PLAY" {
            let mut to = to.lock();
            match (self.port, self.stream.try_clone()) {
                (Some(port), _) => {
                    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
                    to.udp.push(Some(SockaddrIn::from(address)));
                }
                (None, Ok(stream)) => to.tcp.push(TcpSender::new(stream)),
                (None, Err(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Packet;

    fn batch(sizes: &[usize]) -> Batch {
        let head = || vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x7c, 5, 0x88];
        let packets = sizes.iter().zip(0..).map(|(&size, packet)| Packet {
            size,
            head: head(),
            timestamp: 3600,
            stamp: Some(Mark { frame: 1, packet, packets: 9, sent_nanos: 5 }),
        });
        Batch { at_nanos: 7, packets: packets.collect() }
    }

    #[test]
    fn runs_end_where_a_segmented_message_has_to() {
        let image = Image::new(&batch(&[60, 100, 100, 90, 100]), Over::Udp);
        let runs: Vec<_> = image.runs.iter().map(|(run, size)| (run.len(), *size)).collect();
        assert_eq!(runs, [(60, 60), (290, 100), (100, 100)]);
        let image = Image::new(&batch(&[1400; 70]), Over::Udp);
        let runs: Vec<_> = image.runs.iter().map(|(run, size)| (run.len(), *size)).collect();
        assert_eq!(runs, [(46 * 1400, 1400), (24 * 1400, 1400)]);
        let image = Image::new(&batch(&[100; 70]), Over::Udp);
        assert_eq!(image.runs.len(), 2);
    }

    #[test]
    fn each_turn_has_its_own_numbers_times_and_stamps() {
        let mut image = Image::new(&batch(&[100, 80]), Over::Tcp);
        let mut seq = 65_535;
        image.patch(&mut seq, 7200, 50, Duration::from_nanos(1_000));
        assert_eq!(seq, 1);
        let mut seen = Vec::new();
        let taken = wire::take(&image.bytes, |item| {
            if let Item::Frame { channel: 0, data } = item {
                let number = u16::from_be_bytes([data[2], data[3]]);
                let time = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
                seen.push((data.len(), number, time, Stamp::read(&data[RTP_HEADER..])));
            }
        });
        assert_eq!(taken, image.bytes.len());
        let stamp = |packet| {
            Some(Stamp { frame: 51, packet, packets: 9, sent: Duration::from_nanos(1_005) })
        };
        assert_eq!(seen, [(100, 65_535, 10_800, stamp(0)), (80, 0, 10_800, stamp(1))]);
    }
}
