//! What readers say of how they receive. They are told apart by the session that a packet came
//! for, on its own channel or from its own port; an SSRC proves nothing.

use std::net::SocketAddr;

use rtp_rtcp::{ClockRate, Noted, Now, ReaderReport};
use rtsp_server::{Chosen, SessionId};
use smallvec::SmallVec;

use super::Shard;
use super::reader::Session;
use super::watch::Watch;
use crate::bus::Message;
use crate::rtcp_routes;
use crate::status::{ReaderStatus, TrackReception};

/// RTCP of readers that was of no use.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct RefusedReports {
    /// No RTCP, or more of it than any reader has reason to send.
    pub(super) malformed: u64,
    /// Of readers beyond those whose reports are kept.
    pub(super) beyond: u64,
}

impl Session {
    /// Where its reports come from over UDP.
    pub(super) fn rtcp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.transports.iter().filter_map(|(_, transport)| self.rtcp_address(*transport))
    }

    /// Where those of a track come from, over UDP.
    pub(super) fn rtcp_address(&self, transport: Chosen) -> Option<SocketAddr> {
        match transport {
            Chosen::Udp { client_ports: (_, rtcp) } => Some(rtcp_routes::at_port(self.peer, rtcp)),
            Chosen::Tcp { .. } => None,
        }
    }
}

impl Shard {
    /// What comes from there is of this session.
    pub(super) fn claim_reports(&mut self, session: SessionId, from: SocketAddr) {
        let earlier = self.routes.claim(from, self.me, session);
        // Those of this shard the server knows itself.
        if let Some((shard, session)) = earlier.filter(|(shard, _)| *shard != self.me) {
            self.post(shard, Message::PortTaken { session, port: from });
        }
    }

    /// A session gives up those of the addresses that it had `before` and has no more. Returns
    /// those that are nobody's now.
    pub(super) fn release_reports(
        &mut self,
        session: SessionId,
        before: &[SocketAddr],
    ) -> SmallVec<[SocketAddr; 2]> {
        let state = self.sessions.get(&session);
        let now: SmallVec<[_; 2]> = state.map(|s| s.rtcp_addresses().collect()).unwrap_or_default();
        let given_up = before.iter().copied().filter(|address| !now.contains(address));
        given_up.filter(|address| !self.routes.release(*address, session)).collect()
    }

    /// RTCP of a session, by its own way.
    pub(super) fn on_reader_rtcp(&mut self, now: Now, session: SessionId, data: &[u8]) {
        let Some(state) = self.sessions.get(&session).filter(|s| s.joined.is_some()) else {
            return;
        };
        let Some(watch) = self.watches.get_mut(&state.stream.id) else { return };
        let refused = match watch.reports.on_compound(now.mono, session, data) {
            Ok(Noted::Reported | Noted::Nothing) => None,
            Ok(Noted::Full) => {
                watch.refused.beyond += 1;
                Some((watch.refused.beyond, "too many readers report".to_owned()))
            }
            Err(error) => {
                watch.refused.malformed += 1;
                Some((watch.refused.malformed, error.to_string()))
            }
        };
        self.alarm.want(watch.reports.poll_timeout());
        if let Some((count, why)) = refused.filter(|(count, _)| count.is_power_of_two()) {
            tracing::debug!(stream = %watch.name, peer = %state.peer, count, %why, "reader's RTCP refused");
        }
    }

    /// The reader has left: what it reported is said once more and forgotten.
    pub(super) fn forget_reports(&mut self, now: Now, session: SessionId) {
        let Some(state) = self.sessions.get(&session) else { return };
        let Some(watch) = self.watches.get_mut(&state.stream.id) else { return };
        if watch.reports.get(&session).is_some() {
            let status = reader_status(now, watch, session, state);
            tracing::debug!(stream = %watch.name, peer = %state.peer, tool = ?status.tool, "reader's last reports: {status}");
        }
        let _gone = watch.reports.forget(&session);
    }

    /// The readers that are playing from this shard.
    pub(super) fn reader_statuses(&self, now: Now) -> Vec<ReaderStatus> {
        let playing = self.sessions.iter().filter(|(_, state)| state.joined.is_some());
        let status = |(session, state): (&SessionId, &Session)| {
            let watch = self.watches.get(&state.stream.id)?;
            Some(reader_status(now, watch, *session, state))
        };
        playing.filter_map(status).collect()
    }

    pub(super) fn log_refused_reports(&self) {
        for watch in self.watches.values() {
            let refused = watch.refused;
            if refused.malformed + refused.beyond > 0 {
                tracing::info!(stream = %watch.name, malformed = refused.malformed, beyond = refused.beyond, "RTCP of readers refused");
            }
        }
    }
}

fn reader_status(now: Now, watch: &Watch, session: SessionId, state: &Session) -> ReaderStatus {
    let report = watch.reports.get(&session);
    let tracks = report.map(|report| receptions(report, watch, state)).unwrap_or_default();
    let text = |text: Option<&str>| text.map(Box::from);
    ReaderStatus {
        stream: watch.name.clone(),
        peer: state.peer,
        name: text(report.and_then(ReaderReport::name)),
        tool: text(report.and_then(ReaderReport::tool)),
        reported: report.map(|report| now.mono.saturating_duration_since(report.at())),
        tracks,
    }
}

/// In the order of the tracks; what is said of others than the session's own is left out.
fn receptions(report: &ReaderReport, watch: &Watch, state: &Session) -> Vec<TrackReception> {
    let reception = |(track, ssrc): &(fan_out::TrackId, rtp_rtcp::Ssrc)| {
        let said = report.track(*ssrc)?;
        let rate = watch.rates.iter().find(|(of, _)| of == track).map(|(_, rate)| *rate);
        Some(TrackReception {
            track: track.0.saturating_add(1),
            reports: said.reports,
            loss: f32::from(said.fraction_lost) / 256.0,
            lost: said.cumulative_lost,
            jitter: rate.unwrap_or(ClockRate::VIDEO).duration(said.jitter.into()),
            round_trip: said.round_trip,
        })
    };
    let mut tracks: Vec<_> = state.sources.iter().filter_map(reception).collect();
    tracks.sort_by_key(|said| said.track);
    tracks
}
