//! The readers: one thread, one epoll, and the figures.

mod connect;
mod tally;

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
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;

use crate::kernel;
use crate::measured::{Measured, Spread};
use crate::options::{Over, ReadersOptions, Record};
use crate::recording::Recorder;
use crate::wire::{self, Item};
use connect::{Connection, Path};
use tally::{Frames, Tally};

/// How long the camera may take until its stream is described.
const DESCRIBED: Duration = Duration::from_secs(15);
/// The readers' PLAYs are spread over this.
const JOINING: Duration = Duration::from_secs(1);
/// After the last PLAY every reader has a key frame by then.
const FIRST_KEY: Duration = Duration::from_secs(15);
/// Between the first key frames and the measurement.
const SETTLE: Duration = Duration::from_millis(500);
/// How long what was sent in the measurement may take to arrive.
const DRAIN: Duration = Duration::from_secs(2);
/// What one read from a connection takes.
const READ: usize = 256 * 1024;
/// Datagrams are shorter.
const DATAGRAM: usize = 2048;
/// Bytes of a cut frame that a reader may keep.
const MAX_REST: usize = 128 * 1024;

/// Sets up, plays, measures, and prints one line of JSON.
pub(crate) fn run(options: &ReadersOptions) -> Result<()> {
    connect::wait_described(&options.url, clock::mono() + DESCRIBED)?;
    // It comes first, so that what it sees is the beginning of each round over the readers.
    let probe = match &options.record {
        Some(_) => Some(Connection::set_up(&options.url, Over::Udp, true)?),
        None => None,
    };
    let connections = (0..options.count)
        .map(|_| Connection::set_up(&options.url, options.over, false))
        .collect::<Result<Vec<_>>>()?;
    let mut readers = Readers::new(connections, probe)?;
    kernel::check_buffer(readers.smallest_buffer())?;
    readers.join()?;
    if let Some(record) = &options.record {
        readers.record(record)?;
    }
    readers.pump(clock::mono() + SETTLE, |_| false)?;
    let measured = readers.measure(options.watch, options.seconds)?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

struct Readers {
    epoll: Epoll,
    list: Vec<Reader>,
    probe: Option<Probe>,
    frames: Frames,
    datagrams: Scratch,
    bytes: Vec<u8>,
    control: Vec<u8>,
}

struct Reader {
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

/// What an event is about: a reader's connection and its datagrams by twice its index, and this.
const PROBE: u64 = u64::MAX;

impl Readers {
    fn new(connections: Vec<Connection>, probe: Option<Connection>) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let event = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        for (connection, token) in connections.iter().zip((0..).step_by(2)) {
            epoll.add(&connection.stream, event(token))?;
            if let Path::Datagrams { rtp, .. } = &connection.path {
                epoll.add(rtp.socket(), event(token + 1))?;
            }
        }
        if let Some(Path::Datagrams { rtp, .. }) = probe.as_ref().map(|probe| &probe.path) {
            epoll.add(rtp.socket(), event(PROBE))?;
        }
        let reader = |connection| Reader {
            connection,
            tally: Tally::default(),
            rest: Vec::new(),
            is_closed: false,
            refused: None,
        };
        let probe = probe.map(|connection| Probe {
            connection,
            recorder: Recorder::default(),
            scratch: Scratch::new(Scratch::JOINED),
        });
        Ok(Self {
            epoll,
            list: connections.into_iter().map(reader).collect(),
            probe,
            frames: Frames::default(),
            datagrams: Scratch::new(DATAGRAM),
            bytes: vec![0; READ],
            control: cmsg_space!(TimeSpec),
        })
    }

    fn smallest_buffer(&self) -> usize {
        self.list.iter().map(|reader| reader.connection.buffer).min().unwrap_or_default()
    }

    /// Everybody plays, one after the other, and gets a key frame.
    fn join(&mut self) -> Result<()> {
        if let Some(probe) = &mut self.probe {
            probe.connection.play()?;
        }
        let begin = clock::mono();
        let count = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        for index in 0..self.list.len() {
            let due = begin + JOINING * u32::try_from(index).unwrap_or(u32::MAX) / count.max(1);
            self.pump(due, |_| false)?;
            if let Some(reader) = self.list.get_mut(index) {
                reader.tally.asked = Some(clock::wall());
                reader.connection.play()?;
            }
        }
        let lacks = |reader: &Reader| reader.tally.first_key.is_none() && !reader.is_closed;
        let all = |this: &Self| !this.list.iter().any(lacks);
        self.pump(clock::mono() + FIRST_KEY, all)?;
        if let Some(answer) = self.list.iter().find_map(|reader| reader.refused.as_ref()) {
            bail!("PLAY was refused: {answer}");
        }
        let lacking = self.list.iter().filter(|reader| lacks(reader)).count();
        ensure!(
            lacking == 0,
            "{lacking} readers have no key frame {} s after PLAY",
            FIRST_KEY.as_secs()
        );
        Ok(())
    }

    /// Records some frames as they are sent, then the probe leaves.
    fn record(&mut self, record: &Record) -> Result<()> {
        let Some(probe) = &mut self.probe else { return Ok(()) };
        probe.recorder = Recorder::default();
        let by = clock::mono() + 2 * record.period + Duration::from_secs(1);
        let enough =
            |this: &Self| this.probe.as_ref().is_none_or(|probe| probe.recorder.has(record.frames));
        self.pump(by, enough)?;
        let Some(mut probe) = self.probe.take() else { return Ok(()) };
        let recording = probe.recorder.finish(record.frames, record.period)?;
        eprintln!(
            "      recorded: {} packets in {} batches",
            recording.packets(),
            recording.batches.len()
        );
        fs::write(&record.file, serde_json::to_string(&recording)?)?;
        probe.connection.tear_down()
    }

    fn measure(&mut self, watch: u32, length: Duration) -> Result<Measured> {
        let ports: HashSet<u16> = self
            .list
            .iter()
            .filter_map(|reader| match &reader.connection.path {
                Path::Datagrams { port, .. } => Some(*port),
                Path::Interleaved => None,
            })
            .collect();
        let me = std::process::id();
        let sums = |list: &[Reader]| {
            list.iter().fold((0, 0, 0), |(packets, bytes, repeated), reader| {
                let tally = &reader.tally;
                (packets + tally.packets, bytes + tally.bytes, repeated + tally.repeated)
            })
        };

        let dropped = kernel::dropped(&ports);
        let (first, from) = (self.frames.next(), sums(&self.list));
        self.frames.note_latencies();
        let (cpu, own) = (kernel::cpu_nanos(watch)?, kernel::cpu_nanos(me)?);
        let begin = clock::mono();
        self.pump(begin + length, |_| false)?;
        let to = sums(&self.list);
        let cpu = kernel::cpu_nanos(watch)?.saturating_sub(cpu);
        let seconds = clock::mono().saturating_duration_since(begin).as_secs_f64();
        let own = kernel::cpu_nanos(me)?.saturating_sub(own);
        let resident = kernel::resident(watch)?;
        let latency = Spread::of(self.frames.take_latencies());
        let window = first..self.frames.next();
        let last = window.end;
        let arrived = |this: &Self| {
            this.list.iter().all(|reader| reader.is_closed || reader.tally.has_reached(last))
        };
        self.pump(clock::mono() + DRAIN, arrived)?;

        let (mut lost_packets, mut lost_frames) = (0, 0);
        for reader in &self.list {
            let loss = reader.tally.loss(&self.frames, window.clone());
            lost_packets += loss.packets;
            lost_frames += loss.frames;
        }
        let first_keys = self.list.iter().filter_map(|reader| reader.tally.first_key);
        Ok(Measured {
            seconds,
            receive_buffer: self.smallest_buffer(),
            packets: to.0 - from.0,
            bytes: to.1 - from.1,
            frames: (window.end - window.start) * self.list.len() as u64,
            lost_packets,
            lost_frames,
            repeated: to.2 - from.2,
            dropped_at_sockets: kernel::dropped(&ports).saturating_sub(dropped),
            closed: self.list.iter().filter(|reader| reader.is_closed).count(),
            cpu_nanos: cpu,
            readers_cpu_nanos: own,
            resident,
            latency,
            first_key: Spread::of(first_keys.map(|time| time.as_secs_f64() * 1e3).collect()),
        })
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
        let Self { epoll, list, probe, frames, datagrams, bytes, control } = self;
        if token == PROBE {
            if let Some(Probe { connection, recorder, scratch }) = probe
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
        if token % 2 == 1 {
            if let Path::Datagrams { rtp, .. } = &reader.connection.path {
                let tally = &mut reader.tally;
                let _empty = rtp.take(datagrams, |message| {
                    tally.take(frames, message.bytes, message.at.unwrap_or_else(clock::wall));
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
