//! What readers are told about a stream.

use bytes::Bytes;
use codec_framers::Glancer;
use fan_out::{MAX_TRACKS, TrackId, TrackMask};
use rtp_rtcp::ClockRate;
use sdp::{Media, MediaKind, Presentation, ReaderView};

/// What readers are told about a stream: made anew whenever the backend is described.
#[derive(Clone, Debug)]
pub struct Description {
    /// The session description for readers.
    pub sdp: Bytes,
    /// The tracks that are proxied.
    pub tracks: Vec<TrackInfo>,
}

/// A track that is proxied.
#[derive(Clone, Debug)]
pub struct TrackInfo {
    /// The place of the track in the backend's description.
    pub track: TrackId,
    /// Audio, video or something else.
    pub kind: MediaKind,
    /// The name of its main format, as the backend writes it.
    pub encoding: Box<str>,
    /// The main format's payload type.
    pub payload_type: u8,
    /// Ticks of its RTP timestamps per second.
    pub clock_rate: ClockRate,
    /// Whether a reader has to start at a key frame, and key frames can be told apart.
    pub has_keys: bool,
}

impl Description {
    /// Makes a description out of the backend's; `version` goes up with each one of a stream.
    #[must_use]
    pub fn new(
        presentation: &Presentation,
        stream: &str,
        allowed: &dyn Fn(usize, &Media) -> bool,
        session_id: u64,
        version: u64,
    ) -> Self {
        let allowed = |index: usize, media: &Media| index < MAX_TRACKS && allowed(index, media);
        let view = ReaderView {
            origin_session_id: session_id,
            origin_version: version,
            name: Some(stream),
            allowed: &allowed,
            live: true,
        };
        let sdp = Bytes::from(presentation.for_readers(&view).write());
        let tracks = presentation
            .media
            .iter()
            .enumerate()
            .filter(|(index, media)| allowed(*index, media))
            .filter_map(|(index, media)| Some(TrackInfo::new(u8::try_from(index).ok()?, media)))
            .collect();
        Self { sdp, tracks }
    }

    /// The track with this number, if it is proxied.
    #[must_use]
    pub fn track(&self, track: TrackId) -> Option<&TrackInfo> {
        self.tracks.iter().find(|info| info.track == track)
    }

    /// The tracks on which a reader has to start at a key frame.
    #[must_use]
    pub fn keyed(&self) -> TrackMask {
        let mut mask = TrackMask::EMPTY;
        for info in self.tracks.iter().filter(|info| info.has_keys) {
            mask.insert(info.track);
        }
        mask
    }

    /// All tracks that are proxied.
    #[must_use]
    pub fn mask(&self) -> TrackMask {
        let mut mask = TrackMask::EMPTY;
        for info in &self.tracks {
            mask.insert(info.track);
        }
        mask
    }

    /// The tracks as an operator wants to read them: `video H264, audio MPEG4-GENERIC`.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut out = String::new();
        for info in &self.tracks {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&format!("{} {}", info.kind, info.encoding));
        }
        out
    }
}

impl TrackInfo {
    fn new(index: u8, media: &Media) -> Self {
        let format = media.main_format();
        // A rate of 0 is a camera's slip; 90 kHz keeps such a track usable.
        let clock_rate = ClockRate::new(format.clock_rate).unwrap_or(ClockRate::VIDEO);
        Self {
            track: TrackId(index),
            kind: media.kind.clone(),
            encoding: format.encoding.clone(),
            payload_type: format.payload_type,
            clock_rate,
            has_keys: Glancer::new(&media.kind, format).knows_keys(),
        }
    }
}
