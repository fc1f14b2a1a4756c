//! Backends that are reached in other ways than plain RTSP at one address.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use integration_tests::backend::GstServer;
use integration_tests::camera;
use integration_tests::media::H264_AAC;
use integration_tests::proxy::{Proxy, free_port};
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::redirect::Redirector;
use integration_tests::tls::{Certificate, authority};
use integration_tests::wait;
use test_camera::{Auth, AuthScheme, Camera, CameraOptions, LogEvent};

const SOON: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_secs(2);

/// A proxy of one stream, `cam`, with these lines in its table.
fn configured(source: &str, lines: &str) -> Proxy {
    Proxy::configured(&format!("[streams.cam]\nsource = \"{source}\"\n{lines}\n"))
}

/// Whether a reader gets both tracks whole for a moment.
fn assert_served(proxy: &Proxy, over: Over) {
    assert_served_at(proxy, &proxy.url("cam"), over);
}

fn assert_served_at(proxy: &Proxy, url: &str, over: Over) {
    let mut reader = RawReader::play_tracks(url, over, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some(), "{}", proxy.log());
    let tallies = reader.receive(A_MOMENT);
    for track in [1, 2] {
        let tally = tallies.get(&track).cloned().unwrap_or_default();
        assert!(tally.is_whole(), "track {track} over {over:?}: {tally:?}\n{}", proxy.log());
    }
}

fn secure(certificate: Certificate) -> Camera {
    camera::start(CameraOptions { tls: Some(certificate.identity()), ..CameraOptions::default() })
}

fn posts(camera: &Camera) -> usize {
    camera::methods(camera).iter().filter(|method| *method == "POST").count()
}

#[test]
fn a_tunnel_over_http_goes_on_past_the_length_of_one_post() {
    // Signs of life every half second, and each with a name so long that few of them fill a POST.
    let user = "u".repeat(3000);
    let camera = camera::start(CameraOptions {
        tunnel: true,
        timeout: Duration::from_secs(1),
        auth: Some(Auth::new(AuthScheme::DigestMd5, &user, "hidden")),
        ..CameraOptions::default()
    });
    let port = camera.port().to_string();
    let proxy = Proxy::start(&["-T", &port, "-u", &user, "hidden", "cam=rtsp://127.0.0.1:1/cam"]);
    proxy.wait_described("cam");
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some(), "{}", proxy.log());
    let mut tallies = reader.receive(A_MOMENT);
    let first = posts(&camera);
    let renewed = camera.wait_for(
        |log| log.iter().filter(|e| e.request().is_some_and(|r| r.method == "POST")).count() > 2,
        Duration::from_secs(30),
    );
    assert!(renewed, "{first} POSTs, then {}:\n{}", posts(&camera), camera::text(&camera));
    tallies.extend(reader.receive(A_MOMENT));
    assert!(tallies.values().all(|tally| tally.is_whole()), "{tallies:?}\n{}", proxy.log());
    // One tunnel all the time, and one session in it.
    let gets = camera::methods(&camera).iter().filter(|method| *method == "GET").count();
    assert_eq!((gets, camera.sessions(0)), (1, 1), "{}", camera::text(&camera));
}

#[test]
fn a_tunnel_goes_over_https_where_the_source_is_encrypted() {
    let camera = camera::start(CameraOptions {
        tunnel: true,
        tls: Some(Certificate::Camera.identity()),
        ..CameraOptions::default()
    });
    let lines = format!(
        "transport = \"http\"\nhttp_port = {}\ntls_ca = \"{}\"",
        camera.port(),
        authority()
    );
    let proxy = configured("rtsps://localhost:1/cam", &lines);
    assert_served(&proxy, Over::Tcp);
    assert!(posts(&camera) > 0, "{}", camera::text(&camera));
}

