//! The list of options: how each is written, what it does, what the help says of it.

/// One option.
#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) short: Option<char>,
    pub(crate) long: Option<&'static str>,
    /// The names of its values, in order.
    pub(crate) values: &'static [&'static str],
    pub(crate) group: Group,
    pub(crate) about: &'static str,
    /// The default, where the help cannot take it from the settings.
    pub(crate) default: Shown,
    pub(crate) does: Does,
}

/// Where the help finds an option's default.
#[derive(Debug)]
pub(crate) enum Shown {
    Nothing,
    /// In these words.
    Words(&'static str),
    /// That of the key.
    Key(&'static str),
}

/// The parts of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Server,
    Backends,
    Log,
    Program,
}

impl Group {
    pub(crate) const ALL: &[(Self, &str)] = &[
        (Self::Server, "Readers and names"),
        (Self::Backends, "Backends"),
        (Self::Log, "Log (stderr)"),
        (Self::Program, "Program"),
    ];
}

/// What an option does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Sets the key to its value.
    Set(&'static str),
    /// Sets the key to this value.
    SetTo(&'static str, &'static str),
    Bind,
    BackendUser,
    BackendHttp,
    ReaderUser,
    Prefix,
    Verbose,
    Dialogues,
    Config,
    Help,
    Version,
    /// Is known from elsewhere and does not work here; why.
    Refuse(&'static str),
}

pub(crate) const DEFAULT_PREFIX: &str = "proxyStream";

pub(crate) const OPTIONS: &[Opt] = &[
    Opt {
        short: Some('p'),
        long: Some("rtsp-port"),
        values: &["PORT"],
        group: Group::Server,
        about: "the port on which readers are served; 0: the system chooses",
        default: Shown::Key("rtsp_port"),
        does: Does::Set("rtsp_port"),
    },
    Opt {
        short: None,
        long: Some("bind"),
        values: &["ADDRESS"],
        group: Group::Server,
        about: "an IP address to listen on; may be repeated",
        default: Shown::Key("bind"),
        does: Does::Bind,
    },
    Opt {
        short: None,
        long: Some("workers"),
        values: &["N"],
        group: Group::Server,
        about: "threads that carry streams and readers",
        default: Shown::Words("one per core"),
        does: Does::Set("workers"),
    },
    Opt {
        short: Some('C'),
        long: Some("reader-user"),
        values: &["USER", "PASS"],
        group: Group::Server,
        about: "who may read, by digest authentication; may be repeated",
        default: Shown::Words("everybody"),
        does: Does::ReaderUser,
    },
    Opt {
        short: Some('e'),
        long: Some("stream-prefix"),
        values: &["NAME"],
        group: Group::Server,
        about: "the name of a URL without one; several get -1, -2, ... after it",
        default: Shown::Words(DEFAULT_PREFIX),
        does: Does::Prefix,
    },
    Opt {
        short: Some('t'),
        long: Some("backend-tcp"),
        values: &[],
        group: Group::Backends,
        about: "take media interleaved in the RTSP connection",
        default: Shown::Words("UDP, and TCP where that fails"),
        does: Does::SetTo("defaults.transport", "tcp"),
    },
    Opt {
        short: Some('T'),
        long: Some("backend-http"),
        values: &["PORT"],
        group: Group::Backends,
        about: "tunnel RTSP and media over HTTP at this port; HTTPS for rtsps://",
        default: Shown::Words("no tunnel"),
        does: Does::BackendHttp,
    },
    Opt {
        short: Some('u'),
        long: Some("backend-user"),
        values: &["USER", "PASS"],
        group: Group::Backends,
        about: "for backends that ask for it and whose URL has none",
        default: Shown::Words("none"),
        does: Does::BackendUser,
    },
    Opt {
        short: Some('D'),
        long: Some("max-packet-gap"),
        values: &["SECONDS"],
        group: Group::Backends,
        about: "reset a backend whose video is silent for so long; 0: never",
        default: Shown::Key("defaults.max_packet_gap"),
        does: Does::Set("defaults.max_packet_gap"),
    },
    Opt {
        short: Some('v'),
        long: Some("verbose"),
        values: &[],
        group: Group::Log,
        about: "every event, and the state of all streams every 60 s",
        default: Shown::Nothing,
        does: Does::Verbose,
    },
    Opt {
        short: Some('V'),
        long: Some("dialogues"),
        values: &[],
        group: Group::Log,
        about: "also the RTSP messages, secrets blanked",
        default: Shown::Nothing,
        does: Does::Dialogues,
    },
    Opt {
        short: None,
        long: Some("log-format"),
        values: &["FORMAT"],
        group: Group::Log,
        about: "text or json",
        default: Shown::Key("log.format"),
        does: Does::Set("log.format"),
    },
    Opt {
        short: None,
        long: Some("config"),
        values: &["FILE"],
        group: Group::Program,
        about: "take settings and streams from a TOML file; options override it",
        default: Shown::Nothing,
        does: Does::Config,
    },
    Opt {
        short: Some('h'),
        long: Some("help"),
        values: &[],
        group: Group::Program,
        about: "this text",
        default: Shown::Nothing,
        does: Does::Help,
    },
    Opt {
        short: None,
        long: Some("version"),
        values: &[],
        group: Group::Program,
        about: "the version",
        default: Shown::Nothing,
        does: Does::Version,
    },
    refused('R', "streams registered by cameras are not supported yet"),
    refused('U', "streams registered by cameras are not supported yet"),
];

const fn refused(short: char, why: &'static str) -> Opt {
    Opt {
        short: Some(short),
        long: None,
        values: &[],
        group: Group::Program,
        about: "",
        default: Shown::Nothing,
        does: Does::Refuse(why),
    }
}

impl Opt {
    /// As it is named in an error.
    pub(crate) fn label(&self) -> String {
        match (self.short, self.long) {
            (Some(short), Some(long)) => format!("-{short}/--{long}"),
            (Some(short), None) => format!("-{short}"),
            (None, long) => format!("--{}", long.unwrap_or_default()),
        }
    }
}
