//! The hot paths: what a packet, a reader or a request passes, crate by crate.
//!
//! Each is measured in two ways, by the same code: in nanoseconds (`benches/hot_paths.rs`) and in
//! instructions (`src/bin/counts.rs`). So that instructions can be counted to the last one, nothing
//! here depends on the machine, the clock or chance.

use std::fmt;

mod backend;
mod codecs;
mod relaying;
mod requests;
mod rtp;
mod serving;
mod text;

/// All of them, in the order in which a packet meets them.
#[must_use]
pub fn all() -> Vec<Path> {
    [
        text::paths(),
        rtp::paths(),
        codecs::paths(),
        serving::paths(),
        backend::paths(),
        requests::paths(),
        relaying::paths(),
    ]
    .concat()
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Path {
    /// The crate and what it does, unique.
    pub name: &'static str,
    /// What [`Work::run`] counts, in the singular.
    pub unit: &'static str,
    make: fn() -> Box<dyn Work>,
}

impl Path {
    const fn new(name: &'static str, unit: &'static str, make: fn() -> Box<dyn Work>) -> Self {
        Self { name, unit, make }
    }

    /// Builds what the path works on, and walks it a few times, so that every buffer has its size.
    #[must_use]
    pub fn make(&self) -> Box<dyn Work> {
        let mut work = (self.make)();
        for _ in 0..WARM_UP {
            work.prepare();
            work.run();
        }
        work
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path").field("name", &self.name).field("unit", &self.unit).finish()
    }
}

/// What is measured, again and again.
pub trait Work {
    /// Makes the input of the next run, and drops what is left of the last one.
    fn prepare(&mut self);

    /// Does the work and says how many units of it. Without [`Work::prepare`] before it, none.
    fn run(&mut self) -> u64;
}

const WARM_UP: u32 = 3;

/// A work of two halves: one makes an input, the other uses it. An input is dropped when the next
/// one is made: what a run leaves there costs it nothing.
fn work<I: 'static>(
    prepare: impl FnMut() -> I + 'static,
    run: impl FnMut(&mut I) -> u64 + 'static,
) -> Box<dyn Work> {
    Box::new(Halves { prepare, run, input: None })
}

struct Halves<I, P, R> {
    prepare: P,
    run: R,
    input: Option<I>,
}

impl<I, P: FnMut() -> I, R: FnMut(&mut I) -> u64> Work for Halves<I, P, R> {
    fn prepare(&mut self) {
        self.input = None;
        self.input = Some((self.prepare)());
    }

    fn run(&mut self) -> u64 {
        self.input.as_mut().map_or(0, &mut self.run)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own_and_does_the_same_work_each_time() {
        let names: BTreeSet<_> = all().iter().map(|path| path.name).collect();
        assert_eq!(names.len(), all().len());
        for path in all() {
            let mut work = path.make();
            let mut done = Vec::new();
            for _ in 0..5 {
                work.prepare();
                done.push(work.run());
            }
            assert!(
                done[0] > 0 && done.iter().all(|units| *units == done[0]),
                "{path:?}: {done:?}"
            );
        }
    }

    #[test]
    fn nothing_is_done_without_an_input() {
        assert_eq!(work(|| 1_u64, |input| *input).run(), 0);
    }
}
