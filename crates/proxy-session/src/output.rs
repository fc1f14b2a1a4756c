//! What a stream has to say.

use std::sync::Arc;
use std::time::Duration;

use fan_out::{TrackId, WireBatch};
use time_normalizer::TimeEvent;

use crate::asks::{Reply, Ticket};
use crate::description::Description;

/// What the shell has to do for a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Something for the backend's sockets.
    Backend(backend_client::Output),
    /// A batch for every audience of this stream.
    Publish(Arc<WireBatch>),
    /// Readers over UDP who join from here on get packets of their own, which begin with these
    /// ([`fan_out::Audience::part`]).
    Part(Arc<[Arc<WireBatch>]>),
    /// There are no packets for readers over UDP alone any more, nor such readers
    /// ([`fan_out::Audience::unite`]).
    Unite,
    /// Nobody is playing any more: the logs hold nothing from here on.
    Clear,
    /// There is a (new) description; audiences take its tracks.
    Described(Arc<Description>),
    /// An answer to an [`Ask`](crate::Ask).
    Reply {
        /// Whom it is for.
        to: Ticket,
        /// What it says.
        reply: Reply,
    },
    /// There is nothing for readers to go on with: each gets a BYE and a closed connection.
    EndReaders {
        /// Why, for the log.
        why: String,
    },
    /// Whether a TCP connection can be had there is to be told by
    /// [`Stream::probed`](crate::Stream::probed), within a few seconds; it is not used for anything.
    Probe {
        /// A name, or an address literal without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// Something for the log.
    Event(StreamEvent),
}

/// What an operator may want to read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The backend has been described.
    Described {
        /// Tracks and codecs, as `video H264, audio PCMU`.
        summary: String,
        /// What had to be repaired in the description, a line each.
        tolerated: Vec<String>,
    },
    /// The backend cannot be reached or has been lost.
    Lost {
        /// What happened.
        why: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The backend's session is over, and its readers wait for the next one.
    Held {
        /// How many.
        readers: usize,
        /// For how long at the most.
        at_most: Duration,
    },
    /// Readers that waited get media again.
    Resumed {
        /// How long after the backend was lost.
        after: Duration,
    },
    /// The backend sends media.
    Playing,
    /// The backend has been asked to stop.
    Paused,
    /// One track of the backend ended, the others go on.
    TrackEnded {
        /// The track.
        track: TrackId,
    },
    /// Something happened to the stream's timeline, or the backend's reports are wrong.
    Time {
        /// The track, where it is about one.
        track: Option<TrackId>,
        /// What happened; its `Display` is a line for the log.
        event: TimeEvent,
    },
    /// A packet too large to be relayed was dropped; told once per track.
    TooLarge {
        /// The track.
        track: TrackId,
        /// Its size in bytes.
        bytes: usize,
    },
    /// A packet that cannot be read as RTP was dropped; told once per track.
    Malformed {
        /// The track.
        track: TrackId,
        /// What is wrong with it.
        why: String,
    },
    /// An RTCP packet of the backend's that cannot be read was refused; told once per track.
    BadReport {
        /// The track.
        track: TrackId,
        /// What is wrong with it.
        why: String,
    },
    /// Something an operator may mend.
    Warning(String),
    /// The backend departed from the protocol, and that was made up for; told once per kind.
    Tolerated {
        /// The kind, in a word or two.
        quirk: &'static str,
        /// What was seen.
        detail: String,
    },
    /// One message of the dialogue with the backend, secrets blanked.
    Dialogue {
        /// Sent by us, or received.
        sent: bool,
        /// The message.
        text: String,
    },
}
