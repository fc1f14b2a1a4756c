//! A server driven by scripted readers and a scripted shell, in virtual time.

mod access;
mod dialogue;
mod endings;
mod lifetimes;
mod properties;
mod refusals;
mod rig;
mod transports;
