//! What a stream's table may choose of its backend and of what becomes of readers.

use std::time::Duration;

use proxy_config::{
    IdleChoice, KeepAliveChoice, OnBackendLossChoice, PullChoice, Settings, TracksChoice,
};
use sdp::MediaKind;

fn hall(keys: &str) -> Result<Settings, String> {
    let text = format!("[streams.hall]\n{keys}\n");
    Settings::from_toml(&text, "hall.toml").map_err(|error| error.to_string())
}

#[test]
fn readers_are_held_for_a_minute_unless_something_else_is_said() {
    let settings = hall("source = \"rtsp://a/b\"").expect("it is good");
    let options = &settings.streams[0].options;
    assert_eq!(options.on_backend_loss, OnBackendLossChoice::Hold);
    assert_eq!((options.hold_for, options.hold_picture), (Duration::from_secs(60), false));
    assert_eq!((options.pull, options.linger), (PullChoice::OnDemand, Duration::from_secs(10)));
    let settings = hall(
        "source = \"rtsp://a/b\"\non_backend_loss = \"close\"\nhold_for = \"5min\"\n\
         hold_picture = true\npull = \"always\"\nlinger = 0\nidle = \"close\"\n\
         keep_alive = \"get-parameter\"\nretry_held = \"2s\"\nretry_max = \"511s\"",
    );
    let settings = settings.expect("it is good");
    let options = &settings.streams[0].options;
    assert_eq!(options.on_backend_loss, OnBackendLossChoice::Close);
    assert_eq!((options.hold_for, options.hold_picture), (Duration::from_secs(300), true));
    assert_eq!((options.pull, options.linger), (PullChoice::Always, Duration::ZERO));
    assert_eq!(options.idle, IdleChoice::Close);
    assert_eq!(options.keep_alive, KeepAliveChoice::GetParameter);
    assert_eq!(options.retry_max, Duration::from_secs(511));
}

#[test]
fn tracks_are_all_or_those_asked_for_or_of_some_kinds() {
    let read = |value: &str| {
        let settings = hall(&format!("source = \"rtsp://a/b\"\ntracks = {value}"))?;
        Ok::<_, String>(settings.streams[0].options.tracks.clone())
    };
    assert_eq!(read("\"all\""), Ok(TracksChoice::All));
    assert_eq!(read("\"requested\""), Ok(TracksChoice::Requested));
    let kinds = vec![MediaKind::Video, MediaKind::Audio];
    assert_eq!(read("[\"video\", \"audio\"]"), Ok(TracksChoice::Kinds(kinds)));
    assert_eq!(read("\"video\""), Ok(TracksChoice::Kinds(vec![MediaKind::Video])));
    for wrong in ["[]", "\"smell\"", "[\"video\", 3]", "true"] {
        let error = read(wrong).expect_err(wrong);
        assert!(error.contains("hall.toml:3") && error.contains("requested"), "{error}");
    }
}

#[test]
fn a_source_may_be_a_list_of_places() {
    let settings = hall("source = [\"rtsp://a/1\", \"rtsp://u:p@b/2\", \"rtsp://c/3\"]");
    let settings = settings.expect("it is good");
    let stream = &settings.streams[0];
    assert_eq!(stream.source.host, "a");
    let others: Vec<_> = stream.options.other_sources.iter().map(|url| url.host.as_str()).collect();
    assert_eq!(others, ["b", "c"]);
    let one = hall("source = [\"rtsp://a/1\"]").expect("it is good");
    assert!(one.streams[0].options.other_sources.is_empty());
    for wrong in ["[]", "[\"rtsp://a/1\", \"http://b\"]", "[\"rtsp://a\", 7]"] {
        let error = hall(&format!("source = {wrong}")).expect_err(wrong);
        assert!(error.contains("hall.toml:2"), "{error}");
    }
}
