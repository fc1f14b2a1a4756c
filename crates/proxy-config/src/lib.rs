//! The settings of the proxy: what can be chosen, with what defaults and ranges, read from a TOML
//! file or set one by one from the command line.
//!
//! Everything that can be chosen stands once, in [`schema`]: the reader of the file, the check, the
//! commented example file and the program's help are all made from that list. Errors name the file,
//! the line, the key and what would be right; all errors of a file are found at once.
//!
//! ```
//! use proxy_config::Settings;
//!
//! let text = r#"
//!     rtsp_port = 9554
//!     [defaults]
//!     transport = "tcp"
//!     [streams.hall]
//!     source = "rtsp://camera.example/main"
//! "#;
//! let settings = Settings::from_toml(text, "proxy.toml")?;
//! assert_eq!(settings.global.rtsp_port, 9554);
//! assert_eq!(settings.streams[0].name, "hall");
//!
//! let wrong = Settings::from_toml("rtsp_prot = 9554", "proxy.toml").unwrap_err();
//! assert_eq!(
//!     wrong.to_string(),
//!     "proxy.toml:1: rtsp_prot: unknown key; did you mean `rtsp_port`?"
//! );
//! # Ok::<(), proxy_config::ConfigError>(())
//! ```
//!
//! What is absent: files, environment, command line, clocks and sockets. The caller brings the
//! text, the variables and what is in files of secrets.

mod check;
mod choices;
mod environment;
mod error;
mod example;
mod load;
mod pattern;
mod read;
pub mod schema;
mod settings;
mod suggest;

pub use check::check_stream_name;
pub use choices::{
    IdleChoice, KeepAliveChoice, LevelChoice, LogFormat, NtpChoice, OnBackendLossChoice,
    OnLossChoice, PacketsChoice, PullChoice, StartChoice, TlsChoice, TracksChoice, TransportChoice,
};
pub use error::{ConfigError, Problem};
pub use example::example;
pub use pattern::Pattern;
pub use settings::{Global, Limits, Log, Settings, StreamOptions, StreamSettings, User};
pub use suggest::closest;
