//! Writing to readers: at once, in place, and for no longer than the budget.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fan_out::{ALIKE_BYTES, Audience, ReaderKey, TcpNext, TcpPlace, TcpSend};
use rtp_rtcp::Now;
use smallvec::SmallVec;
use tokio::sync::Notify;
use udp_batch::SendOutcome;

use super::conn::{ConnIo, Written};
use super::many::Many;
use super::sockets::ReaderSockets;
use super::turns::Turns;
use super::watch::{Seat, Watch};
use super::{Shard, Shared};
use crate::clock;
use crate::registry::StreamId;

/// How long readers are written to before backends and other tasks get their turn.
const BUDGET: Duration = Duration::from_micros(500);
/// The same where the shard serves no other stream: a turn in the middle of a batch, which costs
/// some 20 µs, is of use to nobody then but its backend and connections.
const BUDGET_ALONE: Duration = Duration::from_millis(2);
/// Readers between two looks at the clock.
const LOOK: usize = 16;
/// Bytes that one reader is written in its turn, if it takes so many: what a reader that joins
/// catches up on is more, and others have their turns in between.
const TURN_BYTES: usize = 256 * 1024;
/// Readers that are written to together without asking for memory.
const USUAL: usize = 128;
/// What one call writes to all its readers where the shard serves no other stream: a tenth cheaper
/// for each of 500 than calls of [`ALIKE_BYTES`]. The shard's backends and connections wait for its
/// end, some three milliseconds.
const ALIKE_BYTES_ALONE: usize = 6 << 20;
/// Between two words to the server that a session's connection takes bytes.
const PROGRESS: Duration = Duration::from_secs(5);

/// Streams with something to write, each with its own place among its readers.
pub(super) struct Pump {
    queue: VecDeque<StreamId>,
    scratch: Vec<u8>,
    many: Many,
    turns: Turns,
    /// The server has something to say because of a reader that was cut.
    unsettled: bool,
    wake: Rc<Notify>,
}

/// How far one stream's round over its readers has got.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Round {
    /// Everybody has what there is.
    #[default]
    Done,
    /// Waits for its turn, or for the rest of its round.
    Queued {
        /// Where among the TCP readers it is.
        after: Option<TcpPlace>,
        /// More has come since the round began: those served already get another round.
        again: bool,
    },
}

impl Pump {
    /// `at_once`: where the kernel allows it, many readers are written to by one call.
    pub(super) fn new(at_once: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            scratch: Vec::new(),
            many: Many::new(at_once),
            turns: Turns::default(),
            unsettled: false,
            wake: Rc::new(Notify::new()),
        }
    }

    pub(super) fn unsettle(&mut self) {
        self.unsettled = true;
    }
}

/// Goes on with what did not fit into one budget.
pub(super) async fn run(shard: Shared) {
    let wake = Rc::clone(&shard.borrow().pump.wake);
    loop {
        wake.notified().await;
        // Others first: backends are read before readers are written.
        tokio::task::yield_now().await;
        let now = clock::now();
        let mut this = shard.borrow_mut();
        this.pump.turns.begin();
        this.settle(now);
    }
}

/// One step's time.
struct Budget {
    until: Instant,
    /// Sends since the last look at the clock.
    unseen: usize,
    is_spent: bool,
}

impl Budget {
    fn new(time: Duration) -> Self {
        Self { until: clock::mono() + time, unseen: 0, is_spent: false }
    }

    /// So many more sends were made.
    fn spend(&mut self, sends: usize) {
        self.unseen += sends;
        if self.unseen >= LOOK {
            self.unseen = 0;
            self.is_spent = clock::mono() >= self.until;
        }
    }
}

