//! The readers: one thread, one epoll, and the figures.

pub(crate) mod connect;
mod joins;
mod tally;
mod unread;

use std::collections::HashSet;
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use benches::clock;
use benches::runs::Scratch;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use crate::kernel;
use crate::measured::{Measured, Spread};
use crate::options::{Over, ReadersOptions, Record};
use crate::recording::{Recorder, Recording};
use crate::wire::{self, Item};
use connect::{Connection, Path};
use tally::{Frames, Latencies, Tally};

/// How long the camera may take until its stream is described.
const DESCRIBED: Duration = Duration::from_secs(15);
/// After the last PLAY every reader has a key frame by then.
const FIRST_KEY: Duration = Duration::from_secs(15);
/// Between the first key frames and the measurement.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a proxy may take to tell its state: the rates in it are those of a second.
const STATUS: Duration = Duration::from_millis(1500);
/// How long what was sent in the measurement may take to arrive.
const DRAIN: Duration = Duration::from_secs(2);
/// Attempts at a recording without a gap.
const RECORDINGS: usize = 3;
/// What one read from a connection takes.
const READ: usize = 256 * 1024;
/// Datagrams are shorter.
const DATAGRAM: usize = 2048;
/// Bytes of a cut frame that a reader may keep.
const MAX_REST: usize = 128 * 1024;

