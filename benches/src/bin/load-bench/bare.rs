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

use crate::beside::Beside;
use crate::options::{BareOptions, Calls, Over};
use crate::recording::{Batch, Mark, RTP_HEADER, Recording};
use crate::send::{TcpSender, TcpSenders, UdpSender};
use crate::wire::{self, Item};

/// Who has asked for media of a stream.
#[derive(Default)]
struct Destinations {
    udp: Vec<Option<SockaddrIn>>,
    tcp: Vec<TcpSender>,
}

/// Of each stream.
type All = Mutex<Vec<Destinations>>;

pub(crate) fn run(options: &BareOptions) -> Result<()> {
    let text = fs::read_to_string(&options.recording)
        .with_context(|| options.recording.display().to_string())?;
    let mut recording: Recording = serde_json::from_str(&text)?;
    if options.calls == Calls::Frames {
        recording = recording.in_whole_frames();
    }
    let streams = recording.streams.len();
    let mut turns = due(&recording, options.over);
    let (mut sender, mut tcp) = (UdpSender::new()?, TcpSenders::new());

    // Before anybody asks for anything: what is late by then goes to nobody.
    let beside = options.beside.as_deref().map(|url| Beside::play(url, &recording)).transpose()?;
    let all: Vec<Destinations> = (0..streams).map(|_| Destinations::default()).collect();
    let destinations = Arc::new(Mutex::new(all));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for stream in 0..streams {
        println!("rtsp://{address}/{stream}");
    }
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
    let (mut mono, mut wall) = (clock::mono(), clock::wall());
    if let Some((_camera, begin)) = &beside {
        let ago = wall.saturating_sub(*begin);
        (mono, wall) = (mono.checked_sub(ago).unwrap_or(mono), *begin);
    }
    let period = Duration::from_nanos(recording.period_nanos);
    let mut numbers = vec![0_u16; streams];
    for round in 0_u32.. {
        for one in &mut turns {
            let Some(turn) = round.checked_sub(one.rounds_later) else { continue };
            let begin = period * turn;
            let timestamp = (u64::from(turn) * recording.period_nanos * 9 / 100_000) as u32;
            let first_frame = u64::from(turn) * u64::from(recording.frames);
            clock::sleep_until(mono + period * round + one.at);
            let Some(seq) = numbers.get_mut(one.stream) else { continue };
            one.image.patch(seq, timestamp, first_frame, wall + begin);
            let mut all = destinations.lock();
            let Some(to) = all.get_mut(one.stream) else { continue };
            match options.calls {
                Calls::Batches | Calls::Frames => one.image.send(&mut sender, &mut tcp, to)?,
                Calls::Packets => one.image.send_singly(&sender, to)?,
            }
        }
    }
    Ok(())
}

/// A batch of a stream that is sent once in each round.
struct Due {
    /// From the beginning of the round on.
    at: Duration,
    /// A stream that began later ends its turn in the next round.
    rounds_later: u32,
    stream: usize,
    image: Image,
}

/// What is sent in a round, in the order of time.
fn due(recording: &Recording, over: Over) -> Vec<Due> {
    let period = recording.period_nanos.max(1);
    let mut turns = Vec::with_capacity(recording.batches());
    for (stream, batches) in recording.streams.iter().enumerate() {
        for batch in batches {
            let at = u64::try_from(batch.at_nanos).unwrap_or_default();
            turns.push(Due {
                at: Duration::from_nanos(at % period),
                rounds_later: u32::try_from(at / period).unwrap_or(u32::MAX),
                stream,
                image: Image::new(batch, over),
            });
        }
    }
    turns.sort_by_key(|due| due.at);
    turns
}

/// A batch as it goes on the wire.
struct Image {
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
        let runs = if over == Over::Udp { runs(&packets) } else { Vec::new() };
        Self { bytes, packets, runs }
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

    fn send(
        &self,
        sender: &mut UdpSender,
        tcp: &mut TcpSenders,
        to: &mut Destinations,
    ) -> Result<()> {
        for (bytes, segment) in &self.runs {
            let bytes = self.bytes.get(bytes.clone()).unwrap_or_default();
            sender.send(bytes, *segment, &to.udp)?;
        }
        tcp.send(&self.bytes, &mut to.tcp);
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
    /// The stream it has set up.
    stream_index: usize,
    /// The port it wants datagrams on.
    port: Option<u16>,
}

const LISTENER: u64 = u64::MAX;

/// Answers readers' requests for ever: just enough that they get media.
fn answer(listener: &TcpListener, port: u16, to: &All) -> Result<()> {
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
                    peers.insert(
                        next,
                        Peer { stream, input: Vec::new(), stream_index: 0, port: None },
                    );
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
    fn read(&mut self, port: u16, to: &All) -> bool {
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

    fn serve(&mut self, request: &str, port: u16, to: &All) {
        let method = request.split(' ').next().unwrap_or_default();
        let cseq = wire::header(request, "CSeq").unwrap_or("0");
        let transport = wire::header(request, "Transport").unwrap_or("RTP/AVP");
        let mut answer = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\n");
        if method == "SETUP" {
            self.stream_index = stream_of(request).unwrap_or_default();
            self.port = wire::client_ports(request).map(|ports| ports.start);
            answer.push_str(&format!("Transport: {transport};server_port={port}-{}\r\n", port + 1));
        }
        answer.push_str("\r\n");
        // A reader that is gone is noticed when it is read.
        let _gone = self.stream.write_all(answer.as_bytes());
        if method == "PLAY" {
            let mut all = to.lock();
            let Some(to) = all.get_mut(self.stream_index) else { return };
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

/// The number in `rtsp://host/N` of a request.
fn stream_of(request: &str) -> Option<usize> {
    let url = request.split(' ').nth(1)?;
    url.strip_prefix("rtsp://")?.split('/').nth(1)?.parse().ok()
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
    fn streams_are_sent_in_turn_and_the_late_end_of_one_in_the_next_round() {
        let at = |at_nanos| Batch { at_nanos, ..batch(&[100]) };
        let streams = vec![vec![at(3), at(60)], vec![at(50), at(105)]];
        let recording = Recording { period_nanos: 100, frames: 2, first: 0, streams };
        let order: Vec<_> = due(&recording, Over::Udp)
            .iter()
            .map(|due| (due.at.as_nanos(), due.stream, due.rounds_later))
            .collect();
        assert_eq!(order, [(3, 0, 0), (5, 1, 1), (50, 1, 0), (60, 0, 0)]);
        assert_eq!(stream_of("SETUP rtsp://127.0.0.1:5/12/track1 RTSP/1.0"), Some(12));
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
