//! The client against a scripted camera, in virtual time.

mod authentication;
mod camera;
mod chaos;
mod describing;
mod idle;
mod playing;
mod quirks;
mod rig;
mod setting_up;
