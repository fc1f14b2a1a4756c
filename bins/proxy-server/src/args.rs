//! The command line, and what becomes of it together with the configuration file.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use proxy_config::{ConfigError, LevelChoice, Settings, User, check_stream_name, closest};
use rtsp_proto::auth::Secret;
use rtsp_proto::url::RtspUrl;

use crate::options::{DEFAULT_PREFIX, Does, OPTIONS, Opt};

/// What the program is to do.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Box<Settings>),
    /// The file is good and has so many streams.
    Check {
        file: String,
        streams: usize,
    },
    Help,
    Version,
}

/// How often `-v` asks for the state of all streams.
const VERBOSE_STATUS: &str = "60s";

/// Names the configuration file, where the command line does not.
const CONFIG: &str = "RTSP_PROXY_CONFIG";

/// Reads the command line, the variables of the environment and the files they name.
///
/// # Errors
/// What is wrong and what would be right; one line, but for `check`, which tells all. Never a secret.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variables: &[(String, String)],
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Command, String> {
    let mut given = Given::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let option = match argument {
            Arg::Value(value) => {
                let value = value.into_string().map_err(|_| "a URL is not UTF-8 text")?;
                given.positional.push(value);
                continue;
            }
            Arg::Short(letter) => OPTIONS
                .iter()
                .find(|option| option.short == Some(letter))
                .ok_or_else(|| format!("unknown option -{letter}; see --help"))?,
            Arg::Long(name) => OPTIONS
                .iter()
                .find(|option| option.long == Some(name))
                .ok_or_else(|| unknown_long(name))?,
        };
        match option.does {
            Does::Help => return Ok(Command::Help),
            Does::Version => return Ok(Command::Version),
            Does::Refuse(why) => return Err(format!("{}: {why}", option.label())),
            _ => {}
        }
        let values = values(option, &mut parser)?;
        given.take(option, values);
    }
    given.command(variables, read)
}

fn unknown_long(name: &str) -> String {
    let known = OPTIONS.iter().filter_map(|option| option.long);
    match closest(name, known) {
        Some(meant) => format!("unknown option --{name}; did you mean --{meant}?"),
        None => format!("unknown option --{name}; see --help"),
    }
}

fn values(option: &Opt, parser: &mut lexopt::Parser) -> Result<Vec<String>, String> {
    let needs = || format!("{} needs {}", option.label(), option.values.join(" and "));
    let mut values = Vec::new();
    for _ in option.values {
        let value = parser.value().map_err(|_| needs())?;
        let value = value
            .into_string()
            .map_err(|_| format!("{}: the value is not UTF-8 text", option.label()))?;
        // Else a forgotten PASS would take the URL for itself.
        if value.starts_with("rtsp://") || value.starts_with("rtsps://") {
            return Err(format!("{}; a URL follows instead", needs()));
        }
        values.push(value);
    }
    Ok(values)
}

/// What the command line says.
#[derive(Default)]
struct Given {
    /// Options that set a key: as it is named in an error, key, text.
    sets: Vec<(String, &'static str, String)>,
    bind: Vec<String>,
    users: Vec<User>,
    prefix: Option<String>,
    verbose: bool,
    dialogues: bool,
    config: Option<PathBuf>,
    positional: Vec<String>,
}

impl Given {
    fn take(&mut self, option: &Opt, values: Vec<String>) {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        match option.does {
            Does::Set(key) => self.sets.push((option.label(), key, next())),
            Does::SetTo(key, text) => self.sets.push((option.label(), key, text.to_owned())),
            Does::Bind => self.bind.push(next()),
            Does::BackendUser => {
                self.sets.push((option.label(), "defaults.user", next()));
                self.sets.push((option.label(), "defaults.password", next()));
            }
            Does::BackendHttp => {
                self.sets.push((option.label(), "defaults.transport", "http".to_owned()));
                self.sets.push((option.label(), "defaults.http_port", next()));
            }
            Does::ReaderUser => {
                let (name, password) = (next(), Secret::new(next()));
                let user = User { name, password, password_file: None };
                self.users.retain(|known| known.name != user.name);
                self.users.push(user);
            }
            Does::Prefix => self.prefix = Some(next()),
            Does::Verbose => self.verbose = true,
            Does::Dialogues => (self.verbose, self.dialogues) = (true, true),
            Does::Config => self.config = Some(next().into()),
            Does::Help | Does::Version | Does::Refuse(_) => {}
        }
    }

