//! Whatever readers send and the shell answers, whenever it does.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rtsp_proto::StatusCode;
use rtsp_server::{
    AfterSend, Answer, Ask, AskId, ConnId, EndReason, Output, ServerOptions, SessionId,
    SessionState, Taken,
};

use crate::rig::{Rig, decode, described, playing, request, set_up};

/// What may happen to a server.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        address: usize,
    },
    Close {
        conn: usize,
    },
    Request {
        conn: usize,
        method: usize,
        uri: usize,
        transport: usize,
        session: usize,
    },
    /// A request about a session, on its own connection or any.
    Control {
        session: usize,
        method: usize,
        own: bool,
    },
    Half {
        conn: usize,
        cut: usize,
    },
    Interleaved {
        conn: usize,
        channel: u8,
    },
    Garbage {
        conn: usize,
        bytes: Vec<u8>,
    },
    Answer {
        ask: usize,
        answer: usize,
    },
    Stale {
        ask: u8,
    },
    Pass {
        millis: u64,
    },
    Progress {
        session: usize,
    },
    /// A session of another server claims a port of this one.
    Taken {
        session: usize,
    },
    EndSession {
        session: usize,
    },
    EndStream {
        stream: usize,
    },
}

const METHODS: [&str; 8] =
    ["SETUP", "OPTIONS", "DESCRIBE", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "FLY"];
const SETUP: usize = 0;
const CONTROLS: [&str; 6] = ["PLAY", "PLAY", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"];
const URIS: [&str; 6] = [
    "rtsp://h/a/track1",
    "rtsp://h/a/track2",
    "rtsp://h/b/track1",
    "rtsp://h/a",
    "rtsp://h/b",
    "*",
];
/// How many of them name tracks.
const TRACKS: usize = 3;
const TRANSPORTS: [&str; 5] = [
    "Transport: RTP/AVP;unicast;client_port=5000-5001",
    "Transport: RTP/AVP/TCP;unicast;interleaved=0-1",
    "Transport: RTP/AVP/TCP;unicast",
    "Transport: RTP/AVP;multicast",
    "X: y",
];
const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 0], [192, 0, 2, 1]];
const STREAMS: [&str; 2] = ["a", "b"];

