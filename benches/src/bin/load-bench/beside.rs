//! The camera beside the bare loop.
//!
//! While the proxy sends, the readers' core is awake, for the camera has just sent from it, and the
//! camera's next packets take some of its time. Readers that sleep deeper, or have the core for
//! themselves, make the same calls cheaper or dearer for whoever sends to them. So the camera sends
//! beside the bare loop too, to a socket that nobody reads, and what was recorded is sent again at
//! the same distance from what the camera sends.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use benches::clock;
use benches::runs::Scratch;
use test_camera::Stamp;

use crate::readers::connect::{Connection, Path};
use crate::recording::{RTP_HEADER, Recording};

/// How long the camera may take until its stream is described.
const DESCRIBED: Duration = Duration::from_secs(5);
/// How long it may take, beside a period, until it sends.
const BEGUN: Duration = Duration::from_secs(2);

/// A session with the camera, whose media nobody takes any more.
#[derive(Debug)]
pub(crate) struct Beside {
    _connection: Connection,
}

impl Beside {
    /// Plays the camera's stream until it sends what the recording begins with; says when that was,
    /// by the wall clock since 1970.
    pub(crate) fn play(url: &str, recording: &Recording) -> Result<(Self, Duration)> {
        crate::readers::connect::wait_described(url, clock::mono() + DESCRIBED)?;
        // Joined as the proxy takes them.
        let mut connection = Connection::set_up_camera(url)?;
        connection.play()?;
        let mut scratch = Scratch::new(Scratch::JOINED);
        let Path::Datagrams { rtp, .. } = &connection.path else {
            bail!("datagrams were asked for")
        };
        let mut begin = None;
        let until = clock::mono() + Duration::from_nanos(recording.period_nanos) + BEGUN;
        let begin = loop {
            if let Some(begin) = begin {
                break begin;
            }
            ensure!(clock::mono() < until, "the camera beside the bare loop does not begin anew");
            let taken = rtp.take(&mut scratch, |message| {
                let stamps = message.datagrams().filter_map(|datagram| {
                    Stamp::read(datagram.get(RTP_HEADER..).unwrap_or_default())
                });
                let first = stamps.into_iter().find(|stamp| recording.begins_with(stamp));
                begin = begin.or_else(|| first.map(|stamp| stamp.sent));
            });
            if taken.is_err() {
                clock::sleep_until(clock::mono() + Duration::from_millis(1));
            }
        };
        Ok((Self { _connection: connection }, begin))
    }
}
