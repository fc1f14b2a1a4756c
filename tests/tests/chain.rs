//! A proxy that reads a proxy that reads the camera.

use std::time::Duration;

use integration_tests::camera::{self, count};
use integration_tests::faults::Witness;
use integration_tests::frames::{contiguous_run, parse_framemd5};
use integration_tests::proxy::{Proxy, free_port};
use integration_tests::reader::{Over, ffmpeg_sums};
use integration_tests::wait;
use nix::sys::signal::Signal;
use test_camera::{CameraOptions, Method};

const BACK: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(10);

/// The proxy next to the camera.
fn inner(port: u16, source: &str) -> Proxy {
    let proxy = Proxy::start_on(port, &[format!("cam={source}")]);
    proxy.wait_described("cam");
    proxy
}

#[test]
fn frames_pass_two_proxies_unchanged_and_the_camera_has_one_session() {
    let camera = camera::start(CameraOptions::default());
    let inner = inner(free_port(), &camera.url(0));
    let outer = Proxy::of_camera(&inner.url("cam"), &[]);
    // Who watches without a proxy begins before and ends after the others.
    let mut direct = ffmpeg_sums(&camera.url(0), Over::Tcp, 16.0);
    wait::pass(Duration::from_secs(3));
    let mut players = [
        ("the inner one over TCP", ffmpeg_sums(&inner.url("cam"), Over::Tcp, 5.0)),
        ("the outer one over TCP", ffmpeg_sums(&outer.url("cam"), Over::Tcp, 5.0)),
        ("the outer one over UDP", ffmpeg_sums(&outer.url("cam"), Over::Udp, 5.0)),
    ];
    for (_, player) in &mut players {
        player.expect_success(Duration::from_secs(40));
    }
    // Who watches without a proxy and one session for all the others.
    assert_eq!(count(&camera, Method::Play), 2, "{}", camera::text(&camera));
    direct.expect_success(Duration::from_secs(40));
    let direct = parse_framemd5(&direct.stdout().all().join("\n"));
    for (who, player) in &players {
        let got = parse_framemd5(&player.stdout().all().join("\n"));
        for (track, least) in [(0, 60), (1, 100)] {
            let (got, all) = (&got[&track], &direct[&track]);
            assert!(got.len() > least, "{who}: {} frames of track {track}", got.len());
            assert!(contiguous_run(got, all).is_ok(), "{who}: {:?}", contiguous_run(got, all));
        }
    }
}

#[test]
fn readers_of_the_outer_proxy_are_held_while_the_inner_one_is_started_again() {
    let camera = camera::start(CameraOptions::default());
    let port = free_port();
    let mut middle = inner(port, &camera.url(0));
    let outer = Proxy::of_camera(&middle.url("cam"), &[]);
    let readers =
        [Over::Udp, Over::Tcp].map(|over| Witness::play(&outer.url("cam"), over, &[1, 2]));
    let begun = wait::now();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let flows = wait::until(SOON, || readers.iter().all(|r| r.key_after(begun).is_some()));
        assert!(flows, "{}", outer.log());
        wait::pass(BACK);
        middle.process.signal(signal);
        assert!(middle.process.wait(SOON).is_some(), "{signal} does not end it");
        wait::pass(Duration::from_secs(3));
        middle = inner(port, &camera.url(0));
        let well = wait::now();
        let flows = wait::until(SOON, || readers.iter().all(|r| r.first_after(well).is_some()));
        assert!(flows, "after {signal}:\n{}\n{}", outer.log(), middle.log());
        for reader in &readers {
            let took = reader.first_after(well).map(|at| at - well);
            assert!(took.is_some_and(|took| took <= BACK), "after {signal}: {took:?}");
        }
        assert_eq!(camera.sessions(0), 1, "{}", camera::text(&camera));
    }
    wait::pass(BACK);
    for reader in readers {
        assert_eq!(reader.finish(), Vec::<String>::new(), "{}", outer.log());
    }
}
