use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

fn filled(text: &str, source: &str, name: &str) -> Option<String> {
    let url = RtspUrl::parse(source).expect("a URL");
    pattern(text).fill(&url, name).map(|url| url.to_request())
}

#[test]
fn one_star_is_one_segment_and_two_are_one_or_more() {
    for (text, name, expected) in [
        ("nvr/*", "nvr/1", Some(vec!["1"])),
        ("nvr/*", "nvr/1/2", None),
        ("nvr/*", "nvr", None),
        ("nvr/*", "other/1", None),
        ("*", "hall", Some(vec!["hall"])),
        ("nvr/**", "nvr/1", Some(vec!["1"])),
        ("nvr/**", "nvr/1/2/3", Some(vec!["1/2/3"])),
        ("nvr/**", "nvr", None),
        ("**/main", "a/b/main", Some(vec!["a/b"])),
        ("**/main", "main", None),
        ("a/*/**/c/*", "a/1/2/3/c/4", Some(vec!["1", "2/3", "4"])),
        ("a/*/**/c/*", "a/1/c/4", None),
        ("*/*", "A-b_c~d/e.f", Some(vec!["A-b_c~d", "e.f"])),
    ] {
        assert_eq!(pattern(text).captures(name), expected, "{text} {name}");
    }
}

#[test]
fn names_that_no_stream_may_have_match_nothing() {
    for name in [
        "nvr/",
        "nvr//",
        "/nvr/1",
        "nvr/..",
        "nvr/.",
        "nvr/a..b",
        "nvr/a b",
        "nvr/%2e",
        "nvr/a?b",
        "nvr/a@b",
        "nvr/a:b",
        "nvr/{1}",
        "nvr/ü",
        "nvr/*",
        "nvr/track1",
        "nvr/a\\b",
        "nvr/a#b",
        "",
    ] {
        assert_eq!(pattern("nvr/*").captures(name), None, "{name}");
        assert_eq!(pattern("**").captures(name), None, "{name}");
    }
    assert_eq!(pattern("**").captures(&"x".repeat(201)), None);
}

#[test]
fn what_can_be_no_pattern_is_refused() {
    for bad in [
        "nvr",
        "",
        "cam*",
        "nvr/a*b",
        "nvr/***",
        "**/a/**",
        "/*",
        "*/",
        "a//*",
        "a b/*",
        "../*",
        "*/track1",
        "a/*/*/*/*/*/*/*/*/*/*",
    ] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
    let error = Pattern::parse("a b/*").expect_err("a blank");
    assert!(error.contains("`a b/*`"), "{error}");
}

#[test]
fn the_most_specific_of_two_is_the_greater() {
    // Each of them fits `a/b/c`, and is more specific than the next.
    let order = [
        "a/b/*", "a/b/**", "a/*/c", "a/*/*", "a/*/**", "a/**/c", "a/**", "*/b/c", "*/**", "**/b/c",
        "**/b/*", "**/c", "**/*", "**",
    ];
    for (index, greater) in order.iter().enumerate() {
        assert!(pattern(greater).captures("a/b/c").is_some(), "{greater}");
        for lesser in order.iter().skip(index + 1) {
            assert!(pattern(greater) > pattern(lesser), "{greater} {lesser}");
        }
    }
}

#[test]
fn what_is_matched_goes_where_the_source_says() {
    let source = "rtsp://u:p@nvr.example:8554/ch{1}/{2}?stream={2}&x={1}";
    assert_eq!(
        filled("nvr/*/*", source, "nvr/7/sub").as_deref(),
        Some("rtsp://nvr.example:8554/ch7/sub?stream=sub&x=7")
    );
    assert_eq!(filled("all/**", "rtsp://nvr/{1}", "all/a/b").as_deref(), Some("rtsp://nvr/a/b"));
    let url = RtspUrl::parse(source).expect("a URL");
    let filled = pattern("nvr/*/*").fill(&url, "nvr/7/sub").expect("it fits");
    assert_eq!(filled.credentials, url.credentials);
}

#[test]
fn dots_that_meet_do_not_lead_upwards() {
    assert_eq!(filled("n/*/*", "rtsp://nvr/{1}{2}", "n/a./.b"), None);
    assert_eq!(filled("n/*/*", "rtsp://nvr/{1}.{2}", "n/a./b"), None);
    assert!(filled("n/*/*", "rtsp://nvr/{1}.{2}", "n/a/b").is_some());
}

