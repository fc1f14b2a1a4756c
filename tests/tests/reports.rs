//! RTCP between the proxy, its readers and its backends, over both ways.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::{camera, rtp, wait};
use nix::sys::signal::Signal;
use test_camera::{Camera, CameraOptions, Fault, LogEvent, Method, Target};

const SOON: Duration = Duration::from_secs(5);
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// A receiver report of one source, and who says it.
fn report(source: u32, last_sr: u32, tool: &str) -> Vec<u8> {
    let mut out = vec![0x81, RR, 0, 7];
    // A quarter lost, 5 in all; 9 ticks of jitter for each of the clock's thousand.
    for word in [0x0bad_cafe, source, 64 << 24 | 5, 1_000, 900, last_sr, 0] {
        out.extend_from_slice(&u32::to_be_bytes(word));
    }
    let mut items = vec![1, 2, b'm', b'e', 6, u8::try_from(tool.len()).expect("short")];
    items.extend_from_slice(tool.as_bytes());
    items.push(0);
    items.resize(items.len().next_multiple_of(4), 0);
    let words = u8::try_from(1 + items.len() / 4).expect("short");
    out.extend_from_slice(&[0x81, SDES, 0, words]);
    out.extend_from_slice(&0x0bad_cafe_u32.to_be_bytes());
    out.extend(items);
    out
}

/// The next sender report of a track.
fn sender_report(reader: &mut RawReader, track: usize) -> rtp::SenderReport {
    let end = wait::now() + SOON;
    while let Some(packet) = reader.next(end.saturating_duration_since(wait::now())) {
        if packet.rtcp && packet.track == track {
            return rtp::sender_report(&packet.data).expect("a sender report");
        }
    }
    panic!("no sender report")
}

/// The lines of a new status report about readers.
fn reader_lines(proxy: &Proxy) -> Vec<String> {
    let all = || -> Vec<String> {
        let log = proxy.process.stderr().all();
        log.into_iter().filter(|line| line.contains("playing=")).collect()
    };
    let (before, from) = (all().len(), proxy.process.stderr().all().len());
    proxy.process.signal(Signal::SIGUSR1);
    assert!(wait::until(SOON, || all().len() > before), "no status\n{}", proxy.log());
    // What was refused follows.
    wait::pass(Duration::from_millis(100));
    let log = proxy.process.stderr().all();
    log.into_iter().skip(from).filter(|line| line.contains("reader")).collect()
}

#[test]
fn what_readers_report_is_shown_until_they_leave_and_nobody_speaks_for_them() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    for over in [Over::Tcp, Over::Udp] {
        let mut reader = RawReader::play_tracks(&proxy.url("cam"), over, &[1, 2]);
        let told = sender_report(&mut reader, 1);
        let since = wait::now();
        assert!(reader_lines(&proxy).iter().any(|line| line.contains("no reports")), "{over:?}");
        wait::pass(Duration::from_millis(50));
        let tool = format!("test-{over:?}");
        let kept = wait::now() - since;
        reader.send_rtcp(1, &report(told.ssrc, (told.ntp >> 16) as u32, &tool));
        if let Some(to) = reader.rtcp_address(1) {
            // A stranger that knows the SSRC.
            let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
            let lie = report(told.ssrc, 0, "stranger");
            stranger.send_to(&lie, to).expect("sent");
        }
        // A source that is not ours, and what is no report at all.
        reader.send_rtcp(2, &report(told.ssrc.wrapping_add(1), 0, &tool));
        for hostile in [&[0x81, RR, 0xff, 0xff][..], &[0; 1_900], b"x"] {
            reader.send_rtcp(1, hostile);
        }
        wait::pass(Duration::from_millis(300));
        let lines = reader_lines(&proxy);
        let shown: Vec<_> = lines.iter().filter(|line| line.contains("track 1")).collect();
        let [line] = shown[..] else { panic!("{over:?}: {lines:#?}") };
        for words in ["25.0 % lost, 5 in all, jitter 10.0 ms, round trip", &*tool] {
            assert!(line.contains(words), "{over:?}: {words:?} not in {line}");
        }
        assert!(!line.contains("track 2"), "{line}");
        let time = line.split("round trip ").nth(1).and_then(|rest| rest.split(' ').next());
        let time: u64 = time.and_then(|time| time.parse().ok()).expect("a round trip");
        // It did not say that it had kept it for so long.
        let kept = u64::try_from(kept.as_millis()).expect("not long");
        assert!((kept..kept + 200).contains(&time), "{kept} ms: {line}");
        let refused =
            lines.iter().any(|line| line.contains("refused") && line.contains("malformed="));
        assert!(refused, "{over:?}: {lines:#?}");

        reader.tear_down();
        wait::pass(Duration::from_millis(100));
        let lines = reader_lines(&proxy);
        assert!(!lines.iter().any(|line| line.contains("track 1")), "{over:?}: {lines:#?}");
    }
}

