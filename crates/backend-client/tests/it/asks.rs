//! What tests ask of a rig.

use std::time::Duration;

use backend_client::{Demand, Event, LostReason, Options, Phase};

use crate::camera::{Camera, Request};
use crate::rig::Rig;

impl Rig {
    /// The methods sent so far, one letter each but the first two: `D` DESCRIBE, `S` SETUP, `P`
    /// PLAY, `Z` PAUSE, `T` TEARDOWN, `O` OPTIONS, `G` GET_PARAMETER, `E` SET_PARAMETER.
    pub(crate) fn dialogue(&self) -> String {
        self.requests
            .iter()
            .map(|(_, request)| match request.method.as_str() {
                "DESCRIBE" => 'D',
                "SETUP" => 'S',
                "PLAY" => 'P',
                "PAUSE" => 'Z',
                "TEARDOWN" => 'T',
                "OPTIONS" => 'O',
                "GET_PARAMETER" => 'G',
                "SET_PARAMETER" => 'E',
                _ => '?',
            })
            .collect()
    }

    pub(crate) fn last(&self, method: &str) -> &Request {
        let found = self.requests.iter().rev().find(|(_, request)| request.method == method);
        &found.unwrap_or_else(|| panic!("no {method} in {}", self.dialogue())).1
    }

    pub(crate) fn losses(&self) -> Vec<(Duration, LostReason, Duration)> {
        let lost = |(at, event): &(Duration, Event)| match event {
            Event::Lost { reason, retry_in, .. } => Some((*at, reason.clone(), *retry_in)),
            _ => None,
        };
        self.events.iter().filter_map(lost).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }

    pub(crate) fn packets(&self) -> usize {
        self.count(|event| matches!(event, Event::Packet { .. }))
    }

    pub(crate) fn warnings<'a>(&'a self) -> Vec<&'a str> {
        let text = |(_, event): &'a (Duration, Event)| match event {
            Event::Warning(text) => Some(text.as_str()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Runs until it stands there, for at most a minute.
    pub(crate) fn until(&mut self, phase: Phase) {
        for _ in 0..6000 {
            if self.client.state() == phase {
                return;
            }
            self.run(Duration::from_millis(10));
        }
        panic!("{} instead of {phase} after {}", self.client.state(), self.dialogue());
    }

    /// A rig whose client plays.
    pub(crate) fn playing(options: Options, camera: Camera) -> Self {
        let mut rig = Self::new(options, camera);
        rig.demand(Demand::Playing);
        rig.until(Phase::Playing);
        rig
    }
}
