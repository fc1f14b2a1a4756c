//! The list of everything that can be chosen.

use std::fmt;

use crate::choices::{
    BACKEND_LOSSES, CLOCKS, FORMATS, IDLES, KEEP_ALIVES, LEVELS, LOSSES, PACKETS, PULLS, STARTS,
    TRANSPORTS, VERIFICATIONS,
};
use crate::read::{Field, Raw};
use crate::settings::{Global, StreamOptions};

pub use crate::read::Rule;

/// A group of keys that stand in one table of the file.
#[derive(Debug)]
pub struct Section {
    /// The table's name; empty for the keys at the top of the file.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key<Global>],
}

/// One key of the file: a field of `T`.
pub struct Key<T: 'static> {
    /// The key, without its section.
    pub name: &'static str,
    /// What the value has to be.
    pub rule: Rule,
    /// What it does, in one or two sentences.
    pub about: &'static str,
    /// A value to show where there is no default; empty where there is one.
    pub sample: &'static str,
    /// The command line options that set it, as the help writes them; empty if there is none.
    pub option: &'static str,
    field: fn(&mut T) -> &mut dyn Field,
}

impl<T> Key<T> {
    /// The default as it would stand in the file; `None` if the key is not set by default.
    #[must_use]
    pub fn default_value(&self) -> Option<String>
    where
        T: Default,
    {
        (self.field)(&mut T::default()).show(&self.rule)
    }

    pub(crate) fn set(&self, target: &mut T, raw: &Raw<'_>) -> Result<(), String> {
        (self.field)(target).set(raw, &self.rule)
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).field("rule", &self.rule).finish()
    }
}

/// The default of a key with its section, such as `log.format` or `defaults.transport`, as it would
/// stand in the file.
#[must_use]
pub fn default_of(key: &str) -> Option<String> {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    if section == "defaults" {
        return STREAM.iter().find(|key| key.name == name)?.default_value();
    }
    let known = SECTIONS.iter().find(|known| known.name == section)?;
    known.keys.iter().find(|key| key.name == name)?.default_value()
}

macro_rules! key {
    ($name:ident in $($path:ident).*, $rule:expr, $about:expr $(, sample $sample:expr)? $(, option $option:expr)?) => {
        Key {
            name: stringify!($name),
            rule: $rule,
            about: $about,
            sample: concat!("", $($sample)?),
            option: concat!("", $($option)?),
            field: |target| &mut target.$($path.)*$name,
        }
    };
    ($name:ident, $rule:expr, $about:expr $(, sample $sample:expr)? $(, option $option:expr)?) => {
        Key {
            name: stringify!($name),
            rule: $rule,
            about: $about,
            sample: concat!("", $($sample)?),
            option: concat!("", $($option)?),
            field: |target| &mut target.$name,
        }
    };
}

const fn whole(min: u64, max: u64) -> Rule {
    Rule::Whole { min, max, zero: None }
}

const fn time(min_ms: u64, max_ms: u64) -> Rule {
    Rule::Time { min_ms, max_ms, zero: None }
}

