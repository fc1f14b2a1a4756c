//! From the file's text to settings, with every error's line.

use std::collections::HashMap;

use rtsp_proto::auth::Secret;
use rtsp_proto::url::RtspUrl;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::check::{check_stream_name, check_user_name, whole_settings};
use crate::environment::{self, Phase, Variable};
use crate::error::{ConfigError, Problem};
use crate::pattern::{self, Pattern};
use crate::read::Raw;
use crate::schema::{Key, SECTIONS, STREAM, places_of};
use crate::settings::{Settings, StreamSettings, User};
use crate::suggest::closest;

pub(crate) fn load(
    text: &str,
    file: &str,
    variables: &[(String, String)],
) -> Result<Settings, ConfigError> {
    let (variables, problems) = environment::read(variables);
    let mut loader = Loader { text, file, variables, problems, lines: HashMap::new() };
    let settings = match DeTable::parse(text) {
        Ok(root) => loader.root(root.get_ref()),
        Err(error) => {
            // The message alone: the line itself may hold a password.
            let line = error.span().map(|span| loader.line_at(span.start));
            let key = error.span().and_then(|span| key_at(text, span.start)).unwrap_or_default();
            loader.problem(line, key, error.message().to_owned());
            Settings::default()
        }
    };
    match ConfigError::of(loader.problems) {
        Some(error) => Err(error),
        None => Ok(settings),
    }
}

/// The key, or the section's name, on the line at this place; never a value.
fn key_at(text: &str, at: usize) -> Option<String> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let line = text.get(start..)?.lines().next()?.trim();
    let key = match line.strip_prefix('[') {
        Some(section) => section.split(']').next()?,
        None => line.split_once('=')?.0,
    };
    let key = key.trim();
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '/' | '"');
    (!key.is_empty() && key.chars().all(plain)).then(|| key.to_owned())
}

/// What `{ file = "FILE" }` names.
fn file_of<'t>(value: &'t DeValue<'_>) -> Option<&'t str> {
    let DeValue::Table(table) = value else { return None };
    let mut entries = table.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) if key.get_ref() == "file" => match value.get_ref() {
            DeValue::String(file) => Some(file),
            _ => None,
        },
        _ => None,
    }
}

struct Loader<'a> {
    text: &'a str,
    file: &'a str,
    variables: Vec<Variable>,
    problems: Vec<Problem>,
    /// Where each key with its section was written.
    lines: HashMap<String, usize>,
}

/// A key and its value, with the line and the section's name before the key.
struct Entry<'t> {
    name: &'t str,
    value: &'t DeValue<'t>,
    path: String,
    line: usize,
}

