//! The sockets of a backend. What goes over them is decided by the backend client.

mod datagrams;
mod dial;
mod line;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_client::{Input, Output};
use proxy_session::StreamEvent;
use rtp_rtcp::Now;
use tokio::task::AbortHandle;

use self::datagrams::TrackSockets;
use self::dial::Goal;
use self::line::{Line, Role, Unread};
use super::Shard;
use crate::accounts::Account;
use crate::clock;
use crate::gate::Entry;
use crate::multicast::Membership;
use crate::options::StreamSetup;
use crate::reach::Reach;
use crate::registry::StreamId;

/// One backend's sockets.
pub(super) struct BackendIo {
    reach: Arc<Reach>,
    /// The host in the stream's URL.
    host: Arc<str>,
    main: Option<Rc<Line>>,
    post: Option<Rc<Line>>,
    connecting: Option<Task>,
    connecting_post: Option<Task>,
    /// Whose credentials the attempt shows, and how many rejections were known when it began.
    account: Option<(Account, u64)>,
    /// How long rejected credentials are kept back.
    pause: Duration,
    udp: HashMap<usize, TrackSockets>,
}

/// A task that ends when its owner is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BackendIo {
    pub(super) fn new(setup: &StreamSetup) -> Self {
        Self {
            reach: Arc::new(setup.reach.clone()),
            host: Arc::from(setup.options.backend.url.host.as_str()),
            main: None,
            post: None,
            connecting: None,
            connecting_post: None,
            account: None,
            pause: setup.options.backend.retry_unauthorized,
            udp: HashMap::new(),
        }
    }

    fn line(&self, role: Role) -> Option<&Rc<Line>> {
        match role {
            Role::Main => self.main.as_ref(),
            Role::Post => self.post.as_ref(),
        }
    }

    fn set_connecting(&mut self, role: Role, task: Option<Task>) {
        match role {
            Role::Main => self.connecting = task,
            Role::Post => self.connecting_post = task,
        }
    }

    /// Drops a connection, or the attempt to get one.
    fn close(&mut self, role: Role) {
        self.set_connecting(role, None);
        let line = match role {
            Role::Main => self.main.take(),
            Role::Post => self.post.take(),
        };
        if let Some(line) = line {
            line.close();
        }
    }
}

/// The tasks that serve the connections have a share in them.
impl Drop for BackendIo {
    fn drop(&mut self) {
        self.close(Role::Main);
        self.close(Role::Post);
    }
}

impl Shard {
    pub(super) fn on_backend_output(&mut self, now: Now, id: StreamId, output: Output) {
        match output {
            Output::Connect { host, port, tls, deadline } => {
                if let Some(goal) = self.goal(id, host, port, tls) {
                    self.connect(now, id, goal, deadline);
                }
            }
            Output::ConnectPost { host, port, tls, deadline } => {
                // A name may have several addresses, and the two have to meet.
                let peer = self.homes.get(&id).and_then(|home| home.io.main.as_ref()?.peer().ok());
                if let Some(goal) = self.goal(id, host, port, tls) {
                    let goal = Goal { address: peer, ..goal };
                    self.spawn_dial(id, Role::Post, goal, deadline, None);
                }
            }
            Output::Send(bytes) => self.send_to_backend(now, id, Role::Main, &bytes),
            Output::SendPost(bytes) => self.send_to_backend(now, id, Role::Post, &bytes),
            Output::Close => self.close_backend(id, Role::Main),
            Output::ClosePost => self.close_backend(id, Role::Post),
            Output::BindUdp { track } => {
                let input = match self.bind_udp(id, track) {
                    Ok(rtp_port) => Input::UdpBound { track, rtp_port },
                    Err(error) => Input::UdpBindFailed { track, why: error.to_string() },
                };
                self.backend_input(now, id, input);
            }
            Output::JoinMulticast { track, group, rtp_port, rtcp_port, source, ttl } => {
                let member = Membership { group, rtp_port, rtcp_port, source, ttl };
                let input = match self.join_group(id, track, &member) {
                    Ok(()) => Input::UdpBound { track, rtp_port },
                    Err(error) => {
                        let why = format!("cannot join {group}: {error}");
                        Input::UdpBindFailed { track, why }
                    }
                };
                self.backend_input(now, id, input);
            }
            Output::ConnectUdp { track, rtp, rtcp } => {
                if let Some(sockets) = self.track_sockets(id, track) {
                    sockets.connect(rtp, rtcp);
                }
            }
            Output::SendDatagram { track, rtcp, data } => {
                if let Some(sockets) = self.track_sockets(id, track) {
                    sockets.send(rtcp, &data);
                }
            }
            Output::CloseUdp => {
                if let Some(home) = self.homes.get_mut(&id) {
                    home.io.udp.clear();
                }
            }
            Output::Event(_) => {}
        }
    }

    fn track_sockets(&mut self, id: StreamId, track: usize) -> Option<&mut TrackSockets> {
        self.homes.get_mut(&id)?.io.udp.get_mut(&track)
    }

