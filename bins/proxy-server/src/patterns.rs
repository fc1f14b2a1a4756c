//! Streams that are opened when a reader asks for a name that a pattern fits.

use std::cmp::Reverse;
use std::time::Duration;

use proxy_config::Pattern;
use proxy_io::{OnDemand, Opening, StreamSetup};

/// What the streams of one pattern have in common.
pub(crate) struct Family {
    pub(crate) pattern: Pattern,
    /// With the pattern for a name, and `{1}` and so on in its sources.
    pub(crate) setup: StreamSetup,
    pub(crate) linger: Duration,
}

/// At most `max` streams at one time, each of the most specific pattern that fits its name.
pub(crate) fn on_demand(max: usize, mut families: Vec<Family>) -> OnDemand {
    if families.is_empty() {
        return OnDemand::default();
    }
    families.sort_by(|one, other| Reverse(&one.pattern).cmp(&Reverse(&other.pattern)));
    OnDemand::new(max, move |name| {
        families.iter().find(|family| family.pattern.captures(name).is_some())?.member(name)
    })
}

impl Family {
    fn member(&self, name: &str) -> Option<Opening> {
        let mut setup = self.setup.clone();
        setup.name = name.to_owned();
        let backend = &mut setup.options.backend;
        backend.url = self.pattern.fill(&backend.url, name)?;
        for source in &mut backend.alternates {
            source.url = self.pattern.fill(&source.url, name)?;
        }
        Some(Opening { setup, linger: self.linger })
    }
}
