//! Packets that were recorded elsewhere, sent again.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Payload, Unit};

/// One track's packets and its description. They are sent over and over, each time that its
/// timestamp says; the first follows the last as if no end had been.
#[derive(Debug)]
pub(crate) struct Replay {
    units: Vec<Unit>,
    /// The timestamp of each unit, less that of the first, in ticks: those of pictures need not
    /// be in order.
    ticks: Vec<i64>,
    /// When each unit is sent, in ticks: at its timestamp, or when the one before it is.
    due: Vec<u64>,
    /// After how many ticks the first unit comes again.
    length: u64,
    clock_rate: u32,
    /// The lines of the description that speak of the track, but for `a=control`.
    media: String,
}

impl Replay {
    /// Reads the packets of a file, each behind its length in 16 bits (RFC 4571), and what
    /// describes them: the file beside it whose name ends with `.sdp`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        ensure!(path.extension() != Some(OsStr::new("sdp")), "{}: the packets are wanted", name());
        let packets = std::fs::read(path).with_context(name)?;
        let beside = path.with_extension("sdp");
        let sdp = std::fs::read_to_string(&beside).with_context(|| beside.display().to_string())?;
        Self::new(&packets, &sdp).with_context(name)
    }

    fn new(mut file: &[u8], sdp: &str) -> anyhow::Result<Self> {
        let media = media_lines(sdp).context("the description has no track")?;
        let clock_rate = clock_rate(&media).context("the description names no clock rate")?;
        let (mut units, mut stamps) = (Vec::<Vec<Payload>>::new(), Vec::<u32>::new());
        while let Some((&[high, low], rest)) = file.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (packet, rest) = rest.split_at_checked(length).context("a packet is cut off")?;
            file = rest;
            let (&[first, second, _, _, t0, t1, t2, t3, _, _, _, _], rest) =
                packet.split_first_chunk().context("a packet is shorter than its header")?;
            ensure!(first >> 6 == 2, "a packet is none of RTP version 2");
            let stamp = u32::from_be_bytes([t0, t1, t2, t3]);
            if stamps.last() != Some(&stamp) {
                stamps.push(stamp);
                units.push(Vec::new());
            }
            let payload = Payload {
                bytes: rest.into(),
                marker: second & 0x80 != 0,
                stamp: None,
                head: Some((first, second & 0x7f)),
            };
            if let Some(unit) = units.last_mut() {
                unit.push(payload);
            }
        }
        ensure!(file.is_empty(), "a packet is cut off");
        let begin = *stamps.first().context("there is no packet")?;
        // At most 2^31 ticks from the first in either direction.
        let ticks: Vec<i64> =
            stamps.iter().map(|stamp| i64::from(stamp.wrapping_sub(begin).cast_signed())).collect();
        let mut newest = 0;
        let due: Vec<u64> = ticks
            .iter()
            .map(|ticks| {
                newest = newest.max(u64::try_from(*ticks).unwrap_or(0));
                newest
            })
            .collect();
        ensure!(newest > 0, "all packets have the same timestamp");
        let steps = u64::try_from(ticks.len() - 1)?;
        let length = newest + newest.div_ceil(steps).max(1);
        let unit = |packets: Vec<Payload>| Unit { packets: packets.into(), key: false };
        let units = units.into_iter().map(unit).collect();
        Ok(Self { units, ticks, due, length, clock_rate, media })
    }

    /// The track's lines of a description; `control` is where it is set up.
    pub(crate) fn describe(&self, control: &str) -> String {
        format!("{}a=control:{control}\r\n", self.media)
    }

    pub(crate) fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// How long it takes to send all once.
    pub(crate) fn length(&self) -> Duration {
        self.lasts(u128::from(self.length))
    }

    /// The mean time from one unit to the next.
    pub(crate) fn interval(&self) -> Duration {
        self.length() / u32::try_from(self.units.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn unit(&self, index: u64) -> Option<&Unit> {
        self.units.get(self.place(index).1)
    }

    /// When a unit is due.
    pub(crate) fn time(&self, index: u64) -> Duration {
        let (pass, place) = self.place(index);
        let within = self.due.get(place).copied().unwrap_or_default();
        self.lasts(u128::from(pass) * u128::from(self.length) + u128::from(within))
    }

    /// The first unit that is due at `time` or later.
    pub(crate) fn first_unit(&self, time: Duration) -> u64 {
        let ticks = (time.as_nanos() * u128::from(self.clock_rate)).div_ceil(NANOS);
        let length = u128::from(self.length);
        let (pass, within) = (ticks / length, ticks % length);
        let place = self.due.partition_point(|due| u128::from(*due) < within);
        let index = pass * self.units.len() as u128 + place as u128;
        u64::try_from(index).unwrap_or(u64::MAX)
    }

    /// A unit's RTP timestamp before the random offset is added.
    pub(crate) fn timestamp(&self, index: u64) -> u128 {
        let (pass, place) = self.place(index);
        let within = self.ticks.get(place).copied().unwrap_or_default();
        // What is before the very first unit wraps as RTP time does.
        (u128::from(pass) * u128::from(self.length)).wrapping_add_signed(within.into())
    }

    /// How often all was sent before a unit, and its place in the recording.
    fn place(&self, index: u64) -> (u64, usize) {
        let count = self.units.len().max(1) as u64;
        (index / count, usize::try_from(index % count).unwrap_or_default())
    }

    fn lasts(&self, ticks: u128) -> Duration {
        super::nanos(ticks * NANOS / u128::from(self.clock_rate.max(1)))
    }
}

const NANOS: u128 = 1_000_000_000;

/// The first track's lines, with port 0 and without its control attribute.
fn media_lines(sdp: &str) -> Option<String> {
    let mut lines = sdp.lines().map(str::trim_end).skip_while(|line| !line.starts_with("m="));
    let first: Vec<&str> = lines.next()?.split(' ').collect();
    let [kind, _port, rest @ ..] = first.as_slice() else { return None };
    let mut text = format!("{kind} 0 {}\r\n", rest.join(" "));
    let own = lines.take_while(|line| !line.starts_with("m="));
    // Its address and bandwidth are not ours.
    for line in own.filter(|line| line.starts_with("a=") && !line.starts_with("a=control:")) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    Some(text)
}

/// The clock rate of the first payload type: that of its `rtpmap`, or what RFC 3551 assigns.
fn clock_rate(media: &str) -> Option<u32> {
    let payload_type = media.lines().next()?.split(' ').nth(3)?;
    let named = media.lines().find_map(|line| {
        let (number, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        (number == payload_type).then(|| encoding.split('/').nth(1)?.parse().ok())?
    });
    let assigned = || match payload_type.parse().ok()? {
        0_u8 | 3..=5 | 7..=9 | 12 | 13 | 15 | 18 => Some(8_000),
        6 => Some(16_000),
        10 | 11 => Some(44_100),
        16 => Some(11_025),
        17 => Some(22_050),
        14 | 25..=34 => Some(90_000),
        _ => None,
    };
    named.or_else(assigned).filter(|rate| *rate > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n\
        m=video 5004 RTP/AVP 96 97\r\nc=IN IP4 127.0.0.1\r\na=rtpmap:96 AV1/90000\r\n\
        a=rtpmap:97 rtx/90000\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 0\r\n";

    fn file(stamps: &[u32]) -> Vec<u8> {
        let mut file = Vec::new();
        for stamp in stamps {
            let [a, b, c, d] = stamp.to_be_bytes();
            // A header extension, payload type 97 and the marker.
            file.extend([0, 17, 0x90, 0xe1, 0, 1, a, b, c, d, 0, 0, 0, 1, 1, 2, 3, 4, 5]);
        }
        file
    }

    #[test]
    fn what_is_recorded_is_sent_over_and_over_without_a_step() {
        let begin = u32::MAX - 100;
        let stamps = [0, 0, 7200, 3600].map(|ticks: u32| begin.wrapping_add(ticks));
        let replay = Replay::new(&file(&stamps), SDP).unwrap();
        assert_eq!(replay.unit(0).unwrap().packets.len(), 2);
        let ticks: Vec<_> = (0..7).map(|index| replay.timestamp(index)).collect();
        assert_eq!(ticks, [0, 7200, 3600, 10800, 18000, 14400, 21600]);
        let times: Vec<_> = (0..5).map(|index| replay.time(index).as_millis()).collect();
        assert_eq!(times, [0, 80, 80, 120, 200], "none before the one before it");
        for index in [0, 1, 3, 4, 3000] {
            assert_eq!(replay.first_unit(replay.time(index)), index);
        }
        assert_eq!(replay.first_unit(Duration::from_millis(81)), 3);
    }

    #[test]
    fn packets_are_kept_but_for_what_a_session_has_of_its_own() {
        let replay = Replay::new(&file(&[1, 2]), SDP).unwrap();
        let payload = &replay.unit(1).unwrap().packets[0];
        assert_eq!((payload.head, payload.marker), (Some((0x90, 97)), true));
        assert_eq!(payload.bytes[..], [1, 2, 3, 4, 5]);
        let wanted = "m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 AV1/90000\r\na=rtpmap:97 rtx/90000\r\n\
            a=control:trackID=1\r\n";
        assert_eq!(replay.describe("trackID=1"), wanted);
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        assert!(Replay::new(&[], SDP).is_err());
        assert!(Replay::new(&file(&[5, 5]), SDP).is_err(), "no time passes");
        assert!(Replay::new(&file(&[1, 2])[..30], SDP).is_err());
        assert!(Replay::new(&[0, 3, 0x80, 0, 0], SDP).is_err());
        assert!(Replay::new(&file(&[1, 2]), "v=0\r\n").is_err());
        assert!(Replay::new(&file(&[1, 2]), "m=video 0 RTP/AVP 96\r\n").is_err(), "no clock rate");
        assert!(Replay::new(&file(&[1, 2]), "m=audio 0 RTP/AVP 0\r\n").is_ok());
    }
}
