//! The client against a scripted camera, in virtual time.

mod asks;
mod authentication;
mod camera;
mod cameras;
mod chaos;
mod choices;
mod describing;
mod idle;
mod lasting;
mod playing;
mod quirks;
mod rig;
mod setting_up;
mod transports;
