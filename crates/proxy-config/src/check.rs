//! What one value alone does not show.

use crate::choices::{OnLossChoice, PacketsChoice, TlsChoice, TransportChoice};
use crate::settings::{Settings, StreamOptions, User};

/// The longest name of a stream.
const MAX_NAME: usize = 200;

/// Whether a stream can have this name: path segments of `A-Z a-z 0-9 . _ ~ -` with single slashes
/// between them, that need no escaping in a URL and cannot be taken for a track of another stream.
///
/// # Errors
/// What would be right, in words.
pub fn check_stream_name(name: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("`{name}` cannot be a stream's name: {what}"));
    if name.is_empty() {
        return Err("a stream's name cannot be empty".to_owned());
    }
    if name.len() > MAX_NAME {
        return wrong("it is longer than 200 characters");
    }
    if let Some(strange) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '~' | '-' | '/'))
    {
        return wrong(&format!(
            "it has {strange:?} in it, and only A-Z a-z 0-9 . _ ~ - and / between parts are allowed"
        ));
    }
    if name.split('/').any(str::is_empty) {
        return wrong("it begins or ends with a slash, or has two in a row");
    }
    if name.split('/').any(|part| part == "." || part == "..") {
        return wrong("`.` and `..` cannot be parts of a path");
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if let Some(number) = last.strip_prefix("track")
        && name.contains('/')
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        return wrong("it ends like the address of a stream's track");
    }
    Ok(())
}

/// Whether a reader can have this name.
pub(crate) fn check_user_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a reader's name cannot be empty".to_owned());
    }
    if name.chars().any(|c| c == ':' || c == '"' || c.is_control()) {
        return Err(
            "a reader's name cannot have a colon, a quote or a control character".to_owned()
        );
    }
    Ok(())
}

/// Everything that contradicts in the settings: the key with its section, and what would be right.
pub(crate) fn whole_settings(settings: &Settings) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for User { name, .. } in &settings.global.users {
        if let Err(what) = check_user_name(name) {
            found.push((format!("users.{name}"), what));
        }
    }
    let common = stream_options(&settings.defaults);
    for stream in &settings.streams {
        if let Some(pattern) = stream.pattern() {
            let sources = std::iter::once(&stream.source).chain(&stream.options.other_sources);
            let wrong = sources.filter_map(|source| pattern.check_source(source).err());
            found.extend(wrong.map(|what| (format!("streams.{}.source", stream.name), what)));
        }
        // What is wrong with the defaults is said once.
        let own =
            stream_options(&stream.options).into_iter().filter(|wrong| !common.contains(wrong));
        found.extend(
            own.map(|(key, what)| (format!("streams.{}.{key}", stream.name), what.to_owned())),
        );
    }
    found.extend(common.iter().map(|(key, what)| (format!("defaults.{key}"), (*what).to_owned())));
    found
}

fn stream_options(options: &StreamOptions) -> Vec<(&'static str, &'static str)> {
    let StreamOptions { user, password, password_file, tls, tls_ca, tls_pin, .. } = options;
    let found = [
        (
            password_file.is_some() && user.is_none(),
            ("password_file", "a password needs a `user` beside it"),
        ),
        (
            options.http_port != 0 && options.transport != TransportChoice::Http,
            ("http_port", "is that of `transport = \"http\"`"),
        ),
        (
            *tls == TlsChoice::Insecure && (tls_ca.is_some() || !tls_pin.is_empty()),
            (
                "tls",
                "with \"insecure\" nothing is verified: leave out `tls_ca` and `tls_pin`, or it",
            ),
        ),
        (password.is_some() && user.is_none(), ("password", "a password needs a `user` beside it")),
        (
            user.as_deref() == Some(""),
            ("user", "is empty; leave it out if the backend asks for none"),
        ),
        (options.retry_min > options.retry_max, ("retry_min", "is more than `retry_max`")),
        (
            options.lag_max > options.log_max,
            ("lag_max", "is more than `log_max`: what a reader lags behind has to be kept"),
        ),
        (
            options.lag_max_age > options.log_max_age,
            ("lag_max_age", "is more than `log_max_age`: what a reader lags behind has to be kept"),
        ),
        (
            options.on_loss != OnLossChoice::Pass && options.packets != PacketsChoice::Reframe,
            ("on_loss", "only `packets = \"reframe\"` knows which frames are whole"),
        ),
    ];
    found.into_iter().filter_map(|(wrong, what)| wrong.then_some(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_url_can_carry_are_taken_and_others_are_not() {
        for good in ["hall", "proxyStream-1", "nvr/1/main", "a.b~c_d", "track1", "tracks/trackless"]
        {
            assert_eq!(check_stream_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/hall",
            "hall/",
            "a//b",
            "a b",
            "a?b",
            "a%20b",
            "Küche",
            "../x",
            "hall/track1",
            "a=b",
        ] {
            assert!(check_stream_name(bad).is_err(), "{bad}");
        }
        assert!(check_stream_name(&"x".repeat(201)).is_err());
    }
}
