use std::time::Duration;

use proxy_config::{LogFormat, TransportChoice};

use super::*;

const FILE: &str = r#"
rtsp_port = 7000
bind = "127.0.0.1"
[log]
format = "json"
[users]
anna = "hidden"
[streams.hall]
source = "rtsp://camera/hall"
transport = "udp"
"#;

const BAD: &str = "rtsp_prot = 1\nworkers = -1\n";

const PATTERN: &str = "[streams.\"nvr/*\"]\nsource = \"rtsp://nvr-{1}/main\"\n";

fn parse_line(line: &str) -> Result<Command, String> {
    parse_with(line, &[])
}

fn parse_with(line: &str, variables: &[(&str, &str)]) -> Result<Command, String> {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    parse(line.split_whitespace().map(OsString::from), &variables, |path| match path.to_str() {
        Some("good.toml") => Ok(FILE.to_owned()),
        Some("bad.toml") => Ok(BAD.to_owned()),
        Some("pattern.toml") => Ok(PATTERN.to_owned()),
        Some("empty.toml") => Ok(String::new()),
        Some("secret") => Ok("hidden\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

fn settings(line: &str) -> Settings {
    match parse_line(line) {
        Ok(Command::Serve(settings)) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn names(line: &str) -> Vec<String> {
    settings(line).streams.into_iter().map(|stream| stream.name).collect()
}

#[test]
fn streams_are_named_by_their_place_or_by_name() {
    for (line, expected) in [
        ("rtsp://a/1", &["proxyStream"][..]),
        ("rtsp://a/1 rtsp://a/2", &["proxyStream-1", "proxyStream-2"]),
        ("rtsp://a/1 two=rtsp://a/2 rtsp://a/3", &["proxyStream-1", "two", "proxyStream-3"]),
        ("one=rtsp://a/1", &["one"]),
        ("nvr/1=rtsp://a/1", &["nvr/1"]),
        ("rtsp://a/1?x=rtsp://b", &["proxyStream"]),
        ("one=rtsp://a/1?x=y=rtsp://b", &["one"]),
        ("-e cam rtsp://a/1", &["cam"]),
        ("-ecam rtsp://a/1 rtsp://a/2", &["cam-1", "cam-2"]),
        ("--stream-prefix=cam rtsp://a/1", &["cam"]),
        ("rtsp://a/1 -e cam", &["cam"]),
        ("-- rtsp://a/1", &["proxyStream"]),
        ("--config good.toml", &["hall"]),
        ("--config good.toml rtsp://a/1", &["hall", "proxyStream"]),
    ] {
        assert_eq!(names(line), expected, "{line}");
    }
}

#[test]
fn options_set_what_they_say_whether_short_or_long() {
    for (short, long) in [
        ("-p 9000", "--rtsp-port 9000"),
        ("-t", "--backend-tcp"),
        ("-u user pass", "--backend-user user pass"),
        ("-C user pass", "--reader-user user pass"),
        ("-D 2.5", "--max-packet-gap=2.5"),
        ("-v", "--verbose"),
        ("-V", "--dialogues"),
    ] {
        let (short, long) = (settings(short), settings(long));
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_ne!(format!("{short:?}"), format!("{:?}", settings("")));
    }
    let set = settings("--workers 3 -tvp9000 -D0 -u user -pass -C a b -C c d -C a e rtsp://x/y");
    assert_eq!(set.global.rtsp_port, 9000);
    assert_eq!(set.global.workers, 3);
    assert_eq!(set.global.log.level, LevelChoice::Debug);
    assert_eq!(set.global.log.status, Some(Duration::from_secs(60)));
    assert!(!set.global.log.dialogues);
    let options = &set.streams[0].options;
    assert_eq!(options.transport, TransportChoice::Tcp);
    assert_eq!(options.max_packet_gap, None);
    let credentials = set.streams[0].credentials().expect("from -u");
    assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("user", "-pass"));
    let readers: Vec<(&str, &str)> =
        set.global.users.iter().map(|user| (user.name.as_str(), user.password.expose())).collect();
    assert_eq!(readers, [("c", "d"), ("a", "e")]);

    let set = settings("-V --bind 127.0.0.1 --bind ::1 --log-format json");
    assert!(set.global.log.dialogues);
    assert_eq!(set.global.log.level, LevelChoice::Debug);
    assert_eq!(set.global.log.format, LogFormat::Json);
    assert_eq!(set.global.bind.len(), 2);
}

#[test]
fn options_override_the_file() {
    let plain = settings("--config good.toml");
    assert_eq!(plain.global.rtsp_port, 7000);
    assert_eq!(plain.streams[0].options.transport, TransportChoice::Udp);

    let over = settings("-t -p 7001 --bind ::1 -C b c --log-format text --config good.toml");
    assert_eq!(over.global.rtsp_port, 7001);
    assert_eq!(over.global.bind, ["::1".parse::<std::net::IpAddr>().expect("an address")]);
    assert_eq!(over.global.users.len(), 1);
    assert_eq!(over.global.users[0].name, "b");
    assert_eq!(over.global.log.format, LogFormat::Text);
    assert_eq!(over.streams[0].options.transport, TransportChoice::Tcp);
}

#[test]
fn a_tunnel_has_a_port_and_a_source_may_be_encrypted() {
    let tunnel = settings("-T 8080 rtsps://a/1");
    let options = &tunnel.streams[0].options;
    assert_eq!((options.transport, options.http_port), (TransportChoice::Http, 8080));
}

#[test]
fn variables_go_over_the_file_and_under_options() {
    let variables = [
        ("RTSP_PROXY_CONFIG", "good.toml"),
        ("RTSP_PROXY_RTSP_PORT", "7002"),
        ("RTSP_PROXY_LOG_FORMAT", "text"),
        ("RTSP_PROXY_STREAMS_YARD_USER", "u"),
        ("RTSP_PROXY_STREAMS_YARD_PASSWORD_FILE", "secret"),
    ];
    let Ok(Command::Serve(settings)) = parse_with("-p 7001 yard=rtsp://a/1", &variables) else {
        panic!("all of it is good")
    };
    assert_eq!(settings.global.rtsp_port, 7001);
    assert_eq!(settings.global.log.format, LogFormat::Text);
    let [hall, yard] = &settings.streams[..] else { panic!("{settings:?}") };
    assert_eq!((hall.name.as_str(), yard.name.as_str()), ("hall", "yard"));
    let password = yard.credentials().map(|known| known.password.expose().to_owned());
    assert_eq!(password.as_deref(), Some("hidden"));
    for (line, name, value, expected) in [
        ("rtsp://a/1", "RTSP_PROXY_WORKERS", "many", "RTSP_PROXY_WORKERS"),
        ("rtsp://a/1", "RTSP_PROXY_CONFIG", "absent.toml", "absent.toml"),
        ("rtsp://a/1", "RTSP_PROXY_STREAMS_X_USER", "u", "no such stream"),
    ] {
        let wrong = parse_with(line, &[(name, value)]).map(|_| ()).unwrap_err();
        assert!(wrong.contains(expected), "{wrong}");
    }
}

#[test]
fn without_anything_to_serve_it_shows_itself() {
    for (line, demo) in
        [("", true), ("-v -p 9000", true), ("rtsp://a/1", false), ("--config good.toml", false)]
    {
        assert_eq!(settings(line).demo, demo, "{line}");
    }
}

#[test]
fn a_file_is_checked_without_serving_it() {
    match parse_line("check good.toml") {
        Ok(Command::Check { file, streams: 1 }) => assert_eq!(file, "good.toml"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(parse_line("check empty.toml"), Ok(Command::Check { streams: 0, .. })));
    assert_eq!(
        parse_line("check bad.toml").unwrap_err(),
        "bad.toml:1: rtsp_prot: unknown key; did you mean `rtsp_port`?\n\
         bad.toml:2: workers: -1 is out of range; allowed is 0 to 1024"
    );
}

#[test]
fn help_and_version_need_nothing_else() {
    for line in ["--help", "-h", "-p 1 --help", "rtsp://a/1 --help", "--help -T"] {
        assert!(matches!(parse_line(line), Ok(Command::Help)), "{line}");
    }
    assert!(matches!(parse_line("--version"), Ok(Command::Version)));
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (line, words) in [
        ("-T x rtsp://a/1", &["-T/--backend-http", "whole number"][..]),
        ("-T rtsp://a/1", &["-T/--backend-http needs PORT", "a URL follows"]),
        ("-R", &["-R", "not supported yet"]),
        ("-U a b", &["-U", "not supported yet"]),
        ("-x", &["unknown option -x"]),
        ("--rtsp-prot 1", &["--rtsp-prot", "did you mean --rtsp-port?"]),
        ("--nothing-like-it", &["unknown option", "--help"]),
        ("-p", &["-p/--rtsp-port needs PORT"]),
        ("-p x", &["-p/--rtsp-port", "whole number"]),
        ("-p 70000", &["-p/--rtsp-port", "out of range"]),
        ("-D x", &["-D/--max-packet-gap", "seconds"]),
        ("-D -1", &["-D/--max-packet-gap"]),
        ("-u user", &["-u/--backend-user needs USER and PASS"]),
        ("-u user rtsp://a/1", &["-u/--backend-user needs USER and PASS", "a URL follows"]),
        ("-C user", &["-C/--reader-user needs USER and PASS"]),
        ("-C us:er pass", &["colon"]),
        ("--bind localhost", &["--bind", "no IP address"]),
        ("--log-format xml", &["--log-format", "\"text\" or \"json\""]),
        ("--backend-tcp=yes", &["--backend-tcp"]),
        ("-e a/ rtsp://a/1", &["--stream-prefix", "slash"]),
        ("-e a rtsp://a/1 a=rtsp://a/2 a=rtsp://a/3", &["two streams", "`a`"]),
        ("hall=rtsp://a/1 --config good.toml", &["two streams", "`hall`"]),
        ("a=rtsp://a/1 a=rtsp://a/2", &["two streams", "`a`"]),
        ("a b=c", &["a: "]),
        ("http://a/1", &["http://a/1: "]),
        ("name=http://a/1", &["name=http://a/1: "]),
        ("=rtsp://a/1", &["empty"]),
        ("a%20b=rtsp://a/1", &["cannot be a stream's name"]),
        ("--config absent.toml", &["absent.toml: "]),
        ("--config empty.toml", &["empty.toml", "no stream to serve"]),
        (
            "--config bad.toml",
            &["bad.toml:1: rtsp_prot", "and 1 more", "proxy-server check bad.toml"],
        ),
        (
            "check pattern.toml",
            &["pattern.toml:2: streams.nvr/*.source: ", "no reader chooses host"],
        ),
        ("check", &["needs one FILE"]),
        ("check good.toml other.toml", &["needs one FILE"]),
        ("check good.toml -v", &["takes no options"]),
        ("check absent.toml", &["absent.toml: "]),
    ] {
        let wrong = parse_line(line).map(|command| format!("{command:?}")).unwrap_err();
        assert_eq!(wrong.lines().count(), 1, "{line}: {wrong}");
        for word in words {
            assert!(wrong.contains(word), "{line}: {wrong}");
        }
    }
}

#[test]
fn no_secret_appears_in_an_error() {
    for line in [
        "http://user:hidden@a/1",
        "name=http://user:hid@hidden@a/1",
        "user:hidden@a/1",
        "-u user hidden -x",
        "-C user hidden -T",
        "-C us:er hidden",
    ] {
        let wrong = parse_line(line).map(|_| ()).unwrap_err();
        assert!(!wrong.contains("hidden"), "{line}: {wrong}");
    }
}