/// When what came, of the track's reports and packets, and what the reports count.
#[derive(Default)]
struct Heard {
    /// Sender reports: when, of how many packets, after how many.
    reports: Vec<(Instant, u32, u32)>,
    packets: u32,
    byes: u32,
    report_first: bool,
}

fn listen(reader: &mut RawReader, time: Duration, heard: &mut [Heard; 2]) {
    let end = wait::now() + time;
    while let Some(packet) = reader.next(end.saturating_duration_since(wait::now())) {
        let of = &mut heard[packet.track - 1];
        if !packet.rtcp {
            of.packets += 1;
            continue;
        }
        if let Some(report) = rtp::sender_report(&packet.data) {
            of.report_first |= of.packets == 0;
            of.reports.push((packet.at, report.packets, of.packets));
        }
        of.byes += u32::from(rtp::is_bye(&packet.data));
    }
}

#[test]
fn a_readers_reports_come_first_count_true_bridge_silence_and_end_with_a_goodbye() {
    let cameras = [(); 2].map(|()| camera::start(CameraOptions::default()));
    let readers: Vec<_> = [Over::Tcp, Over::Udp]
        .into_iter()
        .zip(&cameras)
        .map(|(over, camera)| {
            let proxy = Proxy::configured(&format!(
                "[streams.cam]\nsource = \"{}\"\non_backend_loss = \"close\"\n",
                camera.url(0)
            ));
            proxy.wait_described("cam");
            std::thread::spawn(move || {
                let mut heard = <[Heard; 2]>::default();
                let url = format!("{}?start=live", proxy.url("cam"));
                let mut reader = RawReader::play_tracks(&url, over, &[1, 2]);
                listen(&mut reader, Duration::from_secs(26), &mut heard);
                (over, heard, reader.wire.is_closed())
            })
        })
        .collect();
    wait::pass(Duration::from_secs(12));
    let silent = wait::now();
    cameras.iter().for_each(|camera| camera.fault(Fault::StopSending(Target::All)));
    for reader in readers {
        let (over, heard, closed) = reader.join().expect("a reader");
        assert!(closed, "{over:?}: the backend fell silent, the session went on");
        for (track, heard) in heard.iter().enumerate() {
            let what = format!("{over:?} track {}", track + 1);
            assert!(heard.report_first, "{what}");
            assert_eq!(heard.byes, 1, "{what}");
            let gaps = heard.reports.windows(2).map(|pair| (pair[1].0, pair[1].0 - pair[0].0));
            for (at, gap) in gaps {
                assert!(gap < Duration::from_millis(5_400), "{what}: {gap:?}");
                // One that was on its way, and then each 2 s.
                let bridges = at > silent + Duration::from_millis(5_500);
                assert!(!bridges || gap < Duration::from_millis(2_400), "{what}: {gap:?}");
            }
            assert!(heard.reports.len() >= 6, "{what}: {}", heard.reports.len());
            // The reader was the first: what it got is what was sent. Over UDP the two ports do
            // not keep each other's order.
            let most = if over == Over::Tcp { 0 } else { 20 };
            for (_, told, got) in &heard.reports {
                assert!(told.abs_diff(*got) <= most, "{what}: told {told}, got {got}");
            }
        }
    }
}

/// When the camera heard RTCP of these packet types.
fn heard(camera: &Camera, wanted: &[u8]) -> Vec<Duration> {
    let log = camera.log();
    let fits = |event: &LogEvent| matches!(event, LogEvent::Rtcp { types, .. } if types == wanted);
    log.iter().filter(|entry| fits(&entry.event)).map(|entry| entry.at).collect()
}

#[test]
fn a_backend_hears_reports_and_a_goodbye_before_teardown() {
    let proxies = ["tcp", "udp"].map(|transport| {
        let camera = camera::start(CameraOptions::default());
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"{}\"\ntransport = \"{transport}\"\n",
            camera.url(0)
        ));
        proxy.wait_described("cam");
        let reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]).run();
        (transport, camera, proxy, reader)
    });
    wait::pass(Duration::from_secs(11));
    for (transport, camera, proxy, reader) in proxies {
        let played = camera::times(&camera, &[Method::Play])[0];
        let reports = heard(&camera, &[RR, SDES]);
        assert!(reports.len() >= 4, "{transport}: {}", camera::text(&camera));
        assert!(reports[0] - played < Duration::from_millis(3_000), "{transport}");
        let mut last = reports[0];
        for at in reports {
            assert!(at - last < Duration::from_millis(5_400), "{transport}: {:?}", at - last);
            last = at;
        }
        // The camera must not have forgotten the session before it looks at its port for RTCP.
        let delay = Duration::from_millis(300);
        camera.fault(Fault::Delay { method: Method::Teardown, delay });
        proxy.terminate();
        let _outcome = reader.stop();
        let byes = heard(&camera, &[RR, SDES, BYE]);
        assert_eq!(byes.len(), 2, "{transport}: {}", camera::text(&camera));
    }
}
