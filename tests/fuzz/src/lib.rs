//! What `cargo xtask fuzz` feeds with arbitrary bytes, target by target, and what must hold of
//! whatever comes out.
//!
//! A target is a function of bytes that panics where something is wrong. Ordinary tests run each
//! on its seeds; libFuzzer (feature `libfuzzer`) looks for more.

#![allow(
    clippy::missing_panics_doc,
    reason = "a target tells what it has found by a panic: that is what it is for"
)]

mod clock;
mod formats;
mod payloads;
mod rtcp;
mod rtp;
mod rtsp;
mod script;
mod sdps;

use std::fmt;

type Run = dyn Fn(&[u8]) + Send + Sync;
type Seeds = dyn Fn() -> Vec<Vec<u8>> + Send + Sync;

/// Something that takes bytes from a peer.
pub struct Target {
    /// What it is chosen by.
    pub name: &'static str,
    run: Box<Run>,
    seeds: Box<Seeds>,
}

impl Target {
    fn new(
        name: &'static str,
        run: impl Fn(&[u8]) + Send + Sync + 'static,
        seeds: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, run: Box::new(run), seeds: Box::new(seeds) }
    }

    /// Takes an input.
    ///
    /// # Panics
    /// Something is wrong with what came out.
    pub fn run(&self, input: &[u8]) {
        (self.run)(input);
    }

    /// Inputs to begin with.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All targets: one for each payload format, and the others.
#[must_use]
pub fn targets() -> Vec<Target> {
    let mut targets = vec![
        Target::new("rtsp-requests", rtsp::requests, rtsp::streams),
        Target::new("rtsp-responses", rtsp::responses, rtsp::streams),
        Target::new("rtsp-headers", rtsp::headers, rtsp::values),
        Target::new("rtsp-url", rtsp::url, rtsp::urls),
        Target::new("sdp", sdps::run, sdps::seeds),
        Target::new("rtp", rtp::run, rtp::seeds),
        Target::new("rtcp", rtcp::run, rtcp::seeds),
    ];
    targets.extend(formats::ALL.iter().map(|family| {
        Target::new(
            family.name,
            move |input| payloads::run(family, input),
            move || payloads::seeds(family),
        )
    }));
    targets
}

/// The input as a person reads it, where it is more than bytes.
#[must_use]
pub fn shown(name: &str, input: &[u8]) -> String {
    match formats::ALL.iter().find(|family| family.name == name) {
        Some(family) => payloads::shown(family, input),
        None => input.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_name_of_its_own_and_takes_its_seeds() {
        let mut names: Vec<_> = targets().iter().map(|target| target.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for target in targets() {
            let seeds = target.seeds();
            assert!(!seeds.is_empty(), "{}", target.name);
            seeds.iter().for_each(|seed| target.run(seed));
        }
    }

    #[test]
    fn cut_and_flipped_seeds_are_taken_too() {
        for target in targets() {
            for (index, mut seed) in target.seeds().into_iter().enumerate() {
                let at = (index * 7 + 3) % seed.len().max(1);
                if let Some(byte) = seed.get_mut(at) {
                    *byte ^= 0x41;
                }
                target.run(&seed);
                seed.truncate(seed.len() / 2);
                target.run(&seed);
            }
            target.run(&[]);
        }
    }
}
