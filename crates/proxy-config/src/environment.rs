//! Settings from variables of the environment.

use std::fmt;

use rtsp_proto::auth::Secret;
use rtsp_proto::url::RtspUrl;

use crate::check::{check_stream_name, check_user_name};
use crate::error::Problem;
use crate::read::Raw;
use crate::schema::{Key, SECTIONS, STREAM};
use crate::settings::{Global, Settings, StreamOptions, StreamSettings, User};
use crate::suggest::closest;

/// What our variables begin with.
const PREFIX: &str = "RTSP_PROXY_";
/// Names the configuration file itself; not ours to read.
const CONFIG: &str = "CONFIG";

/// A variable, and what it sets.
#[derive(Clone)]
pub(crate) struct Variable {
    name: String,
    value: String,
    sets: Sets,
}

#[derive(Clone, Debug)]
enum Sets {
    Global(&'static Key<Global>),
    Defaults(&'static Key<StreamOptions>),
    User(String),
    /// The ways to read the name: a stream's, in capitals, and its key.
    Stream(Vec<(String, StreamKey)>),
}

#[derive(Clone, Copy, Debug)]
enum StreamKey {
    Source,
    Option(&'static Key<StreamOptions>),
}

/// When variables are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the file's streams are read, which take over what is common.
    Common,
    /// After that.
    Streams,
}

/// Sorts out our variables, and those that begin like ours and are not known.
pub(crate) fn read(variables: &[(String, String)]) -> (Vec<Variable>, Vec<Problem>) {
    let (mut known, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| *rest != CONFIG) else { continue };
        match sets(rest) {
            Some(sets) => {
                known.push(Variable { name: name.clone(), value: value.clone(), sets });
            }
            None => problems.push(unknown(name, rest)),
        }
    }
    // In no order of the system's: what comes of it must not depend on that.
    known.sort_by(|a, b| a.name.cmp(&b.name));
    (known, problems)
}

/// Sets what the variables say that belong to this phase, and takes them out; those about streams
/// that are not there wait in the settings.
pub(crate) fn apply(
    variables: &mut Vec<Variable>,
    settings: &mut Settings,
    phase: Phase,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_common = |variable: &Variable| !matches!(variable.sets, Sets::Stream(_));
    let ours: Vec<Variable> = variables
        .extract_if(.., |variable| is_common(variable) == (phase == Phase::Common))
        .collect();
    let mut added = Vec::new();
    for variable in ours {
        let raw = Raw::Bare(&variable.value);
        let result = match &variable.sets {
            Sets::Global(key) => key.set(&mut settings.global, &raw),
            Sets::Defaults(key) => {
                settings.defaults.forget_other_password(key.name);
                key.set(&mut settings.defaults, &raw)
            }
            Sets::User(name) => set_user(&mut settings.global.users, name, &variable.value),
            Sets::Stream(readings) => {
                let is_meant = |stream: &&mut StreamSettings| {
                    readings.iter().any(|(name, _)| *name == capitals(&stream.name))
                };
                let mut meant = settings.streams.iter_mut().filter(is_meant);
                match (meant.next(), meant.next()) {
                    (Some(_), Some(_)) => Err("there are several streams of that name".to_owned()),
                    (Some(stream), None) => variable.set(stream),
                    (None, _) => {
                        added.push(variable);
                        continue;
                    }
                }
            }
        };
        if let Err(what) = result {
            problems.push(problem(&variable.name, what));
        }
    }
    // A source makes a stream of what has none yet.
    let sources: Vec<Variable> = added.extract_if(.., |v| v.source_of().is_some()).collect();
    settings.waiting = added;
    for variable in sources {
        let name = variable.source_of().map(str::to_ascii_lowercase).unwrap_or_default();
        let made = RtspUrl::parse(variable.value.trim())
            .map_err(|error| error.to_string())
            .and_then(|source| {
                check_stream_name(&name)?;
                settings.add_stream(&name, source)
            });
        if let Err(what) = made {
            problems.push(problem(&variable.name, what));
        }
    }
    problems
}

impl Variable {
    /// Whether it may be about the stream.
    pub(crate) fn is_of(&self, stream: &str) -> bool {
        self.key_of(stream).is_some()
    }