/// Sets up, plays, measures, and prints one line of JSON.
pub(crate) fn run(options: &ReadersOptions) -> Result<()> {
    let mut readers = Readers::new(options.joined)?;
    for (url, _) in &options.streams {
        connect::wait_described(url, clock::mono() + DESCRIBED)?;
        readers.frames.push(Frames::default());
        if options.record.is_some() {
            // It comes first, so that what it sees is the beginning of each round over the readers.
            readers.add_probe(Connection::set_up(url, Over::Udp, true)?)?;
        }
    }
    for (stream, (url, count)) in options.streams.iter().enumerate() {
        for _ in 0..*count {
            readers.add(stream, Connection::set_up(url, options.over, options.joined)?)?;
        }
    }
    if options.unread.is_some() {
        readers.stop_reading()?;
    } else {
        kernel::check_buffer(readers.smallest_buffer())?;
    }
    readers.play(options.joining)?;
    if options.unread.is_some() {
        readers.wait_until_full()?;
    }
    if options.wait_for_key {
        readers.wait_for_keys(0)?;
    }
    if let Some(record) = &options.record {
        readers.record(record)?;
    }
    readers.pump(clock::mono() + SETTLE, |_| false)?;
    let joins = match (&options.joins, options.streams.first()) {
        (Some(joins), Some((url, _))) => Some(readers.join(url, options, *joins)?),
        _ => None,
    };
    let mut measured = match options.unread {
        Some(camera) => readers.measure_unread(options.watch, camera, options.seconds)?,
        None => readers.measure(options.watch, options.seconds)?,
    };
    measured.joins = joins;
    if options.ask_log {
        kill(Pid::from_raw(i32::try_from(options.watch)?), Signal::SIGUSR1)?;
        readers.pump(clock::mono() + STATUS, |_| false)?;
    }
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

struct Readers {
    epoll: Epoll,
    list: Vec<Reader>,
    probes: Vec<Probe>,
    /// Of each stream.
    frames: Vec<Frames>,
    datagrams: Scratch,
    bytes: Vec<u8>,
    control: Vec<u8>,
}

struct Reader {
    stream: usize,
    connection: Connection,
    tally: Tally,
    /// The beginning of a frame that was cut by a read.
    rest: Vec<u8>,
    is_closed: bool,
    /// What PLAY was refused with.
    refused: Option<String>,
}

/// A reader that sees messages as they were sent.
struct Probe {
    connection: Connection,
    recorder: Recorder,
    scratch: Scratch,
}

/// What an event is about: a reader's connection and its datagrams by twice its index, a probe by
/// this and its index.
const PROBE: u64 = 1 << 63;

impl Readers {
    fn new(joined: bool) -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::empty())?,
            list: Vec::new(),
            probes: Vec::new(),
            frames: Vec::new(),
            datagrams: Scratch::new(if joined { Scratch::JOINED } else { DATAGRAM }),
            bytes: vec![0; READ],
            control: cmsg_space!(TimeSpec),
        })
    }

    fn add(&mut self, stream: usize, connection: Connection) -> Result<()> {
        let token = 2 * self.list.len() as u64;
        self.epoll.add(&connection.stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        if let Path::Datagrams { rtp, .. } = &connection.path {
            self.epoll.add(rtp.socket(), EpollEvent::new(EpollFlags::EPOLLIN, token + 1))?;
        }
        self.list.push(Reader {
            stream,
            connection,
            tally: Tally::default(),
            rest: Vec::new(),
            is_closed: false,
            refused: None,
        });
        Ok(())
    }

    fn add_probe(&mut self, connection: Connection) -> Result<()> {
        let token = PROBE | self.probes.len() as u64;
        if let Path::Datagrams { rtp, .. } = &connection.path {
            self.epoll.add(rtp.socket(), EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        }
        let (recorder, scratch) = (Recorder::default(), Scratch::new(Scratch::JOINED));
        self.probes.push(Probe { connection, recorder, scratch });
        Ok(())
    }

    fn smallest_buffer(&self) -> usize {
        self.list.iter().map(|reader| reader.connection.buffer).min().unwrap_or_default()
    }

    /// Everybody plays, one after the other.
    fn play(&mut self, joining: Duration) -> Result<()> {
        let (begin, count) = (clock::mono(), self.probes.len().max(1));
        for index in 0..self.probes.len() {
            // Streams begin when they are first asked for: so as little at once as others would.
            self.pump(begin + joining.mul_f64(index as f64 / count as f64), |_| false)?;
            if let Some(probe) = self.probes.get_mut(index) {
                probe.connection.play()?;
            }
        }
        if !self.probes.is_empty() {
            self.pump(clock::mono() + SETTLE, |_| false)?;
        }
        self.play_from(0, joining)
    }

    /// All readers from this index on play.
    fn play_from(&mut self, first: usize, joining: Duration) -> Result<()> {
        let begin = clock::mono();
        let count = self.list.len().saturating_sub(first).max(1);
        for index in first..self.list.len() {
            let due = begin + joining.mul_f64((index - first) as f64 / count as f64);
            self.pump(due, |_| false)?;
            if let Some(reader) = self.list.get_mut(index) {
                reader.tally.asked = Some(clock::wall());
                reader.connection.play()?;
            }
        }
        Ok(())
    }

    /// Waits until all readers from this index on have a key frame.
    fn wait_for_keys(&mut self, first: usize) -> Result<()> {
        let lacks = |reader: &&Reader| reader.tally.first_key.is_none() && !reader.is_closed;
        let lacking = |this: &Self| this.list.iter().skip(first).filter(lacks).count();
        self.pump(clock::mono() + FIRST_KEY, |this| lacking(this) == 0)?;
        self.check_answers()?;
        let lacking = lacking(self);
        ensure!(
            lacking == 0,
            "{lacking} readers have no key frame {} s after PLAY",
            FIRST_KEY.as_secs()
        );
        Ok(())
    }

    /// Fails where somebody may not play.
    fn check_answers(&self) -> Result<()> {
        match self.list.iter().find_map(|reader| reader.refused.as_ref()) {
            Some(answer) => bail!("PLAY was refused: {answer}"),
            None => Ok(()),
        }
    }

    /// Records some frames as they are sent, then the probes leave. Where packets are lost again
    /// and again there is no recording.
    fn record(&mut self, record: &Record) -> Result<()> {
        let mut recording = self.try_record(record);
        for _ in 1..RECORDINGS {
            if recording.is_err() {
                recording = self.try_record(record);
            }
        }
        match recording {
            Ok(recording) => {
                eprintln!(
                    "      recorded: {} packets in {} batches",
                    recording.packets(),
                    recording.batches()
                );
                fs::write(&record.file, serde_json::to_string(&recording)?)?;
            }
            Err(error) => eprintln!("      nothing recorded: {error:#}"),
        }
        self.probes.iter_mut().try_for_each(|probe| probe.connection.tear_down())?;
        self.probes.clear();
        Ok(())
    }

    fn try_record(&mut self, record: &Record) -> Result<Recording> {
        for probe in &mut self.probes {
            probe.recorder = Recorder::default();
        }
        let by = clock::mono() + 2 * record.period + Duration::from_secs(1);
        let enough = |this: &Self| this.probes.iter().all(|one| one.recorder.has(record.frames));
        self.pump(by, enough)?;
        let recorders: Vec<_> = self.probes.iter().map(|probe| &probe.recorder).collect();
        Recording::of(&recorders, record.frames, record.period)
    }

    fn measure(&mut self, watch: u32, length: Duration) -> Result<Measured> {
        let ports = self.ports();
        let me = std::process::id();
        let sums = |list: &[Reader]| {
            list.iter().fold((0, 0, 0), |(packets, bytes, repeated), reader| {
                let tally = &reader.tally;
                (packets + tally.packets, bytes + tally.bytes, repeated + tally.repeated)
            })
        };

        let dropped = kernel::dropped(&ports);
        let firsts: Vec<u64> = self.frames.iter().map(Frames::next).collect();
        let from = sums(&self.list);
        self.frames.iter_mut().for_each(Frames::note_latencies);
        let (cpu, own) = (kernel::cpu_nanos(watch)?, kernel::cpu_nanos(me)?);
        let begin = clock::mono();
        self.pump(begin + length, |_| false)?;
        let to = sums(&self.list);
        let cpu = kernel::cpu_nanos(watch)?.saturating_sub(cpu);
        let seconds = clock::mono().saturating_duration_since(begin).as_secs_f64();
        let own = kernel::cpu_nanos(me)?.saturating_sub(own);
        let resident = kernel::resident(watch)?;
        let latencies: Vec<_> = self.frames.iter_mut().map(Frames::take_latencies).collect();
        let windows: Vec<_> =
            firsts.iter().zip(&self.frames).map(|(&first, frames)| first..frames.next()).collect();
        let window = |reader: &Reader| windows.get(reader.stream).cloned().unwrap_or_default();
        let arrived = |this: &Self| {
            let has = |reader: &Reader| reader.tally.has_reached(window(reader).end);
            this.list.iter().all(|reader| reader.is_closed || has(reader))
        };
        self.pump(clock::mono() + DRAIN, arrived)?;

        let (mut wanted, mut lost_packets, mut lost_frames) = (0, 0, 0);
        for reader in &self.list {
            let window = window(reader);
            let Some(frames) = self.frames.get(reader.stream) else { continue };
            wanted += window.end - window.start;
            let loss = reader.tally.loss(frames, window);
            lost_packets += loss.packets;
            lost_frames += loss.frames;
        }
        let key_to_all = latencies.iter().flat_map(Latencies::key_to_all).collect();
        let last = latencies.last().map(|last| last.all.clone()).unwrap_or_default();
        Ok(Measured {
            seconds,
            receive_buffer: self.smallest_buffer(),
            packets: to.0 - from.0,
            bytes: to.1 - from.1,
            frames: wanted,
            lost_packets,
            lost_frames,
            repeated: to.2 - from.2,
            dropped_at_sockets: kernel::dropped(&ports).saturating_sub(dropped),
            closed: self.list.iter().filter(|reader| reader.is_closed).count(),
            cpu_nanos: cpu,
            readers_cpu_nanos: own,
            resident,
            latency: Spread::of(latencies.into_iter().flat_map(|one| one.all).collect()),
            latency_last: Spread::of(last),
            key_to_all: Spread::of(key_to_all),
            first_key: self.first_keys(0),
            joins: None,
            unread: None,
        })
    }

    /// The ports of those who are sent to over UDP.
    fn ports(&self) -> HashSet<u16> {
        let port = |reader: &Reader| match &reader.connection.path {
            Path::Datagrams { port, .. } => Some(*port),
            Path::Interleaved => None,
        };
        self.list.iter().filter_map(port).collect()
    }

    /// The times of the readers from this index on.
    fn first_keys(&self, first: usize) -> Spread {
        let times = self.list.iter().skip(first).filter_map(|reader| reader.tally.first_key);
        Spread::of(times.map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// Takes what comes until an instant, or until there is enough.
    fn pump(&mut self, until: Instant, mut enough: impl FnMut(&Self) -> bool) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let left = until.saturating_duration_since(clock::mono());
            let timeout = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
            let count = match self.epoll.wait(&mut events, EpollTimeout::from(timeout)) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error).context("epoll"),
            };
            for event in events.iter().take(count) {
                self.on_event(event.data())?;
            }
            if left.is_zero() || (count > 0 && enough(self)) {
                return Ok(());
            }
        }
    }

    fn on_event(&mut self, token: u64) -> Result<()> {
        let Self { epoll, list, probes, frames, datagrams, bytes, control } = self;
        if token & PROBE != 0 {
            let index = usize::try_from(token & !PROBE).unwrap_or(usize::MAX);
            if let Some(Probe { connection, recorder, scratch }) = probes.get_mut(index)
                && let Path::Datagrams { rtp, .. } = &connection.path
            {
                // Nothing there is no error.
                let _empty = rtp.take(scratch, |message| {
                    recorder.take(message, message.at.unwrap_or_else(clock::wall));
                });
            }
            return Ok(());
        }
        let index = usize::try_from(token / 2).unwrap_or(usize::MAX);
        let Some(reader) = list.get_mut(index) else { return Ok(()) };
        let Some(frames) = frames.get_mut(reader.stream) else { return Ok(()) };
        if token % 2 == 1 {
            if let Path::Datagrams { rtp, .. } = &reader.connection.path {
                let tally = &mut reader.tally;
                let _empty = rtp.take(datagrams, |message| {
                    let at = message.at.unwrap_or_else(clock::wall);
                    for datagram in message.datagrams() {
                        tally.take(frames, datagram, at);
                    }
                });
            }
        } else if !reader.read(frames, bytes, control) {
            reader.is_closed = true;
            epoll.delete(&reader.connection.stream)?;
        }
        Ok(())
    }
}