fn step() -> impl Strategy<Value = Step> {
    let index = any::<usize>;
    prop_oneof![
        3 => (0..ADDRESSES.len()).prop_map(|address| Step::Connect { address }),
        1 => index().prop_map(|conn| Step::Close { conn }),
        6 => (index(), 0..METHODS.len(), 0..URIS.len(), 0..TRANSPORTS.len(), index()).prop_map(
            |(conn, method, uri, transport, session)| Step::Request {
                conn, method, uri, transport, session
            }
        ),
        12 => (index(), 0..TRACKS, 0..3usize, index()).prop_map(
            |(conn, uri, transport, session)| Step::Request {
                conn, method: SETUP, uri, transport, session
            }
        ),
        10 => (index(), 0..CONTROLS.len(), any::<bool>()).prop_map(
            |(session, method, own)| Step::Control { session, method, own }
        ),
        1 => (index(), 1..40usize).prop_map(|(conn, cut)| Step::Half { conn, cut }),
        2 => (index(), 0..6u8).prop_map(|(conn, channel)| Step::Interleaved { conn, channel }),
        1 => (index(), proptest::collection::vec(0u8.., 0..40)).prop_map(|(conn, bytes)| {
            Step::Garbage { conn, bytes }
        }),
        20 => (index(), 0..16usize).prop_map(|(ask, answer)| Step::Answer { ask, answer }),
        1 => (0u8..).prop_map(|ask| Step::Stale { ask }),
        2 => (0..15_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => index().prop_map(|session| Step::Progress { session }),
        1 => index().prop_map(|session| Step::Taken { session }),
        1 => index().prop_map(|session| Step::EndSession { session }),
        1 => (0..8usize).prop_map(|stream| Step::EndStream { stream }),
    ]
}

/// What has to hold, kept beside the server.
#[derive(Default)]
struct Model {
    /// Connections that are open, with the CSeqs not answered yet, in order.
    conns: Vec<ConnId>,
    expected: HashMap<ConnId, Vec<u32>>,
    /// A connection that was sent something else than whole requests: its answers are its own.
    spoilt: HashSet<ConnId>,
    pending: Vec<(AskId, Ask)>,
    over: Vec<AskId>,
    sessions: HashSet<SessionId>,
    ended: HashSet<SessionId>,
    cseq: u32,
}

const PER_CONNECTION: usize = 2;
const SESSIONS: usize = 5;

impl Model {
    fn look(&mut self, rig: &mut Rig) -> Result<(), TestCaseError> {
        while let Some(output) = rig.log.pop_front() {
            match output {
                Output::Send { conn, bytes, then } => self.on_sent(conn, &bytes, then, rig)?,
                Output::Ask { id, ask } => {
                    if let Ask::Setup { session, .. } | Ask::Play { session, .. } = &ask {
                        prop_assert!(!self.ended.contains(session));
                        self.sessions.insert(*session);
                    }
                    self.pending.push((id, ask));
                }
                Output::Withdrawn { id } => {
                    let before = self.pending.len();
                    self.pending.retain(|(pending, _)| *pending != id);
                    prop_assert_eq!(before, self.pending.len() + 1, "withdrawn, never asked");
                    self.over.push(id);
                }
                Output::SessionEnded { session, .. } => {
                    prop_assert!(self.sessions.remove(&session), "ended, never begun");
                    prop_assert!(self.ended.insert(session), "ended twice");
                }
                Output::CloseConn { conn, .. } => {
                    prop_assert!(self.conns.contains(&conn), "closed twice");
                    self.forget(conn);
                }
                Output::Rtcp { session, .. } | Output::TracksChanged { session, .. } => {
                    prop_assert!(self.sessions.contains(&session));
                }
                Output::PortsContested { conn } => {
                    prop_assert!(self.conns.contains(&conn), "contested, and closed");
                }
                Output::Resume { .. } | Output::Event(_) | Output::Dialogue { .. } => {}
            }
        }
        let stats = rig.server.stats();
        prop_assert!(stats.sessions <= SESSIONS);
        prop_assert_eq!(stats.sessions, self.sessions.len());
        prop_assert_eq!(stats.connections, self.conns.len());
        for session in rig.server.sessions() {
            prop_assert!(session.conn.is_none_or(|conn| self.conns.contains(&conn)));
            let about = |(_, ask): &&(AskId, Ask)| match ask {
                Ask::Setup { session: of, .. } | Ask::Play { session: of, .. } => *of == session.id,
                Ask::Pause { session: of } => *of == session.id,
                Ask::Describe { .. } => false,
            };
            prop_assert!(self.pending.iter().filter(about).count() <= 1, "asked twice at once");
        }
        let left = |address: &IpAddr| {
            let of = rig.server.sessions().filter(|session| session.peer.ip() == *address);
            of.filter(|session| session.conn.is_none()).count()
        };
        for address in ADDRESSES {
            // All ports are the same, so all but the latest end with their connections.
            prop_assert!(left(&address.into()) <= 1, "what another has claimed lives on");
        }
        for conn in &self.conns {
            let here: Vec<_> =
                rig.server.sessions().filter(|session| session.conn == Some(*conn)).collect();
            prop_assert!(here.len() <= PER_CONNECTION);
            let interleaved = |session: &&rtsp_server::SessionView<'_>| {
                session.state == SessionState::Playing
                    && session.tracks.iter().any(|track| track.transport.is_interleaved())
            };
            prop_assert!(here.iter().filter(|session| interleaved(session)).count() <= 1);
            let channels: Vec<_> = here
                .iter()
                .flat_map(|session| session.tracks)
                .filter_map(|track| match track.transport {
                    rtsp_server::Chosen::Tcp { channels } => Some(channels),
                    rtsp_server::Chosen::Udp { .. } => None,
                })
                .flat_map(|(rtp, rtcp)| [rtp, rtcp])
                .collect();
            let distinct: HashSet<_> = channels.iter().collect();
            prop_assert_eq!(distinct.len(), channels.len(), "a channel is used twice");
        }
        Ok(())
    }

    fn on_sent(
        &mut self,
        conn: ConnId,
        bytes: &Bytes,
        then: AfterSend,
        rig: &Rig,
    ) -> Result<(), TestCaseError> {
        prop_assert!(self.conns.contains(&conn), "sent to a connection that is gone");
        let responses = decode(bytes);
        prop_assert_eq!(responses.len(), 1);
        if let AfterSend::StartMedia(session) = then {
            prop_assert_eq!(responses[0].status, StatusCode::OK);
            // It may have ended since; then that was said, and in the right order.
            if self.sessions.contains(&session)
                && let Some(view) = rig.server.session(&session)
            {
                prop_assert!(!view.tracks.is_empty());
            }
            prop_assert!(!self.ended.contains(&session));
        }
        if self.spoilt.contains(&conn) {
            return Ok(());
        }
        let expected = self.expected.entry(conn).or_default();
        prop_assert!(!expected.is_empty(), "an answer to nothing");
        prop_assert_eq!(responses[0].cseq(), Some(expected.remove(0)));
        Ok(())
    }

    fn forget(&mut self, conn: ConnId) {
        self.conns.retain(|open| *open != conn);
        self.expected.remove(&conn);
    }

    fn conn(&self, index: usize) -> Option<ConnId> {
        self.conns.get(index.checked_rem(self.conns.len())?).copied()
    }

    fn some_session(&self, rig: &Rig, index: usize) -> Option<SessionId> {
        let mut ids: Vec<_> = rig.server.sessions().map(|session| session.id).collect();
        ids.sort_unstable();
        ids.get(index.checked_rem(ids.len() + 1)?).copied()
    }

    fn apply(&mut self, rig: &mut Rig, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Connect { address } => {
                if self.conns.len() < 4 {
                    self.conns
                        .push(rig.connect_from(&IpAddr::from(ADDRESSES[address]).to_string()));
                }
            }
            Step::Close { conn } => {
                if let Some(conn) = self.conn(conn) {
                    self.forget(conn);
                    rig.closed(conn);
                }
            }
            Step::Request { conn, method, uri, transport, session } => {
                let Some(conn) = self.conn(conn) else { return Ok(()) };
                self.cseq += 1;
                let mut headers = vec![TRANSPORTS[transport].to_owned()];
                if let Some(session) = self.some_session(rig, session) {
                    headers.push(format!("Session: {session}"));
                }
                let headers: Vec<_> = headers.iter().map(String::as_str).collect();
                self.expected.entry(conn).or_default().push(self.cseq);
                let bytes = request(METHODS[method], URIS[uri], self.cseq, &headers);
                let _ = rig.feed(conn, bytes);
            }
            Step::Control { session, method, own } => {
                let Some(id) = self.some_session(rig, session) else { return Ok(()) };
                let its = rig.server.session(&id).and_then(|view| view.conn).filter(|_| own);
                let Some(conn) = its.or_else(|| self.conn(session / 7)) else { return Ok(()) };
                self.cseq += 1;
                self.expected.entry(conn).or_default().push(self.cseq);
                let named = format!("Session: {id}");
                let _ = rig.feed(conn, request(CONTROLS[method], "*", self.cseq, &[&named]));
            }
            Step::Half { conn, cut } => {
                let Some(conn) = self.conn(conn) else { return Ok(()) };
                self.spoilt.insert(conn);
                let bytes = request("OPTIONS", "*", 0, &[]);
                let _ = rig.feed(conn, &bytes[..cut.min(bytes.len())]);
            }
            Step::Interleaved { conn, channel } => {
                let Some(conn) = self.conn(conn) else { return Ok(()) };
                let _ = rig.feed(conn, [b'$', channel, 0, 2, 1, 2]);
            }
            Step::Garbage { conn, bytes } => {
                let Some(conn) = self.conn(conn) else { return Ok(()) };
                self.spoilt.insert(conn);
                let _ = rig.feed(conn, bytes);
            }
            Step::Answer { ask, answer } => {
                let Some(index) = ask.checked_rem(self.pending.len()) else { return Ok(()) };
                let (id, ask) = self.pending.remove(index);
                self.over.push(id);
                prop_assert_eq!(rig.answer(id, an_answer(&ask, answer)), Taken::Used);
            }
            Step::Stale { ask } => {
                let Some(index) = usize::from(ask).checked_rem(self.over.len()) else {
                    return Ok(());
                };
                let id = self.over[index];
                prop_assert_eq!(rig.answer(id, described()), Taken::TooLate);
            }
            Step::Pass { millis } => rig.pass(Duration::from_millis(millis)),
            Step::Progress { session } => {
                if let Some(session) = self.some_session(rig, session) {
                    rig.server.on_progress(rig.now, session);
                }
            }
            Step::Taken { session } => {
                let Some(id) = self.some_session(rig, session) else { return Ok(()) };
                if let Some(peer) = rig.server.session(&id).map(|view| view.peer) {
                    rig.server.port_taken(rig.now, id, SocketAddr::new(peer.ip(), 5001));
                }
            }
            Step::EndSession { session } => {
                if let Some(session) = self.some_session(rig, session) {
                    rig.server.end_session(rig.now, session, EndReason::Operator);
                }
            }
            Step::EndStream { stream } => {
                let name = STREAMS.get(stream).copied().unwrap_or("neither");
                rig.server.end_stream(rig.now, name, EndReason::StreamLost);
            }
        }
        rig.drain();
        self.look(rig)
    }
}

