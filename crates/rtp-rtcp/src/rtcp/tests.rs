use proptest::prelude::*;

use super::*;

fn info() -> SenderInfo {
    SenderInfo {
        ntp: NtpTime::from_bits(0x0102_0304_0506_0708),
        rtp: RtpTime(0x1112_1314),
        packets: 5,
        octets: 6,
    }
}

fn block(ssrc: u32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 128,
        cumulative_lost: -2,
        highest_seq: 0x0001_0002,
        jitter: 3,
        last_sr: 4,
        delay_since_last_sr: 5,
    }
}

fn parse(bytes: &[u8]) -> Vec<RtcpPacket<'_>> {
    parse_compound(bytes).unwrap().collect()
}

#[test]
fn a_sender_report_is_laid_out_as_the_rfc_draws_it() {
    let bytes = RtcpWriter::new().sender_report(Ssrc(0xa1a2_a3a4), &info(), &[block(9)]).finish();
    let drawn = [
        &[0x81, 200, 0, 12, 0xa1, 0xa2, 0xa3, 0xa4][..],
        &[1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0, 0, 0, 5, 0, 0, 0, 6],
        &[0, 0, 0, 9, 128, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5],
    ]
    .concat();
    assert_eq!(bytes, drawn);
}

#[test]
fn a_description_ends_with_a_zero_even_where_the_word_is_full() {
    let bytes = RtcpWriter::new().cname(Ssrc(1), "ab").finish();
    assert_eq!(bytes[..], [0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]);
}

#[test]
fn a_fir_names_its_source_in_its_entry() {
    let bytes = RtcpWriter::new().fir(Ssrc(1), Ssrc(2), 7).finish();
    assert_eq!(bytes[..], [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0]);
    assert!(parse(&bytes)[0].asks_for_key_frame());
}

#[test]
fn a_compound_is_read_packet_by_packet() {
    let bytes = RtcpWriter::new()
        .sender_report(Ssrc(1), &info(), &[block(2), block(3)])
        .cname(Ssrc(1), "name")
        .pli(Ssrc(1), Ssrc(2))
        .bye(&[Ssrc(1), Ssrc(4)], Some("the end"))
        .finish();
    let packets = parse(&bytes);
    let [report, RtcpPacket::SourceDescription(sdes), pli, bye] = &packets[..] else {
        panic!("{packets:?}");
    };
    let blocks = ReportBlocks::from_slice(&[block(2), block(3)]);
    assert_eq!(*report, RtcpPacket::SenderReport { ssrc: Ssrc(1), info: info(), blocks });
    assert_eq!(sdes.cname(Ssrc(1)), Some(&b"name"[..]));
    assert_eq!(sdes.cname(Ssrc(2)), None);
    let (sender, media) = (Ssrc(1), Ssrc(2));
    assert_eq!(*pli, RtcpPacket::PayloadFeedback { fmt: FMT_PLI, sender, media, fci: &[] });
    assert!(pli.asks_for_key_frame());
    let ssrcs = SmallVec::from_slice(&[Ssrc(1), Ssrc(4)]);
    assert_eq!(*bye, RtcpPacket::Bye { ssrcs, reason: Some(b"the end") });
}

#[test]
fn blocks_beyond_31_follow_in_receiver_reports() {
    let blocks: Vec<_> = (0..70).map(block).collect();
    let bytes = RtcpWriter::new().sender_report(Ssrc(1), &info(), &blocks).finish();
    let lengths: Vec<_> = parse(&bytes)
        .into_iter()
        .map(|packet| match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                blocks.len()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [31, 31, 8]);
}

