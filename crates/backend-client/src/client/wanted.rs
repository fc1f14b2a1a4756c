//! Which tracks are wanted, and how those that are wanted late are added.

use std::time::Instant;

use rtp_rtcp::Now;

use super::BackendClient;
use crate::description::Description;
use crate::exchange::Purpose;
use crate::session::Session;
use crate::state::{State, Step};
use crate::{Quirk, TrackChoice};

impl BackendClient {
    /// The tracks that readers want, by the numbers of their media sections; only with
    /// [`TrackChoice::Requested`] does it matter. One that is wanted while others play is set up
    /// beside them; one that is not wanted any more stays set up.
    pub fn want_tracks(&mut self, now: Now, tracks: impl IntoIterator<Item = usize>) {
        self.latest = now.mono;
        if self.shut_down {
            return;
        }
        self.wanted.clear();
        for track in tracks.into_iter().take(MAX_WANTED) {
            if !self.wanted.contains(&track) {
                self.wanted.push(track);
            }
        }
        self.advance(now.mono);
    }

    /// Whether the track is to be set up.
    pub(super) fn wants(&self, index: usize) -> bool {
        match self.options.tracks {
            TrackChoice::All => true,
            TrackChoice::Requested => self.wanted.contains(&index),
        }
    }

    /// Whether anything that is offered is to be set up.
    pub(super) fn wants_any(&self, description: &Description) -> bool {
        description.offers.iter().any(|offer| self.wants(offer.index))
    }

    /// Whether something is to be set up that has not been.
    pub(super) fn wants_more(&self, session: &Session) -> bool {
        let mut offers = session.description.offers.iter();
        offers.any(|offer| self.wants(offer.index) && !session.knows(offer.index))
    }

    /// Sets up what is wanted since, while the rest plays or rests.
    pub(super) fn set_up_more(&mut self, now: Instant) {
        if let State::Playing(_, play) = &self.state {
            let play = *play;
            if self.no_late_setup {
                self.forsake(now);
                return;
            }
            let Some(session) = self.state.take_session() else { return };
            self.state = State::Adding(session, play, Step::FIRST);
        } else {
            let Some(session) = self.state.take_session() else { return };
            self.state = State::SettingUp(session, Step::FIRST);
        }
        self.set_up_next(now);
    }

    /// Plays on with what there is.
    pub(super) fn stop_adding(&mut self) {
        let State::Adding(_, play, _) = &self.state else { return };
        let play = *play;
        if let Some(session) = self.state.take_session() {
            self.state = State::Playing(session, play);
        }
    }

    /// All that is wanted since has been answered.
    pub(super) fn all_added(&mut self, now: Instant) {
        let grown = self.state.session().is_some_and(|session| session.grown);
        if !grown {
            self.stop_adding();
            self.advance(now);
            return;
        }
        if let Some(session) = self.state.take_session() {
            self.state = State::Starting(session);
            self.open_nat();
            self.send_aggregate(now, Purpose::Play);
        }
    }

    /// The backend does not let a session grow: it is ended and set up anew with all that is
    /// wanted, now and whenever that happens again.
    pub(super) fn on_late_setup_refused(&mut self, now: Instant, how: &str) {
        self.no_late_setup = true;
        self.tolerate(Quirk::NoLateSetup, || {
            format!("a track that was to be added while others play: {how}")
        });
        self.forsake(now);
    }
}

/// How many tracks can be asked for.
const MAX_WANTED: usize = sdp::MAX_MEDIA;