#[test]
fn a_source_may_use_its_wildcards_in_path_and_query_alone() {
    let pattern = pattern("nvr/*/**");
    let check = |text: &str| match RtspUrl::parse(text) {
        Ok(url) => pattern.check_source(&url),
        Err(error) => Err(misplaced(text).map_or_else(|| error.to_string(), str::to_owned)),
    };
    for good in [
        "rtsp://nvr/{1}",
        "rtsp://u:p@nvr:8554/a/{2}/b?c={1}",
        "rtsp://[::1]/{1}",
        "rtsp://nvr?channel={1}",
        "rtsp://nvr/%7B{1}%7D",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for authority in [
        "rtsp://{1}/x",
        "rtsp://{1}.example/{2}",
        "rtsp://nvr:{1}/x",
        "rtsp://nvr:80{1}/x",
        "rtsp://{1}:p@nvr/x",
        "rtsp://u:{1}@nvr/x",
        "rtsp://u:p{2}@nvr/{1}",
        "rtsp://nvr/ch@{1}",
        "rtsp://nvr/{1}@other",
        "rtsp://nvr/{1}@other/x",
        "rtsp://nvr{1}",
        "rtsp://nvr/a@[::{1}]",
        "rtsp://nvr/a@x:{1}",
        "rtsp://u@{1}@nvr/x",
        "rtsp://{1}",
        "rtsp://nvr/@{1}/{2}",
    ] {
        let error = check(authority).expect_err(authority);
        assert!(error.contains("path and query alone"), "{authority}: {error}");
    }
    for (bad, why) in [
        ("rtsp://nvr/{3}", "there is no {3}: `nvr/*/**` has the wildcards {1} to {2}"),
        ("rtsp://nvr/{0}", "there is no {0}"),
        ("rtsp://nvr/x", "needs {1}"),
        ("rtsp://nvr/{", "braces stand around"),
        ("rtsp://nvr/}{1}", "braces stand around"),
        ("rtsp://nvr/{}", "braces stand around"),
        ("rtsp://nvr/{name}", "braces stand around"),
        ("rtsp://nvr/{99999999999999999999999}", "braces stand around"),
        ("rtsp://nvr/../{1}", "`..` cannot stand"),
        ("http://nvr/{1}", "scheme"),
        ("{1}", "begins with rtsp://"),
    ] {
        let error = check(bad).expect_err(bad);
        assert!(error.contains(why), "{bad}: {error}");
    }
}

/// What may follow a source's host, most of it odd, and much of it such that what is put into it
/// could move the host.
fn tail() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{1}", "{2}", "{1}{2}", "@", ":", "/", "?", "#", ".", "..", "a", "1", "nvr", "[", "]",
        "::", "%2e", "&", "=", "user", "80",
    ]);
    let before =
        prop::sample::select(vec!["", "x@", "@", "b@x.", "?q=@", "u:p@", ".", "a.", "[::"]);
    let between = prop::sample::select(vec!["", "/", ":", ".", "@", ":80", "]:", "-"]);
    let after = prop::sample::select(vec!["", "/x", "@y", "?z", "."]);
    prop_oneof![
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        (before, between, after)
            .prop_map(|(before, between, after)| format!("/{before}{{1}}{between}{{2}}{after}")),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a", "1", ".", "..", "/", "@", ":", "%", "-", "~", "_", "?", "\\",
    ]);
    let parts = || prop::sample::select(vec!["a", "1", "b.c", "a.", ".b", "~", "-x_", "80", "..."]);
    prop_oneof![
        (parts(), parts(), prop::option::of(parts())).prop_map(|(one, two, three)| match three {
            Some(three) => format!("n/{one}/{two}/{three}"),
            None => format!("n/{one}/{two}"),
        }),
        "n/[A-Za-z0-9._~-]{1,12}/[A-Za-z0-9._~/-]{1,24}",
        prop::collection::vec(pieces, 0..10).prop_map(|pieces| format!("n/{}", pieces.concat())),
        "\\PC{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_name_changes_where_a_source_is(user in "(u:p@)?", tail in tail(), name in name()) {
        let pattern = pattern("n/*/**");
        let text = format!("rtsp://{user}nvr:8554{tail}");
        let Ok(url) = RtspUrl::parse(&text) else { return Ok(()) };
        if pattern.check_source(&url).is_err() {
            return Ok(());
        }
        prop_assert!(!url.host.contains('{'), "{text}");
        if let Some(filled) = pattern.fill(&url, &name) {
            prop_assert_eq!(filled.scheme, url.scheme);
            prop_assert_eq!(&filled.host, &url.host);
            prop_assert_eq!(filled.port, url.port);
            prop_assert_eq!(&filled.credentials, &url.credentials);
            prop_assert!(!filled.path_and_query.contains(".."));
            prop_assert_eq!(filled.path_and_query.find(['{', '}']), None);
            // Whoever reads what we ask for is led to the same place.
            let read = RtspUrl::parse(&filled.to_request()).expect("a URL");
            prop_assert_eq!((&read.host, read.port), (&url.host, url.port));
            prop_assert!(read.credentials.is_none());
        }
    }

    #[test]
    fn what_is_matched_holds_nothing_but_what_it_may(text in "(n/)?(\\*|\\*\\*|a)(/(\\*|a)){0,3}", name in name()) {
        let Ok(pattern) = Pattern::parse(&text) else { return Ok(()) };
        let Some(captures) = pattern.captures(&name) else { return Ok(()) };
        prop_assert_eq!(captures.len(), pattern.wildcards());
        for capture in &captures {
            prop_assert!(!capture.is_empty() && !capture.contains(".."), "{}", capture);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._~-/".contains(c);
            prop_assert!(capture.chars().all(plain), "{}", capture);
        }
        // The name is what comes of putting it back.
        let mut captures = captures.into_iter();
        let whole: Vec<&str> = text
            .split('/')
            .map(|part| if part.contains('*') { captures.next().unwrap_or("") } else { part })
            .collect();
        prop_assert_eq!(whole.join("/"), name);
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,60}", name in "\\PC{0,60}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            let _ = pattern.captures(&name);
        }
        let source = format!("rtsp://nvr/{text}");
        let _ = misplaced(&source);
        if let Ok(url) = RtspUrl::parse(&source) {
            let _ = pattern("*").check_source(&url);
        }
    }
}

