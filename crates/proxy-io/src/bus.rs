//! What shards say to each other. Every message is about a stream; media goes as one shared
//! handle per batch and shard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fan_out::WireBatch;
use proxy_session::{Ask, Description, ReaderId, Reply, Ticket};
use rtsp_server::SessionId;
use tokio::sync::mpsc;

use crate::registry::StreamId;
use crate::status::ReaderStatus;

/// Messages that may wait for one shard. A shard that is this far behind loses batches, which
/// its readers see as a gap up to the next key frame.
pub(crate) const BUS_CAPACITY: usize = 8192;

/// One message to a shard.
#[derive(Debug)]
pub(crate) enum Message {
    /// A connection whose first request has been read.
    Connection(Box<NewConnection>),
    /// To the home of a stream that was opened on demand.
    Open(StreamId),
    /// To the stream's home.
    ToStream(StreamId, ToStream),
    /// To a shard with readers of the stream.
    FromStream(StreamId, FromStream),
    /// Another shard's socket brought a datagram: a sign of life of each session here that it may
    /// be of, and what it says if it is one of those that say something.
    Rtcp { from: SocketAddr, report: Option<(SessionId, Bytes)> },
    /// A session of another shard has set up this RTCP port after that of this shard did.
    PortTaken { session: SessionId, port: SocketAddr },
    /// The logs of all shards come near their budget, and the longest is one of this shard's.
    CutLogs,
    /// Log how things are.
    Status,
    /// Say how the readers are.
    Readers(SyncSender<Vec<ReaderStatus>>),
    /// Say goodbye to readers and backends.
    Shutdown,
}

/// A connection on its way from an acceptor to its shard.
#[derive(Debug)]
pub(crate) struct NewConnection {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// What has been read of it so far.
    pub(crate) received: BytesMut,
    /// Counts the connection while it lives.
    pub(crate) place: ConnectionPlace,
}

/// One connection's share of the limit on connections; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPlace(Arc<std::sync::atomic::AtomicUsize>);

impl ConnectionPlace {
    /// Takes a place, unless `limit` are taken.
    pub(crate) fn take(count: &Arc<std::sync::atomic::AtomicUsize>, limit: usize) -> Option<Self> {
        use std::sync::atomic::Ordering;
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1))
            .ok()
            .map(|_| Self(Arc::clone(count)))
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What a shard with readers says to a stream.
#[derive(Debug)]
pub(crate) enum ToStream {
    /// This shard wants the stream's batches from now on.
    Subscribe { shard: usize },
    /// It no longer does.
    Unsubscribe { shard: usize },
    /// A reader's question.
    Ask { ticket: Ticket, reader: ReaderId, ask: Ask },
    /// A reader has joined its audience.
    Joined,
    /// A reader wants no media for the moment.
    Pause(ReaderId),
    /// A reader is gone.
    Leave(ReaderId),
}

/// What a stream says to the shards with readers of it.
#[derive(Clone, Debug)]
pub(crate) enum FromStream {
    /// A batch for the log.
    Publish(Arc<WireBatch>),
    /// What readers need to begin as they can at the stream's home: the log before all batches.
    Begin(Arc<[Arc<WireBatch>]>),
    /// Readers over UDP get packets of their own, which begin with these.
    Part(Arc<[Arc<WireBatch>]>),
    /// They get those of the others again.
    Unite,
    /// The log shall hold no more than what arrived within this time.
    Cut { keep: Duration },
    /// Nobody is playing: the log holds nothing.
    Clear,
    /// There is a (new) description, and this is the CNAME of the stream's reports.
    Described(Arc<Description>, Arc<str>),
    /// The answer to a question.
    Reply { ticket: Ticket, reply: Reply },
    /// The backend is gone.
    EndReaders { why: Arc<str> },
}

/// The ways to all shards.
#[derive(Clone, Debug)]
pub(crate) struct Bus {
    shards: Arc<[mpsc::Sender<Message>]>,
}

impl Bus {
    /// A bus of `count` shards, and what each shard reads from.
    pub(crate) fn new(count: usize) -> (Self, Vec<mpsc::Receiver<Message>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(BUS_CAPACITY)).unzip();
        (Self { shards: senders.into() }, receivers)
    }

    /// How many shards there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Hands a message over, unless the shard is too far behind or gone.
    pub(crate) fn try_send(&self, shard: usize, message: Message) -> Result<(), Message> {
        match self.shards.get(shard) {
            None => Err(message),
            Some(sender) => sender.try_send(message).map_err(mpsc::error::TrySendError::into_inner),
        }
    }

    /// Waits for room for one message; `None` if the shard is gone.
    pub(crate) async fn room(&self, shard: usize) -> Option<mpsc::Permit<'_, Message>> {
        self.shards.get(shard)?.reserve().await.ok()
    }

    /// Hands a message over as soon as there is room; for messages that must not be lost.
    pub(crate) async fn send(&self, shard: usize, message: Message) {
        if let Some(sender) = self.shards.get(shard) {
            // A shard ends only with the process.
            let _gone = sender.send(message).await;
        }
    }
}