impl Shard {
    /// There is something for readers of this stream.
    pub(super) fn mark(&mut self, id: StreamId) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.round = match watch.round {
            Round::Done => {
                self.pump.queue.push_back(id);
                Round::Queued { after: None, again: false }
            }
            Round::Queued { after: None, .. } => Round::Queued { after: None, again: false },
            Round::Queued { after, .. } => Round::Queued { after, again: true },
        };
    }

    /// Writes what is new to all readers, or as much as the budget allows, unless one was just
    /// spent; then other tasks get their turn, the next stream does after them, and each one keeps
    /// its place.
    pub(super) fn pump_for_a_while(&mut self, now: Now) {
        if !self.pump.turns.may_write(now.mono) {
            return;
        }
        self.pump.turns.begin();
        let time = if self.serves_one_stream() { BUDGET_ALONE } else { BUDGET };
        let mut budget = Budget::new(time);
        while let Some(id) = self.pump.queue.pop_front() {
            let finished = self.pump_stream(now, id, &mut budget);
            self.watch_events(now, id);
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            self.alarm.want(watch.audience.poll_timeout());
            match (finished, watch.round) {
                (false, _) => {
                    self.pump.queue.push_back(id);
                    self.pump.turns.spend(clock::mono(), time);
                    self.pump.wake.notify_one();
                    break;
                }
                (true, Round::Queued { again: true, .. }) => {
                    watch.round = Round::Queued { after: None, again: false };
                    self.pump.queue.push_back(id);
                }
                (true, _) => watch.round = Round::Done,
            }
        }
        if std::mem::take(&mut self.pump.unsettled) {
            self.pump.wake.notify_one();
        }
    }

    /// Whether no other stream's readers wait for the end of a call or a turn.
    fn serves_one_stream(&self) -> bool {
        self.watches.len() <= 1
    }

    /// Serves the readers of each socket group, then those with connections; after a budget that was
    /// spent those come first that did not spend it.
    fn pump_stream(&mut self, now: Now, id: StreamId, budget: &mut Budget) -> bool {
        // By a call for each reader nothing is gained by more of them in a row.
        let is_long = self.serves_one_stream() && self.pump.many.is_at_once();
        let Self { watches, sockets, pump, server, .. } = self;
        let Some(watch) = watches.get_mut(&id) else { return true };
        watch.audience.limit_alike(if is_long { ALIKE_BYTES_ALONE } else { ALIKE_BYTES });
        let groups = sockets.groups();
        let first = std::mem::take(&mut watch.first_side);
        for side in (first..=groups).chain(0..first) {
            let is_done = if side < groups {
                pump_group(now, (id, side), watch, sockets, budget)
            } else {
                pump_lines(now, watch, pump, server, budget)
            };
            if !is_done {
                watch.first_side = (side + 1) % (groups + 1);
                return false;
            }
        }
        true
    }

    /// A connection's socket can take bytes again: serves every stream it reads.
    pub(super) fn pump_conn(&mut self, now: Now, io: &Rc<ConnIo>) {
        let found: SmallVec<[(StreamId, ReaderKey); 1]> = io.seats.borrow().clone();
        for (id, key) in found {
            let Self { watches, pump, server, .. } = self;
            let Some(watch) = watches.get_mut(&id) else { continue };
            let turn = write_reader(now, &mut watch.audience, key, io, &mut pump.scratch);
            if turn.took {
                let Watch { seats, lines, .. } = watch;
                Readers { seats, lines }.report_progress(now, key, io, server);
            }
            if turn.has_more {
                self.mark(id);
            }
            self.watch_events(now, id);
        }
    }
}

/// Sends to the readers of a socket group until they have what there is; `false` where the budget
/// ends before.
fn pump_group(
    now: Now,
    (id, group): (StreamId, usize),
    watch: &mut Watch,
    sockets: &mut ReaderSockets,
    budget: &mut Budget,
) -> bool {
    let by_one = watch.by_one.contains(&group) || !sockets.takes_segments(now.mono, group);
    watch.audience.limit_segments(group, by_one.then_some(1));
    while let Some(send) = watch.audience.udp_next(now.mono, group) {
        if budget.is_spent {
            return false;
        }
        let offered = send.to.len();
        let rtcp = send.rtcp;
        let (bytes, segment) = (send.payload.len(), send.segment);
        let first = send.to.first().copied();
        let outcome = sockets.send(now.mono, group, send.payload, send.segment, rtcp, send.to);
        match outcome {
            SendOutcome::Took(sent) => watch.audience.udp_sent(now.mono, group, sent, false),
            SendOutcome::Refused(errno) => {
                watch.audience.udp_sent(now.mono, group, 0, true);
                let datagrams = bytes.div_ceil(segment.unwrap_or(bytes).max(1));
                watch.tell_refused(now, first, errno, datagrams as u64);
            }
            // The sockets send singly then, and say what came of that.
            SendOutcome::NoSegments => {
                watch.audience.udp_sent(now.mono, group, 0, true);
            }
            SendOutcome::Blocked | SendOutcome::Busy => {
                watch.audience.udp_blocked(now.mono, group);
                sockets.wait(group, id, rtcp, outcome == SendOutcome::Busy);
                break;
            }
        }
        if segment.is_some_and(|size| !sockets.may_be_segments(group, size)) {
            watch.send_by_one(group);
        }
        budget.spend(offered);
    }
    true
}