    /// Sets what it says of the stream.
    pub(crate) fn set(&self, stream: &mut StreamSettings) -> Result<(), String> {
        match self.key_of(&stream.name) {
            Some(StreamKey::Option(key)) => {
                stream.options.forget_other_password(key.name);
                key.set(&mut stream.options, &Raw::Bare(&self.value))
            }
            Some(StreamKey::Source) => {
                let source = RtspUrl::parse(self.value.trim());
                stream.source = source.map_err(|error| error.to_string())?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn key_of(&self, stream: &str) -> Option<StreamKey> {
        let Sets::Stream(readings) = &self.sets else { return None };
        let name = capitals(stream);
        readings.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
    }

    /// The stream whose source it is, in capitals.
    fn source_of(&self) -> Option<&str> {
        let Sets::Stream(readings) = &self.sets else { return None };
        let found = readings.iter().find(|(_, key)| matches!(key, StreamKey::Source));
        found.map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment: {}", self.name)
    }
}

impl fmt::Debug for Variable {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

fn set_user(users: &mut Vec<User>, name: &str, password: &str) -> Result<(), String> {
    let password = Secret::new(password);
    if let Some(user) = users.iter_mut().find(|user| capitals(&user.name) == name) {
        (user.password, user.password_file) = (password, None);
        return Ok(());
    }
    let name = name.to_ascii_lowercase();
    check_user_name(&name)?;
    users.push(User { name, password, password_file: None });
    Ok(())
}

/// What the rest of a name, behind the prefix, stands for.
fn sets(rest: &str) -> Option<Sets> {
    if let Some(name) = rest.strip_prefix("USERS_").filter(|name| !name.is_empty()) {
        return Some(Sets::User(name.to_owned()));
    }
    if let Some(name) = rest.strip_prefix("DEFAULTS_") {
        return STREAM.iter().find(|key| capitals(key.name) == name).map(Sets::Defaults);
    }
    if let Some(rest) = rest.strip_prefix("STREAMS_") {
        let options = STREAM.iter().map(|key| (capitals(key.name), StreamKey::Option(key)));
        let keys = options.chain([("SOURCE".to_owned(), StreamKey::Source)]);
        let readings: Vec<(String, StreamKey)> = keys
            .filter_map(|(key, sets)| {
                let name = rest.strip_suffix(&key)?.strip_suffix('_')?;
                (!name.is_empty()).then(|| (name.to_owned(), sets))
            })
            .collect();
        return (!readings.is_empty()).then_some(Sets::Stream(readings));
    }
    SECTIONS.iter().find_map(|section| {
        let name = match section.name {
            "" => rest,
            section => rest.strip_prefix(&capitals(section))?.strip_prefix('_')?,
        };
        section.keys.iter().find(|key| capitals(key.name) == name).map(Sets::Global)
    })
}

/// As it stands in a variable's name.
fn capitals(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn unknown(name: &str, rest: &str) -> Problem {
    let mut known = vec![CONFIG.to_owned()];
    for section in SECTIONS {
        let before = if section.name.is_empty() { "" } else { "_" };
        let section_name = capitals(section.name);
        known.extend(
            section.keys.iter().map(|key| format!("{section_name}{before}{}", capitals(key.name))),
        );
    }
    known.extend(STREAM.iter().map(|key| format!("DEFAULTS_{}", capitals(key.name))));
    let what = match closest(rest, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown variable; did you mean `{PREFIX}{meant}`?"),
        None => "unknown variable: its name ends in no key, in capitals".to_owned(),
    };
    problem(name, what)
}

fn problem(name: &str, what: String) -> Problem {
    Problem { file: "environment".to_owned(), line: None, key: name.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransportChoice;

    const FILE: &str = r#"
        [users]
        anna = "old"
        [defaults]
        transport = "udp"
        user = "u"
        [streams.hall]
        source = "rtsp://camera/1"
        [streams."nvr/2.main"]
        source = "rtsp://camera/2"
        transport = "auto"
    "#;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let owned: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let read = Settings::from_toml_and_environment(text, "f.toml", &owned);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn variables_go_over_the_file_and_defaults_under_what_a_stream_says() {
        let settings = load(
            FILE,
            &[
                ("RTSP_PROXY_RTSP_PORT", "9000"),
                ("RTSP_PROXY_BIND", "127.0.0.1, ::1"),
                ("RTSP_PROXY_LOG_STATUS", "1min"),
                ("RTSP_PROXY_DEFAULTS_TRANSPORT", "tcp"),
                ("RTSP_PROXY_STREAMS_HALL_PASSWORD", "p=1,2"),
                ("RTSP_PROXY_STREAMS_HALL_SOURCE", "rtsp://other/1"),
                ("RTSP_PROXY_STREAMS_NVR_2_MAIN_BACKEND_PORTS", "40000-40003"),
                ("RTSP_PROXY_USERS_ANNA", "new"),
                ("RTSP_PROXY_USERS_BEN", "b"),
                ("RTSP_PROXY_CONFIG", "elsewhere"),
                ("RTSP_PORT", "1"),
                ("PATH", "/bin"),
            ],
        )
        .expect("all of it is good");
        assert_eq!((settings.global.rtsp_port, settings.global.bind.len()), (9000, 2));
        assert_eq!(settings.global.log.status, Some(std::time::Duration::from_secs(60)));
        let [hall, nvr] = &settings.streams[..] else { panic!("{settings:?}") };
        assert_eq!(hall.options.transport, TransportChoice::Tcp);
        assert_eq!(nvr.options.transport, TransportChoice::Auto);
        assert_eq!(nvr.options.backend_ports, Some(40_000..=40_003));
        assert_eq!(hall.source.host, "other");
        let password = hall.credentials().map(|known| known.password.expose().to_owned());
        assert_eq!(password.as_deref(), Some("p=1,2"));
        let users: Vec<_> =
            settings.global.users.iter().map(|u| (u.name.as_str(), u.password.expose())).collect();
        assert_eq!(users, [("anna", "new"), ("ben", "b")]);
    }

    #[test]
    fn there_is_a_variable_for_every_key() {
        for section in SECTIONS {
            for key in section.keys {
                let name = match section.name {
                    "" => capitals(key.name),
                    section => format!("{}_{}", capitals(section), capitals(key.name)),
                };
                assert!(
                    matches!(sets(&name), Some(Sets::Global(found)) if found.name == key.name),
                    "{name}"
                );
            }
        }
        for key in STREAM {
            let name = format!("DEFAULTS_{}", capitals(key.name));
            assert!(
                matches!(sets(&name), Some(Sets::Defaults(found)) if found.name == key.name),
                "{name}"
            );
            let name = format!("STREAMS_A_B_{}", capitals(key.name));
            let Some(Sets::Stream(readings)) = sets(&name) else { panic!("{name}") };
            let is_it = |(stream, sets): &(String, StreamKey)| {
                stream == "A_B"
                    && matches!(sets, StreamKey::Option(found) if found.name == key.name)
            };
            assert!(readings.iter().any(is_it), "{name}");
        }
    }

    #[test]
    fn streams_may_come_from_the_environment_and_the_command_line() {
        let variables = [
            ("RTSP_PROXY_STREAMS_YARD_SOURCE", "rtsp://camera/3"),
            ("RTSP_PROXY_STREAMS_YARD_PASSWORD_FILE", "/run/secret"),
            ("RTSP_PROXY_STREAMS_YARD_USER", "u"),
            ("RTSP_PROXY_STREAMS_GATE_TRANSPORT", "tcp"),
        ];
        let mut settings = load("", &variables).expect("all of it is good");
        assert_eq!(settings.streams[0].name, "yard");
        assert_eq!(settings.streams[0].options.password_file.as_deref(), Some("/run/secret"));
        let wrong = settings.check().expect_err("a stream is missing");
        assert!(wrong.contains("RTSP_PROXY_STREAMS_GATE_TRANSPORT"), "{wrong}");
        let source = RtspUrl::parse("rtsp://camera/4").expect("a URL");
        settings.add_stream("gate", source).expect("a good name");
        assert_eq!(settings.streams[1].options.transport, TransportChoice::Tcp);
        assert_eq!(settings.check(), Ok(()));
        settings.read_secrets(|_| Ok("hidden\n".to_owned())).expect("a secret");
        let secret = settings.streams[0].credentials().map(|c| c.password.expose().to_owned());
        assert_eq!(secret.as_deref(), Some("hidden"));
    }

    #[test]
    fn what_is_wrong_names_the_variable_and_no_value() {
        for (name, value, expected) in [
            ("RTSP_PROXY_RTSP_PROT", "1", "did you mean `RTSP_PROXY_RTSP_PORT`?"),
            ("RTSP_PROXY_STREAMS_HALL", "s3cret", "unknown variable"),
            ("RTSP_PROXY_WORKERS", "s3cret", "expected a whole number"),
            ("RTSP_PROXY_STREAMS_NEW_SOURCE", "ftp://u:s3cret@h", "RTSP_PROXY_STREAMS_NEW_SOURCE"),
        ] {
            let wrong = load(FILE, &[(name, value)]).expect_err(name);
            assert!(wrong.starts_with(&format!("environment: {name}: ")), "{wrong}");
            assert!(wrong.contains(expected) && !wrong.contains("s3cret"), "{wrong}");
        }
    }
}
