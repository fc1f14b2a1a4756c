//! A client under test, a shell for it that does what it is told, and a scripted camera behind it,
//! all in virtual time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use backend_client::{BackendClient, Demand, Event, IdlePolicy, Input, Options, Output, Phase};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use rtp_rtcp::{Now, NtpTime};
use rtsp_proto::session::SessionHeader;
use rtsp_proto::url::RtspUrl;
use rtsp_proto::{Decoder, Frame, Limits, Role, StatusCode};

use crate::camera::{Camera, Reply, Request};

pub(crate) const PEER: &str = "192.0.2.7:554";

pub(crate) struct Rig {
    pub(crate) client: BackendClient,
    pub(crate) camera: Camera,
    pub(crate) now: Now,
    begin: Instant,
    floor: Duration,
    request_timeout: Duration,
    idle_close: bool,
    pub(crate) demand: Demand,
    /// What goes to the client, and when.
    mail: VecDeque<(Instant, Mail)>,
    /// The connections asked for, and when.
    pub(crate) connects: Vec<(Duration, String, u16)>,
    connected: bool,
    /// The request under way on this connection, by when it is overdue.
    under_way: Option<(Request, Instant)>,
    pub(crate) requests: Vec<(Duration, Request)>,
    /// Answers to the camera's own requests.
    pub(crate) responses: Vec<String>,
    pub(crate) interleaved: Vec<(u8, Bytes)>,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) datagrams: Vec<(usize, bool, Bytes)>,
    pub(crate) udp_peers: Vec<(usize, SocketAddr, SocketAddr)>,
    pub(crate) binds: Vec<usize>,
    /// The second connections asked for, and when.
    pub(crate) posts: Vec<(Duration, String, u16)>,
    post: Post,
    /// What is left of the body that the POST said it has, once it has said so.
    body: Option<usize>,
    /// What came of a message in a POST's body.
    encoded: String,
    /// The heads of the requests to the web server.
    pub(crate) web: Vec<String>,
    /// Tracks, groups, senders and reach.
    pub(crate) joins: Vec<(usize, SocketAddr, Option<IpAddr>, u8)>,
    pub(crate) closes: usize,
    pub(crate) closed_udp: usize,
    /// What the client has not taken out yet.
    inbox: BytesMut,
    bound: Vec<usize>,
    redirected: bool,
    next_media: Instant,
    /// Ports cannot be bound.
    pub(crate) no_ports: bool,
    seen: Seen,
}

/// What the checks need to know.
struct Seen {
    at_once: u32,
    last_turn: Option<Instant>,
    /// The connection as the client reads it.
    decoder: Decoder,
    stream: BytesMut,
    /// The camera granted a session over this connection, and has not been asked to end it.
    session: bool,
    /// The numbers of requests that were followed by another before they were answered.
    given_up: Vec<String>,
}

impl Seen {
    fn new() -> Self {
        let decoder = Decoder::new(Limits::default(), Role::Client);
        Self {
            at_once: 0,
            last_turn: None,
            decoder,
            stream: BytesMut::new(),
            session: false,
            given_up: Vec::new(),
        }
    }
}

/// The second connection of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    Closed,
    Opening,
    Open,
}

enum Mail {
    Bytes(Bytes),
    /// From the web server.
    Web(Bytes),
    Closed,
    Connected,
    PostConnected,
    Refused,
    Locked(Instant),
}

pub(crate) fn options(url: &str) -> Options {
    let mut options = Options::new(RtspUrl::parse(url).expect("a URL"));
    options.user_agent = "test".to_owned();
    options
}

pub(crate) fn tcp() -> Options {
    let mut options = options("rtsp://cam/live");
    options.transport = backend_client::TransportChoice::Tcp;
    options
}

pub(crate) fn udp() -> Options {
    options("rtsp://cam/live")
}

pub(crate) fn origin() -> Now {
    use std::sync::OnceLock;
    static BASE: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
    let mono = *BASE.get_or_init(Instant::now);
    Now { mono, wall: NtpTime::from_unix(Duration::from_secs(1_700_000_000)) }
}

pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl Rig {
    pub(crate) fn new(options: Options, camera: Camera) -> Self {
        Self::seeded(options, camera, 1)
    }

    pub(crate) fn seeded(options: Options, camera: Camera, seed: u64) -> Self {
        let now = origin();
        let floor = options.retry_min;
        let request_timeout = options.request_timeout;
        let idle_close = options.idle == IdlePolicy::Close;
        let mut rig = Self {
            client: BackendClient::new(now, options, seed),
            camera,
            now,
            begin: now.mono,
            floor,
            request_timeout,
            idle_close,
            demand: Demand::Idle,
            mail: VecDeque::new(),
            connects: Vec::new(),
            connected: false,
            under_way: None,
            requests: Vec::new(),
            responses: Vec::new(),
            interleaved: Vec::new(),
            events: Vec::new(),
            datagrams: Vec::new(),
            udp_peers: Vec::new(),
            binds: Vec::new(),
            posts: Vec::new(),
            post: Post::Closed,
            body: None,
            encoded: String::new(),
            web: Vec::new(),
            joins: Vec::new(),
            closes: 0,
            closed_udp: 0,
            inbox: BytesMut::new(),
            bound: Vec::new(),
            redirected: false,
            next_media: now.mono,
            no_ports: false,
            seen: Seen::new(),
        };
        rig.drain();
        rig
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.mono - self.begin
    }

    pub(crate) fn demand(&mut self, demand: Demand) {
        self.demand = demand;
        self.client.set_demand(self.now, demand);
        self.drain();
    }

    pub(crate) fn retry_now(&mut self) {
        self.client.retry_now(self.now);
        self.drain();
    }

    pub(crate) fn set_held(&mut self, held: bool) {
        self.client.set_held(self.now, held);
        self.drain();
    }

    pub(crate) fn want(&mut self, tracks: &[usize]) {
        self.client.want_tracks(self.now, tracks.iter().copied());
        self.drain();
    }

    pub(crate) fn return_to_first(&mut self) {
        self.client.return_to_first(self.now);
        self.drain();
    }

    pub(crate) fn shutdown(&mut self) {
        self.client.shutdown(self.now);
        self.drain();
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn report(&mut self, track: usize) {
        self.client.send_rtcp(track, Bytes::from_static(b"report"));
        self.drain();
    }

    /// Bytes from the camera, right now.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if !self.connected {
            return;
        }
        self.note_answer(bytes);
        self.redirected |= bytes.starts_with(b"REDIRECT");
        self.inbox.extend_from_slice(bytes);
        self.client.handle(self.now, Input::Stream(&mut self.inbox));
        self.drain();
    }

    /// An answer ends what is under way, unless it answers something given up before.
    fn note_answer(&mut self, bytes: &[u8]) {
        self.seen.stream.extend_from_slice(bytes);
        while let Ok(Some(frame)) = self.seen.decoder.decode(&mut self.seen.stream) {
            self.note_frame(frame);
        }
    }

    fn note_frame(&mut self, frame: Frame) {
        let Frame::Response(response) = frame else { return };
        if response.status.is_provisional() {
            return;
        }
        let cseq = response.cseq().map(|cseq| cseq.to_string());
        let Some((request, _)) = &self.under_way else { return };
        let current = cseq.as_deref() == request.header("CSeq");
        if response.status == StatusCode::SESSION_NOT_FOUND {
            self.seen.session = false;
        }
        let late = cseq.is_some_and(|cseq| self.seen.given_up.contains(&cseq));
        if current || !late {
            let named = response.headers.get("Session").and_then(SessionHeader::parse);
            let granted = response.status.is_success() && named.is_some();
            self.seen.session |= granted && request.method == "SETUP";
            self.under_way = None;
        }
    }

    /// The camera closes the connection, right now.
    pub(crate) fn close(&mut self) {
        if self.connected {
            self.disconnect();
            self.client.handle(self.now, Input::Closed { why: None });
            self.drain();
        }
    }

    pub(crate) fn datagram(&mut self, track: usize, rtcp: bool, from: &str, data: &[u8]) {
        let from = from.parse().expect("an address");
        let data = Bytes::copy_from_slice(data);
        self.handle(Input::Datagram { track, rtcp, from, data });
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        loop {
            let mail = self.mail.iter().map(|(at, _)| *at).min();
            let media = self.camera.is_sending().then_some(self.next_media);
            let due = [self.client.poll_timeout(), mail, media].into_iter().flatten().min();
            let at = due.unwrap_or(end).max(self.now.mono);
            if at > end {
                break;
            }
            self.now = self.now.after(at - self.now.mono);
            self.turn();
            if self.now.mono == end && due.is_none_or(|due| due > end) {
                break;
            }
        }
        self.now = self.now.after(end.saturating_duration_since(self.now.mono));
    }

    fn turn(&mut self) {
        if self.seen.last_turn == Some(self.now.mono) {
            self.seen.at_once += 1;
            assert!(
                self.seen.at_once < 500,
                "no end at {:?}: {}",
                self.elapsed(),
                self.client.state()
            );
        } else {
            self.seen.at_once = 0;
            self.seen.last_turn = Some(self.now.mono);
        }
        if let Some(place) = self.mail.iter().position(|(at, _)| *at <= self.now.mono) {
            let mail = self.mail.remove(place).expect("it is there").1;
            self.deliver(mail);
            return;
        }
        if self.camera.is_sending() && self.next_media <= self.now.mono {
            self.next_media = self.now.mono + self.camera.pace;
            self.media();
            return;
        }
        if self.client.poll_timeout().is_some_and(|due| due <= self.now.mono) {
            self.client.handle_timeout(self.now);
            self.drain();
        }
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Bytes(bytes) => self.bytes(&bytes),
            Mail::Web(bytes) => {
                self.inbox.extend_from_slice(&bytes);
                self.client.handle(self.now, Input::Stream(&mut self.inbox));
                self.drain();
            }
            Mail::Closed => self.close(),
            Mail::Connected => {
                self.connected = true;
                let local = "192.0.2.1:5000".parse().expect("an address");
                let peer = PEER.parse().expect("an address");
                self.handle(Input::Connected { local, peer });
            }
            Mail::PostConnected => {
                if self.post == Post::Opening {
                    self.post = Post::Open;
                    self.handle(Input::PostConnected);
                }
            }
            Mail::Locked(until) => self.handle(Input::Locked { until }),
            Mail::Refused => self.handle(Input::ConnectFailed { why: "refused".to_owned() }),
        }
    }

    fn media(&mut self) {
        for (track, channel) in self.camera.streams() {
            let packet = self.camera.packet(track);
            match channel {
                Some(channel) => {
                    let mut frame = vec![b'$', channel, 0, packet.len() as u8];
                    frame.extend_from_slice(&packet);
                    self.bytes(&frame);
                }
                None if self.bound.contains(&track) && !self.camera.udp_blocked => {
                    self.datagram(track, false, "192.0.2.7:6000", &packet);
                }
                None => {}
            }
        }
    }

    /// The camera closes the second connection, right now.
    pub(crate) fn end_post(&mut self) {
        if self.post == Post::Open {
            self.close_post();
            self.handle(Input::PostClosed);
        }
    }

    fn close_post(&mut self) {
        self.post = Post::Closed;
        self.body = None;
        self.encoded.clear();
    }

    /// What came over the second connection: the head of the POST, then messages in base64.
    fn posted(&mut self, bytes: &[u8]) {
        assert_eq!(self.post, Post::Open, "sent without a POST");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let Some(left) = &mut self.body else {
            let length = text.split_once("Content-Length: ").expect("a length").1;
            let length = length.split_once("\r\n").expect("a line").0;
            self.body = Some(length.parse().expect("a number"));
            self.web.push(text);
            return;
        };
        *left = left.checked_sub(text.len()).expect("a body as long as was said");
        self.encoded.push_str(&text);
        let message = BASE64_STANDARD.decode(std::mem::take(&mut self.encoded)).expect("base64");
        self.sent(&message);
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.under_way = None;
        self.inbox.clear();
        self.seen = Seen::new();
        self.mail.clear();
        self.camera.disconnect();
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.client.poll_output() {
            outputs += 1;
            assert!(outputs < 10_000, "outputs without end");
            self.perform(output);
        }
        if self.client.is_finished() {
            assert!(!self.connected, "finished with a connection");
        } else {
            let retired = self.idle_close
                && self.demand == Demand::Idle
                && self.client.state() == Phase::Described
                && !self.connected;
            let timed = self.client.poll_timeout().is_some();
            assert!(timed || retired, "{} has no timer", self.client.state());
        }
    }

    fn perform(&mut self, output: Output) {
        let at = self.elapsed();
        match output {
            Output::Connect { host, port, .. } => {
                assert!(!self.connected, "a second connection");
                if let Some((before, ..)) = self.connects.last()
                    && !std::mem::take(&mut self.redirected)
                {
                    assert!(at - *before >= self.floor, "an attempt under the floor");
                }
                let there = self.camera.up && !self.camera.absent.contains(&host);
                self.connects.push((at, host, port));
                let answer = match self.camera.locked.take() {
                    Some(time) => Mail::Locked(self.now.mono + time),
                    None if there => Mail::Connected,
                    None => Mail::Refused,
                };
                if !self.camera.mute {
                    self.mail.push_back((self.now.mono + self.camera.delay, answer));
                }
            }
            Output::Send(bytes) => self.sent(&bytes),
            Output::Close => {
                self.closes += 1;
                self.disconnect();
            }
            Output::ConnectPost { host, port, .. } => {
                assert!(self.connected && self.post == Post::Closed, "a second POST");
                self.posts.push((at, host, port));
                self.post = Post::Opening;
                if !self.camera.no_post {
                    self.mail.push_back((self.now.mono + self.camera.delay, Mail::PostConnected));
                }
            }
            Output::SendPost(bytes) => self.posted(&bytes),
            Output::ClosePost => {
                assert!(self.post != Post::Closed, "no POST to close");
                self.close_post();
            }
            Output::JoinMulticast { track, group, rtp_port, source, ttl, .. } => {
                self.joins.push((track, SocketAddr::new(group, rtp_port), source, ttl));
                if self.no_ports {
                    self.handle(Input::UdpBindFailed { track, why: "no route".to_owned() });
                } else if !self.camera.mute_shell {
                    self.bound.push(track);
                    self.handle(Input::UdpBound { track, rtp_port });
                }
            }
            Output::BindUdp { track } => {
                self.binds.push(track);
                if self.no_ports {
                    self.handle(Input::UdpBindFailed { track, why: "none left".to_owned() });
                } else if !self.camera.mute_shell {
                    self.bound.push(track);
                    let rtp_port = 40_000 + 2 * track as u16;
                    self.handle(Input::UdpBound { track, rtp_port });
                }
            }
            Output::ConnectUdp { track, rtp, rtcp } => self.udp_peers.push((track, rtp, rtcp)),
            Output::SendDatagram { track, rtcp, data } => self.datagrams.push((track, rtcp, data)),
            Output::CloseUdp => {
                self.closed_udp += 1;
                self.bound.clear();
            }
            Output::Event(event) => self.events.push((at, event)),
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        assert!(self.connected, "sent without a connection");
        if let Some((&[b'$', channel, ..], data)) = bytes.split_first_chunk::<4>() {
            self.interleaved.push((channel, Bytes::copy_from_slice(data)));
            return;
        }
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        if text.starts_with("GET ") && text.contains("x-sessioncookie") {
            self.web.push(text);
            if let Some(answer) = self.camera.answer_get() {
                self.redirected |= !answer.starts_with("HTTP/1.0 200");
                let at = self.now.mono + self.camera.delay;
                self.mail.push_back((at, Mail::Web(Bytes::from(answer))));
            }
            return;
        }
        if text.starts_with("RTSP/") {
            self.responses.push(text);
            return;
        }
        let request = Request::parse(&text);
        // The client may have taken what came of a message for all of it.
        if let Some(frame) = self.seen.decoder.finish(&mut self.seen.stream) {
            self.note_frame(frame);
        }
        if let Some((before, overdue)) = &self.under_way {
            // What came of a message may have been taken for all of it.
            let unfinished = !self.seen.stream.is_empty();
            assert!(
                unfinished
                    // Its time began when it was queued.
                    || !self.posts.is_empty()
                    || [&request, before].iter().any(|r| r.method == "TEARDOWN")
                    || *overdue <= self.now.mono,
                "{} while {} is under way",
                request.method,
                before.method
            );
        }
        let anew = request.method == "SETUP" && request.header("Session").is_none();
        let unfinished = !self.seen.stream.is_empty();
        assert!(unfinished || !(anew && self.seen.session), "a second session");
        self.seen.session &= request.method != "TEARDOWN";
        assert!(request.method != "PLAY" || self.demand == Demand::Playing, "PLAY for nobody");
        let overdue = self.now.mono + self.request_timeout;
        if let Some((before, _)) = self.under_way.replace((request.clone(), overdue)) {
            self.seen.given_up.extend(before.header("CSeq").map(str::to_owned));
        }
        self.requests.push((self.elapsed(), request.clone()));
        for (delay, reply) in self.camera.answer(&request) {
            let at = self.now.mono + delay;
            match reply {
                Reply::Bytes(bytes) => {
                    self.redirected |= bytes.starts_with(b"RTSP/1.0 30");
                    self.mail.push_back((at, Mail::Bytes(bytes)));
                }
                Reply::Close => self.mail.push_back((at, Mail::Closed)),
            }
        }
    }
}
