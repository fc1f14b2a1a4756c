//! The RTSP server side, connections and sessions, as a state machine without I/O.
//!
//! One [`Server`] holds every connection and every session of one shard. It decides what a request
//! means, asks the shell about streams ([`Ask`]), and says what is to be sent ([`Output`]). It knows
//! no sockets, no clocks and no streams: which streams there are, which tracks they have and what
//! their packets are numbered is all in the answers.
//!
//! ```text
//!               handle(bytes)                     Ask
//!   connection ---------------> Server ----------------------> shell
//!              <---------------        <----------------------
//!                   Send                     answer(id, ..)
//! ```
//!
//! # Rules
//!
//! * Requests of one connection are answered strictly in order. While a question is outstanding, or
//!   an answer is kept back, one further request is parked and the rest stays in the shell's buffer
//!   ([`Intake::Held`]); interleaved RTCP in front of it still passes.
//! * Every question ends exactly once: by an answer that is [`Taken::Used`], or by
//!   [`Output::Withdrawn`] because it took too long, its reader is gone, or its session ended.
//! * Every session that was named in a question ends exactly once, by [`Output::SessionEnded`].
//! * A session belongs to its reader's IP address and user, and if its media is interleaved to its
//!   connection. To everybody else it does not exist (454).
//! * A session is kept alive by any request on its connection, by RTCP, and by media its connection
//!   takes; [`Server::on_rtcp_from`] and [`Server::on_progress`] say which.
//! * When the server itself ends the last session of a connection, it closes the connection.
//! * Everything a reader can make the server hold has a limit with a name in [`ServerOptions`] or
//!   among this crate's constants.

mod access;
mod answers;
mod api;
mod conn;
mod ids;
mod lifetimes;
mod offer;
mod options;
mod ports;
mod reply;
mod requests;
mod server;
mod session;
mod setup;
mod target;
mod timers;

pub use api::{
    AfterSend, Answer, Ask, Chosen, CloseReason, EndReason, Event, HELD_INPUT_BYTES, Intake,
    Output, PlayInfo, Refused, ServerStats, Taken,
};
pub use ids::{AskId, ConnId, SessionId};
pub use options::{
    MAX_MESSAGES_PER_CALL, MAX_PLAYING_INTERLEAVED_PER_CONNECTION, MAX_TRACKS, MAX_URI_BYTES,
    ServerOptions,
};
pub use server::Server;
pub use session::{SessionState, SessionTrack, SessionView};
pub use target::{Target, stream_of};
