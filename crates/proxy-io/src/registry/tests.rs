use backend_client::Options;
use fan_out::{FanOutLimits, Start};
use proxy_session::StreamOptions;
use rtsp_proto::url::RtspUrl;

use super::*;

fn setup(name: &str) -> StreamSetup {
    let url = RtspUrl::parse("rtsp://nvr/x").expect("a URL");
    StreamSetup {
        name: name.to_owned(),
        options: StreamOptions::new(Options::new(url)),
        reach: crate::Reach::default(),
        start: Start::Instant,
        fan_out: FanOutLimits::default(),
    }
}

/// Everything that begins with `nvr/`, two at a time.
fn registry() -> Registry {
    let find = |name: &str| {
        let is_there = name.starts_with("nvr/");
        is_there.then(|| Opening { setup: setup(name), linger: Duration::from_secs(10) })
    };
    Registry::new(3, OnDemand::new(2, find))
}

#[expect(clippy::disallowed_methods, reason = "the origin of a test's own time")]
fn origin() -> Instant {
    Instant::now()
}

/// Opens a stream, with the lease of who asked for it.
fn opened(registry: &Registry, now: Instant, name: &str) -> StreamEntry {
    match registry.seek(now, name) {
        Sought::Opened(entry) => entry,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn asked_for_many_times_a_stream_is_opened_once() {
    let (registry, now) = (registry(), origin());
    let first = opened(&registry, now, "nvr/1");
    for _ in 0..5 {
        assert!(
            matches!(registry.seek(now, "nvr/1"), Sought::There(entry) if entry.id == first.id)
        );
    }
    assert!(registry.take(first.id).is_some());
    assert!(registry.take(first.id).is_none());
    assert_eq!(registry.len(), 1);
}

#[test]
fn from_many_threads_at_once_a_stream_is_opened_once() {
    let (registry, now) = (registry(), origin());
    let opened: usize = std::thread::scope(|scope| {
        let seek = || usize::from(matches!(registry.seek(now, "nvr/1"), Sought::Opened(_)));
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(seek)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(opened, 1);
}

#[test]
fn a_name_that_nobody_knows_opens_nothing() {
    let registry = registry();
    assert!(matches!(registry.seek(origin(), "other/1"), Sought::Unknown));
    assert_eq!(registry.len(), 0);
}

#[test]
fn streams_that_are_always_there_go_first_and_do_not_count() {
    let (registry, now) = (registry(), origin());
    let own = registry.add(&setup("nvr/1"));
    assert!(matches!(registry.seek(now, "nvr/1"), Sought::There(entry) if entry.id == own.id));
    let homes = ["nvr/2", "nvr/3"].map(|name| opened(&registry, now, name).home);
    // One after the other, whoever opened them.
    assert_eq!((own.home, homes), (0, [1, 2]));
}

#[test]
fn beyond_the_bound_none_is_opened_until_one_is_over() {
    let (registry, now) = (registry(), origin());
    let entries = ["nvr/1", "nvr/2"].map(|name| opened(&registry, now, name));
    assert!(matches!(registry.seek(now, "nvr/3"), Sought::Full { tells: true }));
    assert!(matches!(registry.seek(now, "nvr/4"), Sought::Full { tells: false }));
    let later = now + TELL_AGAIN;
    assert!(matches!(registry.seek(later, "nvr/4"), Sought::Full { tells: true }));
    // Those that are there are found all the same.
    assert!(matches!(registry.seek(now, "nvr/2"), Sought::There(_)));

    let [first, _second] = entries;
    let (home, _opening) = registry.take(first.id).expect("it was opened");
    assert!(!registry.close(&home, None), "who asked is waiting");
    drop(first);
    assert!(registry.close(&home, None));
    assert!(registry.find("nvr/1").is_none());
    assert!(matches!(registry.seek(now, "nvr/3"), Sought::Full { .. }), "it is being closed");
    registry.over(home.id);
    let third = opened(&registry, now, "nvr/3");
    assert!(third.id > home.id);
}

#[test]
fn a_name_whose_backend_has_locked_us_out_counts_until_that_is_over() {
    let (registry, now) = (registry(), origin());
    let entry = opened(&registry, now, "nvr/1");
    let (home, _opening) = registry.take(entry.id).expect("it was opened");
    drop(entry);
    let until = now + Duration::from_secs(300);
    assert!(registry.close(&home, Some(until)));
    registry.over(home.id);
    let left = match registry.seek(now, "nvr/1") {
        Sought::Resting(left) => left,
        other => panic!("{other:?}"),
    };
    assert_eq!(left, Duration::from_secs(300));
    let _second = opened(&registry, now, "nvr/2");
    assert!(matches!(registry.seek(now, "nvr/3"), Sought::Full { .. }));
    let _third = opened(&registry, until, "nvr/3");
}
