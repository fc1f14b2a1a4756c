//! Behaviour in virtual time: a camera, the network before it, and our clocks.

mod any_clock;
mod breaks;
mod camera;
mod drift;
mod reports;
mod three_days;