const fn size(min: u64, max: u64) -> Rule {
    Rule::Size { min, max, zero: None }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What concerns all streams together. The table `[users]`, whose keys are names, is not in it.
pub const SECTIONS: &[Section] = &[
    Section { name: "", about: "The server.", keys: SERVER },
    Section { name: "limits", about: "What readers can make the server hold.", keys: LIMITS },
    Section { name: "log", about: "What is logged, to stderr, and how.", keys: LOG },
];

const SERVER: &[Key<Global>] = &[
    key!(
        rtsp_port,
        Rule::Whole { min: 0, max: 65_535, zero: Some("the system chooses one") },
        "The TCP port on which readers are served.",
        option "-p, --rtsp-port"
    ),
    key!(
        bind,
        Rule::Addresses,
        "The addresses to listen on.",
        option "--bind"
    ),
    key!(
        workers,
        Rule::Whole { min: 0, max: 1024, zero: Some("one per core") },
        "Threads that carry streams and readers.",
        option "--workers"
    ),
    key!(
        io_uring,
        Rule::Flag,
        "Whether readers over TCP are served through io_uring where the kernel allows it, which \
         takes less CPU time."
    ),
    key!(
        session_timeout,
        time(10 * SECOND, HOUR),
        "The time without a sign of life that a reader's session is granted. It is ended 5 s later."
    ),
];

const LIMITS: &[Key<Global>] = &[
    key!(connections in limits, whole(1, 1_000_000), "Connections of readers at one time."),
    key!(sessions_per_connection in limits, whole(1, 1000), "Sessions on one connection."),
    key!(
        header_bytes in limits,
        size(KIB, MIB),
        "The first line and the headers of one message, from readers and from backends."
    ),
    key!(
        body_bytes in limits,
        size(4 * KIB, 16 * MIB),
        "The body of one message, from readers and from backends."
    ),
    key!(
        first_request in limits,
        time(100, 5 * MINUTE),
        "How long a new connection may take for its first request."
    ),
    key!(
        idle_connection in limits,
        time(SECOND, HOUR),
        "How long a connection may stand without a session."
    ),
    key!(
        max_dynamic in limits,
        whole(1, 100_000),
        "Streams of patterns, such as [streams.\"nvr/*\"], that are open at one time; those that \
         have failed count for as long as their backends are left in peace. Where there are as \
         many, a reader of another one is told to come again (503)."
    ),
    key!(
        log_budget in limits,
        Rule::Size { min: 4 * MIB, max: TIB, zero: Some("a quarter of the memory there is") },
        "The memory that the media kept of all streams together may take. Beyond it the streams \
         with the longest time between key frames keep less, and their readers begin at the next \
         key frame."
    ),
];

const LOG: &[Key<Global>] = &[
    key!(
        level in log,
        Rule::Word(LEVELS),
        "The least weight of an event that is logged; debug tells every event.",
        option "-v, --verbose (debug)"
    ),
    key!(format in log, Rule::Word(FORMATS), "The form of a line.", option "--log-format"),
    key!(
        dialogues in log,
        Rule::Flag,
        "Whether the RTSP messages themselves are logged; secrets in them are blanked.",
        option "-V, --dialogues"
    ),
    key!(
        status in log,
        Rule::Time { min_ms: SECOND, max_ms: 24 * HOUR, zero: Some("only on SIGUSR1") },
        "How often one line per stream and per lagging reader is logged.",
        option "-v, --verbose (60 s)"
    ),
];

/// What can be chosen per stream, in `[streams.NAME]`, and for all of them in `[defaults]`.
pub const STREAM: &[Key<StreamOptions>] = &[
    key!(
        user,
        Rule::Text,
        "The name to give to a backend that asks for one and whose URL carries none.",
        sample "\"admin\"",
        option "-u, --backend-user"
    ),
    key!(
        password,
        Rule::Secret,
        "The password that goes with it.",
        sample "\"secret\"",
        option "-u, --backend-user"
    ),
    key!(
        password_file,
        Rule::Text,
        "A file that holds the password; it goes before `password`.",
        sample "\"/run/secrets/hall\""
    ),
    key!(
        credentials_elsewhere,
        Rule::Flag,
        "Whether they are shown to other hosts that the backend redirects to: whoever can answer \
         for it could collect them."
    ),
    key!(
        transport,
        Rule::Word(TRANSPORTS),
        "How media comes from the backend: over UDP, interleaved in the RTSP connection (TCP), \
         UDP with TCP where that is refused or brings nothing (auto; TCP at once where the source is \
         rtsps://, for UDP is not encrypted), to a multicast group, or with the whole dialogue in a \
         tunnel over HTTP (HTTPS where the source is rtsps://).",
        option "-t, --backend-tcp (tcp)"
    ),
    key!(
        http_port,
        Rule::Whole { min: 0, max: 65_535, zero: Some("the one in the source's URL") },
        "The port of the tunnel with transport = \"http\".",
        option "-T, --backend-http"
    ),
    key!(
        backend_ports,
        Rule::Ports,
        "The UDP ports that media is received on, two for each track; without it the system \
         chooses them.",
        sample "\"40000-40099\""
    ),
    key!(
        interface,
        Rule::Text,
        "The network interface, by name or by one of its addresses, on which multicast groups are \
         joined; without it the one that leads to the backend.",
        sample "\"eth0\""
    ),
    key!(
        tls,
        Rule::Word(VERIFICATIONS),
        "Whether the certificate of an rtsps:// source is verified. With \"insecure\" whoever \
         answers is believed, and each connection is a warning in the log."
    ),
    key!(
        tls_ca,
        Rule::Text,
        "A PEM file with the authorities that may have signed it, in place of the system's.",
        sample "\"/etc/rtsp-proxy/cameras-ca.pem\""
    ),
    key!(
        tls_pin,
        Rule::Fingerprints,
        "The SHA-256 of the certificates that are accepted, and no others, whoever signed them and \
         whatever their names and dates; `tls_ca` does not count then: openssl x509 -noout -fingerprint -sha256.",
        sample "[\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"]"
    ),
    key!(
        tls_name,
        Rule::Text,
        "The name that is asked for (SNI) and that the certificate must have, in place of the host \
         in the URL.",
        sample "\"camera.example\""
    ),
    key!(
        udp_timeout,
        time(500, MINUTE),
        "How long after PLAY media may fail to come over UDP before TCP is tried."
    ),
    key!(
        max_packet_gap,
        Rule::Time { min_ms: 500, max_ms: 24 * HOUR, zero: Some("for ever") },
        "How long the video (all tracks, where there is none) may be silent before the backend is \
         reset.",
        option "-D, --max-packet-gap"
    ),
    key!(connect_timeout, time(100, 5 * MINUTE), "How long a connection to the backend may take."),
    key!(request_timeout, time(500, 5 * MINUTE), "How long the backend may take for an answer."),
    key!(retry_min, time(100, HOUR), "The wait after a first failure; it doubles with each more."),
    key!(retry_max, time(SECOND, 24 * HOUR), "The longest wait after failures in a row."),
    key!(
        retry_unauthorized,
        time(SECOND, 24 * HOUR),
        "The wait between attempts once the backend has refused the user name or password twice: \
         cameras lock accounts."
    ),
    key!(
        retry_held,
        time(SECOND, HOUR),
        "While readers wait for a backend that was lost: the time between two attempts that find \
         nobody, in place of the wait that doubles."
    ),
    key!(
        return_to_first,
        Rule::Flag,
        "With several sources: whether the first is returned to, with a gap of a moment, once \
         somebody answers there while another one plays."
    ),
    key!(
        start_spread,
        time(0, MINUTE),
        "Streams that start together do not all connect at once: each begins at random within \
         this time for each of the others, or when a reader asks for it."
    ),
    key!(
        pull,
        Rule::Word(PULLS),
        "Whether the backend is asked for media while there are readers (on-demand), or without \
         any as well (always)."
    ),
    key!(
        linger,
        time(0, HOUR),
        "How long media is asked for after the last reader, before PAUSE or TEARDOWN; a stream of a \
         pattern is closed then."
    ),
    key!(
        idle,
        Rule::Word(IDLES),
        "What becomes of the connection to a backend that nobody watches: it is kept alive, so \
         that it is known whether the backend is well, or closed until the next reader comes."
    ),
    key!(
        keep_alive,
        Rule::Word(KEEP_ALIVES),
        "The request that keeps a backend's session alive; where it is refused, others are tried."
    ),
    key!(
        tracks,
        Rule::Tracks,
        "Which tracks are pulled: every one from the first reader on, those that readers ask for, \
         or those of some kinds, as [\"video\", \"audio\"]."
    ),
    key!(
        on_backend_loss,
        Rule::Word(BACKEND_LOSSES),
        "What becomes of readers when the backend is lost: they wait, and the stream goes on when \
         it is back (hold), or are ended so that they come again (close)."
    ),
    key!(
        hold_for,
        time(SECOND, 24 * HOUR),
        "How long readers wait before they are ended after all."
    ),
    key!(
        hold_picture,
        Rule::Flag,
        "Whether those who wait are shown the last key frame again every 5 s, for players that \
         give up without pictures (VLC: after 10 s)."
    ),
    key!(
        reorder_ms,
        Rule::Whole { min: 0, max: 5000, zero: Some("not at all") },
        "How long packets that came over UDP wait for one that is missing, in milliseconds."
    ),
    key!(
        max_ts_step,
        time(100, HOUR),
        "How far the backend's timestamps may depart from what arrivals let expect before they \
         are fitted anew, so that readers see a gap of the true length and no jump."
    ),
    key!(
        ntp,
        Rule::Word(CLOCKS),
        "Whose time of day the reports to readers carry: this host's (proxy), or that of the \
         backend's own reports from the first one on."
    ),
    key!(
        packets,
        Rule::Word(PACKETS),
        "How packets go on to readers: as they came, and cut for readers over UDP where they are too \
         large for these (auto); as they came (relay); or taken apart and put together again in \
         packets of the size wanted, for all readers (reframe)."
    ),
    key!(
        max_udp_payload,
        whole(256, 65_507),
        "The largest UDP payload, in bytes; over IPv6 1452 at the most. With packets = \"auto\" larger \
         packets are cut for readers over UDP, with \"reframe\" all readers get packets of that size; \
         1400 at the most are aimed at. Formats that cannot be cut go out whole, up to 65507 bytes."
    ),
    key!(
        on_loss,
        Rule::Word(LOSSES),
        "With packets = \"reframe\": whether all frames go on after packets were lost (pass), only \
         whole ones (drop-unit), or none until the next key frame (wait-keyframe)."
    ),
    key!(
        max_unit,
        size(64 * KIB, GIB),
        "How large a frame may be where packets are made anew; larger ones are dropped, with \
         \"auto\" for readers over UDP alone."
    ),
    key!(
        start,
        Rule::Word(STARTS),
        "Where a reader begins: with the last key frame, caught up to the present in a moment \
         (instant), with the next key frame, or with what comes next (live). A reader can choose \
         for itself by ?start=keyframe and the like at the end of its URL."
    ),
    key!(
        instant_max,
        size(64 * KIB, 4 * GIB),
        "How much a reader is caught up with at the most; where there is more since the last key \
         frame, it begins at the next. What `log_max` does not keep is not there either."
    ),
    key!(
        instant_max_age,
        time(100, 10 * MINUTE),
        "How old the key frame may be that a reader begins with; `log_max_age` bounds it too."
    ),
    key!(
        instant_rate,
        whole(1, 100_000),
        "How fast a reader is caught up over UDP, in Mbit/s; twice the stream's own rate where that \
         is more. Over TCP the connection decides."
    ),
    key!(
        udp_segments,
        whole(1, 64),
        "How many packets one UDP message may carry, which the kernel or the network card cuts \
         apart (GSO); fewer make smaller bursts on the wire, 1 sends each by itself."
    ),
    key!(
        answer_deadline,
        time(SECOND, 5 * MINUTE),
        "How long a reader's request may wait for the backend before it is answered with 503."
    ),
    key!(max_readers, whole(1, 1_000_000), "Readers of a stream at one time."),
    key!(
        log_max,
        size(256 * KIB, 4 * GIB),
        "How much media is kept for readers that come or that are behind."
    ),
    key!(log_max_age, time(SECOND, 10 * MINUTE), "How long media is kept."),
    key!(
        lag_max,
        size(64 * KIB, 4 * GIB),
        "How far a reader may lag behind before it jumps to a key frame; video is shed from half of \
         it on."
    ),
    key!(
        lag_max_age,
        time(200, 10 * MINUTE),
        "How long a reader may lag behind before it jumps to a key frame; video is shed from half \
         of it on."
    ),
    key!(
        reader_stall,
        time(SECOND, HOUR),
        "How long a reader may take no byte before its connection is cut."
    ),
];

