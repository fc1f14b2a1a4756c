//! A stream, a shell for it that does what it is told, and a scripted camera behind it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use backend_client::{Input, TransportChoice};
use bytes::{Bytes, BytesMut};
use fan_out::{EntryKind, Start, TrackId, TrackMask, WireBatch};
use proxy_session::{
    Ask, Delivery, OnBackendLoss, Output, ReaderId, Refusal, Reply, Stream, StreamEvent,
    StreamOptions, Ticket, Welcome,
};
use rtp_rtcp::{Now, NtpTime, RtcpPacket, SenderInfo};
use rtsp_proto::url::RtspUrl;

use crate::camera::{Answer, Camera, DELAY};
use crate::media::{Got, Packet};

/// What came out of a stream for readers and the operator, and when.
pub(crate) type Said = (Duration, Output);

pub(crate) struct Rig {
    pub(crate) stream: Stream,
    pub(crate) camera: Camera,
    pub(crate) now: Now,
    begin: Instant,
    mail: VecDeque<(Instant, Mail)>,
    is_connected: bool,
    inbox: BytesMut,
    pub(crate) said: Vec<Said>,
    /// RTCP to the backend.
    pub(crate) reported: Vec<(Duration, Bytes)>,
    /// How much of it had been said at each TEARDOWN.
    pub(crate) torn_down: Vec<usize>,
    pub(crate) connects: Vec<Duration>,
    /// The last one that was to be connected to.
    pub(crate) host: String,
    tickets: u64,
}

enum Mail {
    Text(String),
    Connected,
    Refused,
}

pub(crate) fn options() -> StreamOptions {
    let url = RtspUrl::parse("rtsp://cam/live").expect("a URL");
    let mut backend = backend_client::Options::new(url);
    backend.transport = TransportChoice::Tcp;
    StreamOptions::new(backend)
}

/// The options of a stream that ends its readers with its backend.
pub(crate) fn closing(options: StreamOptions) -> StreamOptions {
    StreamOptions { on_backend_loss: OnBackendLoss::Close, ..options }
}

