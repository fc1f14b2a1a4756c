//! What the integration tests share: the proxy and real programs as processes, readers of our own
//! that see every byte, media made at test time, frame checksums and frame numbers.

pub mod anew;
pub mod backend;
pub mod camera;
pub mod clips;
pub mod faults;
pub mod frames;
pub mod media;
pub mod namespaces;
pub mod pictures;
mod pictures_tct;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod raw;
pub mod reader;
pub mod recording;
pub mod redirect;
pub mod relay;
pub mod rtp;
pub mod sockets;
pub mod tally;
pub mod tls;
pub mod wait;
pub mod wire;
