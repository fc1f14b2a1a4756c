//! Batches: what goes in comes out, in every form.

use std::sync::Arc;

use fan_out::{
    EntryKind, Form, MAX_BATCH_BYTES, MAX_DATAGRAM_BYTES, Push, TrackId, WireBatch,
    WireBatchBuilder,
};
use proptest::prelude::*;
use rtp_rtcp::{ExtSeq, RtpHeader, RtpTime, Seq, Ssrc};

use crate::source::{AUDIO, Source, VIDEO, origin, packet};

fn built(sizes: &[usize]) -> Arc<WireBatch> {
    built_as(Form::Plain, sizes)
}

fn built_as(form: Form, sizes: &[usize]) -> Arc<WireBatch> {
    let mut builder = WireBatchBuilder::new(VIDEO);
    builder.set_form(form);
    for (size, seq) in sizes.iter().zip(1..) {
        let packet = packet(VIDEO, ExtSeq(seq), *size);
        assert_eq!(builder.push(&packet, ExtSeq(seq), RtpTime(0), Ssrc(0)), Push::Added);
    }
    builder.finish(origin()).expect("packets were pushed")
}

#[test]
fn a_packet_is_copied_whole_with_its_new_numbers() {
    let mut builder = WireBatchBuilder::new(AUDIO);
    let original = packet(AUDIO, ExtSeq(7), 100);
    let pushed = builder.push(&original, ExtSeq(70_000), RtpTime(5), Ssrc(6));
    assert_eq!(pushed, Push::Added);
    let batch = builder.finish(origin()).expect("a packet");
    let header = RtpHeader::parse(batch.packet(0)).expect("RTP");
    assert_eq!((header.seq, header.timestamp, header.ssrc), (Seq(4_464), RtpTime(5), Ssrc(6)));
    assert_eq!(batch.packet(0)[12..], original[12..]);
    assert_eq!(batch.packet(0)[..2], original[..2]);
    assert_eq!((batch.octets(), batch.len(), batch.kind()), (88, 1, EntryKind::Media));
    assert_eq!(batch.first_seq(), Some(Seq(4_464)));
    assert!(builder.finish(origin()).is_none(), "the builder is empty again");
}