/// Mostly one that fits.
fn an_answer(ask: &Ask, choice: usize) -> Answer {
    match (choice, ask) {
        (0, _) => Answer::Refused {
            status: StatusCode::NOT_FOUND,
            retry_after: None,
            reason: "\r\nno".to_owned(),
        },
        (1, _) => Answer::Paused,
        (_, Ask::Describe { .. }) => described(),
        (_, Ask::Setup { .. }) => set_up(),
        (_, Ask::Play { tracks, .. }) => playing(tracks),
        (_, Ask::Pause { .. }) => Answer::Paused,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_come_in_order_questions_end_once_and_sessions_are_bounded(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut rig = Rig::new(ServerOptions {
            sessions: SESSIONS,
            sessions_per_connection: PER_CONNECTION,
            ..ServerOptions::default()
        });
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut rig, step)?;
        }
        // Left alone, every question is withdrawn, every session and connection ends.
        rig.pass(Duration::from_secs(300));
        model.look(&mut rig)?;
        prop_assert!(model.pending.is_empty());
        prop_assert!(model.sessions.is_empty());
        prop_assert!(model.conns.is_empty());
        prop_assert_eq!(rig.server.poll_timeout(), None);
    }

    #[test]
    fn arbitrary_bytes_cut_anywhere_never_panic_and_mean_the_same(
        bytes in proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(
                    b"OPTIONS * RTSP/1.0\r\n\r\nCSeq: 1$\x00\x00\x02Content-Length: ".to_vec()
                ),
                1 => 0u8..,
            ],
            0..300,
        ),
        whole in proptest::collection::vec(0..4usize, 0..4),
        cuts in proptest::collection::vec(0..400usize, 0..8),
    ) {
        let mut stream = Vec::new();
        for method in whole {
            stream.extend(request(["OPTIONS", "FLY", "GET_PARAMETER", "PLAY"][method], "*", 3, &[]));
        }
        stream.extend(bytes);
        let mut at_once = Rig::open();
        let conn = at_once.connect();
        let _ = at_once.feed(conn, &stream);

        let mut in_parts = Rig::open();
        let same = in_parts.connect();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            let _ = in_parts.feed(same, &stream[from..cut]);
            from = cut;
        }
        let _ = in_parts.feed(same, &stream[from..]);
        let sent = |rig: &Rig| -> Vec<Output> {
            let is_sent = |output: &&Output| {
                matches!(output, Output::Send { .. } | Output::CloseConn { .. })
            };
            rig.log.iter().filter(is_sent).cloned().collect()
        };
        prop_assert_eq!(sent(&at_once), sent(&in_parts));
    }
}
