//! The `Transport` header (RFC 2326 section 12.39).

use std::fmt;

use smallvec::SmallVec;

use crate::params::{Param, items, params};

/// One way for media to travel, asked for or granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The RTP profile.
    pub profile: Profile,
    /// What goes below RTP.
    pub lower: Lower,
    /// To a group. Where neither `unicast` nor `multicast` is written, `unicast` is meant: that is
    /// not what section 12.39 says, but what everybody does.
    pub multicast: bool,
    /// The channels for RTP and RTCP on the connection itself (section 10.12).
    pub interleaved: Option<(u8, u8)>,
    /// The client's ports for RTP and RTCP.
    pub client_port: Option<(u16, u16)>,
    /// The server's ports for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    /// A group's ports for RTP and RTCP.
    pub port: Option<(u16, u16)>,
    /// Where media comes from.
    pub source: Option<String>,
    /// Where media goes to.
    pub destination: Option<String>,
    /// The SSRC of the RTP packets. Written as hexadecimal digits; ten decimal digits and the
    /// prefix `0x` are understood.
    pub ssrc: Option<u32>,
    /// A group's reach.
    pub ttl: Option<u8>,
    /// `PLAY` or `RECORD`, in any case, without quotes.
    pub mode: Option<String>,
    /// For RECORD.
    pub append: bool,
}

/// An RTP profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// `RTP/AVP`, RFC 3551.
    #[default]
    Avp,
    /// `RTP/AVPF`, RFC 4585.
    Avpf,
    /// `RTP/SAVP`, RFC 3711.
    Savp,
    /// `RTP/SAVPF`, RFC 5124.
    Savpf,
}

/// What goes below RTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lower {
    /// Datagrams of their own.
    #[default]
    Udp,
    /// Interleaved with the messages.
    Tcp,
}

impl Transport {
    /// RTP/AVP over UDP to these ports for RTP and RTCP.
    pub fn udp(client_port: (u16, u16)) -> Self {
        Self { client_port: Some(client_port), ..Self::default() }
    }

    /// RTP/AVP interleaved on these channels for RTP and RTCP.
    pub fn tcp(interleaved: (u8, u8)) -> Self {
        Self { lower: Lower::Tcp, interleaved: Some(interleaved), ..Self::default() }
    }

    /// Reads one alternative. `None` if it names no RTP transport that is known here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut transport = Self::default();
        let mut begun = false;
        for Param { name, value } in params(text) {
            if !std::mem::replace(&mut begun, true) {
                if name.contains('/') {
                    (transport.profile, transport.lower) = parse_spec(name)?;
                    continue;
                }
                // Some backends leave it out of their answers.
                if !PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    return None;
                }
            }
            transport.take_param(name, value);
        }
        let ports = transport.client_port.or(transport.server_port).or(transport.port);
        if transport.interleaved.is_some() && ports.is_none() {
            transport.lower = Lower::Tcp;
        }
        begun.then_some(transport)
    }

    fn take_param(&mut self, name: &str, value: Option<&str>) {
        let text = || value.filter(|value| !value.is_empty()).map(str::to_owned);
        match name.to_ascii_lowercase().as_str() {
            "multicast" => self.multicast = true,
            "unicast" => self.multicast = false,
            "append" => self.append = true,
            "interleaved" => self.interleaved = value.and_then(parse_channels),
            "client_port" => self.client_port = value.and_then(parse_ports),
            "server_port" => self.server_port = value.and_then(parse_ports),
            "port" => self.port = value.and_then(parse_ports),
            "source" => self.source = text(),
            "destination" => self.destination = text(),
            "ttl" => self.ttl = value.and_then(|ttl| ttl.parse().ok()),
            "mode" => self.mode = text(),
            "ssrc" => self.ssrc = value.and_then(parse_ssrc),
            _ => {}
        }
    }
}