#[test]
fn an_encrypted_backend_is_verified_by_an_authority_of_ones_own() {
    let camera = secure(Certificate::Camera);
    let ca = format!("tls_ca = \"{}\"", authority());
    // By the address in its certificate, and by a name; media over UDP and within the connection.
    for (host, transport) in [("127.0.0.1", "tcp"), ("localhost", "udp")] {
        let source = format!("rtsps://{host}:{}/cam", camera.port());
        let proxy = configured(&source, &format!("{ca}\ntransport = \"{transport}\""));
        assert_served(&proxy, Over::Udp);
        assert!(!proxy.log().contains("not verified"), "{}", proxy.log());
    }
}

#[test]
fn media_of_an_encrypted_backend_is_encrypted_unless_udp_is_asked_for() {
    let camera = secure(Certificate::Camera);
    let asked = |lines: &str| {
        let proxy = configured(&camera.url(0), &format!("tls_ca = \"{}\"\n{lines}", authority()));
        assert_served(&proxy, Over::Udp);
        let log = camera.log();
        let last = log.iter().rev().find_map(|entry| entry.request()?.transport.clone());
        last.unwrap_or_default()
    };
    let usual = asked("");
    assert!(usual.contains("interleaved"), "{usual}");
    let chosen = asked("transport = \"udp\"");
    assert!(chosen.contains("client_port"), "{chosen}");
}

#[test]
fn an_encrypted_backend_is_verified_by_what_the_system_trusts() {
    let camera = secure(Certificate::Camera);
    let source = format!("cam={}", camera.url(0));
    let trusting = [("SSL_CERT_FILE", &*authority())];
    let proxy = Proxy::start_in(free_port(), &[&source], &trusting);
    assert_served(&proxy, Over::Tcp);
    // Another system does not know that authority.
    let proxy = Proxy::start(&[&source]);
    proxy.wait_for_log(SOON, &["cannot connect", "cam"]);
}

#[test]
fn the_name_that_is_verified_can_be_chosen() {
    let camera = secure(Certificate::Other);
    let lines = format!("tls_ca = \"{}\"\ntls_name = \"other.test\"", authority());
    assert_served(&configured(&camera.url(0), &lines), Over::Tcp);
}

#[test]
fn wrong_certificates_are_refused_before_a_word_is_said_and_the_log_says_what_to_do() {
    let ca = format!("tls_ca = \"{}\"", authority());
    let pin = |certificate: Certificate| format!("tls_pin = \"{}\"", certificate.fingerprint());
    for (certificate, lines, words) in [
        (Certificate::Alone, ca.clone(), ["is signed by nobody we trust", "tls_ca"]),
        (Certificate::Other, ca.clone(), ["is not for 127.0.0.1", "tls_name"]),
        (Certificate::Other, pin(Certificate::Camera), ["is not the one in `tls_pin`", "change"]),
        (
            Certificate::Camera,
            format!("{ca}\ntls_name = \"else.test\""),
            ["not for else.test", "pin"],
        ),
    ] {
        let camera = secure(certificate);
        let source = camera.url(0).replace("rtsps://", "rtsps://user:hidden@");
        let proxy = configured(&source, &format!("transport = \"tcp\"\n{lines}"));
        let line = proxy.wait_for_log(SOON, &["cannot connect", "cam", words[0], words[1]]);
        // What to pin, should it be the right one after all.
        let shown = certificate.fingerprint().replace(':', "").to_lowercase();
        assert!(line.contains(&shown), "{line}");
        assert_eq!(camera::methods(&camera), [""; 0], "{}", camera::text(&camera));
        assert!(!proxy.log().contains("hidden"), "{}", proxy.log());
    }
}

#[test]
fn a_pinned_certificate_is_enough_whoever_made_it_and_for_whom() {
    let camera = secure(Certificate::Alone);
    let pins = [Certificate::Camera, Certificate::Alone].map(Certificate::fingerprint);
    let lines = format!("tls_pin = {pins:?}\ntransport = \"tcp\"");
    assert_served(&configured(&camera.url(0), &lines), Over::Tcp);
}

