//! What comes on the tracks' channels and ports.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtp_rtcp::{
    RtcpPacket, RtcpWriter, RtpHeader, RtpTime, Seq, Ssrc, looks_like_rtcp, padding_packet,
    parse_compound,
};

use smallvec::SmallVec;

use super::BackendClient;
use crate::session::{Path, Remote, Track};
use crate::state::{Rest, State};
use crate::{Event, LostReason, Output, Quirk};

impl BackendClient {
    /// Sends RTCP on a track while it plays: receiver reports, requests for a key frame.
    pub fn send_rtcp(&mut self, track: usize, data: Bytes) {
        if self.state.playing().is_none() {
            return;
        }
        let Some(session) = self.state.session_mut() else { return };
        let Some(target) = session.track_mut(track) else { return };
        if let Some(output) = target.rtcp_output(data) {
            target.spoken = true;
            self.say(output);
        }
    }

    /// What is said on each track that RTCP was sent on, before its session is ended with
    /// TEARDOWN: a compound packet with a BYE (RFC 3550, section 6.6).
    pub fn set_goodbye(&mut self, compound: Bytes) {
        self.goodbye = Some(compound);
    }

    pub(super) fn say_goodbye(&mut self) {
        let (Some(goodbye), Some(session)) = (&self.goodbye, self.state.session_mut()) else {
            return;
        };
        // Who has never spoken leaves without a word (RFC 3550, section 6.3.7).
        let mut said: SmallVec<[Output; 4]> = SmallVec::new();
        for track in session.tracks.iter_mut().filter(|track| track.spoken) {
            track.spoken = false;
            said.extend(track.rtcp_output(goodbye.clone()));
        }
        for output in said {
            self.say(output);
        }
    }

    /// Sends RTCP; what is interleaved goes where requests go.
    fn say(&mut self, output: Output) {
        match output {
            Output::Send(frame) => self.send(frame),
            datagram => self.outputs.push_back(datagram),
        }
    }

    pub(super) fn on_interleaved(&mut self, now: Instant, channel: u8, data: Bytes) {
        let Some(session) = self.state.session_mut() else {
            self.note_stale(&data);
            self.on_stray(now);
            return;
        };
        let Some((track, rtcp)) = session.track_of_channel(channel) else {
            self.stats.unknown_channel += 1;
            self.note_stale(&data);
            self.tolerate(Quirk::UnknownChannel, || {
                format!("data on channel {channel}, which no track has")
            });
            return;
        };
        let index = track.offer.index;
        self.on_media(now, index, rtcp, data);
    }

    pub(super) fn on_datagram(
        &mut self,
        now: Instant,
        index: usize,
        rtcp: bool,
        from: SocketAddr,
        data: Bytes,
    ) {
        let Some(session) = self.state.session_mut() else {
            self.stats.unwanted += 1;
            return;
        };
        let Some(Track { path: Path::Udp(path), .. }) = session.track_mut(index) else {
            self.stats.unwanted += 1;
            return;
        };
        let host = from.ip().to_canonical();
        if !path.hosts.contains(&host) {
            self.stats.foreign += 1;
            return;
        }
        let from = SocketAddr::new(host, from.port());
        let learnt = path.learn(from, rtcp);
        if let Some((Remote { rtp, rtcp }, moved)) = learnt {
            self.outputs.push_back(Output::ConnectUdp { track: index, rtp, rtcp });
            if moved {
                self.tolerate(Quirk::MovedServerPorts, || {
                    format!("datagrams come from {from}, which was not granted")
                });
            }
        }
        self.on_media(now, index, rtcp, data);
    }

