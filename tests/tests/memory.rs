//! What readers cost in memory, and that they leave nothing behind.

use std::time::Duration;

use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::sockets::private_memory;
use integration_tests::{camera, wait};
use test_camera::{Camera, CameraOptions, Source, Synthetic};

/// Readers that come and go together.
const READERS: usize = 150;
/// Bytes that one more of them may cost beside its socket.
const EACH: u64 = 8 << 10;
/// How often they come and go before it is looked whether anything stays, and until then: twice the
/// same, so that as many are there at a time.
const ROUNDS: [usize; 2] = [15, 30];
/// One of so many goes without TEARDOWN.
const GONE: usize = 5;
/// What allocators may do with memory that is used over and over. A reader that left something
/// would leave 4,500 times as much.
const SETTLING: u64 = 256 << 10;
/// Who has gone over UDP without a word has been let go after it.
const LET_GO: Duration = Duration::from_secs(17);
/// Longer than a GOP: the log is as long as it gets.
const FULL: Duration = Duration::from_secs(3);

fn camera_and_proxy(lines: &str) -> (Camera, Proxy) {
    let small = Synthetic { bitrate: 500_000, fps: 25, gop: 25, key_frame_bytes: 8_000 };
    let camera =
        camera::start(CameraOptions { source: Source::Synthetic(small), ..Default::default() });
    let stream = format!("[streams.cam]\nsource = \"{}\"\n", camera.url(0));
    let proxy = Proxy::configured(&format!("workers = 1\n{lines}\n{stream}"));
    proxy.wait_described("cam");
    (camera, proxy)
}

fn join(proxy: &Proxy, over: Over) -> Vec<RawReader> {
    let url = proxy.url("cam");
    (0..READERS).map(|_| RawReader::play_tracks(&url, over, &[1])).collect()
}

fn leave(readers: Vec<Running>) {
    for outcome in readers.into_iter().map(Running::stop) {
        assert_eq!(outcome.check(&[1]), Ok(()));
    }
}

#[test]
fn a_reader_costs_a_few_kilobytes_beside_its_socket() {
    for over in [Over::Tcp, Over::Udp] {
        let (_camera, proxy) = camera_and_proxy("");
        let first = RawReader::play_tracks(&proxy.url("cam"), over, &[1]).run();
        wait::pass(FULL);
        let before = private_memory(proxy.process.id());
        let readers: Vec<_> = join(&proxy, over).into_iter().map(RawReader::run).collect();
        wait::pass(FULL);
        let after = private_memory(proxy.process.id());
        let each = after.saturating_sub(before) / READERS as u64;
        println!("{over:?}: {each} bytes for each of {READERS} readers");
        leave(readers);
        leave(vec![first]);
        // One that costs nothing was not looked at.
        assert!((500..EACH).contains(&each), "{over:?}: {each} bytes for each reader");
    }
}

#[test]
fn readers_that_come_and_go_leave_nothing_behind() {
    let (_camera, proxy) = camera_and_proxy("session_timeout = \"10s\"");
    let first = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]).run();
    wait::pass(FULL);
    let [warm, all] = ROUNDS;
    let mut usual = 0;
    for round in 1..=all {
        for over in [Over::Tcp, Over::Udp] {
            let readers = join(&proxy, over);
            wait::pass(Duration::from_millis(200));
            for (number, mut reader) in readers.into_iter().enumerate() {
                if !number.is_multiple_of(GONE) {
                    reader.tear_down();
                }
            }
        }
        if round == warm {
            wait::pass(LET_GO);
            usual = private_memory(proxy.process.id());
        }
    }
    wait::pass(LET_GO);
    let after = private_memory(proxy.process.id());
    leave(vec![first]);
    println!("{usual} bytes after {warm} rounds, {after} after {all}");
    assert!(after < usual + SETTLING, "{usual} bytes after {warm} rounds, {after} after {all}");
}
