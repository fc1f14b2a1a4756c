//! Packets of NAL units that are too large, cut one by one.

use rtp_rtcp::RtpTime;
use sdp::Format;

use super::{take_sized, units};
use crate::packetizer::{MAX_PAYLOAD, MIN_LIMIT, Payload};

/// Cuts single payloads of H.264 (RFC 6184), H.265 (RFC 7798) and H.266 (RFC 9328) that are larger
/// than wanted, without a look at the others of their access unit: NAL units become fragments,
/// fragments become smaller ones, and what is aggregated goes each by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NalSplitter(Codec);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Codec {
    H264,
    H265,
    H266,
}

/// A payload cannot be cut by itself: nothing of it was emitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the payload cannot be cut by itself")]
pub struct CannotSplit;

/// What a payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Single,
    Aggregate,
    Fragment,
    Other,
}

impl NalSplitter {
    /// The one for this format; `None` if it is not of NAL units, or if its payloads carry decoding
    /// order numbers, which those of the pieces would have to have as well.
    #[must_use]
    pub fn for_format(format: &Format) -> Option<Self> {
        let value = |name: &str| format.parameter(name).map(str::trim);
        let codec = match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => Codec::H264,
            "H265" | "HEVC" => Codec::H265,
            "H266" | "VVC" => Codec::H266,
            _ => return None,
        };
        let is_numbered = match codec {
            Codec::H264 => value("packetization-mode") == Some("2"),
            Codec::H265 | Codec::H266 => {
                value("sprop-max-don-diff").is_some_and(|value| value != "0")
            }
        };
        (!is_numbered).then_some(Self(codec))
    }

    /// Cuts `payload`, of a packet with this marker, into payloads of at most `limit` bytes; limits
    /// below [`MIN_LIMIT`] count as that. The last one has the marker.
    ///
    /// # Errors
    ///
    /// [`CannotSplit`] where the payload is none of those that can be cut.
    pub fn split(
        self,
        payload: &[u8],
        (timestamp, marker): (RtpTime, bool),
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), CannotSplit> {
        let mut out = Out { limit: limit.clamp(MIN_LIMIT, MAX_PAYLOAD), timestamp, emit };
        // Some cameras send pieces of byte streams.
        if payload.starts_with(&[0, 0, 1]) || payload.starts_with(&[0, 0, 0, 1]) {
            return self.each(|| units(payload), marker, &mut out);
        }
        match self.kind(payload) {
            Kind::Single => self.nal(payload, marker, &mut out),
            Kind::Fragment => self.fragment(payload, marker, &mut out),
            Kind::Aggregate => {
                let inner = || {
                    let mut rest = payload.get(self.header()..).unwrap_or_default();
                    std::iter::from_fn(move || {
                        if rest.is_empty() { None } else { take_sized(&mut rest, 0) }
                    })
                };
                self.each(inner, marker, &mut out)
            }
            Kind::Other => Err(CannotSplit),
        }
    }

    /// Sends NAL units each by itself.
    fn each<'a, I: Iterator<Item = &'a [u8]>>(
        self,
        units: impl Fn() -> I,
        marker: bool,
        out: &mut Out<'_>,
    ) -> Result<(), CannotSplit> {
        let all = || units().filter(|nal| !nal.is_empty());
        if all().next().is_none() || all().any(|nal| self.kind(nal) != Kind::Single) {
            return Err(CannotSplit);
        }
        let mut all = all().peekable();
        while let Some(nal) = all.next() {
            let marker = marker && all.peek().is_none();
            if nal.len() <= out.limit {
                out.send(&[], nal, marker);
            } else {
                self.nal(nal, marker, out)?;
            }
        }
        Ok(())
    }

    /// Sends a NAL unit in fragments.
    fn nal(self, nal: &[u8], marker: bool, out: &mut Out<'_>) -> Result<(), CannotSplit> {
        let (header, body) = nal.split_at_checked(self.header()).ok_or(CannotSplit)?;
        let (header, kind) = match (self.0, header) {
            (Codec::H264, &[first]) => ([first & 0xe0 | FU_A, 0], first & 0x1f),
            (Codec::H265, &[first, second]) => {
                ([first & 0x81 | FU_265 << 1, second], first >> 1 & 0x3f)
            }
            (Codec::H266, &[first, second]) => ([first, FU_266 << 3 | second & 7], second >> 3),
            _ => return Err(CannotSplit),
        };
        out.fragments(self, header, kind | START | END, body, marker);
        Ok(())
    }

    /// Sends a fragment in smaller ones.
    fn fragment(self, payload: &[u8], marker: bool, out: &mut Out<'_>) -> Result<(), CannotSplit> {
        let (header, rest) = payload.split_at_checked(self.header()).ok_or(CannotSplit)?;
        let (&kind, body) = rest.split_first().ok_or(CannotSplit)?;
        let header = match *header {
            [first] => [first, 0],
            [first, second] => [first, second],
            _ => return Err(CannotSplit),
        };
        out.fragments(self, header, kind, body, marker);
        Ok(())
    }

    /// The bytes of a NAL unit's header.
    const fn header(self) -> usize {
        match self.0 {
            Codec::H264 => 1,
            Codec::H265 | Codec::H266 => 2,
        }
    }

    fn kind(self, payload: &[u8]) -> Kind {
        match (self.0, payload) {
            (Codec::H264, &[first, _, ..]) => match first & 0x1f {
                1..STAP_A => Kind::Single,
                STAP_A => Kind::Aggregate,
                FU_A => Kind::Fragment,
                _ => Kind::Other,
            },
            (Codec::H265, &[first, _, _, ..]) => match first >> 1 & 0x3f {
                0..AP_265 => Kind::Single,
                AP_265 => Kind::Aggregate,
                FU_265 => Kind::Fragment,
                _ => Kind::Other,
            },
            (Codec::H266, &[_, second, _, ..]) => match second >> 3 {
                0..AP_266 => Kind::Single,
                AP_266 => Kind::Aggregate,
                FU_266 => Kind::Fragment,
                _ => Kind::Other,
            },
            // No more than a header: such as an end of sequence.
            (Codec::H264, &[first]) if (1..STAP_A).contains(&(first & 0x1f)) => Kind::Single,
            (Codec::H265, &[first, _]) if first >> 1 & 0x3f < AP_265 => Kind::Single,
            (Codec::H266, &[_, second]) if second >> 3 < AP_266 => Kind::Single,
            _ => Kind::Other,
        }
    }
}

