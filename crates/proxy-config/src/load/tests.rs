use std::time::Duration;

use proptest::prelude::*;

use crate::{LevelChoice, LogFormat, Settings, StartChoice, TransportChoice};

fn load(text: &str) -> Result<Settings, String> {
    Settings::from_toml(text, "f.toml").map_err(|error| error.to_string())
}

#[test]
fn what_concerns_reaching_a_backend_is_read() {
    let pin = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
    let settings = load(&format!(
        r#"
        [users]
        anna = {{ file = "anna" }}
        [defaults]
        user = "u"
        password_file = "common"
        [streams.a]
        source = "rtsps://camera/1"
        transport = "http"
        http_port = 8080
        backend_ports = "40001-40005"
        tls_pin = ["{pin}"]
        [streams.b]
        source = "rtsp://camera/2"
        password = "own"
        interface = "eth0"
        "#
    ));
    let mut settings = settings.expect("all of it is good");
    let read = |file: &str| match file {
        "anna" => Ok("one\r\n".to_owned()),
        "common" => Ok("two".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    settings.read_secrets(read).expect("both files are there");
    assert_eq!(settings.global.users[0].password.expose(), "one");
    let passwords: Vec<String> = settings
        .streams
        .iter()
        .filter_map(|stream| Some(stream.credentials()?.password.expose().to_owned()))
        .collect();
    assert_eq!(passwords, ["two", "own"]);
    let [a, b] = &settings.streams[..] else { panic!("{settings:?}") };
    assert_eq!((a.options.transport, a.options.http_port), (TransportChoice::Http, 8080));
    assert_eq!(a.options.backend_ports, Some(40_001..=40_005));
    assert_eq!(a.options.tls_pin[0][..3], [0xe3, 0xb0, 0xc4]);
    assert_eq!(b.options.interface.as_deref(), Some("eth0"));
    let error = settings.read_secrets(|_| Ok("\n".to_owned())).expect_err("nothing in it");
    assert_eq!(error, "users.anna: anna is empty");
}

#[test]
fn what_contradicts_about_reaching_a_backend_is_said() {
    for (lines, expected) in [
        ("http_port = 80", "is that of `transport = \"http\"`"),
        ("tls = \"insecure\"\ntls_ca = \"f\"", "nothing is verified"),
        ("password_file = \"f\"", "needs a `user`"),
        ("backend_ports = \"40001-40002\"", "no even port"),
        ("backend_ports = \"40000\"", "expected a range of ports"),
        ("tls_pin = \"abc\"", "64 hexadecimal digits"),
    ] {
        let error =
            load(&format!("[streams.a]\nsource = \"rtsps://c/1\"\n{lines}")).expect_err(lines);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_kind_of_value_is_read() {
    let settings = load(
        r#"
        rtsp_port = 9554
        bind = "127.0.0.1"
        workers = 0x4
        io_uring = false
        [limits]
        header_bytes = "8KiB"
        body_bytes = 65_536
        first_request = 2.5
        log_budget = "64MiB"
        [log]
        level = "debug"
        format = "json"
        dialogues = true
        status = "1min"
        [users]
        anna = "a: secret"
        "ben b" = ""
        [defaults]
        transport = "tcp"
        max_packet_gap = 0
        retry_max = "5min"
        [streams.hall]
        source = "rtsp://camera/1"
        [streams."nvr/2"]
        source = "rtsp://camera/2"
        transport = "udp"
        start = "live"
        instant_max = "1MiB"
        instant_max_age = "1500ms"
        instant_rate = 20
        max_packet_gap = "1500ms"
        user = "u"
        password = "p"
        "#,
    )
    .expect("all of it is good");
    let global = &settings.global;
    assert_eq!(global.rtsp_port, 9554);
    assert_eq!(global.bind, ["127.0.0.1".parse::<std::net::IpAddr>().expect("an address")]);
    assert_eq!(global.workers, 4);
    assert!(!global.io_uring);
    assert_eq!(global.limits.header_bytes, 8192);
    assert_eq!(global.limits.body_bytes, 65_536);
    assert_eq!(global.limits.first_request, Duration::from_millis(2500));
    assert_eq!(global.limits.log_budget, 64 << 20);
    assert_eq!(global.log.level, LevelChoice::Debug);
    assert_eq!(global.log.format, LogFormat::Json);
    assert!(global.log.dialogues);
    assert_eq!(global.log.status, Some(Duration::from_secs(60)));
    let users: Vec<&str> = global.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(users, ["anna", "ben b"]);
    let [hall, nvr] = &settings.streams[..] else { panic!("two streams") };
    assert_eq!(hall.name, "hall");
    assert_eq!(hall.options.transport, TransportChoice::Tcp);
    assert_eq!(hall.options.max_packet_gap, None);
    assert_eq!(hall.options.retry_max, Duration::from_secs(300));
    assert_eq!(hall.options.start, StartChoice::Instant);
    assert!(hall.credentials().is_none());
    assert_eq!(nvr.name, "nvr/2");
    assert_eq!(nvr.options.transport, TransportChoice::Udp);
    assert_eq!(nvr.options.start, StartChoice::Live);
    assert_eq!(nvr.options.instant_max, 1 << 20);
    assert_eq!(nvr.options.instant_max_age, Duration::from_millis(1500));
    assert_eq!(nvr.options.instant_rate, 20);
    assert_eq!(nvr.options.max_packet_gap, Some(Duration::from_millis(1500)));
    assert_eq!(nvr.credentials().expect("of its own").user, "u");
    assert!(!settings.demo);
}

#[test]
fn streams_keep_the_order_of_the_file() {
    let settings = load(
        "[streams.z]\nsource = 'rtsp://c/z'\n[streams.a]\nsource = 'rtsp://c/a'\n\
         [streams.m]\nsource = 'rtsp://c/m'",
    )
    .expect("good");
    let names: Vec<&str> = settings.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn an_error_names_file_line_key_and_what_would_be_right() {
    for (text, error) in [
        ("rtsp_prot = 1", "f.toml:1: rtsp_prot: unknown key; did you mean `rtsp_port`?"),
        ("\n[limit]\n", "f.toml:2: limit: unknown key; did you mean `limits`?"),
        ("connections = 3", "f.toml:1: connections: is unknown here; it belongs in [limits]"),
        (
            "\ntransport = \"tcp\"",
            "f.toml:2: transport: is unknown here; it belongs in [defaults] or [streams.NAME]",
        ),
        (
            "colour = 1",
            "f.toml:1: colour: unknown key; all keys stand in the commented example file",
        ),
        ("rtsp_port = 70000", "f.toml:1: rtsp_port: 70000 is out of range; allowed is 0 to 65535"),
        ("rtsp_port = -1", "f.toml:1: rtsp_port: -1 is out of range; allowed is 0 to 65535"),
        ("rtsp_port = \"8554\"", "f.toml:1: rtsp_port: expected a whole number, 0 to 65535"),
        (
            "bind = [\"localhost\"]",
            "f.toml:1: bind: \"localhost\" is no IP address; \
             expected IP addresses such as [\"0.0.0.0\", \"::\"]",
        ),
        ("bind = [\"::1\", \"::1\"]", "f.toml:1: bind: ::1 stands in the list twice"),
        (
            "[log]\nformat = \"jason\"",
            "f.toml:2: log.format: \"jason\" is unknown; expected \"text\" or \"json\" \
             (did you mean \"json\"?)",
        ),
        (
            "[log]\ndialogues = \"yes\"",
            "f.toml:2: log.dialogues: expected true or false, without quotes",
        ),
        (
            "[limits]\nheader_bytes = \"16Mib\"",
            "f.toml:2: limits.header_bytes: expected a size such as \"16MiB\", \"64KiB\" or a \
             number of bytes (1KiB to 1MiB)",
        ),
        (
            "[limits]\nheader_bytes = \"16MiB\"",
            "f.toml:2: limits.header_bytes: 16777216 bytes is out of range; allowed is 1KiB to 1MiB",
        ),
        (
            "[defaults]\nmax_packet_gap = \"10\"",
            "f.toml:2: defaults.max_packet_gap: expected a time such as \"10s\", \"500ms\", \
             \"2min\" or a number of seconds (500ms to 24h; 0: for ever)",
        ),
        (
            "[defaults]\nrequest_timeout = 0",
            "f.toml:2: defaults.request_timeout: 0s is out of range; allowed is 500ms to 5min",
        ),
        (
            "[defaults]\nretry_min = \"1min\"",
            "f.toml:2: defaults.retry_min: is more than `retry_max`",
        ),
        (
            "[defaults]\npassword = \"p\"",
            "f.toml:2: defaults.password: a password needs a `user` beside it",
        ),
        (
            "[users]\n\"a:b\" = \"p\"",
            "f.toml:2: users.a:b: a reader's name cannot have a colon, \
          a quote or a control character",
        ),
        (
            "[users]\nanna = 7",
            "f.toml:2: users.anna: expected the reader's password in quotes, or { file = \"FILE\" }",
        ),
        (
            "limits = 3",
            "f.toml:1: limits: expected a table: [limits] on a line of its own, keys below",
        ),
        ("[streams.a]", "f.toml:1: streams.a: a stream needs `source = \"rtsp://HOST/PATH\"`"),
        (
            "[streams.a]\nsource = 3",
            "f.toml:2: streams.a.source: expected a URL in quotes, such as \"rtsp://HOST/PATH\"",
        ),
        (
            "[streams.a.b]\nsource = \"rtsp://c/a\"",
            "f.toml:1: streams.a.b: unexpected table; a name with a dot or a slash needs quotes: \
             [streams.\"a.b\"]",
        ),
        (
            "[streams.\"a b\"]\nsource = \"rtsp://c/a\"",
            "f.toml:1: streams.a b: `a b` cannot be a stream's name: it has ' ' in it, and only \
             A-Z a-z 0-9 . _ ~ - and / between parts are allowed",
        ),
        (
            "[streams.a]\nsource = \"rtsp://u:p@c/a\"\nuser = \"v\"",
            "f.toml:3: streams.a.user: the URL in `source` carries credentials already; leave one \
             of them out",
        ),
    ] {
        assert_eq!(load(text).err().as_deref(), Some(error), "{text}");
    }
}

#[test]
fn all_errors_are_found_at_once_in_the_order_of_their_lines() {
    let error = Settings::from_toml(
        "rtsp_port = 1.5\n[streams.a]\nsource = \"rtsp://c/a\"\nstrat = 1\n[limits]\nconnections = 0",
        "f.toml",
    )
    .expect_err("three things are wrong");
    let lines: Vec<Option<usize>> = error.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(1), Some(4), Some(6)]);
}

#[test]
fn an_error_of_syntax_names_its_line() {
    let error = load("rtsp_port = 1\n[users]\nanna = \"geheim\n").expect_err("an open quote");
    assert!(error.starts_with("f.toml:3: "), "{error}");
    assert!(!error.contains("geheim"), "{error}");
}

#[test]
fn what_is_wrong_with_the_defaults_is_said_once() {
    let error = load(
        "[defaults]\nretry_min = \"1min\"\n[streams.a]\nsource = \"rtsp://c/a\"\n\
         [streams.b]\nsource = \"rtsp://c/b\"\nlog_max_age = \"1s\"",
    )
    .expect_err("two things are wrong");
    assert_eq!(
        error,
        "f.toml:2: defaults.retry_min: is more than `retry_max`\n\
         f.toml:5: streams.b.lag_max_age: is more than `log_max_age`: what a reader lags behind has \
         to be kept"
    );
}

#[test]
fn secrets_are_never_shown() {
    let settings = load(
        "[users]\nanna = \"hidden1\"\n[defaults]\nuser = \"u\"\npassword = \"hidden2\"\n\
         [streams.a]\nsource = \"rtsp://u:hidden3@c/a\"",
    )
    .expect("good");
    let shown = format!("{settings:?} {settings:#?} {}", settings.streams[0].source);
    assert!(!shown.contains("hidden"), "{shown}");
    let error = load("[defaults]\npassword = [\"hidden4\"]\n[streams.b]\nsource = \"u:hidden5@c\"")
        .expect_err("two things are wrong");
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn what_is_set_later_holds_over_the_file_and_for_all_streams() {
    let mut settings =
        load("[streams.a]\nsource = \"rtsp://c/a\"\ntransport = \"udp\"").expect("good");
    assert_eq!(settings.set("rtsp_port", "0"), Ok(()));
    assert_eq!(settings.set("bind", "127.0.0.1,[::1]"), Ok(()));
    assert_eq!(settings.set("log.format", "json"), Ok(()));
    assert_eq!(settings.set("defaults.transport", "tcp"), Ok(()));
    assert_eq!(settings.set("defaults.max_packet_gap", "2.5"), Ok(()));
    assert_eq!(settings.global.rtsp_port, 0);
    assert_eq!(settings.global.bind.len(), 2);
    assert_eq!(settings.global.log.format, LogFormat::Json);
    assert_eq!(settings.streams[0].options.transport, TransportChoice::Tcp);
    assert_eq!(settings.defaults.max_packet_gap, Some(Duration::from_millis(2500)));
    assert_eq!(settings.check(), Ok(()));
    for (key, text) in
        [("rtsp_port", "x"), ("nothing", "1"), ("defaults.nothing", "1"), ("limits", "")]
    {
        assert!(settings.set(key, text).is_err(), "{key}");
    }
    assert_eq!(settings.set("defaults.retry_min", "1h"), Ok(()));
    assert_eq!(settings.check(), Err("defaults.retry_min: is more than `retry_max`".to_owned()));
}

#[test]
fn the_credentials_of_a_url_go_before_those_of_the_options() {
    let mut settings =
        load("[streams.a]\nsource = \"rtsp://own:x@c/a\"\n[streams.b]\nsource = \"rtsp://c/b\"")
            .expect("good");
    assert_eq!(settings.set("defaults.user", "common"), Ok(()));
    assert_eq!(settings.set("defaults.password", "y"), Ok(()));
    let users: Vec<String> =
        settings.streams.iter().filter_map(|stream| Some(stream.credentials()?.user)).collect();
    assert_eq!(users, ["own", "common"]);
}

#[test]
fn what_a_loss_leads_to_is_chosen_only_where_packets_are_made_anew() {
    let stream = "[streams.a]\nsource = \"rtsp://c/a\"\non_loss = \"drop-unit\"\n";
    let error = load(stream).unwrap_err();
    assert!(error.contains("streams.a.on_loss") && error.contains("reframe"), "{error}");
    let settings = load(&format!("{stream}packets = \"reframe\"\n")).expect("good");
    assert_eq!(settings.streams[0].options.on_loss, crate::OnLossChoice::DropUnit);
    assert!(load(&format!("{stream}packets = \"auto\"\n")).is_err());
}

#[test]
fn a_name_is_given_once() {
    let mut settings = load("[streams.a]\nsource = \"rtsp://c/a\"").expect("good");
    let source = settings.streams[0].source.clone();
    assert_eq!(settings.add_stream("b", source.clone()), Ok(()));
    assert!(settings.add_stream("a", source.clone()).is_err());
    assert!(settings.add_stream("a b", source).is_err());
    assert_eq!(settings.streams.len(), 2);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n|=|\\[|\\]|\"|\\.){0,200}") {
        let _ = Settings::from_toml(&text, "f.toml");
    }

    #[test]
    fn no_value_makes_it_panic(
        key in prop::sample::select(vec!["rtsp_port", "limits.header_bytes", "limits.first_request",
            "bind", "log.format", "log.status", "streams.a.source", "users.a", "defaults.user"]),
        value in "-?[0-9]{1,40}|-?[0-9]{1,3}\\.[0-9]e[0-9]{1,3}|inf|nan|true|\\[\\]|\\{\\}|\
            \"[0-9.]{0,30}(ms|s|h|KiB|MiB|GB)?\"|1979-05-27",
    ) {
        let _ = Settings::from_toml(&format!("{key} = {value}"), "f.toml");
    }
}

#[test]
fn a_syntax_error_names_the_key_and_never_its_value() {
    let error = |text| Settings::from_toml(text, "f.toml").unwrap_err().to_string();
    let twice = error("rtsp_port = 1\nrtsp_port = 2\n");
    assert!(twice.starts_with("f.toml:2: rtsp_port: "), "{twice}");
    let open = error("[users]\nanna = \"hush\n");
    assert!(open.starts_with("f.toml:2: anna: "), "{open}");
    assert!(!open.contains("hush"), "{open}");
}