#[test]
fn a_backend_that_is_not_verified_is_named_in_the_log_each_time() {
    let camera = secure(Certificate::Alone);
    let proxy = configured(&camera.url(0), "tls = \"insecure\"\ntransport = \"tcp\"");
    assert_served(&proxy, Over::Tcp);
    let shown = Certificate::Alone.fingerprint().replace(':', "").to_lowercase();
    proxy.wait_for_log(SOON, &["WARN", "not verified", "cam", "tls_pin", &shown]);
    let said = || proxy.process.stderr().count(|line| line.contains("not verified"));
    let before = said();
    camera.fault(test_camera::Fault::Close(test_camera::Target::All));
    assert!(wait::until(SOON, || said() > before), "{}", proxy.log());
}

#[test]
fn a_backend_that_speaks_no_tls_is_told_from_one_that_is_not_there() {
    // One that says nothing to what it does not understand, and one that answers in its own way.
    let camera = camera::start(CameraOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _gone = client.write_all(b"RTSP/1.0 400 Bad Request\r\n\r\n");
            let _gone = client.read(&mut [0; 4096]);
        }
    });
    for (port, words) in [(camera.port(), "does not answer in TLS"), (port, "does not speak TLS")] {
        let proxy = configured(&format!("rtsps://127.0.0.1:{port}/cam"), "");
        proxy.wait_for_log(SOON, &["cannot connect", words, "rtsp://"]);
    }
}

#[test]
fn readers_and_backends_need_not_be_of_one_family() {
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    for (bind, reader) in [(v6, "127.0.0.1"), (SocketAddr::from(([127, 0, 0, 1], 0)), "[::1]")] {
        let camera = camera::start(CameraOptions { bind, ..CameraOptions::default() });
        for transport in ["udp", "tcp"] {
            let proxy = configured(&camera.url(0), &format!("transport = \"{transport}\""));
            for over in [Over::Udp, Over::Tcp] {
                let url = format!("rtsp://{reader}:{}/cam", proxy.port());
                assert_served_at(&proxy, &url, over);
            }
        }
    }
}

