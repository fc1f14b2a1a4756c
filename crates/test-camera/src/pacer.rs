//! The one thread that sends the media of all sessions when it is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::clock;
use crate::fault::{Clock, Target, Track};
use crate::faults::Faults;
use crate::link::Taken;
use crate::log::LogEvent;
use crate::media::{Payload, Stamp};
use crate::options::Pace;
use crate::rtcp::{self, SenderReport};
use crate::sdp;
use crate::segments::{self, Run};
use crate::session::{Destination, Outlet, Session, Zero};
use crate::shared::Shared;

/// What the pacer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A session plays, from the units that its outlets name on.
    Play(Arc<Session>),
    /// A session plays no more; `done` hears when its last packet is sent.
    Halt { session: String, done: Sender<()> },
    /// Sends BYE and ends tracks.
    Bye { target: Target, track: Option<Track> },
    /// Looks whether the camera stops.
    Wake,
}

/// What is due at some moment for one playing session, named by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    due: Instant,
    play: u64,
    task: Task,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Video,
    Audio,
    Reports,
}

/// Runs until the camera stops.
pub(crate) fn run(shared: &Shared, commands: &Receiver<Command>) {
    let mut pacer = Pacer {
        shared,
        jobs: BinaryHeap::new(),
        plays: HashMap::new(),
        next_play: 0,
        packet: Vec::new(),
        frames: Vec::new(),
        framed: 0,
        run: Run::default(),
    };
    let mut housekeeping = clock::now();
    while !shared.is_stopping() {
        let next = pacer.jobs.peek().map_or(housekeeping, |Reverse(job)| job.due.min(housekeeping));
        match commands.recv_deadline(next) {
            Ok(command) => {
                pacer.handle(command);
                // All that wait, so that many sessions that start at once start together.
                commands.try_iter().take(MAX_COMMANDS).for_each(|command| pacer.handle(command));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        pacer.perform_due();
        if clock::now() >= housekeeping {
            housekeeping = clock::now() + pacer.housekeep();
        }
    }
}

struct Pacer<'a> {
    shared: &'a Shared,
    jobs: BinaryHeap<Reverse<Job>>,
    plays: HashMap<u64, Arc<Session>>,
    next_play: u64,
    /// The packet in the making.
    packet: Vec<u8>,
    /// Interleaved packets that go to one connection together.
    frames: Vec<u8>,
    /// How many they are.
    framed: u64,
    /// UDP packets that go to one address together.
    run: Run,
}

impl Pacer<'_> {
    fn handle(&mut self, command: Command) {
        match command {
            Command::Play(session) => self.play(session),
            Command::Halt { session, done } => {
                self.plays.retain(|_, playing| playing.name != session);
                // Who asked may have stopped waiting.
                let _ = done.send(());
            }
            Command::Bye { target, track } => self.bye(target, track),
            Command::Wake => {}
        }
    }

    fn play(&mut self, session: Arc<Session>) {
        // It may have been ended since it asked to play.
        if !session.state.lock().playing {
            return;
        }
        let now = clock::now();
        let play = self.next_play;
        self.next_play += 1;
        let faults = self.shared.faults.lock().clone();
        // The first report precedes the first packet.
        self.send_reports(now, &session, &faults);
        let reports = now + self.shared.options.report_interval;
        self.jobs.push(Reverse(Job { due: reports, play, task: Task::Reports }));
        for outlet in &session.state.lock().outlets {
            let task = match outlet.track {
                Track::Video => Task::Video,
                Track::Audio => Task::Audio,
            };
            self.jobs.push(Reverse(Job { due: now, play, task }));
        }
        self.plays.insert(play, session);
    }

    fn perform_due(&mut self) {
        let faults = self.shared.faults.lock().clone();
        for _ in 0..MAX_JOBS {
            let now = clock::now();
            let Some(&Reverse(job)) = self.jobs.peek().filter(|job| job.0.due <= now + SLACK)
            else {
                return;
            };
            self.jobs.pop();
            // Jobs of sessions that play no more end here.
            let Some(session) = self.plays.get(&job.play).cloned() else { continue };
            let next = match job.task {
                Task::Video => self.send_media(now, &session, Track::Video, &faults),
                Task::Audio => self.send_media(now, &session, Track::Audio, &faults),
                Task::Reports => {
                    self.send_reports(now, &session, &faults);
                    Some(job.due.max(now) + self.shared.options.report_interval)
                }
            };
            if let Some(due) = next {
                self.jobs.push(Reverse(Job { due, ..job }));
            }
        }
    }

    /// Sends what is due of a track. Tells when the next packet is.
    fn send_media(
        &mut self,
        now: Instant,
        session: &Session,
        track: Track,
        faults: &Faults,
    ) -> Option<Instant> {
        let content = &self.shared.content;
        let mut state = session.state.lock();
        let zero = state.zero?;
        let outlet = state.outlet_mut(track)?;
        let silent = faults.silent(session.stream, track);
        let mut next = Some(now);
        for _ in 0..MAX_PACKETS {
            if outlet.packet == 0 && content.is_key(track, outlet.unit) {
                outlet.set = faults.set;
            }
            let unit = content.unit(track, outlet.unit, outlet.set);
            let Some(unit) = unit.filter(|_| !outlet.ended) else {
                next = None;
                break;
            };
            let due = self.due(outlet, zero, unit.packets.len());
            if due > now + SLACK {
                next = Some(due);
                break;
            }
            let payload = unit.packets.get(outlet.packet).filter(|_| !silent);
            let Some(payload) = payload else {
                outlet.unit += 1;
                outlet.packet = 0;
                continue;
            };
            if let Pace::Line(megabits) = self.shared.options.pace {
                let micros = payload.bytes.len() as f64 * 8.0 / megabits.max(0.001);
                outlet.line_free = Some(due + Duration::from_secs_f64(micros / 1e6));
            }
            self.send_packet(outlet, payload, faults);
            outlet.packet += 1;
            if outlet.packet >= unit.packets.len() {
                outlet.unit += 1;
                outlet.packet = 0;
            }
        }
        drop(state);
        self.deliver(session);
        next
    }

    /// When the next packet of a unit with `count` packets is due.
    fn due(&self, outlet: &Outlet, zero: Zero, count: usize) -> Instant {
        let content = &self.shared.content;
        let begin = zero.due(content.time(outlet.track, outlet.unit));
        match self.shared.options.pace {
            Pace::Burst => begin,
            Pace::Line(_) => outlet.line_free.map_or(begin, |free| free.max(begin)),
            Pace::Spread => {
                let share = outlet.packet as f64 / count.max(1) as f64;
                begin + content.interval(outlet.track).mul_f64(share)
            }
        }
    }

    fn send_packet(&mut self, outlet: &mut Outlet, payload: &Payload, faults: &Faults) {
        let marker = if payload.marker { 0x80 } else { 0 };
        let (first, payload_type) =
            payload.head.unwrap_or_else(|| (0x80, sdp::payload_type(outlet.track)));
        let timestamp = self
            .shared
            .content
            .timestamp(outlet.track, outlet.unit)
            .wrapping_add(outlet.timestamp_base)
            .wrapping_add(self.ticks(outlet, faults.jump));
        self.packet.clear();
        self.packet.extend_from_slice(&[first, marker | payload_type]);
        self.packet.extend_from_slice(&outlet.sequence.to_be_bytes());
        self.packet.extend_from_slice(&timestamp.to_be_bytes());
        self.packet.extend_from_slice(&outlet.ssrc.to_be_bytes());
        self.packet.extend_from_slice(&payload.bytes);
        if let Some((packet, packets)) = payload.stamp {
            let sent = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            let stamp = Stamp { frame: outlet.unit, packet, packets, sent };
            stamp.write(self.packet.get_mut(RTP_HEADER..).unwrap_or_default());
        }
        outlet.sequence = outlet.sequence.wrapping_add(1);
        outlet.packets = outlet.packets.wrapping_add(1);
        let octets = u32::try_from(payload.bytes.len()).unwrap_or(u32::MAX);
        outlet.octets = outlet.octets.wrapping_add(octets);
        outlet.count += 1;

        let every = |n: u32| n > 0 && outlet.count.is_multiple_of(u64::from(n));
        if every(faults.drop) {
            return;
        }
        if every(faults.reorder) && outlet.held.is_none() {
            outlet.held = Some(self.packet.clone());
            return;
        }
        let packet = std::mem::take(&mut self.packet);
        self.transmit(outlet.destination, &packet, false, faults);
        if let Some(held) = outlet.held.take() {
            self.transmit(outlet.destination, &held, false, faults);
        }
        self.packet = packet;
    }

    /// Sends a UDP packet, or adds it to `run`, or an interleaved one to `frames`.
    fn transmit(&mut self, to: Destination, packet: &[u8], control: bool, faults: &Faults) {
        match to {
            Destination::Udp { .. } if faults.udp_silent => {}
            Destination::Udp { address, rtp, .. } if !control && self.shared.options.segmented => {
                let send = segments::over(&self.shared.sockets.rtp);
                let lost = self.run.add(SocketAddr::new(address, rtp), packet, send);
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            }
            Destination::Udp { address, rtp, rtcp } => {
                let sockets = &self.shared.sockets;
                let sent = if control {
                    sockets.rtcp.send_to(packet, (address, rtcp))
                } else {
                    sockets.rtp.send_to(packet, (address, rtp))
                };
                if sent.is_err() {
                    self.shared.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Destination::Interleaved { rtp, rtcp } => {
                let Ok(length) = u16::try_from(packet.len()) else { return };
                self.frames.extend_from_slice(&[b'$', if control { rtcp } else { rtp }]);
                self.frames.extend_from_slice(&length.to_be_bytes());
                self.frames.extend_from_slice(packet);
                self.framed += 1;
            }
        }
    }

    /// Sends the packets that were gathered. A socket that is full, with interleaved ones for long,
    /// loses them, as a camera's would; a closed one is noticed by the thread that reads it.
    fn deliver(&mut self, session: &Session) {
        let lost = self.run.flush(segments::over(&self.shared.sockets.rtp));
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        if self.framed > 0 && session.link.send(&self.frames) == Taken::Dropped {
            self.shared.lost.fetch_add(self.framed, Ordering::Relaxed);
        }
        self.frames.clear();
        self.framed = 0;
    }

    fn send_reports(&mut self, now: Instant, session: &Session, faults: &Faults) {
        if faults.no_reports || faults.stopped(session.stream) {
            return;
        }
        let state = session.state.lock();
        let Some(zero) = state.zero else { return };
        for outlet in state.outlets.iter().filter(|outlet| !outlet.ended) {
            let report = self.report(now, zero, outlet, faults);
            self.transmit(outlet.destination, &report, true, faults);
        }
        drop(state);
        self.deliver(session);
    }

    /// A compound packet with an outlet's report.
    fn report(&self, now: Instant, zero: Zero, outlet: &Outlet, faults: &Faults) -> Vec<u8> {
        let shared = self.shared;
        let (clock, late) = match faults.clock {
            Clock::Zero | Clock::Right => (shared.epoch.wall_at(now), 0),
            Clock::Since1970 => (UNIX_EPOCH + now.duration_since(shared.epoch.mono), 0),
            Clock::Pair => (shared.epoch.wall_at(now), 100),
        };
        let ntp = match faults.clock {
            Clock::Zero => 0,
            _ => rtcp::ntp(clock, faults.wall_step.saturating_add(faults.jump)),
        };
        let report = SenderReport {
            ssrc: outlet.ssrc,
            ntp,
            rtp: shared
                .content
                .timestamp_at(outlet.track, zero.content_time(now))
                .wrapping_add(outlet.timestamp_base)
                .wrapping_add(self.ticks(outlet, faults.jump.saturating_sub(late))),
            packets: outlet.packets,
            octets: outlet.octets,
        };
        let mut compound = Vec::with_capacity(128);
        rtcp::write_report(&mut compound, &report, &self.shared.cname);
        compound
    }

    /// So many seconds of a track's clock.
    fn ticks(&self, outlet: &Outlet, seconds: i64) -> u32 {
        let length = Duration::from_secs(seconds.unsigned_abs());
        let ticks = self.shared.content.timestamp_at(outlet.track, length);
        if seconds < 0 { ticks.wrapping_neg() } else { ticks }
    }

    fn bye(&mut self, target: Target, track: Option<Track>) {
        let now = clock::now();
        let faults = self.shared.faults.lock().clone();
        let sessions: Vec<Arc<Session>> =
            self.plays.values().filter(|s| target.includes(s.stream)).cloned().collect();
        for session in sessions {
            let mut state = session.state.lock();
            let Some(zero) = state.zero else { continue };
            for outlet in state.outlets.iter_mut() {
                if outlet.ended || track.is_some_and(|track| track != outlet.track) {
                    continue;
                }
                let mut compound = self.report(now, zero, outlet, &faults);
                rtcp::write_bye(&mut compound, outlet.ssrc);
                self.transmit(outlet.destination, &compound, true, &faults);
                outlet.ended = true;
            }
            drop(state);
            self.deliver(&session);
        }
    }

    /// Ends sessions that timed out and sends what waits. Tells when to come again.
    fn housekeep(&mut self) -> Duration {
        let shared = self.shared;
        let enforce = shared.faults.lock().enforce_timeout;
        if enforce.unwrap_or(shared.options.enforce_timeout) {
            let (elapsed, timeout) = (shared.epoch.elapsed(), shared.timeout());
            let expired: Vec<Arc<Session>> = shared
                .sessions
                .lock()
                .extract_if(|_, session| session.idle(elapsed) > timeout)
                .map(|(_, session)| session)
                .collect();
            for session in expired {
                session.state.lock().playing = false;
                self.plays.retain(|_, playing| playing.name != session.name);
                let event = LogEvent::Expired { session: session.name.clone() };
                shared.log.add(session.link.id, event);
            }
        }
        let waiting =
            shared.links.lock().values().filter(|link| link.flush() == Taken::Waiting).count();
        if waiting > 0 { FLUSH_INTERVAL } else { HOUSEKEEPING_INTERVAL }
    }
}

/// What is due this soon is sent at once: two packets closer than this go out together.
const SLACK: Duration = Duration::from_micros(200);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);
/// How often a connection whose socket was full is tried again when no media does so.
const FLUSH_INTERVAL: Duration = Duration::from_millis(5);
/// The budgets of one round.
const MAX_COMMANDS: usize = 256;
const MAX_JOBS: usize = 1024;
const MAX_PACKETS: usize = 256;
const RTP_HEADER: usize = 12;