impl Loader<'_> {
    fn root(&mut self, root: &DeTable<'_>) -> Settings {
        let mut settings = Settings::default();
        let (mut defaults, mut streams) = (None, None);
        for entry in self.entries("", root) {
            match entry.name {
                "streams" => streams = self.table(&entry),
                "defaults" => defaults = self.table(&entry),
                "users" => settings.global.users = self.users(&entry),
                name => match SECTIONS.iter().find(|s| !s.name.is_empty() && s.name == name) {
                    Some(section) => {
                        for entry in self.table_entries(&entry) {
                            self.key(section.keys, &mut settings.global, &entry, &[]);
                        }
                    }
                    None => {
                        let sections = SECTIONS.iter().map(|section| section.name);
                        let others: Vec<&str> =
                            sections.chain(["defaults", "users", "streams"]).collect();
                        let keys = SECTIONS.first().map_or(&[][..], |section| section.keys);
                        self.key(keys, &mut settings.global, &entry, &others);
                    }
                },
            }
        }
        for entry in defaults.map(|table| self.entries("defaults", table)).unwrap_or_default() {
            self.key(STREAM, &mut settings.defaults, &entry, &[]);
        }
        self.variables(&mut settings, Phase::Common);
        for entry in streams.map(|table| self.entries("streams", table)).unwrap_or_default() {
            if let Some(stream) = self.stream(&settings, &entry) {
                settings.streams.push(stream);
            }
        }
        self.variables(&mut settings, Phase::Streams);
        for (key, what) in whole_settings(&settings) {
            // A stream without the key has it from the defaults, and is named itself.
            let stream = key.rsplit_once('.').map_or("", |(stream, _)| stream);
            let line = self.lines.get(&key).or_else(|| self.lines.get(stream)).copied();
            self.problem(line, key, what);
        }
        settings
    }

    /// What the environment says over the file.
    fn variables(&mut self, settings: &mut Settings, phase: Phase) {
        let problems = environment::apply(&mut self.variables, settings, phase);
        self.problems.extend(problems);
    }

    fn stream(&mut self, settings: &Settings, entry: &Entry<'_>) -> Option<StreamSettings> {
        let name = match Pattern::is_meant(entry.name) {
            true => Pattern::parse(entry.name).map(|_| ()),
            false => check_stream_name(entry.name),
        };
        if let Err(what) = name {
            self.problem(Some(entry.line), entry.path.clone(), what);
        }
        let mut options = settings.defaults.clone();
        let mut source = None;
        let table = self.table(entry)?;
        let mut source_named = false;
        for key in self.entries(&entry.path, table) {
            if key.name == "source" {
                source_named = true;
                let mut all = self.sources(&key).into_iter();
                source = all.next();
                options.other_sources = all.collect();
            } else if matches!(key.value, DeValue::Table(_)) {
                let what = format!(
                    "unexpected table; a name with a dot or a slash needs quotes: \
                     [streams.\"{}.{}\"]",
                    entry.name, key.name
                );
                self.problem(Some(key.line), key.path, what);
                source_named = true;
            } else {
                self.key(STREAM, &mut options, &key, &["source"]);
            }
        }
        if !source_named {
            let what = "a stream needs `source = \"rtsp://HOST/PATH\"`".to_owned();
            self.problem(Some(entry.line), entry.path.clone(), what);
        }
        let source: RtspUrl = source?;
        let own = |name: &str| self.lines.get(&format!("{}.{name}", entry.path)).copied();
        match (own("password"), own("password_file")) {
            (Some(_), None) => options.forget_other_password("password"),
            (None, Some(_)) => options.forget_other_password("password_file"),
            _ => {}
        }
        let own_user = ["user", "password", "password_file"].into_iter().find_map(own);
        if let (Some(line), true) = (own_user, source.credentials.is_some()) {
            let what = "the URL in `source` carries credentials already; leave one of them out";
            self.problem(Some(line), format!("{}.user", entry.path), what.to_owned());
        }
        Some(StreamSettings { name: entry.name.to_owned(), source, options })
    }

    /// One source, or a list of them.
    fn sources(&mut self, entry: &Entry<'_>) -> Vec<RtspUrl> {
        let DeValue::Array(list) = entry.value else {
            return self.source(entry).into_iter().collect();
        };
        if list.is_empty() || list.len() > MAX_SOURCES {
            let what = format!("expected 1 to {MAX_SOURCES} URLs in the list");
            self.problem(Some(entry.line), entry.path.clone(), what);
            return Vec::new();
        }
        let one = |item: &'_ Spanned<DeValue<'_>>| {
            let (name, path) = (entry.name, entry.path.clone());
            self.source(&Entry { name, value: item.get_ref(), path, line: entry.line })
        };
        list.iter().filter_map(one).collect()
    }

    fn source(&mut self, entry: &Entry<'_>) -> Option<RtspUrl> {
        let Raw::Text(url) = Raw::of(entry.value) else {
            let what = "expected a URL in quotes, such as \"rtsp://HOST/PATH\"".to_owned();
            self.problem(Some(entry.line), entry.path.clone(), what);
            return None;
        };
        RtspUrl::parse(url)
            .map_err(|error| {
                let what = pattern::misplaced(url).map_or_else(|| error.to_string(), str::to_owned);
                self.problem(Some(entry.line), entry.path.clone(), what);
            })
            .ok()
    }

    fn users(&mut self, entry: &Entry<'_>) -> Vec<User> {
        let mut users = Vec::new();
        for user in self.table_entries(entry) {
            if let Err(what) = check_user_name(user.name) {
                self.problem(Some(user.line), user.path, what);
                continue;
            }
            let (password, file) = match (Raw::of(user.value), file_of(user.value)) {
                (Raw::Text(password), _) => (password, None),
                (_, Some(file)) => ("", Some(file.to_owned())),
                _ => {
                    let what = "expected the reader's password in quotes, or { file = \"FILE\" }";
                    self.problem(Some(user.line), user.path, what.to_owned());
                    continue;
                }
            };
            let (name, password) = (user.name.to_owned(), Secret::new(password));
            users.push(User { name, password, password_file: file });
        }
        users
    }

    /// Sets the field that the entry names; `others` are names that could stand here as well.
    fn key<T>(&mut self, keys: &[Key<T>], target: &mut T, entry: &Entry<'_>, others: &[&str]) {
        if let Some(key) = keys.iter().find(|key| key.name == entry.name) {
            if let Err(what) = key.set(target, &Raw::of(entry.value)) {
                self.problem(Some(entry.line), entry.path.clone(), what);
            }
            return;
        }
        let names = keys.iter().map(|key| key.name).chain(others.iter().copied());
        let places = places_of(entry.name);
        let what = if let Some(meant) = closest(entry.name, names.filter(|n| !n.is_empty())) {
            format!("unknown key; did you mean `{meant}`?")
        } else if places.is_empty() {
            "unknown key; all keys stand in the commented example file".to_owned()
        } else {
            format!("is unknown here; it belongs in {}", places.join(" or "))
        };
        self.problem(Some(entry.line), entry.path.clone(), what);
    }

    fn table<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t DeTable<'t>> {
        if let DeValue::Table(table) = entry.value {
            return Some(table);
        }
        let what = format!("expected a table: [{}] on a line of its own, keys below", entry.path);
        self.problem(Some(entry.line), entry.path.clone(), what);
        None
    }

    fn table_entries<'t>(&mut self, entry: &Entry<'t>) -> Vec<Entry<'t>> {
        let table = self.table(entry);
        table.map(|table| self.entries(&entry.path, table)).unwrap_or_default()
    }

    /// The table's entries in the order in which they were written.
    fn entries<'t>(&mut self, section: &str, table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
        let mut written: Vec<(&Spanned<DeString<'t>>, &Spanned<DeValue<'t>>)> =
            table.iter().collect();
        written.sort_by_key(|(key, _)| key.span().start);
        let dot = if section.is_empty() { "" } else { "." };
        written
            .into_iter()
            .map(|(key, value)| {
                let path = format!("{section}{dot}{}", key.get_ref());
                let line = self.line_at(key.span().start);
                self.lines.insert(path.clone(), line);
                Entry { name: key.get_ref(), value: value.get_ref(), path, line }
            })
            .collect()
    }

    fn problem(&mut self, line: Option<usize>, key: String, what: String) {
        self.problems.push(Problem { file: self.file.to_owned(), line, key, what });
    }

    fn line_at(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// The most places that one stream is looked for at.
const MAX_SOURCES: usize = 16;

#[cfg(test)]
mod tests;
