use proptest::prelude::*;

use super::*;

/// What is written, and what is read: user, password, host, port, path.
type Case = (&'static str, Option<(&'static str, &'static str)>, &'static str, u16, &'static str);

const CASES: &[Case] = &[
    // As RFC 3986 has it.
    ("rtsp://cam", None, "cam", 554, ""),
    ("rtsp://cam/", None, "cam", 554, "/"),
    ("rtsps://cam/live", None, "cam", 322, "/live"),
    ("RTSP://Cam-1.lan:8554/live?a=b&c", None, "Cam-1.lan", 8554, "/live?a=b&c"),
    ("rtsp://cam:/live", None, "cam", 554, "/live"),
    ("rtsp://cam?x=1", None, "cam", 554, "?x=1"),
    ("rtsp://[::1]:8554/live", None, "::1", 8554, "/live"),
    ("rtsp://[fe80::1%eth0]/live", None, "fe80::1%eth0", 554, "/live"),
    ("  rtsp://cam/live\n", None, "cam", 554, "/live"),
    ("rtsp://cam/a b/\u{e4}", None, "cam", 554, "/a%20b/%C3%A4"),
    ("rtsp://admin:12345@10.0.0.1:554/live", Some(("admin", "12345")), "10.0.0.1", 554, "/live"),
    ("rtsp://admin@cam/live", Some(("admin", "")), "cam", 554, "/live"),
    ("rtsp://admin:@cam/live", Some(("admin", "")), "cam", 554, "/live"),
    ("rtsp://:secret@cam/live", Some(("", "secret")), "cam", 554, "/live"),
    ("rtsp://@cam/live", None, "cam", 554, "/live"),
    ("rtsp://u:p@[2001:db8::7]:8554/x", Some(("u", "p")), "2001:db8::7", 8554, "/x"),
    // Percent-encoded.
    ("rtsp://u%40home:p%3A%2F%23@cam/x", Some(("u@home", "p:/#")), "cam", 554, "/x"),
    ("rtsp://u:%C3%A4@cam/x", Some(("u", "\u{e4}")), "cam", 554, "/x"),
    ("rtsp://u:100%@cam/x", Some(("u", "100%")), "cam", 554, "/x"),
    ("rtsp://u:50%zz@cam/x", Some(("u", "50%zz")), "cam", 554, "/x"),
    // Not encoded.
    ("rtsp://u:p@ss@cam/x", Some(("u", "p@ss")), "cam", 554, "/x"),
    ("rtsp://u:p:a:ss@cam/x", Some(("u", "p:a:ss")), "cam", 554, "/x"),
    ("rtsp://u:p/ss@cam/x", Some(("u", "p/ss")), "cam", 554, "/x"),
    ("rtsp://u:p#ss@cam:8554/x", Some(("u", "p#ss")), "cam", 8554, "/x"),
    ("rtsp://u:p?s s!%^@cam/x", Some(("u", "p?s s!%^")), "cam", 554, "/x"),
    ("rtsp://u:@/@#@cam/x", Some(("u", "@/@#")), "cam", 554, "/x"),
    ("rtsp://u:12/34@cam/x", Some(("u", "12/34")), "cam", 554, "/x"),
    ("rtsp://u@x.org:p@cam/x", Some(("u@x.org", "p")), "cam", 554, "/x"),
    ("rtsp://u:p://q@cam/x", Some(("u", "p://q")), "cam", 554, "/x"),
    // An `@` further back, where no host can follow it, belongs to the path.
    ("rtsp://cam/x@", None, "cam", 554, "/x@"),
    ("rtsp://cam/x?to=@/y", None, "cam", 554, "/x?to=@/y"),
    ("rtsp://cam?to=me@a%20b", None, "cam", 554, "?to=me@a%20b"),
    ("rtsp://u:p@cam/x?mail=me@x.org&q=1", Some(("u", "p")), "cam", 554, "/x?mail=me@x.org&q=1"),
    ("rtsp://u:p@cam/x@(main)", Some(("u", "p")), "cam", 554, "/x@(main)"),
    // Where one can, it is read as written in the rule, and said aloud.
    ("rtsp://cam/live@main", Some(("cam/live", "")), "main", 554, ""),
];

#[test]
fn user_information_ends_at_the_last_at_sign_that_a_host_can_follow() {
    for &(text, credentials, host, port, path) in CASES {
        let url = RtspUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let read = url.credentials.as_ref().map(|c| (c.user.as_str(), c.password.expose()));
        assert_eq!(read, credentials, "{text}");
        let (read, expected) = ((&*url.host, url.port, &*url.path_and_query), (host, port, path));
        assert_eq!(read, expected, "{text}");
    }
}

#[test]
fn an_odd_user_information_is_told() {
    let odd = |text| RtspUrl::parse(text).map(|url| url.odd_user_info);
    assert_eq!(odd("rtsp://u:p/ss@cam/x"), Ok(true));
    assert_eq!(odd("rtsp://u:p#ss@cam/x"), Ok(true));
    assert_eq!(odd("rtsp://cam/live@main"), Ok(true));
    assert_eq!(odd("rtsp://u:p@ss@cam/x"), Ok(false));
    assert_eq!(odd("rtsp://u:p%2Fss@cam/x"), Ok(false));
    assert_eq!(odd("rtsp://cam/x#y"), Ok(false));
}

#[test]
fn what_is_no_url_is_said_without_showing_it() {
    let unsupported = |scheme: &str| UrlError::UnsupportedScheme(scheme.to_owned());
    let cases = [
        ("", UrlError::NoScheme),
        ("cam/live", UrlError::NoScheme),
        ("rtsp:/cam", UrlError::NoScheme),
        ("u:secret@cam://", UrlError::NoScheme),
        ("http://cam/live", unsupported("http")),
        ("rtspu://cam/live", unsupported("rtspu")),
        ("rtsp://", UrlError::NoHost),
        ("rtsp:///live", UrlError::NoHost),
        ("rtsp://u:secret@/live", UrlError::NoHost),
        ("rtsp://:554/live", UrlError::NoHost),
        ("rtsp://::1/live", UrlError::NoHost),
        ("rtsp://[::1/live", UrlError::BadHost),
        ("rtsp://[secret]/live", UrlError::BadHost),
        ("rtsp://u:secret@c*m/live", UrlError::BadHost),
        ("rtsp://-/live", UrlError::BadHost),
        ("rtsp://cam#x", UrlError::BadHost),
        ("rtsp://cam:0/live", UrlError::BadPort),
        ("rtsp://cam:65536/live", UrlError::BadPort),
        ("rtsp://cam:+1/live", UrlError::BadPort),
        ("rtsp://u:secret", UrlError::BadPort),
        ("rtsp://cam/a\r\nX: y", UrlError::ControlCharacter),
    ];
    for (text, expected) in cases {
        let error = RtspUrl::parse(text).expect_err(text);
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("secret"), "{text}");
    }
}

