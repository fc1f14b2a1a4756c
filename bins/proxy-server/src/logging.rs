//! Log lines on stderr, written by a thread of their own: a terminal that stands still holds up no
//! stream.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use proxy_config::{LevelChoice, Log, LogFormat};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// The target of events that are RTSP messages; they appear only where dialogues are asked for.
const DIALOGUE: &str = "dialogue";

/// The crates whose events the chosen level is for; of all others only warnings are of interest.
const OURS: &[&str] = &[
    "proxy_server",
    "proxy_io",
    "proxy_session",
    "proxy_config",
    "rtsp_server",
    "backend_client",
    "fan_out",
    "test_camera",
];

/// Lines that wait for stderr; further ones are dropped and counted.
const MAX_WAITING: usize = 1024;

/// Bytes of a line; what is beyond them is cut off.
const MAX_LINE: usize = 64 << 10;

/// How long the end of the program waits for stderr.
const FLUSH: Duration = Duration::from_millis(300);

/// Sets up logging for the whole program; to be called once.
pub(crate) fn start(log: &Log) -> Result<Guard> {
    let (queue, waiting) = sync_channel(MAX_WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&waiting, &counter, io::stderr()))
        .context("cannot start the thread that writes the log")?;
    let output =
        Output { queue: queue.clone(), dropped, raw: matches!(log.format, LogFormat::Json) };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let set = match log.format {
        LogFormat::Text => tracing::subscriber::set_global_default(text(log, output, colours)),
        LogFormat::Json => tracing::subscriber::set_global_default(json(log, output)),
    };
    set.map_err(|_| anyhow!("logging was set up before"))?;
    Ok(Guard { queue })
}

/// Writes what still waits when it is dropped.
#[must_use]
pub(crate) struct Guard {
    queue: SyncSender<Message>,
}

impl Guard {
    /// Waits until what was logged so far is written, but not for long.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.flush();
    }
}

fn text(log: &Log, output: Output, colours: bool) -> impl Subscriber + Send + Sync {
    let layer =
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(colours).with_writer(output);
    tracing_subscriber::registry().with(filter(log)).with(layer)
}

fn json(log: &Log, output: Output) -> impl Subscriber + Send + Sync {
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(output);
    tracing_subscriber::registry().with(filter(log)).with(layer)
}

fn filter(log: &Log) -> Targets {
    let level = match log.level {
        LevelChoice::Error => LevelFilter::ERROR,
        LevelChoice::Warn => LevelFilter::WARN,
        LevelChoice::Info => LevelFilter::INFO,
        LevelChoice::Debug => LevelFilter::DEBUG,
        LevelChoice::Trace => LevelFilter::TRACE,
    };
    let dialogues = if log.dialogues { LevelFilter::TRACE } else { LevelFilter::OFF };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OURS.iter().map(|target| (*target, level)))
        .with_target(DIALOGUE, dialogues)
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn write_lines(waiting: &Receiver<Message>, dropped: &AtomicU64, mut to: impl Write) {
    while let Ok(message) = waiting.recv() {
        // Nothing can be done about an stderr that is closed, and nobody be told.
        match message {
            Message::Line(line) => {
                let _ = to.write_all(&line);
            }
            Message::Flush(done) => {
                let _ = to.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(to, "proxy-server: {lost} log lines were dropped: stderr is too slow");
        }
    }
}

/// Makes a writer for each event.
struct Output {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// The format escapes line ends itself.
    raw: bool,
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        EventWriter { output: self, inner: if self.raw { Inner::Keep } else { Inner::Escape } }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let mut writer = self.make_writer();
        if !self.raw && meta.target() == DIALOGUE && *meta.level() >= Level::DEBUG {
            writer.inner = Inner::Indent;
        }
        writer
    }
}

/// What becomes of line ends inside an event.
#[derive(Clone, Copy)]
enum Inner {
    Keep,
    /// One event is one line, whatever a peer put into it.
    Escape,
    /// Messages are read line by line; that they are indented shows where they end.
    Indent,
}

/// Takes one event, which comes in one piece.
struct EventWriter<'a> {
    output: &'a Output,
    inner: Inner,
}