#[test]
fn a_file_may_have_patterns_and_what_is_wrong_with_them_has_its_line() {
    let load =
        |text: &str| crate::Settings::from_toml(text, "f.toml").map_err(|error| error.to_string());
    let settings = load(
        "[limits]\nmax_dynamic = 3\n[defaults]\ntransport = \"tcp\"\n[streams.hall]\n\
         source = \"rtsp://c/{x}\"\n[streams.\"nvr/*\"]\nsource = \"rtsp://u:p@nvr/ch{1}\"\n",
    )
    .expect("good");
    assert_eq!(settings.global.limits.max_dynamic, 3);
    let [hall, nvr] = &settings.streams[..] else { panic!("two streams") };
    assert!(hall.pattern().is_none());
    assert_eq!(nvr.pattern().expect("a pattern").as_str(), "nvr/*");
    assert_eq!(nvr.options.transport, crate::TransportChoice::Tcp);
    for (text, error) in [
        (
            "[streams.\"nvr/*\"]\n\nsource = \"rtsp://nvr-{1}/x\"",
            "f.toml:3: streams.nvr/*.source: {1} and the like may stand in path and query alone: \
             no reader chooses host, port, user or password",
        ),
        (
            "[streams.\"nvr/*\"]\nsource = \"rtsp://u:hush{1}@nvr/x\"",
            "f.toml:2: streams.nvr/*.source: {1} and the like may stand in path and query alone: \
             no reader chooses host, port, user or password",
        ),
        (
            "[streams.\"nvr/*\"]\nsource = \"rtsp://nvr/{2}\"",
            "f.toml:2: streams.nvr/*.source: there is no {2}: `nvr/*` has one wildcard, {1}",
        ),
        (
            "[streams.\"nvr/*\"]\nsource = [\"rtsp://nvr/{1}\", \"rtsp://{1}/x\"]",
            "f.toml:2: streams.nvr/*.source: {1} and the like may stand in path and query alone: \
             no reader chooses host, port, user or password",
        ),
        (
            "[streams.\"nvr/*\"]\nsource = [\"rtsp://nvr/{1}\", \"rtsp://nvr/x@{1}\"]",
            "f.toml:2: streams.nvr/*.source: {1} and the like may stand in path and query alone: \
             no reader chooses host, port, user or password",
        ),
        (
            "[streams.\"nvr/*\"]\nsource = \"rtsp://nvr/main\"",
            "f.toml:2: streams.nvr/*.source: the source of `nvr/*` needs {1}, which stands for what \
             its first wildcard matches",
        ),
        (
            "\n[streams.\"cam*\"]\nsource = \"rtsp://nvr/{1}\"",
            "f.toml:2: streams.cam*: `cam*` cannot be a pattern: `*` and `**` stand for whole \
             segments, between slashes",
        ),
        (
            "[limits]\nmax_dynamic = 0",
            "f.toml:2: limits.max_dynamic: 0 is out of range; allowed is 1 to 100000",
        ),
    ] {
        assert_eq!(load(text).err().as_deref(), Some(error), "{text}");
    }
}