/// Writes to the readers with connections until they have what there is; `false` where the budget
/// ends before.
fn pump_lines(
    now: Now,
    watch: &mut Watch,
    pump: &mut Pump,
    server: &mut rtsp_server::Server,
    budget: &mut Budget,
) -> bool {
    let Round::Queued { after: mut place, mut again } = watch.round else { return true };
    loop {
        let Watch { audience, seats, lines, .. } = watch;
        let readers = Readers { seats, lines };
        let step = match audience.tcp_next(now.mono, place) {
            TcpNext::Done => return true,
            // Asked only now: who is done needs no further turn.
            _ if budget.is_spent => return false,
            TcpNext::Single(key) => Step::of(key),
            TcpNext::Alike(send) => Step::write(now, &readers, &send, server, &mut pump.many),
        };
        let may_have_more = !step.took.is_empty() && audience.tcp_sent(now.mono, &step.took);
        for (index, key) in step.to.iter().enumerate() {
            let took_all = step.took.get(index).is_some_and(|took| *took);
            if took_all && !may_have_more {
                continue;
            }
            if took_all && budget.is_spent {
                // What they get besides is much for so many: in another round.
                again = true;
                continue;
            }
            let Some(io) = readers.line(*key) else { continue };
            let short = step.short.iter().find(|(short, _)| short == key);
            if let Some((_, taken)) = short {
                audience.consume(now.mono, *key, &mut io.egress.borrow_mut(), *taken);
            }
            let turn = write_reader(now, audience, *key, io, &mut pump.scratch);
            budget.spend(1);
            again |= turn.has_more;
            if turn.took || short.is_some() {
                readers.report_progress(now, *key, io, server);
            }
        }
        place = Some(step.place);
        watch.round = Round::Queued { after: place, again };
        budget.spend(step.to.len());
    }
}

/// Readers served together, and what they took.
struct Step {
    to: SmallVec<[ReaderKey; USUAL]>,
    /// Who took all that they all were to get; empty for one who gets something of its own.
    took: SmallVec<[bool; USUAL]>,
    /// Who took a part, and how many bytes that was.
    short: SmallVec<[(ReaderKey, usize); 4]>,
    place: TcpPlace,
}

impl Step {
    /// One who has not been written to yet.
    fn of(key: ReaderKey) -> Self {
        let to = SmallVec::from_iter([key]);
        Self { to, took: SmallVec::new(), short: SmallVec::new(), place: key.into() }
    }