#[test]
fn media_comes_to_the_ports_that_are_set_aside_for_it() {
    let camera = camera::start(CameraOptions { streams: 2, ..CameraOptions::default() });
    let text = format!(
        "[defaults]\ntransport = \"udp\"\nbackend_ports = \"47001-47010\"\n\
         [streams.cam]\nsource = \"{}\"\n[streams.cam1]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    );
    let proxy = Proxy::configured(&text);
    assert_served(&proxy, Over::Udp);
    let mut other = RawReader::play_tracks(&proxy.url("cam1"), Over::Udp, &[1, 2]);
    assert!(other.next_media(1, SOON).is_some(), "{}", proxy.log());
    let log = camera.log();
    let asked: Vec<u16> = log
        .iter()
        .filter_map(|entry| entry.request()?.transport.as_deref()?.split("client_port=").nth(1))
        .filter_map(|ports| ports.split('-').next()?.parse().ok())
        .collect();
    assert_eq!(asked.len(), 4, "{}", camera::text(&camera));
    assert!(
        asked.iter().all(|port| (47_002..=47_008).contains(port) && port % 2 == 0),
        "{asked:?}"
    );
}

#[test]
fn a_redirection_to_another_port_is_followed_with_credentials() {
    let auth = Some(Auth::new(AuthScheme::DigestMd5, "user", "hidden"));
    let camera = camera::start(CameraOptions { auth, ..CameraOptions::default() });
    let redirector = Redirector::to(&camera.url(0));
    let proxy = configured(&redirector.url("user:hidden@"), "");
    assert_served(&proxy, Over::Tcp);
    assert!(!proxy.log().contains("hidden"), "{}", proxy.log());
}

#[test]
fn a_redirection_to_another_host_takes_no_credentials_there_unless_allowed() {
    let auth = Auth::new(AuthScheme::Basic, "user", "hidden");
    let camera = camera::start(CameraOptions {
        bind: SocketAddr::from(([127, 0, 0, 2], 0)),
        auth: Some(auth),
        ..CameraOptions::default()
    });
    let redirector = Redirector::to(&camera.url(0));
    let source = redirector.url("user:hidden@");
    let proxy = configured(&source, "");
    proxy.wait_for_log(SOON, &["wants a user name and password"]);
    let requests: Vec<_> =
        camera.log().iter().filter_map(|entry| entry.request().cloned()).collect();
    assert!(!requests.is_empty(), "{}", proxy.log());
    for request in &requests {
        assert!(request.authorization.is_none() && !request.uri.contains('@'), "{request:?}");
    }
    drop(proxy);
    let proxy = configured(&source, "credentials_elsewhere = true");
    assert_served(&proxy, Over::Tcp);
    assert!(!redirector.heard().contains("hidden@"), "{}", redirector.heard());
}

#[test]
fn a_password_can_come_from_the_environment_or_a_file_and_is_in_no_log() {
    let auth = Some(Auth::new(AuthScheme::DigestMd5, "user", "hidden"));
    let camera = camera::start(CameraOptions { auth, ..CameraOptions::default() });
    let port = free_port();
    let file =
        std::env::temp_dir().join(format!("rtsp-proxy-{}-{port}.secret", std::process::id()));
    std::fs::write(&file, "hidden\n").expect("a file for the password");
    let path = file.display().to_string();
    let (source, user) =
        (("RTSP_PROXY_STREAMS_CAM_SOURCE", &*camera.url(0)), ("RTSP_PROXY_DEFAULTS_USER", "user"));
    for secret in [
        ("RTSP_PROXY_STREAMS_CAM_PASSWORD", "hidden"),
        ("RTSP_PROXY_STREAMS_CAM_PASSWORD_FILE", &*path),
    ] {
        let proxy = Proxy::start_in(port, &["-V"], &[source, user, secret]);
        assert_served(&proxy, Over::Tcp);
        assert!(!proxy.log().contains("hidden"), "{}", proxy.log());
    }
    let _gone = std::fs::remove_file(file);
}

#[test]
fn two_hundred_streams_of_one_host_start_without_a_time_out() {
    const STREAMS: usize = 200;
    let camera = camera::start(CameraOptions { streams: STREAMS, ..CameraOptions::default() });
    let streams = camera
        .urls()
        .enumerate()
        .map(|(number, url)| format!("[streams.s{number}]\nsource = \"{url}\"\n"));
    let text: String =
        std::iter::once("[defaults]\npull = \"always\"\n".to_owned()).chain(streams).collect();
    let proxy = Proxy::configured(&text);
    let playing = || (0..STREAMS).filter(|stream| camera.playing(*stream) > 0).count();
    let all = wait::until(Duration::from_secs(60), || playing() == STREAMS);
    assert!(all, "{} of {STREAMS} play\n{}", playing(), proxy.log());
    let lost = proxy.process.stderr().count(|line| line.contains("backend not available"));
    assert_eq!(lost, 0, "{}", proxy.log());
    let opened = camera.log().iter().filter(|e| matches!(e.event, LogEvent::Opened { .. })).count();
    assert_eq!(opened, STREAMS, "no attempt had to be made twice");
}

#[test]
fn gst_rtsp_server_is_reached_over_tls_and_through_both_kinds_of_tunnel() {
    let [certificate, key] = Certificate::Camera.files();
    let options = ["--tls", &*certificate, &*key];
    let plain = GstServer::start(&[H264_AAC]);
    let secure = GstServer::start_with(0, &options, &[H264_AAC]);
    let path = H264_AAC.name;
    let ca = format!("tls_ca = \"{}\"", authority());
    let tunnel = |port: u16| format!("transport = \"http\"\nhttp_port = {port}");
    for (source, lines) in [
        (format!("rtsp://127.0.0.1:1/{path}"), tunnel(plain.port())),
        (
            format!("rtsps://localhost:{}/{path}", secure.port()),
            format!("{ca}\ntransport = \"tcp\""),
        ),
        (format!("rtsps://localhost:1/{path}"), format!("{ca}\n{}", tunnel(secure.port()))),
    ] {
        let proxy = configured(&source, &lines);
        assert_served(&proxy, Over::Tcp);
        let refused = proxy.process.stderr().count(|line| line.contains("not available"));
        assert_eq!(refused, 0, "{}", proxy.log());
    }
}