    fn on_media(&mut self, now: Instant, index: usize, rtcp: bool, data: Bytes) {
        match &mut self.state {
            State::Starting(_) | State::Playing(..) | State::Adding(..) => {}
            State::Ready(_, Rest::Paused { at, strays }) => {
                self.stats.unwanted += 1;
                if !rtcp && now.saturating_duration_since(*at) > PAUSE_GRACE {
                    *strays += 1;
                    if *strays > MAX_STRAYS {
                        self.on_pause_ignored(now);
                    }
                }
                return;
            }
            _ => {
                self.stats.unwanted += 1;
                return;
            }
        }
        let muxed = !rtcp && looks_like_rtcp(&data);
        if muxed {
            self.tolerate(Quirk::MuxedRtcp, || "RTCP came where RTP was expected".to_owned());
        }
        if rtcp || muxed {
            self.on_rtcp(now, index, data);
        } else {
            self.on_rtp(now, index, data);
        }
    }

    fn on_rtp(&mut self, now: Instant, index: usize, data: Bytes) {
        let Ok(header) = RtpHeader::parse(&data) else {
            self.stats.malformed += 1;
            return;
        };
        if self.has_stale() && self.is_stale(now, index, header.ssrc.0) {
            self.stats.unwanted += 1;
            return;
        }
        let Some(session) = self.state.session_mut() else { return };
        let Some(track) = session.track_mut(index) else { return };
        let promised = match (track.promised_ssrc, track.promised_seq) {
            (None, None) => None,
            _ => Some((track.promised_ssrc.take(), track.promised_seq.take())),
        };
        if track.ssrc != Some(header.ssrc.0) {
            track.ssrc = Some(header.ssrc.0);
            track.ended = false;
        }
        track.last_packet = Some(now);
        let weight = track.offer.weight;
        let by_udp = matches!(track.path, Path::Udp(_));
        session.last_packet = Some(now);
        if session.counts(weight) {
            session.last_counted = Some(now);
        }
        if let Some(promised) = promised {
            self.compare(promised, &header);
        }
        self.backoff.on_media();
        if self.redirects > 0 {
            self.forget_redirects(now);
        }
        self.play_retried = false;
        if by_udp {
            self.on_udp_proven();
        }
        self.stats.packets += 1;
        self.stats.octets += data.len() as u64;
        self.event(Event::Packet { track: index, data });
    }

    fn on_rtcp(&mut self, now: Instant, index: usize, data: Bytes) {
        let Some(session) = self.state.session_mut() else { return };
        let Some(track) = session.track_mut(index) else { return };
        let by_udp = matches!(track.path, Path::Udp(_));
        let Some(bye) = says_bye(&data, track.ssrc) else {
            self.stats.malformed += 1;
            // It moves nothing here; who reads the reports says what is wrong with it.
            self.event(Event::Rtcp { track: index, data });
            return;
        };
        let ended = bye && !track.ended;
        track.ended |= bye;
        let all_ended = ended && session.is_ended();
        if by_udp {
            self.on_udp_proven();
        }
        self.event(Event::Rtcp { track: index, data });
        if ended {
            self.event(Event::TrackEnded { track: index });
        }
        if all_ended {
            self.lose(now, LostReason::Bye);
        }
    }

    fn on_udp_proven(&mut self) {
        self.udp_proven = true;
        if let Some(play) = self.state.play_mut() {
            play.prove_by = None;
        }
    }

    /// Looks for what should have come while playing.
    pub(super) fn watch(&mut self, now: Instant) {
        let Some((session, play)) = self.state.playing() else { return };
        if play.prove_by.is_some_and(|by| by <= now) {
            let waited = self.options.no_packets_after_play;
            let why = format!("nothing came by UDP for {} s after PLAY", waited.as_secs_f32());
            self.fall_back(now, &why);
            return;
        }
        if self.silent_at(session, play).is_some_and(|at| at <= now) {
            let gap = self.options.max_packet_gap.unwrap_or_default();
            self.lose(now, LostReason::Silent { gap });
            return;
        }
        self.tell_silence(now);
    }

    /// When the silence of a track beside flowing video has lasted long enough to be told.
    pub(super) fn silence_told_at(&self) -> Option<(usize, Instant)> {
        let (session, play) = self.state.playing()?;
        let gap = self.options.max_packet_gap?;
        let told = session.beside_video().map(|track| {
            let latest = track.last_packet.map_or(play.since, |at| at.max(play.since));
            (track.offer.index, latest + gap)
        });
        told.min_by_key(|(_, at)| *at)
    }

