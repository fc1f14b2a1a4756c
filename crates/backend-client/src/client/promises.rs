//! What backends say of packets to come, and what they then send. None of it is relied upon: this
//! tells operators what their cameras do.

use std::time::{Duration, Instant};

use rtp_rtcp::{RtpHeader, Seq};
use rtsp_proto::rtp_info::RtpInfo;
use rtsp_proto::transport::parse_transports;

use super::{BackendClient, Link};
use crate::session::Path;
use crate::state::State;
use crate::{LostReason, Quirk};

impl BackendClient {
    /// The `ssrc` that SETUP granted.
    pub(super) fn promised_ssrc(&mut self, transport: Option<&str>) -> Option<u32> {
        let value = transport?;
        let written = parameter(value, "ssrc")?;
        let read = parse_transports(value).first().and_then(|granted| granted.ssrc);
        if read.is_none() || written.contains([' ', '\t']) {
            self.tolerate(Quirk::OddSsrc, || format!("ssrc={written}"));
        }
        read
    }

    /// The numbers that PLAY promised.
    pub(super) fn note_rtp_info(&mut self, value: Option<&str>) {
        let Some(value) = value else { return };
        let infos = RtpInfo::parse(value);
        let written = |name: &str| value.to_ascii_lowercase().matches(name).count();
        let read = |is: fn(&RtpInfo) -> bool| infos.iter().filter(|info| is(info)).count();
        if read(|info| info.seq.is_some()) < written("seq=")
            || read(|info| info.rtptime.is_some()) < written("rtptime=")
        {
            self.tolerate(Quirk::OddRtpInfo, || format!("it cannot be read: {value}"));
        }
        let Some(session) = self.state.session_mut() else { return };
        for info in &infos {
            let url = info.url.trim();
            let names = |uri: &str| !url.is_empty() && (uri == url || ends_path(uri, url));
            let mut tracks = session.tracks.iter_mut();
            if let Some(track) = tracks.find(|track| names(&track.offer.uri))
                && track.last_packet.is_none()
            {
                track.promised_seq = info.seq;
            }
        }
    }

    /// Looks at the first packet of a track after SETUP, or after PLAY.
    #[cold]
    #[inline(never)]
    pub(super) fn compare(&mut self, (ssrc, seq): (Option<u32>, Option<u16>), header: &RtpHeader) {
        if let Some(promised) = ssrc
            && promised != header.ssrc.0
        {
            self.tolerate(Quirk::OddSsrc, || {
                format!("{promised:08x} was promised, {:08x} came", header.ssrc.0)
            });
        }
        if let Some(promised) = seq
            && !(-SLACK..SLACK).contains(&header.seq.ahead_of(Seq(promised)))
        {
            let came = header.seq.0;
            self.tolerate(Quirk::OddRtpInfo, || {
                format!("seq={promised} was promised, {came} came")
            });
        }
    }

    /// Media that came before anything was set up on this connection belongs to a session of an
    /// earlier one.
    #[cold]
    #[inline(never)]
    pub(super) fn note_stale(&mut self, data: &[u8]) {
        let fresh = match &self.state {
            State::Describing | State::Described(_) => true,
            State::SettingUp(session, _) => session.tracks.is_empty(),
            _ => false,
        };
        let Link::Open(link) = &mut self.link else { return };
        let Ok(header) = RtpHeader::parse(data) else { return };
        let ssrc = header.ssrc.0;
        if fresh && !link.used && link.stale.len() < MAX_STALE && !link.stale.contains(&ssrc) {
            link.stale.push(ssrc);
        }
    }

    pub(super) fn has_stale(&self) -> bool {
        matches!(&self.link, Link::Open(link) if !link.stale.is_empty())
    }

    /// Whether a packet belongs to such a session. A backend that uses one source for all its
    /// sessions is believed after a while.
    #[cold]
    #[inline(never)]
    pub(super) fn is_stale(&mut self, now: Instant, index: usize, ssrc: u32) -> bool {
        let Link::Open(link) = &mut self.link else { return false };
        let Some(place) = link.stale.iter().position(|stale| *stale == ssrc) else { return false };
        let Some(track) = self.state.session().and_then(|session| session.track(index)) else {
            return false;
        };
        let has_own = track.ssrc.is_some_and(|own| own != ssrc);
        let since = self.state.playing().map_or(now, |(_, play)| play.since);
        let early = now.saturating_duration_since(since) < STALE_GRACE;
        let by_udp = matches!(track.path, Path::Udp(_));
        if by_udp || !(has_own || early) {
            link.stale.remove(place);
            return false;
        }
        self.tolerate(Quirk::StaleSession, || {
            format!("packets of {ssrc:08x} came before anything was set up")
        });
        true
    }

    /// A session that ends just when it would if nothing had kept it alive, twice in a row, shows
    /// that the method does not count.
    pub(super) fn judge_keepalive(&mut self, now: Instant, reason: &LostReason) {
        let Some((session, play)) = self.state.playing() else { return };
        let end = match reason {
            LostReason::Closed { .. } | LostReason::Bye => Some(now),
            LostReason::Silent { .. } => session.last_packet,
            _ => None,
        };
        let lasted = end.map(|end| end.saturating_duration_since(play.since));
        let term = session.timeout.mul_f64(0.95)..session.timeout.mul_f64(1.3);
        if !lasted.is_some_and(|lasted| term.contains(&lasted)) {
            self.ended_on_time = 0;
            return;
        }
        self.ended_on_time += 1;
        if self.ended_on_time >= 2 {
            self.ended_on_time = 0;
            let method = self.keepalive.method();
            self.tolerate(Quirk::KeepAliveInVain, || {
                format!("two sessions ended on time though {} went out", method.as_str())
            });
            self.keepalive.next_method();
        }
    }
}

/// A parameter of the first alternative, as written.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let alternative = value.split(',').next()?;
    alternative.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Whether a URL ends with a path, whole segments only.
fn ends_path(url: &str, path: &str) -> bool {
    let bare = path.trim_start_matches('/');
    url.strip_suffix(bare).is_some_and(|rest| rest.ends_with('/'))
}

/// How far numbers may be off: packets get lost, or overtake each other.
const SLACK: i16 = 256;
/// How many sources of earlier sessions are remembered.
const MAX_STALE: usize = 8;
/// How long after PLAY packets of an earlier session are told from ours by their source alone.
const STALE_GRACE: Duration = Duration::from_secs(3);
