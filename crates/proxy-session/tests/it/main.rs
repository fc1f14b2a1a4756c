//! A stream between a scripted camera and readers, in virtual time.

mod auto;
mod bounds;
mod camera;
mod demand;
mod describing;
mod endings;
mod hold;
mod hold_time;
mod instant;
mod joining;
mod keys;
mod media;
mod model;
mod playing;
mod reframe;
mod relaying;
mod reports;
mod rig;
mod setting_up;
mod sources;
mod time;