impl Write for EventWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = Message::Line(one_line(event, self.inner));
        if self.output.queue.try_send(line).is_err() {
            self.output.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event with one line end, at its end.
fn one_line(event: &[u8], inner: Inner) -> Vec<u8> {
    let mut body = event;
    while let [rest @ .., b'\n' | b'\r'] = body {
        body = rest;
    }
    let body = &body[..body.len().min(MAX_LINE)];
    let mut line = Vec::with_capacity(body.len() + 16);
    for &byte in body {
        match (byte, inner) {
            (b'\n', Inner::Escape) => line.extend_from_slice(b"\\n"),
            (b'\r', Inner::Escape) => line.extend_from_slice(b"\\r"),
            (b'\n', Inner::Indent) => line.extend_from_slice(b"\n    "),
            (b'\r', Inner::Indent) => {}
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::*;

    fn output(format: LogFormat) -> (Output, Receiver<Message>) {
        let (queue, waiting) = sync_channel(4);
        let raw = matches!(format, LogFormat::Json);
        (Output { queue, dropped: Arc::default(), raw }, waiting)
    }

    fn lines(waiting: &Receiver<Message>) -> Vec<String> {
        let message = |message| match message {
            Message::Line(line) => String::from_utf8(line).expect("text"),
            Message::Flush(_) => String::new(),
        };
        waiting.try_iter().map(message).collect()
    }

    #[test]
    fn an_event_is_one_line_whatever_a_peer_put_into_it() {
        let (output, waiting) = output(LogFormat::Text);
        with_default(text(&Log::default(), output, false), || {
            tracing::info!(target: "proxy_io", reader = "a\r\nb", "said \"x\ny\"");
        });
        let lines = lines(&waiting);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].matches('\n').count(), 1, "{lines:?}");
        assert!(lines[0].ends_with('\n'));
        assert!(lines[0].contains("INFO") && lines[0].contains("x\\ny"), "{lines:?}");
    }

    #[test]
    fn json_lines_are_json_with_the_span_they_were_made_in() {
        let (output, waiting) = output(LogFormat::Json);
        with_default(json(&Log::default(), output), || {
            let span = tracing::info_span!(target: "proxy_io", "stream", name = "hall");
            span.in_scope(|| tracing::warn!(target: "proxy_io", behind = 3, "a\nb"));
        });
        let lines = lines(&waiting);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = lines[0].trim_end();
        assert!(line.starts_with('{') && line.ends_with('}') && !line.contains('\n'), "{line}");
        for part in ["\"level\":\"WARN\"", "\"message\":\"a\\nb\"", "\"behind\":3", "hall"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn the_level_is_for_our_own_crates_and_dialogues_are_asked_for() {
        let events = || {
            tracing::debug!(target: "proxy_session", "ours");
            tracing::info!(target: "somebody", "theirs");
            tracing::debug!(target: "dialogue", "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        };
        for (level, dialogues, expected) in [
            (LevelChoice::Info, false, 0),
            (LevelChoice::Debug, false, 1),
            (LevelChoice::Debug, true, 2),
            (LevelChoice::Error, true, 1),
        ] {
            let (output, waiting) = output(LogFormat::Text);
            let log = Log { level, dialogues, ..Log::default() };
            with_default(text(&log, output, false), events);
            let lines = lines(&waiting);
            assert_eq!(lines.len(), expected, "{lines:?}");
            if dialogues {
                let dialogue = lines.last().expect("the dialogue");
                assert!(dialogue.ends_with("OPTIONS * RTSP/1.0\n    CSeq: 1\n"), "{dialogue:?}");
            }
        }
    }

    #[test]
    fn what_the_queue_cannot_hold_is_counted_and_told() {
        let (output, waiting) = output(LogFormat::Text);
        let dropped = Arc::clone(&output.dropped);
        for _ in 0..7 {
            let written = output.make_writer().write(b"x\n").expect("it never fails");
            assert_eq!(written, 2);
        }
        drop(output);
        let mut written = Vec::new();
        write_lines(&waiting, &dropped, &mut written);
        let written = String::from_utf8(written).expect("text");
        assert_eq!(written.matches("x\n").count(), 4, "{written}");
        assert!(written.contains("3 log lines were dropped"), "{written}");
    }
}