impl Reader {
    /// Reads the connection once; `false` at its end.
    fn read(&mut self, frames: &mut Frames, bytes: &mut [u8], control: &mut [u8]) -> bool {
        let fd = self.connection.stream.as_raw_fd();
        let (count, at) = {
            let mut iov = [IoSliceMut::new(bytes)];
            match recvmsg::<()>(fd, &mut iov, Some(control), MsgFlags::MSG_DONTWAIT) {
                Ok(message) => {
                    let at = message.cmsgs().ok().and_then(|mut all| {
                        all.find_map(|one| match one {
                            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                            _ => None,
                        })
                    });
                    (message.bytes, at)
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return true,
                Err(_) => return false,
            }
        };
        let at = at.unwrap_or_else(clock::wall);
        let read = bytes.get(..count).unwrap_or_default();
        let Self { tally, rest, refused, .. } = self;
        let mut each = |item: Item<'_>| match item {
            Item::Frame { channel: 0, data } => tally.take(frames, data, at),
            Item::Frame { .. } => {}
            Item::Message(text) => {
                if wire::status(text).is_some_and(|status| status != 200) {
                    *refused = Some(text.to_owned());
                }
            }
        };
        if rest.is_empty() {
            let taken = wire::take(read, &mut each);
            rest.extend_from_slice(read.get(taken..).unwrap_or_default());
        } else {
            rest.extend_from_slice(read);
            let taken = wire::take(rest, &mut each);
            rest.drain(..taken);
        }
        count > 0 && rest.len() < MAX_REST
    }
}
