//! How far the backend's own SETUPs have come.

use fan_out::{TrackId, TrackMask};
use rtsp_proto::StatusCode;

/// What the backend said to SETUP of its tracks, in its present session.
#[derive(Debug, Default)]
pub(crate) struct SetUp {
    ready: TrackMask,
    refused: Vec<(TrackId, StatusCode)>,
    /// Every track has been answered for: what comes next belongs to another session.
    is_complete: bool,
    /// Unless tracks are set up as they are wanted.
    grows: bool,
}

impl SetUp {
    /// Nothing is set up yet; with `grows`, tracks may be added to a session at any time.
    pub(crate) fn new(grows: bool) -> Self {
        Self { grows, ..Self::default() }
    }

    /// Whether a track that is ready now is added to a session that has others.
    pub(crate) fn is_addition(&self, track: TrackId) -> bool {
        self.grows && self.is_complete && self.answer(track).is_none()
    }

    pub(crate) fn on_ready(&mut self, track: TrackId) {
        self.begin();
        self.refused.retain(|(refused, _)| *refused != track);
        self.ready.insert(track);
    }

    pub(crate) fn on_refused(&mut self, track: TrackId, status: StatusCode) {
        self.begin();
        self.ready.remove(track);
        self.refused.retain(|(refused, _)| *refused != track);
        self.refused.push((track, status));
    }

    pub(crate) fn on_complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether a track that is being set up belongs to another session than those that were.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_complete && !self.grows
    }

    /// The session is gone.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.grows);
    }

    /// What was said to SETUP of `track`; `None` if it has not been answered yet.
    pub(crate) fn answer(&self, track: TrackId) -> Option<Result<(), StatusCode>> {
        if self.ready.contains(track) {
            return Some(Ok(()));
        }
        self.refused.iter().find(|(refused, _)| *refused == track).map(|(_, how)| Err(*how))
    }

    fn begin(&mut self) {
        if self.is_over() {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_all_were_answered_is_another_session() {
        let (video, audio) = (TrackId(0), TrackId(1));
        let mut set_up = SetUp::default();
        assert_eq!(set_up.answer(video), None);
        set_up.on_ready(video);
        set_up.on_refused(audio, StatusCode::FORBIDDEN);
        assert_eq!(set_up.answer(video), Some(Ok(())));
        assert_eq!(set_up.answer(audio), Some(Err(StatusCode::FORBIDDEN)));
        set_up.on_complete();
        assert_eq!(set_up.answer(video), Some(Ok(())));
        set_up.on_ready(audio);
        assert_eq!((set_up.answer(video), set_up.answer(audio)), (None, Some(Ok(()))));
    }
}
