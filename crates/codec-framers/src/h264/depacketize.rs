//! Access units out of payloads.

use rtp_rtcp::RtpTime;
use sdp::Format;
use smallvec::smallvec;

use super::glance::H264;
use super::kind::*;
use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::nal::order::OrderQueue;
use crate::nal::stream::{NalStream, header_byte};
use crate::packet::Packet;
use crate::store::{ContiguousUnit, Piece as _, Store};

/// Gives access units of NAL units.
///
/// A unit ends by the marker, by the next timestamp, and where a NAL unit comes that only a new
/// one can begin with. Where slices of a picture go on behind its marker, markers are not heeded
/// any more, until many pictures in a row have had one and at their end. A NAL unit of which a
/// fragment is missing is left out.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    reader: Reader<AccessUnit>,
}

impl Depacketizer {
    /// For this format: whether NAL units are interleaved stands in its parameters.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self { reader: Reader::new(format, limits) }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let Packet { payload, timestamp, marker, lost } = packet;
        self.reader.push(payload, Head { timestamp, marker, lost })
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.reader.stream.poll()
    }

    fn flush(&mut self) {
        self.reader.stream.flush();
    }
}

/// Gives access units in one piece of memory each, for who needs them so: what [`Depacketizer`]
/// and [`AccessUnit::to_length_prefixed`] do together, but each byte is copied once, from where it
/// was received to where it stays.
///
/// ```
/// use codec_framers::{Limits, h264::ContiguousDepacketizer};
/// # let (presentation, _) = sdp::Presentation::parse(b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n")?;
/// # let format = presentation.media[0].main_format();
/// let mut depacketizer = ContiguousDepacketizer::new(format, Limits::default());
/// // What a datagram has behind its RTP header: here an IDR picture in two fragments.
/// depacketizer.push(&[0x7c, 0x85, 0x88], Default::default(), false, 0)?;
/// depacketizer.push(&[0x7c, 0x45, 0x84], Default::default(), true, 0)?;
/// let unit = depacketizer.poll().expect("a picture");
/// assert_eq!((&unit.data[..], unit.key), (&[0, 0, 0, 3, 0x65, 0x88, 0x84][..], true));
/// // Who is done with it may give its memory back.
/// depacketizer.recycle(unit.data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ContiguousDepacketizer {
    reader: Reader<ContiguousUnit>,
}

impl ContiguousDepacketizer {
    /// For this format: whether NAL units are interleaved stands in its parameters.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self { reader: Reader::new(format, limits) }
    }

    /// Takes the next packet: its payload, without header, CSRCs, extension and padding, its
    /// timestamp and marker, and how many packets are missing right before it. As with
    /// [`depacketizer::Depacketizer::push`], packets come in the order of their numbers.
    ///
    /// # Errors
    ///
    /// The packet, or the unit that it belongs to, is of no use; all that came before and comes
    /// after is.
    pub fn push(
        &mut self,
        payload: &[u8],
        timestamp: RtpTime,
        marker: bool,
        lost: u32,
    ) -> Result<(), DepacketizeError> {
        self.reader.push(payload, Head { timestamp, marker, lost })
    }

    /// The next unit that is ready.
    pub fn poll(&mut self) -> Option<ContiguousUnit> {
        self.reader.stream.poll()
    }

    /// Nothing will follow, or not for long: what is half done comes out as it is.
    pub fn flush(&mut self) {
        self.reader.stream.flush();
    }

    /// Gives the memory of a unit back for one to come; what it holds does not matter.
    pub fn recycle(&mut self, data: Vec<u8>) {
        self.reader.stream.memory().spare = data;
    }
}

/// What a packet says of its payload.
#[derive(Clone, Copy, Debug)]
struct Head {
    timestamp: RtpTime,
    marker: bool,
    lost: u32,
}

/// Reads payloads, into whatever units are put together in.
#[derive(Clone, Debug)]
struct Reader<U: Store> {
    stream: NalStream<H264, U>,
}

impl<U: Store> Reader<U> {
    fn new(format: &Format, limits: Limits) -> Self {
        let number = |name| format.parameter(name).and_then(|text| text.trim().parse().ok());
        let interleaved = number("packetization-mode") == Some(2_u16);
        let order = interleaved.then(|| {
            let depth = usize::from(number("sprop-interleaving-depth").unwrap_or(0));
            OrderQueue::new(depth, number("sprop-max-don-diff"), limits.max_unit)
        });
        Self { stream: NalStream::new(H264::new(format), order, limits) }
    }

