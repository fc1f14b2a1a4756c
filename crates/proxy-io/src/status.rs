//! What can be asked of a running proxy.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A reader that is playing, and how it receives by its own receiver reports (RFC 3550,
/// section 6.4). Its `Display` is a part of a log line.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ReaderStatus {
    /// The stream it plays.
    pub stream: Arc<str>,
    /// The reader's end of its RTSP connection.
    pub peer: SocketAddr,
    /// The CNAME it gives itself, if it has reported.
    pub name: Option<Box<str>>,
    /// The program it says it is.
    pub tool: Option<Box<str>>,
    /// Time since its last report; `None` if it has made none lately.
    pub reported: Option<Duration>,
    /// What it last reported of each track that it reports of.
    pub tracks: Vec<TrackReception>,
}

/// How a reader receives one track.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct TrackReception {
    /// The track, from 1, as in its URL.
    pub track: u8,
    /// Reports so far.
    pub reports: u64,
    /// The part of the packets that was lost between its last two reports, from 0 to 1.
    pub loss: f32,
    /// Packets lost since it began; negative if duplicates outnumber losses.
    pub lost: i32,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
    /// From here to the reader and back; `None` before it has answered a sender report.
    pub round_trip: Option<Duration>,
}

impl fmt::Display for ReaderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tracks.is_empty() {
            return f.write_str("no reports");
        }
        for (index, track) in self.tracks.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{track}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TrackReception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { track, loss, lost, .. } = self;
        let jitter = self.jitter.as_secs_f64() * 1000.0;
        write!(
            f,
            "track {track}: {:.1} % lost, {lost} in all, jitter {jitter:.1} ms",
            loss * 100.0
        )?;
        match self.round_trip {
            Some(time) => write!(f, ", round trip {} ms", time.as_millis()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_shown_track_by_track() {
        let track = TrackReception {
            track: 1,
            reports: 2,
            loss: 0.125,
            lost: -1,
            jitter: Duration::from_micros(1250),
            round_trip: Some(Duration::from_millis(40)),
        };
        let mut reader = ReaderStatus {
            stream: Arc::from("cam"),
            peer: SocketAddr::from(([192, 0, 2, 1], 5000)),
            name: None,
            tool: None,
            reported: None,
            tracks: Vec::new(),
        };
        assert_eq!(reader.to_string(), "no reports");
        reader.tracks = vec![track, TrackReception { track: 2, round_trip: None, ..track }];
        assert_eq!(
            reader.to_string(),
            "track 1: 12.5 % lost, -1 in all, jitter 1.2 ms, round trip 40 ms; \
             track 2: 12.5 % lost, -1 in all, jitter 1.2 ms"
        );
    }
}
