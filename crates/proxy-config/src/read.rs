//! One value: how it may be written, what range it has to be in, how it is shown.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use rtsp_proto::auth::Secret;
use sdp::MediaKind;
use toml::de::DeValue;

use crate::choices::TracksChoice;
use crate::suggest::closest;

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// Any text.
    Text,
    /// Any text, never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// What 0 means, where it means something of its own.
        zero: Option<&'static str>,
    },
    /// A length of time: `"10s"`, `"500ms"`, `"5min"`, `"1h"`, or a number of seconds.
    Time {
        /// The least allowed, in milliseconds.
        min_ms: u64,
        /// The most allowed, in milliseconds.
        max_ms: u64,
        /// What 0 means, where it is allowed beside the range.
        zero: Option<&'static str>,
    },
    /// A number of bytes: `"16MiB"`, `"64KiB"`, `"2MB"`, or plain bytes.
    Size {
        /// The least allowed, in bytes.
        min: u64,
        /// The most allowed, in bytes.
        max: u64,
        /// What 0 means, where it is allowed beside the range.
        zero: Option<&'static str>,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of IP addresses.
    Addresses,
    /// `"all"`, `"requested"`, or a list of kinds of media.
    Tracks,
    /// A range of ports: `"40000-40099"`.
    Ports,
    /// A list of SHA-256 fingerprints.
    Fingerprints,
}

impl fmt::Display for Rule {
    /// The range in words, for the example file and the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zero = |zero: Option<&str>| zero.map(|what| format!("; 0: {what}")).unwrap_or_default();
        match *self {
            Self::Text | Self::Secret => f.write_str("text"),
            Self::Flag => f.write_str("true or false"),
            Self::Whole { min, max, zero: what } => write!(f, "{min} to {max}{}", zero(what)),
            Self::Time { min_ms, max_ms, zero: what } => {
                let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(max_ms));
                write!(f, "{} to {}{}", show_time(min), show_time(max), zero(what))
            }
            Self::Size { min, max, zero: what } => {
                write!(f, "{} to {}{}", show_size(min), show_size(max), zero(what))
            }
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::Addresses => f.write_str("a list of IP addresses"),
            Self::Tracks => {
                let kinds: Vec<String> = KINDS.iter().map(|kind| format!("\"{kind}\"")).collect();
                write!(f, "\"all\" or \"requested\" or a list of {}", kinds.join(", "))
            }
            Self::Ports => f.write_str("FIRST-LAST"),
            Self::Fingerprints => f.write_str("a list of 64 hexadecimal digits each"),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Raw<'a> {
    /// In quotes, in the file.
    Text(&'a str),
    Whole(i128),
    Fraction(f64),
    Flag(bool),
    List(Vec<Self>),
    /// Plain text from elsewhere, where numbers and lists have no quotes around their neighbours.
    Bare(&'a str),
    /// Something no key takes.
    Other,
}

impl<'a> Raw<'a> {
    pub(crate) fn of(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other, Self::Whole),
            DeValue::Float(number) => number.as_str().parse().map_or(Self::Other, Self::Fraction),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Array(list) => {
                Self::List(list.iter().map(|item| Self::of(item.get_ref())).collect())
            }
            DeValue::Datetime(_) | DeValue::Table(_) => Self::Other,
        }
    }

    fn text(&self) -> Option<&'a str> {
        match *self {
            Self::Text(text) | Self::Bare(text) => Some(text),
            _ => None,
        }
    }
}

/// A field of the settings that a key names.
pub(crate) trait Field {
    /// Takes the value, or says what would be right; `self` is then as before.
    fn set(&mut self, raw: &Raw<'_>, rule: &Rule) -> Result<(), String>;

    /// As it would stand in the file; `None` for what is not set or never shown.
    fn show(&self, rule: &Rule) -> Option<String>;
}

macro_rules! number_fields {
    ($($number:ty),+) => {$(
        impl Field for $number {
            fn set(&mut self, raw: &Raw<'_>, rule: &Rule) -> Result<(), String> {
                let number = match rule {
                    Rule::Size { min, max, zero } => read_size(raw, *min, *max, zero.is_some())?,
                    Rule::Whole { min, max, .. } => read_whole(raw, *min, *max)?,
                    _ => return Err(format!("expected {rule}")),
                };
                *self = Self::try_from(number)
                    .map_err(|_| format!("{number} is too large for this machine"))?;
                Ok(())
            }

            fn show(&self, rule: &Rule) -> Option<String> {
                let number = u64::try_from(*self).unwrap_or(u64::MAX);
                Some(match rule {
                    Rule::Size { .. } if number != 0 => format!("\"{}\"", show_size(number)),
                    _ => number.to_string(),
                })
            }
        }
    )+};
}
number_fields!(u16, u32, usize);

impl Field for Duration {
    fn set(&mut self, raw: &Raw<'_>, rule: &Rule) -> Result<(), String> {
        *self = read_time(raw, rule)?;
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        Some(format!("\"{}\"", show_time(*self)))
    }
}

/// `None` is written as 0.
impl Field for Option<Duration> {
    fn set(&mut self, raw: &Raw<'_>, rule: &Rule) -> Result<(), String> {
        *self = Some(read_time(raw, rule)?).filter(|time| !time.is_zero());
        Ok(())
    }

