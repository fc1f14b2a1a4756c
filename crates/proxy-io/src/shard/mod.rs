//! A shard: one thread, one runtime, and state that no other thread sees.
//!
//! Every task of a shard borrows its state for one step and never across a wait. A step ends with
//! [`Shard::settle`], which carries what the cores said to each other until nobody says more, and
//! then writes to readers for as long as the budget allows, if it is its turn to (`Turns`).

mod backend;
mod budget;
mod conn;
mod dynamic;
mod home;
mod many;
mod pump;
mod reader;
mod reports;
mod segmenting;
mod sockets;
mod start_query;
mod telling;
mod turns;
mod watch;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp_rtcp::Now;
use rtsp_server::{AskId, ConnId, Server, SessionId};
use tokio::sync::{Notify, mpsc};
use udp_batch::Receiver;

use crate::alarm::Alarm;
use crate::bus::{Bus, FromStream, Message, ToStream};
use crate::clock;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::load::Loads;
use crate::options::{ProxyOptions, StreamSetup};
use crate::registry::{Registry, StreamEntry, StreamId};
use crate::rtcp_routes::RtcpRoutes;

pub(crate) use sockets::ReaderPorts;

/// A shard as its tasks hold it.
pub(crate) type Shared = Rc<RefCell<Shard>>;

/// What a shard starts with.
pub(crate) struct Seat {
    pub(crate) me: usize,
    pub(crate) bus: Bus,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) registry: Registry,
    pub(crate) loads: Loads,
    pub(crate) ledger: Ledger,
    pub(crate) routes: RtcpRoutes,
    pub(crate) gate: Gate,
    pub(crate) options: Arc<ProxyOptions>,
    pub(crate) ports: ReaderPorts,
    pub(crate) homes: Vec<(StreamEntry, StreamSetup)>,
    pub(crate) seed: [u8; 32],
}

/// A shard's state. Its parts are in the modules beside this one.
pub(crate) struct Shard {
    this: Weak<RefCell<Self>>,
    me: usize,
    bus: Bus,
    registry: Registry,
    ledger: Ledger,
    routes: RtcpRoutes,
    gate: Gate,
    options: Arc<ProxyOptions>,
    server: Server,
    conns: HashMap<ConnId, conn::Conn>,
    sessions: HashMap<SessionId, reader::Session>,
    questions: HashMap<u64, reader::Question>,
    asked: HashMap<AskId, u64>,
    next_number: u64,
    homes: HashMap<StreamId, home::Home>,
    watches: HashMap<StreamId, watch::Watch>,
    sockets: sockets::ReaderSockets,
    receiver: Receiver,
    /// Messages that must not be lost, for shards whose inbox is full, in order. As many as their
    /// sessions and questions, which are bounded.
    backlog: Vec<VecDeque<Message>>,
    /// What this shard says to itself.
    local: VecDeque<Message>,
    pump: pump::Pump,
    /// For the server and the audiences; each home has its own.
    alarm: Rc<Alarm>,
    lost_on_bus: u64,
    cuts: budget::Cuts,
    stopping: bool,
    stopped: Rc<Notify>,
}

/// How long goodbyes may take.
const SHUTDOWN: Duration = Duration::from_millis(1500);
/// Messages taken from the bus in one step.
const BUS_STEP: usize = 256;

/// Runs a shard until it has been shut down.
pub(crate) async fn run(seat: Seat) -> std::io::Result<()> {
    let Seat { me, bus, inbox, registry, loads, ledger, routes, gate, options, ports, homes, seed } =
        seat;
    let sockets = sockets::ReaderSockets::new(ports)?;
    let shards = bus.len();
    let io_uring = options.io_uring;
    let mut server_options = options.server.clone();
    server_options.shard_tag = u8::try_from(me).unwrap_or(u8::MAX);
    let shard = Rc::new_cyclic(|this: &Weak<RefCell<Shard>>| {
        RefCell::new(Shard {
            this: Weak::clone(this),
            me,
            bus,
            registry,
            ledger,
            routes,
            gate,
            server: Server::new(server_options, seed),
            options,
            conns: HashMap::new(),
            sessions: HashMap::new(),
            questions: HashMap::new(),
            asked: HashMap::new(),
            next_number: 0,
            homes: HashMap::new(),
            watches: HashMap::new(),
            sockets,
            receiver: Receiver::new(),
            backlog: (0..shards).map(|_| VecDeque::new()).collect(),
            local: VecDeque::new(),
            pump: pump::Pump::new(io_uring),
            alarm: Rc::new(Alarm::default()),
            lost_on_bus: 0,
            cuts: budget::Cuts::default(),
            stopping: false,
            stopped: Rc::new(Notify::new()),
        })
    });
    let stopped = Rc::clone(&shard.borrow().stopped);
    tokio::task::spawn_local(read_bus(Rc::clone(&shard), inbox));
    tokio::task::spawn_local(ring(Rc::clone(&shard)));
    tokio::task::spawn_local(pump::run(Rc::clone(&shard)));
    tokio::task::spawn_local(measure_load(me, loads));
    sockets::spawn(&shard);
    for (entry, setup) in homes {
        let now = clock::now();
        let mut this = shard.borrow_mut();
        this.add_home(now, entry, setup);
        this.settle(now);
    }
    stopped.notified().await;
    // Backends get their TEARDOWN and readers their BYE; whoever takes longer is left.
    let deadline = clock::mono() + SHUTDOWN;
    while clock::mono() < deadline && !shard.borrow().is_quiet() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn read_bus(shard: Shared, mut inbox: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(BUS_STEP);
    while inbox.recv_many(&mut messages, BUS_STEP).await > 0 {
        let now = clock::now();
        let mut this = shard.borrow_mut();
        for message in messages.drain(..) {
            this.on_message(now, message);
        }
        this.settle(now);
    }
}

async fn ring(shard: Shared) {
    let alarm = Rc::clone(&shard.borrow().alarm);
    loop {
        alarm.ring().await;
        let now = clock::now();
        let mut this = shard.borrow_mut();
        this.on_alarm(now);
        this.settle(now);
    }
}

/// Hands over what had to wait, in order.
async fn post_later(shard: Shared, to: usize) {
    let bus = shard.borrow().bus.clone();
    loop {
        // It stays at the front until it is handed over, so that nothing overtakes it.
        let Some(room) = bus.room(to).await else { return };
        let mut this = shard.borrow_mut();
        let Some(waiting) = this.backlog.get_mut(to) else { return };
        if let Some(message) = waiting.pop_front() {
            room.send(message);
        }
        if waiting.is_empty() {
            return;
        }
    }
}

async fn measure_load(me: usize, loads: Loads) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last: Option<(Instant, Duration)> = None;
    loop {
        every.tick().await;
        let Some(busy) = clock::thread_cpu() else { return };
        let at = clock::mono();
        if let Some((then, before)) = last {
            let wall = at.saturating_duration_since(then).as_micros().max(1);
            let spent = busy.saturating_sub(before).as_micros();
            loads.report(me, u32::try_from(spent * 1000 / wall).unwrap_or(1000));
        }
        last = Some((at, busy));
    }
}