    /// Writes the same to all, by one call or by one after the other with little between: what
    /// serves readers is in the cache before and after, what the kernel needs while that lasts.
    fn write(
        now: Now,
        readers: &Readers<'_>,
        send: &TcpSend<'_>,
        server: &mut rtsp_server::Server,
        many: &mut Many,
    ) -> Self {
        let mut step = Self {
            to: SmallVec::from_slice(send.to),
            took: SmallVec::new(),
            short: SmallVec::new(),
            place: send.place,
        };
        let mut sockets: SmallVec<[BorrowedFd<'_>; USUAL]> = SmallVec::new();
        let mut silent: SmallVec<[ReaderKey; 4]> = SmallVec::new();
        let is_many = many.is_for(send.to.len());
        for key in send.to {
            let io = readers.line(*key).filter(|io| io.is_ready());
            let took = match io {
                None => false,
                Some(io) => {
                    if is_progress_due(now, io) {
                        silent.push(*key);
                    }
                    if is_many {
                        sockets.push(io.stream.as_fd());
                        true
                    } else {
                        let written = io.write(&send.slices);
                        step.note(*key, written, send.bytes)
                    }
                }
            };
            step.took.push(took);
        }
        if is_many {
            let mut results = many.send(&sockets, &send.slices);
            for (index, key) in send.to.iter().enumerate() {
                if !step.took.get(index).is_some_and(|took| *took) {
                    continue;
                }
                let tried = results.next();
                // Usually there is nothing to look at of a reader any more.
                if matches!(&tried, Some(Ok(taken)) if *taken == send.bytes) {
                    continue;
                }
                let Some(io) = readers.line(*key) else { continue };
                let written = match tried {
                    Some(tried) => io.written(tried, &send.slices),
                    None => io.write(&send.slices),
                };
                let all = step.note(*key, written, send.bytes);
                if let Some(took) = step.took.get_mut(index) {
                    *took = all;
                }
            }
        }
        for key in silent {
            let index = step.to.iter().position(|to| *to == key);
            let all = index.and_then(|index| step.took.get(index)).is_some_and(|took| *took);
            if let Some(io) = readers.line(key).filter(|_| all) {
                readers.report_progress(now, key, io, server);
            }
        }
        step
    }

    /// Whether a reader took all; keeps how much, if it was a part.
    fn note(&mut self, key: ReaderKey, written: Written, offered: usize) -> bool {
        match written {
            Written::Bytes(taken) if taken == offered => return true,
            Written::Bytes(taken) if taken > 0 => self.short.push((key, taken)),
            _ => {}
        }
        false
    }
}

/// The readers of a stream by their places in the audience.
struct Readers<'a> {
    seats: &'a [Option<Seat>],
    lines: &'a [Option<Rc<ConnIo>>],
}

impl<'a> Readers<'a> {
    fn line(&self, key: ReaderKey) -> Option<&'a ConnIo> {
        self.lines.get(key.index())?.as_deref()
    }

    /// A session whose connection takes bytes is alive (RFC 2326 has no better sign of it over
    /// TCP).
    fn report_progress(
        &self,
        now: Now,
        key: ReaderKey,
        io: &ConnIo,
        server: &mut rtsp_server::Server,
    ) {
        if is_progress_due(now, io)
            && let Some(Some(seat)) = self.seats.get(key.index())
        {
            io.progress.set(Some(now.mono));
            server.on_progress(now.mono, seat.session);
        }
    }
}

fn is_progress_due(now: Now, io: &ConnIo) -> bool {
    io.progress.get().is_none_or(|at| now.mono.saturating_duration_since(at) >= PROGRESS)
}

/// What came of one reader's turn.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// Whether its socket took anything.
    took: bool,
    /// Whether the turn ended with more to write and a socket that may take it.
    has_more: bool,
}

/// Writes until the socket is full, there is nothing more, or the turn is over.
fn write_reader(
    now: Now,
    audience: &mut Audience<SocketAddr>,
    key: ReaderKey,
    io: &ConnIo,
    scratch: &mut Vec<u8>,
) -> Turn {
    let mut turn = Turn::default();
    if io.blocked.get() {
        // The lag rules look at readers that are not written to as well.
        return turn;
    }
    let mut egress = io.egress.borrow_mut();
    let mut left = TURN_BYTES;
    loop {
        let mut slices: SmallVec<[IoSlice<'_>; 16]> = SmallVec::new();
        audience.slices(now.mono, key, &egress, scratch, &mut slices);
        if slices.is_empty() {
            return turn;
        }
        match io.write(&slices) {
            Written::Bytes(n) => {
                drop(slices);
                turn.took = true;
                if !audience.consume(now.mono, key, &mut egress, n) {
                    return turn;
                }
                left = left.saturating_sub(n);
                if left == 0 {
                    turn.has_more = true;
                    return turn;
                }
            }
            Written::Full | Written::Broken => return turn,
        }
    }
}