    fn show(&self, rule: &Rule) -> Option<String> {
        self.unwrap_or_default().show(rule)
    }
}

impl Field for bool {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        *self = match raw {
            Raw::Flag(flag) => *flag,
            Raw::Bare("true") => true,
            Raw::Bare("false") => false,
            _ => return Err("expected true or false, without quotes".to_owned()),
        };
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        Some(self.to_string())
    }
}

impl Field for Option<String> {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        let text = raw.text().ok_or("expected text in quotes")?;
        *self = Some(text.to_owned());
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        self.as_ref().map(|text| format!("{text:?}"))
    }
}

impl Field for Option<Secret> {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        let text = raw.text().ok_or("expected text in quotes")?;
        *self = Some(Secret::new(text));
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        None
    }
}

impl Field for Vec<IpAddr> {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        const RIGHT: &str = "expected IP addresses such as [\"0.0.0.0\", \"::\"]";
        let address = |text: &str| {
            let plain = text.trim().trim_start_matches('[').trim_end_matches(']');
            plain.parse::<IpAddr>().map_err(|_| format!("{text:?} is no IP address; {RIGHT}"))
        };
        let addresses: Self = match raw {
            Raw::Text(text) => vec![address(text)?],
            Raw::Bare(text) => text.split(',').map(address).collect::<Result<_, _>>()?,
            Raw::List(items) => items
                .iter()
                .map(|item| item.text().ok_or_else(|| RIGHT.to_owned()).and_then(address))
                .collect::<Result<_, _>>()?,
            _ => return Err(RIGHT.to_owned()),
        };
        if addresses.is_empty() {
            return Err(format!("the list is empty; {RIGHT}"));
        }
        if let Some(twice) = (1..addresses.len()).find(|&i| addresses[..i].contains(&addresses[i]))
        {
            return Err(format!("{} stands in the list twice", addresses[twice]));
        }
        *self = addresses;
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        let quoted: Vec<String> = self.iter().map(|address| format!("\"{address}\"")).collect();
        Some(format!("[{}]", quoted.join(", ")))
    }
}

/// Ports that media is received on: at least one pair of an even port and the next.
impl Field for Option<RangeInclusive<u16>> {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        const RIGHT: &str = "expected a range of ports such as \"40000-40099\"";
        let text = raw.text().ok_or(RIGHT)?;
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port >= 1024);
        let ends = text.split_once('-').and_then(|(first, last)| port(first).zip(port(last)));
        let (first, last) = ends.ok_or_else(|| format!("{RIGHT}, from 1024 to 65535"))?;
        let even = first.checked_add(first % 2);
        if even.is_none_or(|even| even >= last) {
            return Err(format!("{first}-{last} holds no even port with the next one; {RIGHT}"));
        }
        *self = Some(first..=last);
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        self.as_ref().map(|range| format!("\"{}-{}\"", range.start(), range.end()))
    }
}

/// SHA-256 fingerprints, with or without colons.
impl Field for Vec<[u8; 32]> {
    fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
        const RIGHT: &str = "expected SHA-256 fingerprints of 64 hexadecimal digits, as \
                             `openssl x509 -noout -fingerprint -sha256` shows them";
        let read = |text: &str| fingerprint(text).ok_or_else(|| RIGHT.to_owned());
        *self = match raw {
            Raw::Text(text) => vec![read(text)?],
            Raw::Bare(text) => text.split(',').map(read).collect::<Result<_, _>>()?,
            Raw::List(items) => items
                .iter()
                .map(|item| item.text().ok_or_else(|| RIGHT.to_owned()).and_then(read))
                .collect::<Result<_, _>>()?,
            _ => return Err(RIGHT.to_owned()),
        };
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        let quoted = self.iter().map(|bytes| {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digits}\"")
        });
        let quoted: Vec<String> = quoted.collect();
        Some(format!("[{}]", quoted.join(", "))).filter(|_| !self.is_empty())
    }
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.trim().chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