impl Shard {
    fn shared(&self) -> Option<Shared> {
        self.this.upgrade()
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn on_message(&mut self, now: Now, message: Message) {
        match message {
            Message::Connection(connection) => self.on_connection(now, *connection),
            Message::Open(id) => self.open_home(now, id),
            Message::ToStream(id, what) => self.on_to_stream(now, id, what),
            Message::FromStream(id, what) => self.on_from_stream(now, id, what),
            Message::Rtcp { from, report } => {
                self.server.on_rtcp_from(now.mono, from);
                if let Some((session, data)) = report {
                    self.on_reader_rtcp(now, session, &data);
                }
            }
            Message::PortTaken { session, port } => {
                // It may have claimed it again meanwhile.
                if self.routes.is_contested(port, session) {
                    self.server.port_taken(now.mono, session, port);
                }
            }
            Message::CutLogs => self.cut_logs(now),
            Message::Status => self.log_status(now),
            Message::Readers(to) => {
                // Who asked may have stopped waiting.
                let _gone = to.try_send(self.reader_statuses(now));
            }
            Message::Shutdown => self.shutdown(now),
        }
    }

    fn on_alarm(&mut self, now: Now) {
        self.server.handle_timeout(now.mono);
        self.watch_timeouts(now);
    }

    /// Carries messages between the cores until none is left, then serves readers in its turn.
    fn settle(&mut self, now: Now) {
        loop {
            while let Some(output) = self.server.poll_output() {
                self.on_server_output(now, output);
            }
            match self.local.pop_front() {
                Some(message) => self.on_message(now, message),
                None => break,
            }
        }
        self.alarm.want(self.server.poll_timeout());
        self.pump_for_a_while(now);
    }

    /// To the shard that pulls the stream, which may be this one.
    fn tell_home(&mut self, home: usize, id: StreamId, what: ToStream) {
        self.post(home, Message::ToStream(id, what));
    }

    /// A message that must not be lost.
    fn post(&mut self, shard: usize, message: Message) {
        if shard == self.me {
            return self.local.push_back(message);
        }
        let Some(waiting) = self.backlog.get_mut(shard) else { return };
        if !waiting.is_empty() {
            return waiting.push_back(message);
        }
        let Err(message) = self.bus.try_send(shard, message) else { return };
        waiting.push_back(message);
        if let Some(this) = self.shared() {
            tokio::task::spawn_local(post_later(this, shard));
        }
    }

    /// To a shard with readers. A batch is lost where that shard is too far behind.
    fn tell_shard(&mut self, now: Now, shard: usize, id: StreamId, what: FromStream) {
        if shard == self.me {
            match what {
                // Media takes the straight way: it asks nothing of the cores.
                FromStream::Publish(batch) => self.publish(now, id, batch),
                other => self.local.push_back(Message::FromStream(id, other)),
            }
            return;
        }
        match what {
            FromStream::Publish(batch) => {
                let message = Message::FromStream(id, FromStream::Publish(batch));
                let in_order = self.backlog.get(shard).is_none_or(VecDeque::is_empty);
                if !in_order || self.bus.try_send(shard, message).is_err() {
                    self.lost_on_bus += 1;
                    if self.lost_on_bus.is_power_of_two() {
                        tracing::warn!(
                            shard,
                            lost = self.lost_on_bus,
                            "a shard is too busy: batches for its readers were dropped; set `workers` higher in the configuration, or take a faster machine"
                        );
                    }
                }
            }
            other => self.post(shard, Message::FromStream(id, other)),
        }
    }

    fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        self.server.shutdown(now.mono);
        let ids: Vec<_> = self.homes.keys().copied().collect();
        for id in ids {
            if let Some(home) = self.homes.get_mut(&id) {
                home.stream.shutdown(now);
            }
            self.drive_home(now, id);
        }
        self.stopped.notify_one();
    }

    fn is_quiet(&self) -> bool {
        self.conns.is_empty() && self.homes.values().all(|home| home.stream.is_finished())
    }
}