    fn tell_silence(&mut self, now: Instant) {
        let gap = self.options.max_packet_gap.unwrap_or_default();
        while let Some((index, at)) = self.silence_told_at()
            && at <= now
        {
            let Some(track) = self.state.session_mut().and_then(|s| s.track_mut(index)) else {
                return;
            };
            track.silence_told = true;
            let text = format!(
                "track {} has been silent for {} s while video flows: nothing is done about it",
                index + 1,
                gap.as_secs_f32()
            );
            self.event(Event::Warning(text));
        }
    }

    /// Media without a session. One who sends on after the goodbye has to be hung up on.
    #[cold]
    fn on_stray(&mut self, now: Instant) {
        self.stats.unwanted += 1;
        if !matches!(self.state, State::Described(_))
            || now.saturating_duration_since(self.rested_at) <= PAUSE_GRACE
        {
            return;
        }
        self.strays += 1;
        if self.strays > MAX_STRAYS {
            self.strays = 0;
            self.tolerate(Quirk::TeardownIgnored, || {
                "media goes on though the session has ended".to_owned()
            });
            self.hang_up();
        }
    }

    fn on_pause_ignored(&mut self, now: Instant) {
        self.pause = super::Pause::Broken;
        self.tolerate(Quirk::PauseIgnored, || "media goes on after PAUSE was granted".to_owned());
        self.forsake(now);
    }

    /// Opens the way through a NAT for what will come: a packet of each kind from our ports to
    /// the backend's.
    pub(super) fn open_nat(&mut self) {
        let ssrc = Ssrc(self.rng.bits() as u32);
        let Some(session) = self.state.session() else { return };
        for track in &session.tracks {
            let Path::Udp(udp) = &track.path else { continue };
            if udp.remote.is_none() || udp.group {
                continue;
            }
            let (index, payload_type) = (track.offer.index, track.offer.payload_type);
            let rtp = padding_packet(payload_type, Seq(0), RtpTime(0), ssrc);
            let report = RtcpWriter::new().receiver_report(ssrc, &[]).finish();
            let rtp = Bytes::copy_from_slice(&rtp);
            for (rtcp, data) in [(false, rtp), (true, report)] {
                self.outputs.push_back(Output::SendDatagram { track: index, rtcp, data });
            }
        }
    }
}

impl crate::session::UdpPath {
    /// Takes note of where a datagram came from. The backend's addresses, if they are to be
    /// others than thought so far, and whether it had named some: that happens once, so that
    /// nobody can lead reports about at will.
    fn learn(&mut self, from: SocketAddr, rtcp: bool) -> Option<(Remote, bool)> {
        let beside = |port: Option<u16>| port.map(|port| SocketAddr::new(from.ip(), port));
        let (remote, moved) = match self.remote {
            None if rtcp => {
                (Remote { rtp: beside(from.port().checked_sub(1))?, rtcp: from }, false)
            }
            None => (Remote { rtp: from, rtcp: beside(from.port().checked_add(1))? }, false),
            Some(_) if self.learnt => return None,
            Some(known) if rtcp && known.rtcp != from => (Remote { rtcp: from, ..known }, true),
            Some(_) => return None,
        };
        self.learnt = moved;
        self.remote = Some(remote);
        Some((remote, moved))
    }
}

/// Whether a compound says BYE for the source; `None` if it cannot be read.
fn says_bye(compound: &[u8], ssrc: Option<u32>) -> Option<bool> {
    let packets = parse_compound(compound).ok()?;
    let mut bye = false;
    for packet in packets {
        if let RtcpPacket::Bye { ssrcs, .. } = packet {
            bye |= ssrc.is_none_or(|ssrc| ssrcs.is_empty() || ssrcs.contains(&Ssrc(ssrc)));
        }
    }
    Some(bye)
}

/// What may still be on its way when PAUSE is answered.
const PAUSE_GRACE: Duration = Duration::from_secs(2);
/// How many packets after that show that PAUSE is not obeyed.
const MAX_STRAYS: u32 = 100;