#[test]
fn items_of_several_sources_are_told_apart() {
    let bytes = [
        &[0x82, 202, 0, 7][..],
        &[0, 0, 0, 1, 6, 3, b'f', b'o', b'o', 1, 1, b'a', 0, 0, 0, 0],
        &[0, 0, 0, 2, 1, 4, b'b', b'b', b'b', b'b', 0, 0],
    ]
    .concat();
    let packets = parse(&bytes);
    let [RtcpPacket::SourceDescription(sdes)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(sdes.cname(Ssrc(1)), Some(&b"a"[..]));
    assert_eq!(sdes.cname(Ssrc(2)), Some(&b"bbbb"[..]));
    let first = sdes.chunks().next().unwrap();
    let tool = SdesItem { kind: SdesKind::TOOL, value: b"foo" };
    assert_eq!(first.items().next(), Some(tool));
}

#[test]
fn the_name_of_a_source_is_found_in_whichever_of_its_chunks_it_stands() {
    let bytes = [0x82, 202, 0, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 1, 1, b'a', 0];
    let packets: Vec<_> = parse_compound(&bytes).unwrap().collect();
    let [RtcpPacket::SourceDescription(sdes)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(sdes.cname(Ssrc(7)), Some(&b"a"[..]));
    assert_eq!(sdes.cname(Ssrc(8)), None);
}

#[test]
fn a_description_without_its_last_end_mark_is_forgiven() {
    let bytes = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b'];
    let packets = parse(&bytes);
    let [RtcpPacket::SourceDescription(sdes)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(sdes.cname(Ssrc(1)), Some(&b"ab"[..]));
}

#[test]
fn padding_of_the_last_packet_is_taken_off() {
    let bytes = [0xa1, 203, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8];
    let ssrcs = SmallVec::from_slice(&[Ssrc(1)]);
    assert_eq!(parse(&bytes), [RtcpPacket::Bye { ssrcs, reason: None }]);
}

#[test]
fn padding_elsewhere_or_of_a_wrong_length_is_refused() {
    let refused = |bytes: &[u8], offset| {
        assert_eq!(parse_compound(bytes).err(), Some(RtcpError::Padding { offset }));
    };
    refused(&[0xa0, 201, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0], 0);
    refused(&[0x80, 203, 0, 0, 0xa0, 201, 0, 1, 0, 0, 0, 8], 4);
    refused(&[0xa0, 201, 0, 1, 0, 0, 0, 3], 0);
    refused(&[0xa0, 201, 0, 1, 0, 0, 0, 0], 0);
    refused(&[0xa0, 201, 0, 0], 0);
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    assert_eq!(parse_compound(&[]).err(), Some(RtcpError::Empty));
    let bytes = [0x80, 203, 0, 0, 0x80, 201, 0, 2, 0, 0, 0, 1];
    assert_eq!(parse_compound(&bytes).err(), Some(RtcpError::Truncated { offset: 4 }));
    assert_eq!(parse_compound(&bytes[..6]).err(), Some(RtcpError::Truncated { offset: 4 }));
    let version = RtcpError::Version { offset: 4, found: 0 };
    assert_eq!(parse_compound(&[0x80, 203, 0, 0, 0, 0, 0, 0]).err(), Some(version));
}

#[test]
fn too_much_is_refused() {
    let bye = [0x80, 203, 0, 0];
    assert_eq!(parse(&bye.repeat(MAX_SUBPACKETS)).len(), MAX_SUBPACKETS);
    let more = bye.repeat(MAX_SUBPACKETS + 1);
    assert_eq!(parse_compound(&more).err(), Some(RtcpError::TooMany));
    let longer = vec![0x80; MAX_RTCP_BYTES + 1];
    let too_long = RtcpError::TooLong { have: MAX_RTCP_BYTES + 1 };
    assert_eq!(parse_compound(&longer).err(), Some(too_long));
}

#[test]
fn a_packet_that_lies_about_its_content_does_not_spoil_the_others() {
    let bytes = [0x81, 201, 0, 1, 0, 0, 0, 1, 0x80, 199, 0, 0, 0x81, 203, 0, 1, 0, 0, 0, 1];
    let ssrcs = SmallVec::from_slice(&[Ssrc(1)]);
    let read = [
        RtcpPacket::Malformed { packet_type: 201 },
        RtcpPacket::Other { packet_type: 199 },
        RtcpPacket::Bye { ssrcs, reason: None },
    ];
    assert_eq!(parse(&bytes), read);
}

#[test]
fn long_names_are_cut_between_characters() {
    let name = format!("{}é", "x".repeat(254));
    let bytes = RtcpWriter::new().cname(Ssrc(1), &name).finish();
    let packets = parse(&bytes);
    let [RtcpPacket::SourceDescription(sdes)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(sdes.cname(Ssrc(1)), Some("x".repeat(254).as_bytes()));
}

fn report_block() -> impl Strategy<Value = ReportBlock> {
    let lost = -(1 << 23)..(1 << 23);
    (any::<[u32; 5]>(), any::<u8>(), lost).prop_map(|(words, fraction_lost, cumulative_lost)| {
        let [ssrc, highest_seq, jitter, last_sr, delay_since_last_sr] = words;
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost,
            cumulative_lost,
            highest_seq,
            jitter,
            last_sr,
            delay_since_last_sr,
        }
    })
}

#[derive(Clone, Debug)]
enum Part {
    Sender(Ssrc, SenderInfo, Vec<ReportBlock>),
    Receiver(Ssrc, Vec<ReportBlock>),
    Name(Ssrc, String),
    Bye(Vec<Ssrc>, Option<String>),
    Pli(Ssrc, Ssrc),
    Fir(Ssrc, Ssrc, u8),
}

fn part() -> impl Strategy<Value = Part> {
    let ssrc = || any::<u32>().prop_map(Ssrc);
    let blocks = || prop::collection::vec(report_block(), 0..=MAX_REPORT_BLOCKS);
    let info = (any::<u64>(), any::<[u32; 3]>()).prop_map(|(ntp, [rtp, packets, octets])| {
        SenderInfo { ntp: NtpTime::from_bits(ntp), rtp: RtpTime(rtp), packets, octets }
    });
    prop_oneof![
        (ssrc(), info, blocks()).prop_map(|(ssrc, info, blocks)| Part::Sender(ssrc, info, blocks)),
        (ssrc(), blocks()).prop_map(|(ssrc, blocks)| Part::Receiver(ssrc, blocks)),
        (ssrc(), "\\PC{0,20}").prop_map(|(ssrc, name)| Part::Name(ssrc, name)),
        (prop::collection::vec(ssrc(), 0..=31), prop::option::of("\\PC{1,20}"))
            .prop_map(|(ssrcs, reason)| Part::Bye(ssrcs, reason)),
        (ssrc(), ssrc()).prop_map(|(sender, media)| Part::Pli(sender, media)),
        (ssrc(), ssrc(), any::<u8>()).prop_map(|(sender, media, nr)| Part::Fir(sender, media, nr)),
    ]
}

fn write(writer: RtcpWriter, part: &Part) -> RtcpWriter {
    match part {
        Part::Sender(ssrc, info, blocks) => writer.sender_report(*ssrc, info, blocks),
        Part::Receiver(ssrc, blocks) => writer.receiver_report(*ssrc, blocks),
        Part::Name(ssrc, name) => writer.cname(*ssrc, name),
        Part::Bye(ssrcs, reason) => writer.bye(ssrcs, reason.as_deref()),
        Part::Pli(sender, media) => writer.pli(*sender, *media),
        Part::Fir(sender, media, seq_nr) => writer.fir(*sender, *media, *seq_nr),
    }
}

fn is_same(part: &Part, packet: &RtcpPacket<'_>) -> bool {
    match (part, packet) {
        (Part::Sender(s, i, b), RtcpPacket::SenderReport { ssrc, info, blocks }) => {
            s == ssrc && i == info && b[..] == blocks[..]
        }
        (Part::Receiver(s, b), RtcpPacket::ReceiverReport { ssrc, blocks }) => {
            s == ssrc && b[..] == blocks[..]
        }
        (Part::Name(s, name), RtcpPacket::SourceDescription(sdes)) => {
            sdes.cname(*s) == Some(name.as_bytes())
        }
        (Part::Bye(s, why), RtcpPacket::Bye { ssrcs, reason }) => {
            s[..] == ssrcs[..] && why.as_deref().map(str::as_bytes) == *reason
        }
        (Part::Pli(s, m), RtcpPacket::PayloadFeedback { fmt: FMT_PLI, sender, media, fci: [] }) => {
            s == sender && m == media
        }
        (
            Part::Fir(s, m, nr),
            RtcpPacket::PayloadFeedback { fmt: FMT_FIR, sender, media: Ssrc(0), fci },
        ) => {
            let Ssrc(m) = *m;
            s == sender && **fci == [&m.to_be_bytes()[..], &[*nr, 0, 0, 0]].concat()
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec(part(), 1..6)) {
        let bytes = parts.iter().fold(RtcpWriter::new(), write).finish();
        let packets = parse(&bytes);
        prop_assert_eq!(packets.len(), parts.len());
        for (part, packet) in parts.iter().zip(&packets) {
            prop_assert!(is_same(part, packet), "{:?} became {:?}", part, packet);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(packets) = parse_compound(&bytes) {
            packets.for_each(drop);
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(
        packets in prop::collection::vec(
            (0_u8..32, 198_u8..208, prop::collection::vec(any::<u32>(), 0..12)), 1..4,
        ),
    ) {
        let mut bytes = Vec::new();
        for (count, packet_type, words) in &packets {
            bytes.extend_from_slice(&[0x80 | count, *packet_type, 0, words.len() as u8]);
            bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        let read = parse(&bytes);
        prop_assert_eq!(read.len(), packets.len());
        for packet in read {
            if let RtcpPacket::SourceDescription(sdes) = packet {
                let items: usize = sdes.chunks().map(|chunk| chunk.items().count()).sum();
                prop_assert!(items <= bytes.len() / 2);
            }
        }
    }

    #[test]
    fn a_bit_flipped_never_panics(parts in prop::collection::vec(part(), 1..4), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = parts.iter().fold(RtcpWriter::new(), write).finish().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(packets) = parse_compound(&bytes) {
            packets.for_each(drop);
        }
    }
}