/// What `source` is, which every `[streams.NAME]` needs.
pub const SOURCE_ABOUT: &str = "Where the stream is pulled from: rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH, or rtsps://. A list \
     names other places where it is to be had, tried in this order when the first fails.";

/// What `[users]` is.
pub const USERS_ABOUT: &str = "Who may read: NAME = \"PASSWORD\" or NAME = { file = \"FILE\" }, by digest authentication. \
     Without any, everybody may.";

/// All places a key can stand in, as it is written with its section.
pub(crate) fn places_of(name: &str) -> Vec<String> {
    let mut places: Vec<String> = SECTIONS
        .iter()
        .filter(|section| section.keys.iter().any(|key| key.name == name))
        .map(|section| match section.name {
            "" => "the top of the file".to_owned(),
            section => format!("[{section}]"),
        })
        .collect();
    if STREAM.iter().any(|key| key.name == name) {
        places.push("[defaults] or [streams.NAME]".to_owned());
    }
    if name == "source" {
        places.push("[streams.NAME]".to_owned());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn every_default_is_in_its_own_range() {
        let mut settings = Settings::default();
        for section in SECTIONS {
            for key in section.keys {
                assert_ne!(key.default_value().is_some(), !key.sample.is_empty(), "{key:?}");
                let value = key.default_value().unwrap_or_else(|| key.sample.to_owned());
                let text = value.trim_matches(['"', '[', ']']).replace("\", \"", ",");
                assert_eq!(key.set(&mut settings.global, &Raw::Bare(&text)), Ok(()), "{key:?}");
            }
        }
        for key in STREAM {
            assert_ne!(key.default_value().is_some(), !key.sample.is_empty(), "{key:?}");
            let value = key.default_value().unwrap_or_else(|| key.sample.to_owned());
            let text = value.trim_matches(['"', '[', ']']);
            assert_eq!(key.set(&mut settings.defaults, &Raw::Bare(text)), Ok(()), "{key:?}");
        }
    }

    #[test]
    fn names_are_unique_within_their_table() {
        let mut names: Vec<(&str, &str)> = SECTIONS
            .iter()
            .flat_map(|section| section.keys.iter().map(|key| (section.name, key.name)))
            .chain(STREAM.iter().map(|key| ("defaults", key.name)))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