/// Reads a header's value: the alternatives in the order of preference, at most
/// [`MAX_ALTERNATIVES`]; those that are not understood are left out.
pub fn parse_transports(value: &str) -> SmallVec<[Transport; 2]> {
    items(value).take(MAX_ALTERNATIVES).filter_map(Transport::parse).collect()
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = match self.profile {
            Profile::Avp => "RTP/AVP",
            Profile::Avpf => "RTP/AVPF",
            Profile::Savp => "RTP/SAVP",
            Profile::Savpf => "RTP/SAVPF",
        };
        let lower = match self.lower {
            Lower::Udp => "",
            Lower::Tcp => "/TCP",
        };
        let cast = if self.multicast { "multicast" } else { "unicast" };
        write!(f, "{profile}{lower};{cast}")?;
        for (name, value) in [("destination", &self.destination), ("source", &self.source)] {
            if let Some(value) = value {
                write!(f, ";{name}={}", Plain(value, "\";\\,"))?;
            }
        }
        if let Some((rtp, rtcp)) = self.interleaved {
            write!(f, ";interleaved={rtp}-{rtcp}")?;
        }
        for (name, ports) in [
            ("port", self.port),
            ("client_port", self.client_port),
            ("server_port", self.server_port),
        ] {
            if let Some((rtp, rtcp)) = ports {
                write!(f, ";{name}={rtp}-{rtcp}")?;
            }
        }
        if let Some(ttl) = self.ttl {
            write!(f, ";ttl={ttl}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        if let Some(mode) = &self.mode {
            write!(f, ";mode=\"{}\"", Plain(mode, "\";\\"))?;
        }
        if self.append {
            write!(f, ";append")?;
        }
        Ok(())
    }
}

/// Text without the characters that would end it, which come second.
struct Plain<'a>(&'a str, &'static str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = |c: char| c.is_control() || self.1.contains(c);
        self.0.split(ends).try_for_each(|part| f.write_str(part))
    }
}

fn parse_spec(spec: &str) -> Option<(Profile, Lower)> {
    let mut parts = spec.split('/').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("RTP") {
        return None;
    }
    let profile = match parts.next()?.to_ascii_uppercase().as_str() {
        "AVP" => Profile::Avp,
        "AVPF" => Profile::Avpf,
        "SAVP" => Profile::Savp,
        "SAVPF" => Profile::Savpf,
        _ => return None,
    };
    let lower = match parts.next().map(str::to_ascii_uppercase).as_deref() {
        None | Some("" | "UDP") => Lower::Udp,
        Some("TCP") => Lower::Tcp,
        Some(_) => return None,
    };
    parts.next().is_none().then_some((profile, lower))
}

/// `4588-4589`; a single one has the next one with it.
fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (rtp, rtcp) = match text.split_once('-') {
        Some((rtp, rtcp)) => (rtp, rtcp.trim().parse().ok()),
        None => (text, None),
    };
    let rtp: u16 = rtp.trim().parse().ok()?;
    Some((rtp, rtcp.unwrap_or_else(|| rtp.saturating_add(1))))
}

fn parse_channels(text: &str) -> Option<(u8, u8)> {
    let (rtp, rtcp) = parse_ports(text)?;
    let rtp = u8::try_from(rtp).ok()?;
    Some((rtp, u8::try_from(rtcp).unwrap_or_else(|_| rtp.saturating_add(1))))
}

/// Eight hexadecimal digits, as section 12.39 wants it; leading zeros may be missing. More digits
/// than eight can only be a decimal number.
fn parse_ssrc(text: &str) -> Option<u32> {
    let text = text.split(['/', ' ']).next()?;
    let (digits, prefixed) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    if prefixed || digits.len() <= 8 {
        u32::from_str_radix(digits, 16).ok()
    } else {
        digits.parse().ok()
    }
}