    fn command(
        self,
        variables: &[(String, String)],
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Command, String> {
        if self.positional.first().is_some_and(|first| first == "check") {
            return self.check(read);
        }
        let named = variables.iter().find(|(name, _)| name == CONFIG);
        let config = self.config.clone().or_else(|| named.map(|(_, path)| path.into()));
        let mut settings = match &config {
            Some(path) => {
                let loaded = load(path, variables, &read)?;
                loaded.map_err(|error| first_of(&error, path))?
            }
            None => {
                let loaded = Settings::from_toml_and_environment("", "environment", variables);
                loaded.map_err(|error| first_of(&error, Path::new("")))?
            }
        };
        self.override_settings(&mut settings)?;
        self.add_streams(&mut settings)?;
        settings.check()?;
        settings.read_secrets(|file| read(Path::new(file)))?;
        if let (Some(path), []) = (&config, &settings.streams[..]) {
            return Err(format!(
                "{}: there is no stream to serve: add [streams.NAME] with a source, or name a URL",
                path.display()
            ));
        }
        settings.demo = settings.streams.is_empty();
        Ok(Command::Serve(Box::new(settings)))
    }

    fn check(self, read: impl Fn(&Path) -> io::Result<String>) -> Result<Command, String> {
        let alone = self.sets.is_empty()
            && self.bind.is_empty()
            && self.users.is_empty()
            && self.prefix.is_none()
            && !self.verbose
            && self.config.is_none();
        let [_, file] = &self.positional[..] else {
            return Err("`check` needs one FILE: proxy-server check FILE".to_owned());
        };
        if !alone {
            return Err("`check` takes no options: proxy-server check FILE".to_owned());
        }
        let settings = load(Path::new(file), &[], &read)?.map_err(|error| error.to_string())?;
        Ok(Command::Check { file: file.clone(), streams: settings.streams.len() })
    }

    fn override_settings(&self, settings: &mut Settings) -> Result<(), String> {
        for (label, key, text) in &self.sets {
            settings.set(key, text).map_err(|what| format!("{label}: {what}"))?;
        }
        if !self.bind.is_empty() {
            let all = self.bind.join(",");
            settings.set("bind", &all).map_err(|what| format!("--bind: {what}"))?;
        }
        if !self.users.is_empty() {
            settings.global.users.clone_from(&self.users);
        }
        let log = &mut settings.global.log;
        if self.verbose {
            if log.level != LevelChoice::Trace {
                log.level = LevelChoice::Debug;
            }
            if log.status.is_none() {
                settings.set("log.status", VERBOSE_STATUS)?;
            }
        }
        if self.dialogues {
            settings.global.log.dialogues = true;
        }
        Ok(())
    }

    fn add_streams(&self, settings: &mut Settings) -> Result<(), String> {
        let prefix = self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
        check_stream_name(prefix).map_err(|what| format!("-e/--stream-prefix: {what}"))?;
        let several = self.positional.len() > 1;
        for (place, argument) in (1..).zip(&self.positional) {
            let (name, url) = split_name(argument);
            let source =
                RtspUrl::parse(url).map_err(|error| format!("{}: {error}", blanked(argument)))?;
            let name = match name {
                Some(name) => name.to_owned(),
                None if several => format!("{prefix}-{place}"),
                None => prefix.to_owned(),
            };
            settings.add_stream(&name, source)?;
        }
        Ok(())
    }
}

/// The file's settings, or what is wrong in it; or why it cannot be read.
fn load(
    path: &Path,
    variables: &[(String, String)],
    read: &impl Fn(&Path) -> io::Result<String>,
) -> Result<Result<Settings, ConfigError>, String> {
    let name = path.display().to_string();
    let text = read(path).map_err(|error| format!("{name}: {error}"))?;
    Ok(Settings::from_toml_and_environment(&text, &name, variables))
}

fn first_of(error: &ConfigError, path: &Path) -> String {
    let first = error.problems().first().map(ToString::to_string).unwrap_or_default();
    match error.problems().len() {
        0 | 1 => first,
        all if path.as_os_str().is_empty() => format!("{first} (and {} more)", all - 1),
        all => format!("{first} (and {} more: proxy-server check {})", all - 1, path.display()),
    }
}

/// `NAME=URL`: the name ends at the first `=` before a scheme. What begins with a scheme has no name,
/// whatever its query holds.
fn split_name(argument: &str) -> (Option<&str>, &str) {
    let scheme_ends = argument.find("://").unwrap_or(argument.len());
    match argument.find('=') {
        Some(at) if at < scheme_ends => (Some(&argument[..at]), &argument[at + 1..]),
        _ => (None, argument),
    }
}

/// The argument without what may be a password.
fn blanked(argument: &str) -> String {
    let Some((before, after)) = argument.rsplit_once('@') else { return argument.to_owned() };
    match before.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://...@{after}"),
        None => format!("...@{after}"),
    }
}

#[cfg(test)]
mod tests;