    fn goal(&self, id: StreamId, host: String, port: u16, tls: bool) -> Option<Goal> {
        let home = self.homes.get(&id)?;
        Some(Goal {
            stream: Arc::clone(&home.entry.name),
            host,
            port,
            tls,
            address: None,
            reach: Arc::clone(&home.io.reach),
            own_host: Arc::clone(&home.io.host),
        })
    }

    /// The first connection of an attempt: not all streams of one host at once.
    fn connect(&mut self, now: Now, id: StreamId, goal: Goal, deadline: Duration) {
        if let Some(until) = self.locked_until(now, id, &goal) {
            return self.backend_input(now, id, Input::Locked { until });
        }
        let entry = self.gate.enter(&goal.host);
        if matches!(entry, Entry::Later(_)) {
            self.backend_input(now, id, Input::Queued);
        }
        self.spawn_dial(id, Role::Main, goal, deadline, Some(entry));
    }

    /// Until when the credentials of an attempt are kept from a host, whichever stream it rejected
    /// them of.
    fn locked_until(&mut self, now: Now, id: StreamId, goal: &Goal) -> Option<Instant> {
        let accounts = &self.gate.accounts;
        let home = self.homes.get_mut(&id)?;
        let credentials = home.stream.credentials();
        home.io.account = credentials
            .map(|(shown, rejected)| (accounts.of(&goal.host, goal.port, shown), rejected));
        let (account, _) = home.io.account?;
        accounts.locked_until(now.mono, account)
    }

    /// Notes what the backend thinks of the credentials that it was shown.
    pub(super) fn judge_account(&mut self, now: Now, id: StreamId, event: &StreamEvent) {
        let accounts = &self.gate.accounts;
        let Some(home) = self.homes.get_mut(&id) else { return };
        let Some((account, known)) = &mut home.io.account else { return };
        let rejected = home.stream.credentials().map_or(*known, |(_, rejected)| rejected);
        let more = u32::try_from(rejected.saturating_sub(*known)).unwrap_or(u32::MAX);
        *known = rejected;
        match event {
            StreamEvent::Described { .. } => accounts.accepted(*account),
            _ if more > 0 => accounts.rejected(now.mono, *account, more, home.io.pause),
            _ => {}
        }
    }

    fn spawn_dial(
        &mut self,
        id: StreamId,
        role: Role,
        goal: Goal,
        deadline: Duration,
        entry: Option<Entry>,
    ) {
        let Some(shard) = self.shared() else { return };
        let task = tokio::task::spawn_local(async move {
            let _turn = match entry {
                Some(Entry::Now(turn)) => Some(turn),
                Some(Entry::Later(wait)) => {
                    let turn = wait.turn().await;
                    let now = clock::now();
                    let mut this = shard.borrow_mut();
                    // Those before it may have learnt that it is in vain.
                    let locked = this.locked_until(now, id, &goal);
                    this.backend_input(
                        now,
                        id,
                        locked.map_or(Input::Dialling, |until| Input::Locked { until }),
                    );
                    this.drive_home(now, id);
                    this.settle(now);
                    if locked.is_some() {
                        return;
                    }
                    turn
                }
                None => None,
            };
            let result = dial::dial(&goal, deadline).await;
            let now = clock::now();
            let mut this = shard.borrow_mut();
            let Some(home) = this.homes.get_mut(&id) else { return };
            let input = match (result, role) {
                (Ok((line, local, peer)), _) => {
                    let line = Rc::new(line);
                    tokio::task::spawn_local(line::run(
                        Rc::clone(&shard),
                        id,
                        role,
                        Rc::clone(&line),
                    ));
                    match role {
                        Role::Main => {
                            home.io.main = Some(line);
                            Input::Connected { local, peer }
                        }
                        Role::Post => {
                            home.io.post = Some(line);
                            Input::PostConnected
                        }
                    }
                }
                (Err(error), Role::Main) => Input::ConnectFailed { why: error.to_string() },
                (Err(error), Role::Post) => Input::PostFailed { why: error.to_string() },
            };
            this.backend_input(now, id, input);
            this.drive_home(now, id);
            this.settle(now);
        });
        if let Some(home) = self.homes.get_mut(&id) {
            home.io.set_connecting(role, Some(Task(task.abort_handle())));
        }
    }

    fn send_to_backend(&mut self, now: Now, id: StreamId, role: Role, bytes: &[u8]) {
        let Some(home) = self.homes.get(&id) else { return };
        let Some(line) = home.io.line(role) else { return };
        if let Err(Unread) = line.send(bytes) {
            let why = "it does not read what it is sent".to_owned();
            let input = match role {
                Role::Main => Input::Closed { why: Some(why) },
                Role::Post => Input::PostClosed,
            };
            self.backend_input(now, id, input);
        }
    }

    fn close_backend(&mut self, id: StreamId, role: Role) {
        if let Some(home) = self.homes.get_mut(&id) {
            home.io.close(role);
        }
    }
}