    #[inline]
    fn push(&mut self, payload: U::Piece<'_>, head: Head) -> Result<(), DepacketizeError> {
        self.stream.begin_packet(head.timestamp, head.lost);
        let took = match payload.first_chunk() {
            // Most packets are fragments: they are taken, not shared.
            Some(&[first, header]) if first & TYPE == FU_A => {
                self.fragment(payload.behind(2), head, (first, header), 0)
            }
            _ => self.payload(payload, head),
        };
        let ended = self.stream.end_packet(head.marker);
        took.and(ended)
    }

    fn payload(&mut self, payload: U::Piece<'_>, head: Head) -> Result<(), DepacketizeError> {
        let Some(&first) = payload.first() else { return Ok(()) };
        match first & TYPE {
            STAP_A => self.aggregate(payload.behind(1), head, Aggregate::SingleTime { at: 0 }),
            STAP_B | MTAP16 | MTAP24 => {
                let Some(&[_, high, low]) = payload.first_chunk() else { return Err(CUT) };
                let base = u16::from_be_bytes([high, low]);
                let aggregate = match first & TYPE {
                    STAP_B => Aggregate::SingleTime { at: base },
                    MTAP16 => Aggregate::SeveralTimes { base, offset: 2 },
                    _ => Aggregate::SeveralTimes { base, offset: 3 },
                };
                self.aggregate(payload.behind(3), head, aggregate)
            }
            FU_B => {
                let Some(&[_, header, high, low]) = payload.first_chunk() else { return Err(CUT) };
                let number = u16::from_be_bytes([high, low]);
                self.fragment(payload.behind(4), head, (first, header), number)
            }
            // One without its second byte.
            FU_A => Err(CUT),
            PACSI | 31 => Err(DepacketizeError::Unsupported("NAL unit type of a payload")),
            _ => self.stream.whole(head.timestamp, 0, head.lost, payload),
        }
    }

    fn aggregate(
        &mut self,
        mut rest: U::Piece<'_>,
        head: Head,
        aggregate: Aggregate,
    ) -> Result<(), DepacketizeError> {
        let mut lost = head.lost;
        let mut number = aggregate.first_number();
        while !rest.is_empty() {
            let Some(&[high, low]) = rest.first_chunk() else { return Err(CUT) };
            let mut size = usize::from(u16::from_be_bytes([high, low]));
            let mut timestamp = head.timestamp;
            let mut start = 2;
            if let Aggregate::SeveralTimes { base, offset } = aggregate {
                let Some(own) = rest.get(2..3 + offset) else { return Err(CUT) };
                let Some((&difference, time)) = own.split_first() else { return Err(CUT) };
                number = base.wrapping_add(u16::from(difference));
                let ticks = time.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
                timestamp = RtpTime(timestamp.0.wrapping_add(ticks));
                start = 3 + offset;
            }
            // Some senders count the whole rest or more as the last unit's size.
            let cut = start + size > rest.len();
            if cut {
                size = rest.len() - start;
            }
            let unit = rest.part(start..start + size);
            rest = rest.behind(start + size);
            let nested = unit.first().is_none_or(|first| first & TYPE >= STAP_A);
            if cut || nested {
                self.stream.damage();
                if cut {
                    return Err(CUT);
                }
                continue;
            }
            self.stream.whole(timestamp, number, std::mem::take(&mut lost), unit)?;
            number = number.wrapping_add(1);
        }
        Ok(())
    }

    #[inline]
    fn fragment(
        &mut self,
        body: U::Piece<'_>,
        head: Head,
        (indicator, header): (u8, u8),
        number: u16,
    ) -> Result<(), DepacketizeError> {
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        // The unit's own header is spread over indicator and fragment header.
        let own = indicator & !TYPE | header & TYPE;
        let took = if start {
            let header: ([u8; 2], _) = ([own, 0], smallvec![header_byte(own)]);
            self.stream.begin_fragments(head.timestamp, number, head.lost, header, body)
        } else {
            self.stream.fragment(head.timestamp, [own, 0], body)
        };
        if end && took.is_ok() {
            return self.stream.end_fragments();
        }
        took
    }
}

/// How the units of an aggregate get their numbers and times.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    /// All at the packet's time, numbered from `at`.
    SingleTime { at: u16 },
    /// Each at its own time, an offset of so many bytes, numbered as it says itself.
    SeveralTimes { base: u16, offset: usize },
}

impl Aggregate {
    fn first_number(self) -> u16 {
        match self {
            Self::SingleTime { at } => at,
            Self::SeveralTimes { base, .. } => base,
        }
    }
}

const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");
