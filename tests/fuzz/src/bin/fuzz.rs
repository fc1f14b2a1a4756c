//! One target, chosen by the environment, under libFuzzer. Run by `cargo xtask fuzz`.

#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

/// Names the target.
const VARIABLE: &str = "FUZZ_TARGET";

fuzz_target!(
    init: {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        match fuzz::targets().into_iter().find(|target| target.name == name) {
            Some(target) => drop(TARGET.set(target)),
            None => panic!("{VARIABLE}: there is no target `{name}`"),
        }
    },
    |input: &[u8]| {
        if let Some(target) = TARGET.get() {
            target.run(input);
        }
    }
);