#[test]
fn octets_count_neither_csrcs_nor_extension_nor_padding() {
    let mut bytes = vec![0x80 | 0x20 | 0x10 | 1, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    bytes.extend_from_slice(&[9; 10]);
    bytes.extend_from_slice(&[0, 0, 3]);
    let mut builder = WireBatchBuilder::new(VIDEO);
    assert_eq!(builder.push(&bytes, ExtSeq(70_000), RtpTime(0), Ssrc(0)), Push::Added);
    assert_eq!(builder.finish(origin()).map(|batch| batch.octets()), Some(10));
}

#[test]
fn what_does_not_fit_begins_the_next_batch() {
    let mut builder = WireBatchBuilder::new(VIDEO);
    let big = packet(VIDEO, ExtSeq(1), 40_000);
    assert_eq!(builder.push(&big, ExtSeq(1), RtpTime(0), Ssrc(0)), Push::Added);
    assert_eq!(builder.push(&big, ExtSeq(2), RtpTime(0), Ssrc(0)), Push::Full);
    assert!(builder.finish(origin()).is_some());
    assert_eq!(builder.push(&big, ExtSeq(2), RtpTime(0), Ssrc(0)), Push::Added);
}

#[test]
fn numbers_that_do_not_follow_closely_begin_the_next_batch() {
    let mut builder = WireBatchBuilder::new(VIDEO);
    let small = packet(VIDEO, ExtSeq(1), 24);
    assert_eq!(builder.push(&small, ExtSeq(5), RtpTime(0), Ssrc(0)), Push::Added);
    assert_eq!(builder.push(&small, ExtSeq(5), RtpTime(0), Ssrc(0)), Push::Full);
    assert_eq!(builder.push(&small, ExtSeq(4), RtpTime(0), Ssrc(0)), Push::Full);
    assert_eq!(builder.push(&small, ExtSeq(5_000), RtpTime(0), Ssrc(0)), Push::Full);
    assert_eq!(builder.push(&small, ExtSeq(9), RtpTime(0), Ssrc(0)), Push::Added);
    let batch = builder.finish(origin()).expect("two packets");
    assert_eq!((batch.first_ext_seq(), batch.last_ext_seq()), (Some(ExtSeq(5)), Some(ExtSeq(9))));
}

#[test]
fn what_no_batch_can_carry_is_refused() {
    let mut builder = WireBatchBuilder::new(VIDEO);
    let huge = packet(VIDEO, ExtSeq(1), MAX_BATCH_BYTES + 1);
    assert_eq!(builder.push(&huge, ExtSeq(1), RtpTime(0), Ssrc(0)), Push::TooLarge);
    assert_eq!(builder.push(&[0x80; 11], ExtSeq(1), RtpTime(0), Ssrc(0)), Push::NotRtp);
    assert_eq!(builder.push(&[0; 40], ExtSeq(1), RtpTime(0), Ssrc(0)), Push::NotRtp);
    assert!(builder.is_empty());
}

#[test]
fn of_several_keys_noted_the_newest_counts_and_one_noted_early_is_kept() {
    let mut source = Source::new(VIDEO);
    source.note_key(ExtSeq(3));
    source.note_key(ExtSeq(9));
    source.note_key(ExtSeq(5));
    assert_eq!(source.batch(origin(), 1, 24).key(), Some(ExtSeq(9)));
    assert_eq!(source.batch(origin(), 1, 24).key(), None);
}

#[test]
fn a_report_is_one_packet_of_the_rtcp_channel() {
    let batch = WireBatch::report(TrackId(2), &[0x80, 200, 0, 1], origin());
    assert_eq!((batch.kind(), batch.len(), batch.first_seq()), (EntryKind::Report, 1, None));
    assert_eq!(batch.interleaved(), [b'$', 5, 0, 4, 0x80, 200, 0, 1]);
    assert!(WireBatch::report(TrackId(2), &vec![0; 70_000], origin()).is_empty());
}

#[test]
fn the_form_that_was_not_built_counts_as_held_once_somebody_asks_for_it() {
    let [plain, framed] = [Form::Plain, Form::Interleaved].map(|form| built_as(form, &[100, 200]));
    let none = WireBatch::report(VIDEO, &[], origin()).bytes_held();
    assert_eq!((plain.bytes_held(), framed.bytes_held()), (none + 300, none + 308));
    assert_eq!((plain.image().len(), framed.interleaved().len()), (300, 308));
    assert_eq!((plain.bytes_held(), framed.bytes_held()), (none + 300, none + 308));
    assert_eq!((plain.interleaved().len(), framed.image().len()), (308, 300));
    assert_eq!((plain.bytes_held(), framed.bytes_held()), (none + 608, none + 608));
}

#[test]
fn a_form_is_of_the_batches_begun_after_it_was_chosen() {
    let mut builder = WireBatchBuilder::new(AUDIO);
    let small = packet(AUDIO, ExtSeq(1), 24);
    for (form, built, seq) in [(Form::Interleaved, 48, 1), (Form::Plain, 56, 3)] {
        assert_eq!(builder.push(&small, ExtSeq(seq), RtpTime(0), Ssrc(0)), Push::Added);
        builder.set_form(form);
        assert_eq!(builder.push(&small, ExtSeq(seq + 1), RtpTime(0), Ssrc(0)), Push::Added);
        let batch = builder.finish(origin()).expect("two packets");
        assert_eq!((batch.built().len(), batch.image_len()), (built, 48));
        let (channel, _) = AUDIO.usual_channels();
        assert_eq!(batch.interleaved()[..4], [b'$', channel, 0, 24]);
    }
}

#[test]
fn a_packet_that_is_refused_leaves_nothing_behind_in_either_form() {
    for form in [Form::Plain, Form::Interleaved] {
        let mut builder = WireBatchBuilder::new(VIDEO);
        builder.set_form(form);
        let small = packet(VIDEO, ExtSeq(1), 24);
        let header = *small.first_chunk().expect("a header");
        let push = |builder: &mut WireBatchBuilder, seq| {
            builder.push(&small, ExtSeq(seq), RtpTime(0), Ssrc(0))
        };
        assert_eq!(push(&mut builder, 1), Push::Added);
        let parts = [&small[12..]].into_iter();
        let pushed = builder.push_parts(header, parts, 13, ExtSeq(2), RtpTime(0), Ssrc(0));
        assert_eq!(pushed, Push::NotRtp);
        assert_eq!(builder.push(&[0; 40], ExtSeq(2), RtpTime(0), Ssrc(0)), Push::NotRtp);
        assert_eq!(push(&mut builder, 2), Push::Added);
        let batch = builder.finish(origin()).expect("two packets");
        assert_eq!((batch.image().len(), batch.interleaved().len()), (48, 56));
        assert_eq!(batch.packet(1)[12..], small[12..]);
        assert_eq!((batch.packet(2), batch.packet(usize::MAX)), (&[][..], &[][..]));
    }
}

#[test]
fn runs_are_of_equal_sizes_with_one_shorter_last() {
    let batch = built(&[100, 100, 60, 60, 100, 100]);
    let runs: Vec<_> = batch.runs(64).map(|run| (run.packets, run.segment)).collect();
    assert_eq!(runs, [(0..3, 100), (3..4, 60), (4..6, 100)]);
    let capped: Vec<_> = batch.runs(2).map(|run| run.packets).collect();
    assert_eq!(capped, [0..2, 2..4, 4..6]);
}

#[test]
fn a_packet_too_long_for_a_datagram_is_left_out_of_runs() {
    let batch = built(&[65_520]);
    assert_eq!(batch.runs(64).count(), 0);
    assert_eq!(batch.interleaved().len(), 65_524);
}

proptest! {
    #[test]
    fn all_forms_hold_the_same_packets(
        sizes in prop::collection::vec(prop_oneof![Just(1200_usize), 24..1400_usize], 1..50),
        cap in 0..100_usize,
        form in prop_oneof![Just(Form::Plain), Just(Form::Interleaved)],
    ) {
        let batch = built_as(form, &sizes);
        let packets: Vec<Vec<u8>> = batch.packets().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        prop_assert_eq!(packets.concat(), batch.image());

        let mut rest = batch.interleaved();
        for packet in &packets {
            let (head, tail) = rest.split_at(4);
            prop_assert_eq!(head, [b'$', 0, (packet.len() >> 8) as u8, packet.len() as u8]);
            prop_assert_eq!(&tail[..packet.len()], packet);
            rest = &tail[packet.len()..];
        }
        prop_assert!(rest.is_empty());

        let mut next = (0, 0);
        for run in batch.runs(cap) {
            prop_assert_eq!((run.packets.start, run.bytes.start), next);
            prop_assert!(run.bytes.len() <= MAX_DATAGRAM_BYTES);
            prop_assert!(run.packets.len() <= cap.clamp(1, 64));
            let cut: Vec<&[u8]> = batch.image()[run.bytes.clone()].chunks(run.segment).collect();
            prop_assert_eq!(&cut[..], &packets[run.packets.clone()]);
            next = (run.packets.end, run.bytes.end);
        }
        prop_assert_eq!(next, (batch.len(), batch.image().len()));
    }
}
