//! The commented example file, made from the schema.

use crate::schema::{Key, SECTIONS, SOURCE_ABOUT, STREAM, Section, USERS_ABOUT};

const WIDTH: usize = 100;

/// The example file: every key with what it does, its range and its default. It is a good
/// configuration itself, and that of the defaults but for one stream.
#[must_use]
pub fn example() -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "The configuration of proxy-server, with every key. Values are the defaults; keys without \
         one are commented out. All keys may be left out. `proxy-server check FILE` says whether a \
         file is good; options on the command line override the file.",
    );
    comment(
        &mut out,
        "Times are written \"10s\", \"500ms\", \"2min\", \"1h\" or as a number of seconds; sizes \
         \"16MiB\", \"64KiB\" or as a number of bytes.",
    );
    for section in SECTIONS {
        let Section { name, about, keys } = section;
        out.push('\n');
        comment(&mut out, about);
        if !name.is_empty() {
            line(&mut out, &format!("[{name}]"));
        }
        keys.iter().for_each(|key| example_of(&mut out, key));
    }
    out.push('\n');
    comment(&mut out, USERS_ABOUT);
    comment(&mut out, "Option: -C, --reader-user.");
    line(&mut out, "[users]");
    line(&mut out, "#anna = \"secret\"");
    out.push('\n');
    comment(
        &mut out,
        "What holds for every stream that does not say otherwise: each key may also stand in \
         [streams.NAME].",
    );
    line(&mut out, "[defaults]");
    STREAM.iter().for_each(|key| example_of(&mut out, key));
    out.push('\n');
    comment(
        &mut out,
        "The streams: one table each, published as rtsp://THIS-HOST:8554/NAME. A name with a dot or \
         a slash in it needs quotes: [streams.\"nvr/1\"].",
    );
    line(&mut out, "[streams.hall]");
    comment(&mut out, SOURCE_ABOUT);
    line(&mut out, "source = \"rtsp://camera.example/main\"");
    comment(
        &mut out,
        "A name can be a pattern: `*` stands for one part of a path, `**` for one or more, and {1}, \
         {2} in the path or query of `source` for what they match, which may hold A-Z a-z 0-9 . _ ~ - \
         (and / for `**`), but no `..`. Such a stream is opened when the first reader asks for it, \
         and closed when it had none for `linger`; `max_dynamic` bounds how many are open. A stream's \
         own name goes before patterns; of these the most specific is taken: the one that, from the \
         left, has a name where the other has `*`, or `*` where it has `**`.",
    );
    line(&mut out, "#[streams.\"nvr/*/*\"]");
    line(&mut out, "#source = \"rtsp://nvr.example/ch{1}?stream={2}\"");
    out
}

fn example_of<T: Default>(out: &mut String, key: &Key<T>) {
    comment(out, key.about);
    let range = key.rule.to_string();
    let mut facts = Vec::new();
    if range != "text" && range != "true or false" {
        facts.push(format!("Allowed: {range}."));
    }
    if !key.option.is_empty() {
        facts.push(format!("Option: {}.", key.option));
    }
    if !facts.is_empty() {
        comment(out, &facts.join(" "));
    }
    match key.default_value() {
        Some(value) => line(out, &format!("{} = {value}", key.name)),
        None => line(out, &format!("#{} = {}", key.name, key.sample)),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Text as comment lines, broken between words.
fn comment(out: &mut String, text: &str) {
    let mut row = "#".to_owned();
    for word in text.split(' ') {
        if row.len() + 1 + word.len() > WIDTH {
            line(out, &row);
            row = "#".to_owned();
        }
        row.push(' ');
        row.push_str(word);
    }
    line(out, &row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const FILE: &str = include_str!("../proxy-server.example.toml");

    #[test]
    fn the_example_file_is_complete() {
        assert!(
            FILE == example(),
            "renew it: cargo run -p rtsp-proxy-config --example example_file \
             > crates/proxy-config/proxy-server.example.toml"
        );
    }

    #[test]
    fn the_example_file_is_the_default_but_for_its_stream() {
        let settings = Settings::from_toml(FILE, "example").expect("the example is good");
        let mut default = Settings::default();
        assert_eq!(format!("{:?}", settings.global), format!("{:?}", default.global));
        assert_eq!(format!("{:?}", settings.defaults), format!("{:?}", default.defaults));
        let source = settings.streams[0].source.clone();
        default.add_stream("hall", source).expect("a good name");
        assert_eq!(format!("{:?}", settings.streams), format!("{:?}", default.streams));
    }

    #[test]
    fn what_the_example_file_comments_out_is_good_as_well() {
        let all: Vec<&str> = FILE
            .lines()
            .map(|row| match row.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest,
                _ => row,
            })
            .collect();
        let settings = Settings::from_toml(&all.join("\n"), "example").expect("all of it is good");
        assert_eq!(settings.defaults.user.as_deref(), Some("admin"));
        assert!(settings.defaults.password.is_some());
        assert_eq!(settings.global.users.len(), 1);
        let pattern = settings.streams.iter().find_map(crate::StreamSettings::pattern);
        assert_eq!(pattern.expect("a pattern").as_str(), "nvr/*/*");
    }
}