#[test]
fn neither_requests_nor_logs_show_credentials() {
    let url = RtspUrl::parse("rtsp://root:hunter2@cam:8554/a?b=c&password=hunter2&d").unwrap();
    assert_eq!(url.to_request(), "rtsp://cam:8554/a?b=c&password=hunter2&d");
    for shown in [url.to_string(), format!("{url:?}"), format!("{:?}", url.credentials)] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(url.to_string(), "rtsp://cam:8554/a?b=c&password=***&d");
    assert_eq!((url.path(), url.query()), ("/a", Some("b=c&password=hunter2&d")));
}

#[test]
fn the_usual_port_is_not_written() {
    let url = RtspUrl::parse("rtsp://[::1]:554/a").unwrap();
    assert_eq!(url.to_request(), "rtsp://[::1]/a");
    assert_eq!(url.with_port(555).to_request(), "rtsp://[::1]:555/a");
    assert_eq!(RtspUrl::parse("rtsps://h:554").unwrap().to_request(), "rtsps://h:554");
}

#[test]
fn what_is_encoded_in_a_path_does_not_become_a_host() {
    for odd in ["\u{176}", " "] {
        let url = RtspUrl::parse(&format!("rtsp://cam:/a@[2001:db8::1{odd}]/b")).unwrap();
        assert_eq!(url.host, "cam");
        let again = RtspUrl::parse(&url.to_request()).unwrap();
        assert_eq!((&again.host, again.credentials.is_none()), (&url.host, true), "{odd}");
        assert_eq!(again.path(), url.path());
    }
    assert_eq!(RtspUrl::parse("rtsp://cam/a@b?c@").unwrap().host, "b", "the last that fits");
}

proptest! {
    #[test]
    fn a_url_sent_reads_as_the_same_place(
        host in "[a-z][a-z0-9.-]{0,12}",
        port in 1u16..,
        path in "(/[a-z0-9=&?;:._~]{0,12}){0,3}",
        secret in "[a-z@:/#?%]{0,12}",
    ) {
        let text = format!("rtsp://u:{secret}@{host}:{port}{path}");
        let url = RtspUrl::parse(&text).unwrap();
        let sent = url.to_request();
        prop_assert!(!sent.contains('@'));
        let again = RtspUrl::parse(&sent).unwrap();
        prop_assert_eq!(again.credentials, None);
        prop_assert_eq!((again.host, again.port), (url.host, url.port));
        prop_assert_eq!(again.path_and_query, url.path_and_query);
    }

    #[test]
    fn arbitrary_text_does_no_harm(text in "(rtsps?://)?[a@:/#?%\\[\\]0. \u{e4}]{0,30}") {
        if let Ok(url) = RtspUrl::parse(&text) {
            prop_assert!(!url.host.is_empty());
            prop_assert!(url.to_request().bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
