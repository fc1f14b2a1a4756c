//! The help, made from the list of options.

use std::fmt::Write;

use proxy_config::schema::default_of;

use crate::options::{Does, Group, OPTIONS, Opt, Shown};

const USAGE: &str = "\
Pulls RTSP cameras once and serves them to any number of readers.

Usage: proxy-server [OPTION]... [[NAME=]URL]...
       proxy-server check FILE

A URL is rtsp[s]://[USER:PASS@]HOST[:PORT]/PATH. It is served as
rtsp://THIS-HOST:8554/proxyStream; several become proxyStream-1, proxyStream-2
and so on, and NAME=URL names one. Without any, and without --config, a built-in
test camera is served as `demo`. `check` says whether a configuration file is
good without serving it.
";

const SIGNALS: &str = "
Signals:
  USR1         logs what the media kept takes in memory (`log memory bytes=N
               streams=N readers=N budget=N`), a line per stream, one per reader
               that lags, and one per reader with what it reports of its reception
  TERM, INT    end, with goodbyes to readers and backends
";

const ENVIRONMENT: &str = "
Environment:
  RTSP_PROXY_CONFIG   the configuration file, where --config does not name one
  RTSP_PROXY_KEY, RTSP_PROXY_SECTION_KEY, RTSP_PROXY_STREAMS_NAME_KEY
               any key of the file, in capitals, such as RTSP_PROXY_LOG_LEVEL or
               RTSP_PROXY_STREAMS_HALL_PASSWORD; over the file, under the options
";

const EXAMPLES: &str = "
Examples:
  proxy-server rtsp://192.168.1.20/stream1
  proxy-server -t -u admin secret hall=rtsp://10.0.0.5/1 yard=rtsp://10.0.0.6/1
  proxy-server --config proxy.toml -p 9554 -v
";

/// Where the texts begin.
const COLUMN: usize = 33;

pub(crate) fn help() -> String {
    let mut out = USAGE.to_owned();
    for (group, title) in Group::ALL {
        let _ = writeln!(out, "\n{title}:");
        for option in OPTIONS.iter().filter(|option| option.group == *group) {
            if !matches!(option.does, Does::Refuse(_)) {
                line(&mut out, option);
            }
        }
    }
    out.push_str(SIGNALS);
    out.push_str(ENVIRONMENT);
    out.push_str(EXAMPLES);
    out
}

fn line(out: &mut String, option: &Opt) {
    let mut typed = match option.short {
        Some(short) => format!("  -{short}, "),
        None => "      ".to_owned(),
    };
    let _ = write!(typed, "--{}", option.long.unwrap_or_default());
    for value in option.values {
        let _ = write!(typed, " {value}");
    }
    let default = match option.default {
        Shown::Nothing => None,
        Shown::Words(words) => Some(words.to_owned()),
        Shown::Key(key) => {
            default_of(key).map(|value| value.trim_matches(['[', ']']).replace('"', ""))
        }
    };
    let _ = writeln!(out, "{typed:COLUMN$}{}", option.about);
    if let Some(default) = default {
        let _ = writeln!(out, "{:COLUMN$}[default: {default}]", "");
    }
}

#[cfg(test)]
mod tests {
    use proxy_config::schema::{SECTIONS, STREAM};

    use super::*;

    #[test]
    fn every_option_is_told_with_its_default() {
        let help = help();
        for option in OPTIONS {
            let Some(long) = option.long else { continue };
            assert!(help.contains(&format!("--{long}")), "{long}");
            if let Some(short) = option.short {
                assert!(help.contains(&format!("  -{short}, --{long}")), "{long}");
            }
            if let Shown::Key(key) = option.default {
                assert!(default_of(key).is_some(), "{key}");
            }
        }
        for default in ["[default: 8554]", "[default: 10s]", "[default: 0.0.0.0, ::]"] {
            assert!(help.contains(default), "{default}");
        }
    }

    #[test]
    fn the_options_that_the_configuration_names_are_there() {
        let keys = SECTIONS.iter().flat_map(|section| section.keys);
        let named = keys.map(|key| key.option).chain(STREAM.iter().map(|key| key.option));
        let help = help();
        for option in named.filter(|option| !option.is_empty()) {
            let option = option.split(" (").next().unwrap_or_default();
            assert!(help.contains(&format!("{option} ")), "{option}");
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for line in help().lines() {
            assert!(line.len() <= 100, "{line}");
        }
    }
}
