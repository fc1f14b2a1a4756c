//! Many streams at once.

use std::time::Duration;

use integration_tests::faults::CameraProcess;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::wait;

const STREAMS: usize = 200;
/// What two cores may take for all of them, with other programs beside.
const START: Duration = Duration::from_secs(60);

#[test]
fn two_hundred_streams_of_one_camera_start_without_a_time_out() {
    let (streams, source) = (STREAMS.to_string(), "synthetic:bitrate=64000,fps=5,gop=5,key=2000");
    let camera = CameraProcess::start_on(
        0,
        &["--streams", &streams, "--source", source, "--stagger", "--max-connections", "1000"],
    );
    let tables: String = (0..STREAMS)
        .map(|number| format!("[streams.s{number}]\nsource = \"{}\"\n", camera.url(number)))
        .collect();
    let begun = wait::now();
    let proxy = Proxy::configured(&format!("[log]\nlevel = \"info\"\n{tables}"));
    let log = proxy.process.stderr();
    let described = || log.count(|line| line.contains("backend described"));
    assert!(wait::until(START, || described() >= STREAMS), "{}: {}", described(), proxy.log());
    let all_described = wait::now() - begun;
    // Media of all of them at once.
    let begun = wait::now();
    let mut readers: Vec<_> = (0..STREAMS)
        .map(|number| RawReader::play_tracks(&proxy.url(&format!("s{number}")), Over::Tcp, &[1]))
        .collect();
    for (number, reader) in readers.iter_mut().enumerate() {
        let first = reader.next_media(1, START);
        assert!(first.is_some(), "nothing of stream {number}:\n{}", proxy.log());
    }
    let all_flow = wait::now() - begun;
    println!(
        "{STREAMS} streams: described after {all_described:.1?}, flowing after {all_flow:.1?}"
    );
    assert!(all_flow < START, "{all_flow:?}");
    let failed = ["not available", "refused", "WARN", "ERROR"];
    let lines = proxy.log();
    let failed: Vec<_> =
        lines.lines().filter(|line| failed.iter().any(|words| line.contains(words))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
