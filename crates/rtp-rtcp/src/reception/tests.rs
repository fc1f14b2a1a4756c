use proptest::prelude::*;

use super::*;
use crate::NtpTime;

#[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
fn origin() -> Instant {
    Instant::now()
}

fn header(ssrc: u32, seq: u16, timestamp: u32) -> RtpHeader {
    RtpHeader {
        marker: false,
        payload_type: 96,
        seq: Seq(seq),
        timestamp: RtpTime(timestamp),
        ssrc: Ssrc(ssrc),
    }
}

fn receive(reception: &mut Reception, now: Instant, seqs: impl IntoIterator<Item = u16>) {
    for seq in seqs {
        reception.on_packet(now, &header(1, seq, 0), 100);
    }
}

#[test]
fn nothing_received_is_nothing_reported() {
    let mut reception = Reception::new(ClockRate::VIDEO);
    assert_eq!(reception.report_block(origin()), None);
    assert_eq!(reception.ssrc(), None);
    assert_eq!(reception.stats(), ReceptionStats::default());
}

#[test]
fn what_is_missing_is_lost() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [10, 11, 13, 14]);
    let block = reception.report_block(now).unwrap();
    assert_eq!(block.ssrc, Ssrc(1));
    assert_eq!(block.cumulative_lost, 1);
    assert_eq!(block.fraction_lost, 51); // a fifth
    assert_eq!(block.highest_seq, 14);
    let stats = reception.stats();
    assert_eq!((stats.packets, stats.octets, stats.lost, stats.expected()), (4, 400, 1, 5));
}

#[test]
fn the_fraction_counts_from_the_last_report() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [1, 3]);
    assert_eq!(reception.report_block(now).unwrap().fraction_lost, 85);
    receive(&mut reception, now, [4, 5]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
}

#[test]
fn duplicates_make_the_loss_negative() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [1, 2, 2, 2]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, -2));
}

#[test]
fn wraps_are_counted_above_the_number() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [65_534, 65_535, 0, 65_533, 1]);
    let block = reception.report_block(now).unwrap();
    assert_eq!(block.highest_seq, 0x0001_0001);
    // The one from before the first was not expected.
    assert_eq!(block.cumulative_lost, -1);
}

#[test]
fn two_packets_in_a_row_far_away_are_a_restart() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [1, 3, 30_000, 4, 40_000]);
    assert_eq!(reception.report_block(now).unwrap().highest_seq, 4);
    receive(&mut reception, now, [40_001, 40_002]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.highest_seq, block.cumulative_lost), (40_002, 0));
    let stats = reception.stats();
    assert_eq!((stats.restarts, stats.lost), (1, 1));
}

#[test]
fn another_source_begins_its_own_count() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [1, 5]);
    let info =
        SenderInfo { ntp: NtpTime::from_bits(1 << 32), rtp: RtpTime(0), packets: 0, octets: 0 };
    reception.on_sender_report(now, &info);
    assert_ne!(reception.report_block(now).unwrap().last_sr, 0);
    reception.on_packet(now, &header(2, 6, 0), 1);
    assert_eq!(reception.ssrc(), Some(Ssrc(1)));
    reception.on_packet(now, &header(2, 7, 0), 1);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.ssrc, block.cumulative_lost, block.last_sr), (Ssrc(2), 0, 0));
    assert_eq!(reception.stats().lost, 3);
}

#[test]
fn the_last_sender_report_and_its_age_are_told() {
    let now = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, now, [1]);
    let ntp = NtpTime::from_bits(0x0000_1234_5678_0000);
    reception.on_sender_report(now, &SenderInfo { ntp, rtp: RtpTime(0), packets: 0, octets: 0 });
    let block = reception.report_block(now + Duration::from_millis(1_500)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x1234_5678, 0x0001_8000));
    let block = reception.report_block(now + Duration::from_secs(1 << 20)).unwrap();
    assert_eq!(block.delay_since_last_sr, u32::MAX);
}

#[test]
fn a_report_without_a_time_is_not_answered() {
    let start = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    receive(&mut reception, start, 0..3);
    let ntp = NtpTime::from_bits(0);
    let info = SenderInfo { ntp, rtp: RtpTime(0), packets: 0, octets: 0 };
    reception.on_sender_report(start, &info);
    let block = reception.report_block(start + Duration::from_secs(1)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
}

#[test]
fn an_even_stream_has_no_jitter() {
    let start = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    for nth in 0..100_u16 {
        let now = start + Duration::from_millis(40 * u64::from(nth));
        let timestamp = 3_600_u32.wrapping_mul(nth.into()).wrapping_sub(10_000);
        reception.on_packet(now, &header(1, nth, timestamp), 1);
    }
    assert_eq!(reception.stats().jitter, 0);
}

#[test]
fn jitter_comes_near_the_mean_change_of_the_delay() {
    let start = origin();
    let mut reception = Reception::new(ClockRate::VIDEO);
    for nth in 0..1_000_u16 {
        // Every second packet comes 10 ms late: each change is 900 ticks.
        let late = u64::from(nth % 2) * 10;
        let now = start + Duration::from_millis(40 * u64::from(nth) + late);
        reception.on_packet(now, &header(1, nth, 3_600 * u32::from(nth)), 1);
    }
    let jitter = reception.report_block(start).unwrap().jitter;
    assert!((890..=900).contains(&jitter), "{jitter}");
}

proptest! {
    /// Over any losses, doubles and wraps the sums are those of arithmetic without wraps.
    #[test]
    fn loss_is_that_of_big_integers(first: u16, steps in prop::collection::vec((1_u64..2_000, 1_u64..3), 0..300)) {
        let now = origin();
        let mut reception = Reception::new(ClockRate::VIDEO);
        let (mut highest, mut received) = (u64::from(first), 1);
        receive(&mut reception, now, [first]);
        for (step, copies) in steps {
            highest += step;
            received += copies;
            receive(&mut reception, now, (0..copies).map(|_| highest as u16));
        }
        let expected = highest - u64::from(first) + 1;
        let lost = expected as i64 - received as i64;
        prop_assert_eq!(reception.stats().lost, lost);
        let block = reception.report_block(now).unwrap();
        prop_assert_eq!(i64::from(block.cumulative_lost), lost);
        prop_assert_eq!(u64::from(block.highest_seq), highest);
    }

    #[test]
    fn arbitrary_headers_and_times_never_panic(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u32..2, any::<u32>()), 0..100),
    ) {
        let start = origin();
        let mut reception = Reception::new(ClockRate::new(u32::MAX).unwrap());
        for (seq, timestamp, ssrc, seconds) in packets {
            let now = start + Duration::from_secs(seconds.into());
            reception.on_packet(now, &header(ssrc, seq, timestamp), usize::MAX >> 16);
            prop_assert!(reception.report_block(now).is_some());
        }
    }
}