impl Field for TracksChoice {
    fn set(&mut self, raw: &Raw<'_>, rule: &Rule) -> Result<(), String> {
        let kind = |text: &str| {
            let kind = KINDS.iter().find(|kind| kind.to_string() == text.trim());
            kind.cloned().ok_or_else(|| format!("{text:?} is unknown; expected {rule}"))
        };
        let kinds: Vec<MediaKind> = match raw {
            Raw::Text("all") | Raw::Bare("all") => {
                *self = Self::All;
                return Ok(());
            }
            Raw::Text("requested") | Raw::Bare("requested") => {
                *self = Self::Requested;
                return Ok(());
            }
            Raw::Text(text) => vec![kind(text)?],
            Raw::Bare(text) => text.split(',').map(kind).collect::<Result<_, _>>()?,
            Raw::List(items) => items
                .iter()
                .map(|item| item.text().ok_or_else(|| format!("expected {rule}")).and_then(kind))
                .collect::<Result<_, _>>()?,
            _ => return Err(format!("expected {rule}")),
        };
        if kinds.is_empty() {
            return Err(format!("the list is empty; expected {rule}"));
        }
        *self = Self::Kinds(kinds);
        Ok(())
    }

    fn show(&self, _: &Rule) -> Option<String> {
        Some(match self {
            Self::All => "\"all\"".to_owned(),
            Self::Requested => "\"requested\"".to_owned(),
            Self::Kinds(kinds) => {
                let quoted: Vec<String> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
                format!("[{}]", quoted.join(", "))
            }
        })
    }
}

/// The kinds of media that can be chosen (RFC 8866 section 5.14).
const KINDS: &[MediaKind] = &[
    MediaKind::Video,
    MediaKind::Audio,
    MediaKind::Application,
    MediaKind::Text,
    MediaKind::Message,
];

/// The word's place in the rule's list, or what would be right.
pub(crate) fn read_word(raw: &Raw<'_>, words: &'static [&'static str]) -> Result<usize, String> {
    let rule = Rule::Word(words);
    let word = raw.text().ok_or_else(|| format!("expected {rule}, in quotes"))?;
    words.iter().position(|known| *known == word).ok_or_else(|| {
        let hint = closest(word, words.iter().copied())
            .map(|meant| format!(" (did you mean {meant:?}?)"))
            .unwrap_or_default();
        format!("{word:?} is unknown; expected {rule}{hint}")
    })
}

fn read_whole(raw: &Raw<'_>, min: u64, max: u64) -> Result<u64, String> {
    let number = match raw {
        Raw::Whole(number) => Some(*number),
        Raw::Bare(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| format!("expected a whole number, {min} to {max}"))?;
    u64::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("{number} is out of range; allowed is {min} to {max}"))
}

fn read_time(raw: &Raw<'_>, rule: &Rule) -> Result<Duration, String> {
    let &Rule::Time { min_ms, max_ms, zero } = rule else {
        return Err(format!("expected {rule}"));
    };
    let seconds = match raw {
        Raw::Whole(number) => Some(*number as f64),
        Raw::Fraction(number) => Some(*number),
        Raw::Text(text) | Raw::Bare(text) => scaled(
            text,
            matches!(raw, Raw::Bare(_)).then_some(1.0),
            &[("ms", 0.001), ("s", 1.0), ("min", 60.0), ("m", 60.0), ("h", 3600.0)],
        ),
        _ => None,
    };
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let Some(time) = time else {
        return Err(format!(
            "expected a time such as \"10s\", \"500ms\", \"2min\" or a number of seconds ({rule})"
        ));
    };
    let allowed = Duration::from_millis(min_ms)..=Duration::from_millis(max_ms);
    if allowed.contains(&time) || (time.is_zero() && zero.is_some()) {
        Ok(time)
    } else {
        Err(format!("{} is out of range; allowed is {rule}", show_time(time)))
    }
}

fn read_size(raw: &Raw<'_>, min: u64, max: u64, or_zero: bool) -> Result<u64, String> {
    const UNITS: &[(&str, f64)] = &[
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
        ("kB", 1e3),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("B", 1.0),
    ];
    let bytes = match raw {
        Raw::Whole(number) => Some(*number as f64),
        Raw::Text(text) | Raw::Bare(text) => {
            scaled(text, matches!(raw, Raw::Bare(_)).then_some(1.0), UNITS)
        }
        _ => None,
    };
    let Some(bytes) = bytes else {
        return Err(format!(
            "expected a size such as \"16MiB\", \"64KiB\" or a number of bytes ({} to {})",
            show_size(min),
            show_size(max)
        ));
    };
    // All limits lie far below 2^53, where every whole number is exact.
    let whole = bytes as u64;
    let is_allowed = (min..=max).contains(&whole) || (or_zero && whole == 0);
    if bytes.fract() == 0.0 && bytes >= 0.0 && is_allowed {
        Ok(whole)
    } else {
        Err(format!(
            "{bytes} bytes is out of range; allowed is {} to {}",
            show_size(min),
            show_size(max)
        ))
    }
}

/// A decimal number with a unit after it; `plain` is the unit of a number without one.
fn scaled(text: &str, plain: Option<f64>, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let scale =
        if unit.is_empty() { plain? } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<f64>().ok().map(|number| number * scale)
}

pub(crate) fn show_time(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) && ms > 60_000 => format!("{}min", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, name) in [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}
