use proptest::prelude::*;

use super::*;
use crate::RtcpWriter;

#[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
fn origin() -> Instant {
    Instant::now()
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const LIMITS: ReaderReportLimits =
    ReaderReportLimits { readers: 2, forget_after: Duration::from_secs(60) };

const OURS: Ssrc = Ssrc(7);

fn noon() -> NtpTime {
    NtpTime::from_unix(Duration::from_secs(1_800_000_000))
}

fn block(last_sr: u32, delay: Duration) -> ReportBlock {
    ReportBlock {
        ssrc: OURS,
        fraction_lost: 64,
        cumulative_lost: -1,
        highest_seq: 65_537,
        jitter: 12,
        last_sr,
        delay_since_last_sr: (delay.as_millis() as u32) * 65_536 / 1_000,
    }
}

fn report(block: ReportBlock, name: &str) -> bytes::Bytes {
    RtcpWriter::new().receiver_report(Ssrc(1), &[block]).cname(Ssrc(1), name).finish()
}

fn table(start: Instant) -> ReaderReports<u32> {
    let mut table = ReaderReports::new(LIMITS);
    table.on_sent(start, OURS, noon());
    table
}

#[test]
fn what_a_reader_reports_is_kept_by_reader_and_source() {
    let start = origin();
    let mut table = table(start);
    for (nth, reader) in [(1, 4), (2, 4), (1, 5)] {
        let bytes = report(block(0, ms(0)), "a\u{7}b");
        assert_eq!(table.on_compound(start + ms(nth * 1_000), reader, &bytes), Ok(Noted::Reported));
    }
    let reader = table.get(&4).unwrap();
    assert_eq!((reader.name(), reader.at()), (Some("ab"), start + ms(2_000)));
    let track = reader.track(OURS).unwrap();
    assert_eq!((track.reports, track.fraction_lost, track.cumulative_lost), (2, 64, -1));
    assert_eq!((track.highest_seq, track.jitter, track.round_trip), (65_537, 12, None));
    assert_eq!(track.to_string(), "25.0 % lost, -1 in all, jitter 12");
    assert_eq!(table.get(&5).unwrap().track(OURS).unwrap().reports, 1);
    assert_eq!(reader.track(Ssrc(8)), None);
}

#[test]
fn the_round_trip_is_what_the_reader_did_not_keep() {
    let start = origin();
    let mut table = table(start);
    let bytes = report(block(noon().middle(), ms(1_500)), "");
    assert_eq!(table.on_compound(start + ms(1_625), 4, &bytes), Ok(Noted::Reported));
    let time = table.get(&4).unwrap().track(OURS).unwrap().round_trip.unwrap();
    assert!((124..=126).contains(&time.as_millis()), "{time:?}");

    // Another report has left since: the answer to the last but one is as good.
    table.on_sent(start + ms(5_000), OURS, noon().plus(ms(5_000)));
    let bytes = report(block(noon().middle(), ms(5_000)), "");
    assert_eq!(table.on_compound(start + ms(5_040), 4, &bytes), Ok(Noted::Reported));
    let time = table.get(&4).unwrap().track(OURS).unwrap().round_trip.unwrap();
    assert!((39..=41).contains(&time.as_millis()), "{time:?}");
}

#[test]
fn an_answer_across_a_step_of_the_clock_keeps_the_last_round_trip() {
    for set_to in [3_600_000, 11_000, 1_500] {
        let start = origin();
        let mut table = table(start);
        let bytes = report(block(noon().middle(), ms(0)), "");
        assert_eq!(table.on_compound(start + ms(30), 4, &bytes), Ok(Noted::Reported));
        let set = noon().plus(ms(set_to));
        table.on_sent(start + ms(1_000), OURS, set);
        table.on_sent(start + ms(1_500), OURS, set.plus(ms(505)));
        let time = |table: &ReaderReports<u32>| table.get(&4)?.track(OURS)?.round_trip;
        let late = report(block(noon().middle(), ms(1_970)), "");
        assert_eq!(table.on_compound(start + ms(2_000), 4, &late), Ok(Noted::Reported));
        assert!(time(&table).unwrap().abs_diff(ms(30)) < ms(1), "{:?}", time(&table));
        let next = report(block(set.middle(), ms(945)), "");
        assert_eq!(table.on_compound(start + ms(2_000), 4, &next), Ok(Noted::Reported));
        assert!(time(&table).unwrap().abs_diff(ms(60)) < ms(1), "{:?}", time(&table));
    }
}

#[test]
fn what_is_said_of_others_is_nothing() {
    let start = origin();
    let mut table = table(start);
    let bytes = report(ReportBlock { ssrc: Ssrc(99), ..block(0, ms(0)) }, "x");
    assert_eq!(table.on_compound(start, 4, &bytes), Ok(Noted::Nothing));
    assert!(table.is_empty());
    assert!(table.on_compound(start, 4, &bytes[..7]).is_err());
}

#[test]
fn the_table_has_an_end() {
    let start = origin();
    let mut table = table(start);
    let bytes = report(block(0, ms(0)), "");
    assert_eq!(table.on_compound(start, 1, &bytes), Ok(Noted::Reported));
    assert_eq!(table.on_compound(start, 2, &bytes), Ok(Noted::Reported));
    assert_eq!(table.on_compound(start, 3, &bytes), Ok(Noted::Full));
    assert!(table.forget(&1).is_some());
    assert_eq!(table.on_compound(start, 3, &bytes), Ok(Noted::Reported));
    assert_eq!(table.len(), 2);
}

#[test]
fn the_silent_are_forgotten() {
    let start = origin();
    let mut table = table(start);
    let bytes = report(block(0, ms(0)), "");
    assert_eq!(table.on_compound(start, 1, &bytes), Ok(Noted::Reported));
    assert_eq!(table.on_compound(start + ms(30_000), 2, &bytes), Ok(Noted::Reported));
    assert_eq!(table.poll_timeout(), Some(start + ms(60_000)));
    table.handle_timeout(start + ms(60_000));
    assert_eq!(table.iter().map(|(reader, _)| *reader).collect::<Vec<_>>(), [2]);
    assert_eq!(table.poll_timeout(), Some(start + ms(90_000)));
    table.handle_timeout(start + ms(90_000));
    assert_eq!((table.len(), table.poll_timeout()), (0, None));
}

#[test]
fn a_stream_may_change_its_sources_for_ever() {
    let start = origin();
    let mut table = table(start);
    for nth in 0..1_000 {
        let compound = RtcpWriter::new()
            .sender_report(
                Ssrc(nth),
                &crate::SenderInfo { ntp: noon(), rtp: crate::RtpTime(0), packets: 0, octets: 0 },
                &[],
            )
            .finish();
        table.on_sent_compound(start + ms(u64::from(nth)), &compound);
        let block = ReportBlock { ssrc: Ssrc(nth), ..block(0, ms(0)) };
        let _bounded = table.on_compound(start + ms(u64::from(nth)), 1, &report(block, ""));
    }
    assert_eq!(table.sources.len(), MAX_SOURCES);
    assert!(table.get(&1).unwrap().tracks().len() <= MAX_SOURCES);
}

proptest! {
    #[test]
    fn hostile_reports_never_panic_and_stay_within_the_limits(
        packets in prop::collection::vec((any::<u8>(), any::<[u32; 6]>(), 0_u64..200_000), 0..50),
    ) {
        let start = origin();
        let mut table = table(start);
        let mut now = start;
        for (reader, [ssrc, lost, highest_seq, jitter, last_sr, delay_since_last_sr], gap) in packets {
            now += ms(gap);
            let source = if ssrc % 2 == 0 { OURS } else { Ssrc(ssrc) };
            let block = ReportBlock {
                ssrc: source,
                fraction_lost: lost as u8,
                cumulative_lost: lost as i32 >> 8,
                highest_seq,
                jitter,
                last_sr,
                delay_since_last_sr,
            };
            let _noted = table.on_compound(now, u32::from(reader), &report(block, "x"));
            prop_assert!(table.len() <= LIMITS.readers);
            table.handle_timeout(now);
            for (_, reader) in table.iter() {
                prop_assert!(now - reader.at() < LIMITS.forget_after);
                for track in reader.tracks() {
                    prop_assert!(track.round_trip.is_none_or(|time| time <= MAX_ROUND_TRIP));
                }
            }
        }
    }
}
