//! Behaviour in virtual time: a camera, the network before it, and our clocks.

mod camera;
mod reports;
mod three_days;