pub(crate) fn udp() -> StreamOptions {
    let mut options = options();
    options.backend.transport = TransportChoice::Auto;
    options
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Both tracks of the usual camera.
pub(crate) fn both() -> TrackMask {
    [TrackId(0), TrackId(1)].into_iter().collect()
}

pub(crate) fn set_up(track: u8) -> Ask {
    Ask::SetUp { track: TrackId(track) }
}

pub(crate) fn play() -> Ask {
    play_of(both())
}

/// PLAY of a reader that begins with the next key frame.
pub(crate) fn play_of(tracks: TrackMask) -> Ask {
    Ask::Play { tracks, start: Start::KeyFrame, delivery: Delivery::Tcp }
}

/// PLAY of a reader that begins at once.
pub(crate) fn play_instant() -> Ask {
    Ask::Play { tracks: both(), start: Start::Instant, delivery: Delivery::Tcp }
}

fn origin() -> Now {
    static BASE: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
    let mono = *BASE.get_or_init(Instant::now);
    Now { mono, wall: NtpTime::from_unix(secs(1_700_000_000)) }
}

impl Rig {
    pub(crate) fn new(options: StreamOptions, camera: Camera) -> Self {
        Self::seeded(options, camera, 5)
    }

    pub(crate) fn seeded(options: StreamOptions, camera: Camera, seed: u64) -> Self {
        let now = origin();
        let mut rig = Self {
            stream: Stream::new(now, "front", options, seed),
            camera,
            now,
            begin: now.mono,
            mail: VecDeque::new(),
            is_connected: false,
            inbox: BytesMut::new(),
            said: Vec::new(),
            reported: Vec::new(),
            torn_down: Vec::new(),
            connects: Vec::new(),
            host: String::new(),
            tickets: 0,
        };
        rig.drain();
        rig
    }

    /// A rig whose camera has been described.
    pub(crate) fn described(options: StreamOptions, camera: Camera) -> Self {
        let mut rig = Self::new(options, camera);
        rig.run(ms(100));
        assert!(rig.stream.description().is_some());
        rig
    }

    /// The same with reader 1 playing both tracks.
    pub(crate) fn playing(options: StreamOptions) -> Self {
        let mut rig = Self::described(options, Camera::default());
        rig.play(1);
        rig
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.mono - self.begin
    }

    // What readers do.

    pub(crate) fn ask(&mut self, reader: u64, ask: Ask) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.stream.ask(self.now, ticket, ReaderId(reader), ask);
        self.drain();
        ticket
    }

    pub(crate) fn leave(&mut self, reader: u64) {
        self.stream.leave(self.now, ReaderId(reader));
        self.drain();
    }

    pub(crate) fn pause(&mut self, reader: u64) {
        self.stream.pause(self.now, ReaderId(reader));
        self.drain();
    }

    pub(crate) fn join(&mut self) {
        self.stream.joined();
        self.drain();
    }

    pub(crate) fn shutdown(&mut self) {
        self.stream.shutdown(self.now);
        self.drain();
    }

    /// Sets up both tracks.
    pub(crate) fn prepare(&mut self, reader: u64) {
        for track in 0..2 {
            let ticket = self.ask(reader, set_up(track));
            self.run(ms(50));
            assert!(matches!(self.reply(ticket), Some(Reply::SetUp { .. })));
        }
    }

    /// Sets up and plays both tracks, and joins.
    pub(crate) fn play(&mut self, reader: u64) -> Welcome {
        self.prepare(reader);
        let ticket = self.ask(reader, play());
        self.run(ms(50));
        let welcome = self.welcome(ticket);
        self.join();
        welcome
    }

    // What the backend does.

    /// Bytes of its connection, all of one wake-up.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.is_connected {
            self.inbox.extend_from_slice(bytes);
            self.stream.handle(self.now, Input::Stream(&mut self.inbox));
            self.drain();
        }
    }

    /// Packets, of their tracks, all of one wake-up, over whatever was set up.
    pub(crate) fn send(&mut self, packets: &[(usize, Packet)]) {
        let packets: Vec<_> =
            packets.iter().map(|(track, packet)| (*track, packet.bytes())).collect();
        self.send_raw(&packets);
    }

    pub(crate) fn send_raw(&mut self, packets: &[(usize, Bytes)]) {
        let mut frames = Vec::new();
        for (track, data) in packets {
            match self.camera.tracks.iter().find(|(known, _)| known == track) {
                Some((_, Some(channel))) => {
                    frames.extend_from_slice(&[b'$', *channel]);
                    frames.extend_from_slice(&(data.len() as u16).to_be_bytes());
                    frames.extend_from_slice(data);
                }
                Some((_, None)) => {
                    let (track, data) = (*track, data.clone());
                    let from = SocketAddr::from(([192, 0, 2, 7], 6000));
                    let input = Input::Datagram { track, rtcp: false, from, data };
                    self.stream.handle(self.now, input);
                }
                None => {}
            }
        }
        self.bytes(&frames);
        self.drain();
    }

    /// A compound packet on a track's way for RTCP.
    pub(crate) fn send_rtcp(&mut self, track: usize, data: Bytes) {
        match self.camera.tracks.iter().find(|(known, _)| *known == track) {
            Some((_, Some(channel))) => {
                let length = u16::try_from(data.len()).expect("a packet");
                let mut frame = vec![b'$', channel + 1];
                frame.extend_from_slice(&length.to_be_bytes());
                frame.extend_from_slice(&data);
                self.bytes(&frame);
            }
            Some((_, None)) => {
                let from = SocketAddr::from(([192, 0, 2, 7], 6001));
                let input = Input::Datagram { track, rtcp: true, from, data };
                self.stream.handle(self.now, input);
                self.drain();
            }
            None => {}
        }
    }

    /// Somebody is, or is not, where the stream asked.
    pub(crate) fn probed(&mut self, is_there: bool) {
        self.stream.probed(self.now, is_there);
        self.drain();
    }

    /// The host's wall clock is set; negative for backwards.
    pub(crate) fn set_clock(&mut self, by: i64) {
        let bits = self.now.wall.bits().wrapping_add((by << 32).cast_unsigned());
        self.now.wall = NtpTime::from_bits(bits);
    }

    pub(crate) fn close(&mut self) {
        if self.is_connected {
            self.disconnect();
            self.stream.handle(self.now, Input::Closed { why: None });
            self.drain();
        }
    }

    // Time and the shell.

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        let mut turns = 0;
        loop {
            let mail = self.mail.iter().map(|(at, _)| *at).min();
            let due = [self.stream.poll_timeout(), mail].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            if at > self.now.mono {
                self.now = self.now.after(at - self.now.mono);
                turns = 0;
            }
            turns += 1;
            assert!(turns < 200, "no end at {:?}", self.elapsed());
            if let Some(place) = self.mail.iter().position(|(at, _)| *at <= self.now.mono) {
                let (_, mail) = self.mail.remove(place).expect("it is there");
                self.deliver(mail);
            } else {
                self.stream.handle_timeout(self.now);
                self.drain();
            }
        }
        self.now = self.now.after(end - self.now.mono);
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::Text(text) => self.bytes(text.as_bytes()),
            Mail::Connected => {
                self.is_connected = true;
                let local = SocketAddr::from(([192, 0, 2, 1], 5000));
                let peer = SocketAddr::from(([192, 0, 2, 7], 554));
                self.stream.handle(self.now, Input::Connected { local, peer });
                self.drain();
            }
            Mail::Refused => {
                let why = "refused".to_owned();
                self.stream.handle(self.now, Input::ConnectFailed { why });
                self.drain();
            }
        }
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.inbox.clear();
        self.mail.clear();
        self.camera.disconnect();
    }

    fn drain(&mut self) {
        self.stream.flush(self.now);
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Backend(output) => self.perform(output),
                output => self.said.push((self.elapsed(), output)),
            }
        }
    }

    fn perform(&mut self, output: backend_client::Output) {
        use backend_client::Output as Backend;
        match output {
            Backend::Connect { host, .. } => {
                self.connects.push(self.elapsed());
                let is_there = self.camera.is_up && host != self.camera.missing;
                self.host = host;
                let answer = if is_there { Mail::Connected } else { Mail::Refused };
                self.mail.push_back((self.now.mono + DELAY, answer));
            }
            Backend::Send(bytes) if bytes.first() == Some(&b'$') => {
                self.reported.push((self.elapsed(), bytes.slice(4..)));
            }
            // Answers to the camera's own requests.
            Backend::Send(bytes) if bytes.starts_with(b"RTSP/") => {}
            Backend::Send(bytes) => {
                let request = String::from_utf8(bytes.to_vec()).expect("text");
                if request.starts_with("TEARDOWN") {
                    self.torn_down.push(self.reported.len());
                }
                let (delay, answer) = self.camera.answer(&request);
                let at = self.now.mono + delay;
                match answer {
                    Answer::Text(text) => self.mail.push_back((at, Mail::Text(text))),
                    Answer::Nothing => {}
                }
            }
            Backend::Close => self.disconnect(),
            Backend::BindUdp { track } => {
                let rtp_port = 40_000 + 2 * track as u16;
                self.stream.handle(self.now, Input::UdpBound { track, rtp_port });
            }
            Backend::SendDatagram { rtcp: true, data, .. } => {
                self.reported.push((self.elapsed(), data));
            }
            _ => {}
        }
    }

    // What tests look at.

    fn replies(&self, ticket: Ticket) -> impl Iterator<Item = (Duration, &Reply)> {
        self.said.iter().filter_map(move |(at, output)| match output {
            Output::Reply { to, reply } if *to == ticket => Some((*at, reply)),
            _ => None,
        })
    }

    pub(crate) fn reply(&self, ticket: Ticket) -> Option<&Reply> {
        assert!(self.replies(ticket).count() <= 1, "answered twice");
        self.replies(ticket).next().map(|(_, reply)| reply)
    }

    /// When a question was answered.
    pub(crate) fn replied_at(&self, ticket: Ticket) -> Option<Duration> {
        self.replies(ticket).next().map(|(at, _)| at)
    }

    pub(crate) fn refusal(&self, ticket: Ticket) -> Refusal {
        match self.reply(ticket) {
            Some(Reply::Refused(refusal)) => refusal.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The status of a refusal, and whether it says when to ask again.
    pub(crate) fn refused(&self, ticket: Ticket) -> (u16, bool) {
        let refusal = self.refusal(ticket);
        (refusal.status.0, refusal.retry_after.is_some())
    }

    pub(crate) fn welcome(&self, ticket: Ticket) -> Welcome {
        match self.reply(ticket) {
            Some(Reply::Playing(welcome)) => welcome.clone(),
            other => panic!("{other:?} after {}", self.camera.dialogue),
        }
    }

    pub(crate) fn batches(&self) -> Vec<(Duration, Arc<WireBatch>)> {
        let batch = |(at, output): &Said| match output {
            Output::Publish(batch) => Some((*at, Arc::clone(batch))),
            _ => None,
        };
        self.said.iter().filter_map(batch).collect()
    }

    /// The packets of a track that went to readers.
    pub(crate) fn got(&self, track: usize) -> Vec<Got> {
        let is_wanted =
            |batch: &WireBatch| batch.kind() == EntryKind::Media && batch.track().index() == track;
        let batches = self.batches();
        let wanted = batches.iter().filter(|(_, batch)| is_wanted(batch));
        wanted.flat_map(|(_, batch)| batch.packets().map(Got::new).collect::<Vec<_>>()).collect()
    }

    /// When sender reports of a track went to all readers.
    pub(crate) fn reports(&self, track: usize) -> Vec<Duration> {
        let is_wanted =
            |batch: &WireBatch| batch.kind() == EntryKind::Report && batch.track().index() == track;
        self.batches().iter().filter(|(_, b)| is_wanted(b)).map(|(at, _)| *at).collect()
    }

    /// The sender reports of a track that went to all readers.
    pub(crate) fn sender_reports(&self, track: usize) -> Vec<(Duration, SenderInfo)> {
        let batches = self.batches();
        let reports = batches.iter().filter(|(_, batch)| {
            batch.kind() == EntryKind::Report && batch.track().index() == track
        });
        reports.map(|(at, batch)| (*at, sender_info(batch.packet(0)))).collect()
    }

    /// How often something was said.
    pub(crate) fn count(&self, wanted: impl Fn(&Output) -> bool) -> usize {
        self.said.iter().filter(|(_, output)| wanted(output)).count()
    }

    pub(crate) fn clears(&self) -> usize {
        self.count(|output| matches!(output, Output::Clear))
    }

    pub(crate) fn ends(&self) -> usize {
        self.count(|output| matches!(output, Output::EndReaders { .. }))
    }

    pub(crate) fn events(&self) -> Vec<&StreamEvent> {
        let outputs = self.said.iter().map(|(_, output)| output);
        outputs
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// How many readers there are, and how many of them want media.
    pub(crate) fn readers(&self) -> (usize, usize) {
        let status = self.stream.status();
        (status.readers, status.playing)
    }
}

/// What a compound's sender report says.
pub(crate) fn sender_info(compound: &[u8]) -> SenderInfo {
    match rtp_rtcp::parse_compound(compound).expect("a compound").next() {
        Some(RtcpPacket::SenderReport { info, .. }) => info,
        other => panic!("{other:?}"),
    }
}

/// How far `later` is after `earlier`, negative if it is before.
pub(crate) fn seconds_between(earlier: NtpTime, later: NtpTime) -> f64 {
    match later.since(earlier) {
        Some(after) => after.as_secs_f64(),
        None => -earlier.since(later).unwrap_or_default().as_secs_f64(),
    }
}