/// How many alternatives are read from one header.
pub const MAX_ALTERNATIVES: usize = 16;
/// What an answer that lacks its specification may begin with.
const PARAMETERS: [&str; 8] = [
    "unicast",
    "multicast",
    "interleaved",
    "client_port",
    "server_port",
    "port",
    "source",
    "destination",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Transport {
        let all = parse_transports(text);
        assert_eq!(all.len(), 1, "{text}");
        all.into_iter().next().unwrap()
    }

    #[test]
    fn cameras_answer_in_many_ways() {
        let granted =
            one("RTP/AVP/TCP;unicast;destination=10.0.0.9;source=10.0.0.1;interleaved=2-3");
        assert_eq!((granted.lower, granted.interleaved), (Lower::Tcp, Some((2, 3))));
        assert_eq!(granted.source.as_deref(), Some("10.0.0.1"));
        assert_eq!(granted.destination.as_deref(), Some("10.0.0.9"));

        let granted = one("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=4cacc3d1;mode=\"play\"");
        assert_eq!((granted.ssrc, granted.mode.as_deref()), (Some(0x4cac_c3d1), Some("play")));

        let granted =
            one("rtp/avp ; unicast ; client_port = 5000 - 5001 ;server_port=6000; SSRC= 123 ;");
        assert_eq!(granted.client_port, Some((5000, 5001)));
        assert_eq!(granted.server_port, Some((6000, 6001)));
        assert_eq!(granted.ssrc, Some(0x123));
    }

    #[test]
    fn an_ssrc_comes_in_three_forms() {
        assert_eq!(one("RTP/AVP;ssrc=0000007B").ssrc, Some(123));
        assert_eq!(one("RTP/AVP;ssrc=0x7b").ssrc, Some(123));
        assert_eq!(one("RTP/AVP;ssrc=1286390737").ssrc, Some(1_286_390_737));
        assert_eq!(one("RTP/AVP;ssrc=4294967296").ssrc, None);
        assert_eq!(one("RTP/AVP;ssrc=xyz").ssrc, None);
        assert_eq!(one("RTP/AVP;ssrc=").ssrc, None);
    }

    #[test]
    fn a_forgotten_specification_is_made_up_for() {
        let granted = one("unicast;interleaved=0-1");
        assert_eq!((granted.lower, granted.interleaved), (Lower::Tcp, Some((0, 1))));
        assert_eq!(one("RTP/AVP;unicast;interleaved=4").lower, Lower::Tcp);
        assert_eq!(one("RTP/AVP;unicast;interleaved=4").interleaved, Some((4, 5)));
    }

    #[test]
    fn alternatives_keep_their_order_and_unknown_ones_are_left_out() {
        let all = parse_transports(
            "RAW/RAW/UDP;unicast,RTP/AVPF/UDP;multicast;port=7000-7001;ttl=16, \
             RTP/AVP/TCP;interleaved=0-1;mode=\"PLAY,RECORD\", RTP/AVP/SCTP, MP2T/H2221/UDP, x",
        );
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].profile, all[0].multicast, all[0].ttl), (Profile::Avpf, true, Some(16)));
        assert_eq!(all[0].port, Some((7000, 7001)));
        assert_eq!(all[1].mode.as_deref(), Some("PLAY,RECORD"));
    }

    #[test]
    fn numbers_out_of_range_are_missing_numbers() {
        let transport = one("RTP/AVP/TCP;interleaved=256-257;client_port=70000;ttl=256");
        assert_eq!(transport, Transport { lower: Lower::Tcp, ..Transport::default() });
        assert_eq!(one("RTP/AVP/TCP;interleaved=255").interleaved, Some((255, 255)));
        assert!(parse_transports(" , ;;").is_empty());
    }

    #[test]
    fn requests_read_like_those_of_everybody_else() {
        let udp = Transport::udp((5000, 5001)).to_string();
        assert_eq!(udp, "RTP/AVP;unicast;client_port=5000-5001");
        let tcp = Transport::tcp((0, 1)).to_string();
        assert_eq!(tcp, "RTP/AVP/TCP;unicast;interleaved=0-1");
    }

    #[test]
    fn an_address_does_not_bring_in_another_alternative() {
        let transport = one("RTP/AVP;destination=\"192.0.2.7,RTP/AVP/TCP;mode=x\";ttl=1");
        assert_eq!(parse_transports(&transport.to_string()).len(), 1, "{transport}");
    }

    fn transport() -> impl Strategy<Value = Transport> {
        let ports = || proptest::option::of(any::<(u16, u16)>());
        let host = || proptest::option::of("[a-z0-9.:]{1,20}");
        let places = (ports(), ports(), ports(), host(), host());
        let rest = (any::<bool>(), any::<Option<(u8, u8)>>(), any::<Option<u32>>());
        let more = (any::<Option<u8>>(), proptest::option::of("[A-Z,]{1,9}"), any::<bool>());
        (places, rest, more).prop_map(|(places, (multicast, interleaved, ssrc), more)| Transport {
            profile: Profile::Avpf,
            lower: if interleaved.is_some() { Lower::Tcp } else { Lower::Udp },
            multicast,
            interleaved,
            client_port: places.0,
            server_port: places.1,
            port: places.2,
            source: places.3,
            destination: places.4,
            ssrc,
            ttl: more.0,
            mode: more.1,
            append: more.2,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(list in proptest::collection::vec(transport(), 0..4)) {
            let value = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(parse_transports(&value).into_vec(), list);
        }

        #[test]
        fn arbitrary_text_does_no_harm(tail in "[-=;,/0-9a-fx\" \u{e4}]{0,30}") {
            let read = parse_transports(&format!("RTP/AVP;{tail}"));
            prop_assert!(read.len() <= MAX_ALTERNATIVES);
        }
    }
}
