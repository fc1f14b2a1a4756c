//! Settings that are one word of a few.

use sdp::MediaKind;

use crate::read::{Field, Raw, Rule, read_word};

/// Settings of words: an enum, its names in the file, and how it is read and shown.
macro_rules! words {
    ($(#[$about:meta])* $choice:ident, $list:ident {
        $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $choice { $($(#[$each])* $variant),+ }

        /// The words of the file, in the order of the variants.
        pub(crate) const $list: &[&str] = &[$($word),+];

        impl $choice {
            /// As it is written in the file.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Field for $choice {
            fn set(&mut self, raw: &Raw<'_>, _: &Rule) -> Result<(), String> {
                const ALL: &[$choice] = &[$($choice::$variant),+];
                *self = ALL[read_word(raw, $list)?];
                Ok(())
            }

            fn show(&self, _: &Rule) -> Option<String> {
                Some(format!("{:?}", self.as_str()))
            }
        }
    };
}

words! {
    /// How media travels from the backend.
    TransportChoice, TRANSPORTS {
        /// UDP, and interleaved TCP where UDP is refused or brings nothing.
        #[default]
        Auto = "auto",
        /// UDP only.
        Udp = "udp",
        /// Interleaved in the RTSP connection only.
        Tcp = "tcp",
        /// To a group only.
        Multicast = "multicast",
        /// In a tunnel over HTTP, or HTTPS where the URL is rtsps.
        Http = "http",
    }
}

words! {
    /// Whether a backend's certificate is verified.
    TlsChoice, VERIFICATIONS {
        /// It is.
        #[default]
        Verify = "verify",
        /// It is not: whoever answers is believed.
        Insecure = "insecure",
    }
}

words! {
    /// When a backend is asked for media.
    PullChoice, PULLS {
        /// While there are readers.
        #[default]
        OnDemand = "on-demand",
        /// Always.
        Always = "always",
    }
}

words! {
    /// What becomes of a connection to a backend that nobody needs.
    IdleChoice, IDLES {
        /// It is kept alive.
        #[default]
        KeepAlive = "keep-alive",
        /// It is closed.
        Close = "close",
    }
}

words! {
    /// The method of keep-alives.
    KeepAliveChoice, KEEP_ALIVES {
        /// OPTIONS.
        #[default]
        Options = "options",
        /// GET_PARAMETER.
        GetParameter = "get-parameter",
        /// SET_PARAMETER.
        SetParameter = "set-parameter",
    }
}

words! {
    /// What becomes of readers when their backend is lost.
    OnBackendLossChoice, BACKEND_LOSSES {
        /// They are held.
        #[default]
        Hold = "hold",
        /// They are ended.
        Close = "close",
    }
}

/// Which tracks of a backend are pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TracksChoice {
    /// Every one.
    #[default]
    All,
    /// Those that readers ask for.
    Requested,
    /// Those of these kinds.
    Kinds(Vec<MediaKind>),
}

words! {
    /// Where a reader begins.
    StartChoice, STARTS {
        /// With the last key frame, and what came since in a moment.
        #[default]
        Instant = "instant",
        /// With the next key frame.
        KeyFrame = "keyframe",
        /// With the next packet, whatever it is.
        Live = "live",
    }
}

words! {
    /// Whose time of day reports to readers carry.
    NtpChoice, CLOCKS {
        /// This host's.
        #[default]
        Proxy = "proxy",
        /// The backend's, from its first report that tells one.
        Backend = "backend",
    }
}

words! {
    /// How packets go on to readers.
    PacketsChoice, PACKETS {
        /// As they came where they fit; larger ones made anew for readers over UDP.
        #[default]
        Auto = "auto",
        /// As they came, but for number, time and source.
        Relay = "relay",
        /// Taken apart into access units, and put together again.
        Reframe = "reframe",
    }
}

words! {
    /// Which access units go on after packets were lost.
    OnLossChoice, LOSSES {
        /// All.
        #[default]
        Pass = "pass",
        /// Whole ones.
        DropUnit = "drop-unit",
        /// None until the next key frame.
        WaitKeyframe = "wait-keyframe",
    }
}

words! {
    /// The form of a log line.
    LogFormat, FORMATS {
        /// For people.
        #[default]
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

words! {
    /// The least weight of an event that is logged.
    LevelChoice, LEVELS {
        /// What the program could not do.
        Error = "error",
        /// What an operator can put right.
        Warn = "warn",
        /// Changes of state: a backend described, lost, found again; readers that were cut.
        #[default]
        Info = "info",
        /// Every event: readers that come and go, each step towards a backend.
        Debug = "debug",
        /// What only a developer wants to see.
        Trace = "trace",
    }
}