/// Where pieces go.
struct Out<'e> {
    limit: usize,
    timestamp: RtpTime,
    emit: &'e mut dyn FnMut(&Payload<'_>),
}

impl Out<'_> {
    fn send(&mut self, own: &[u8], lent: &[u8], marker: bool) {
        let mut payload = Payload::new(self.timestamp);
        payload.marker = marker;
        payload.own(own);
        payload.lend(lent);
        (self.emit)(&payload);
    }

    /// Fragments with this header, of which H.264 has one byte; `kind` is the type of the unit, with
    /// the bits that tell whether its start and its end are among `body`.
    fn fragments(
        &mut self,
        splitter: NalSplitter,
        [first, second]: [u8; 2],
        kind: u8,
        body: &[u8],
        marker: bool,
    ) {
        // What H.266 says of the end of a picture stands with the end of the unit.
        let end_bits = match splitter.0 {
            Codec::H266 => END | LAST_OF_PICTURE,
            Codec::H264 | Codec::H265 => END,
        };
        let room = self.limit.saturating_sub(splitter.header() + 1).max(1);
        let mut pieces = body.chunks(room).peekable();
        let mut not_here = 0;
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let fragment = kind & !(not_here | if is_last { 0 } else { end_bits });
            let own = [first, second, fragment];
            match splitter.0 {
                Codec::H264 => self.send(&[first, fragment], piece, marker && is_last),
                Codec::H265 | Codec::H266 => self.send(&own, piece, marker && is_last),
            }
            not_here = START;
        }
    }
}

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const AP_265: u8 = 48;
const FU_265: u8 = 49;
const AP_266: u8 = 28;
const FU_266: u8 = 29;
const START: u8 = 0x80;
const END: u8 = 0x40;
/// RFC 9328 section 4.3.3.
const LAST_OF_PICTURE: u8 = 0x20;
