//! Key frames that are asked for on behalf of readers that wait.

use std::time::Duration;

use fan_out::Start;
use proxy_session::{Ask, Delivery, StreamOptions};
use rtp_rtcp::{FMT_FIR, FMT_PLI, RtcpPacket, Ssrc, parse_compound};

use crate::camera::{Act, Camera};
use crate::media::{Packet, VIDEO};
use crate::rig::{Rig, both, ms, options, play, play_instant, secs, udp};

/// 25 pictures a second.
const FRAME: u32 = 3600;

/// One request for a key frame: when, by which message, and the number of a FIR.
type Asked = (Duration, u8, Option<u8>);

fn asked(rig: &Rig) -> Vec<Asked> {
    let mut all = Vec::new();
    for (at, compound) in &rig.reported {
        let packets: Vec<_> = parse_compound(compound).expect("a compound").collect();
        for packet in &packets {
            if let RtcpPacket::PayloadFeedback { fmt, media, fci, .. } = packet {
                assert!(packet.asks_for_key_frame());
                assert!(matches!(packets[0], RtcpPacket::ReceiverReport { .. }));
                assert!(matches!(packets[1], RtcpPacket::SourceDescription(_)));
                let named = match *fmt {
                    FMT_PLI => *media,
                    _ => Ssrc(u32::from_be_bytes([fci[0], fci[1], fci[2], fci[3]])),
                };
                assert_eq!(named, Ssrc(7), "it names another source");
                all.push((*at, *fmt, fci.get(4).copied()));
            }
        }
    }
    all
}

/// Pictures that are no key frames, for so long, from this one on.
fn flow(rig: &mut Rig, from: u16, millis: u64) -> u16 {
    let count = u16::try_from(millis / 40).expect("not long");
    for number in from..from + count {
        rig.send(&[(VIDEO, Packet::new(number, u32::from(number) * FRAME))]);
        rig.run(ms(40));
    }
    from + count
}

fn playing(options: StreamOptions, camera: Camera) -> Rig {
    let mut rig = Rig::described(options, camera);
    rig.play(1);
    rig
}

fn key(rig: &mut Rig, number: u16) {
    rig.send(&[(VIDEO, Packet::key(number, u32::from(number) * FRAME))]);
}

#[test]
fn a_backend_is_asked_in_the_way_it_offers() {
    for (offer, fmt) in [
        ("96 nack pli", Some(FMT_PLI)),
        ("* ccm fir", Some(FMT_FIR)),
        ("* ccm fir\r\na=rtcp-fb:* nack pli", Some(FMT_PLI)),
        ("97 nack pli", None),
        ("96 nack", None),
    ] {
        for options in [options(), udp()] {
            let mut rig = playing(options, Camera::offering(offer));
            assert_eq!(asked(&rig), [], "before there is a source to name");
            flow(&mut rig, 1, 200);
            let asked: Vec<_> = asked(&rig).iter().map(|(_, fmt, _)| *fmt).collect();
            assert_eq!(asked, Vec::from_iter(fmt), "{offer}");
        }
    }
}

#[test]
fn a_backend_that_begins_with_a_key_frame_is_not_asked() {
    let mut rig = playing(options(), Camera::offering("96 nack pli"));
    rig.send(&[(VIDEO, Packet::sets(1, FRAME))]);
    // The picture is long in coming.
    rig.run(secs(3));
    rig.send(&[(VIDEO, Packet::key(2, FRAME))]);
    let next = flow(&mut rig, 3, 4_000);
    assert_eq!(asked(&rig), []);
    // Nor for who joins when it is arriving.
    rig.prepare(2);
    rig.send(&[(VIDEO, Packet::sets(next, u32::from(next) * FRAME))]);
    let ticket = rig.ask(2, play());
    rig.welcome(ticket);
    rig.run(ms(20));
    key(&mut rig, next + 1);
    flow(&mut rig, next + 2, 4_000);
    assert_eq!(asked(&rig), []);
}

#[test]
fn a_request_goes_out_as_soon_as_what_arrives_turns_out_to_be_no_key_frame() {
    let mut rig = playing(options(), Camera::offering("96 nack pli"));
    rig.send(&[(VIDEO, Packet::sets(1, FRAME))]);
    rig.run(ms(20));
    assert_eq!(asked(&rig), []);
    rig.send(&[(VIDEO, Packet::new(2, FRAME))]);
    assert_eq!(asked(&rig).len(), 1);
}

#[test]
fn a_request_is_repeated_until_it_is_granted() {
    let mut rig = playing(options(), Camera::offering("96 ccm fir"));
    let begin = rig.elapsed();
    let next = flow(&mut rig, 1, 20_000);
    let times: Vec<_> = asked(&rig).iter().map(|(at, ..)| (*at - begin).as_secs()).collect();
    assert_eq!(times, [0, 2, 4, 6, 16]);
    // A repetition is not another demand.
    assert!(asked(&rig).iter().all(|(.., number)| *number == Some(1)));
    rig.prepare(2);
    rig.ask(2, play());
    assert_eq!(asked(&rig).len(), 6);
    assert_eq!(asked(&rig)[5].2, Some(2));
    key(&mut rig, next);
    flow(&mut rig, next + 1, 20_000);
    assert_eq!(asked(&rig).len(), 6, "it was granted");
}

#[test]
fn readers_that_come_together_are_one_wish_and_wishes_are_a_second_apart() {
    let mut rig = playing(options(), Camera::offering("96 nack pli"));
    let mut next = flow(&mut rig, 1, 40);
    for reader in 2..12 {
        rig.prepare(reader);
    }
    for reader in 2..7 {
        rig.ask(reader, play());
    }
    assert_eq!(asked(&rig).len(), 1);
    key(&mut rig, next);
    next = flow(&mut rig, next + 1, 200);
    for reader in 7..12 {
        rig.ask(reader, play());
    }
    flow(&mut rig, next, 1_500);
    let asked = asked(&rig);
    assert_eq!(asked.len(), 2);
    assert!(asked[1].0 - asked[0].0 >= secs(1), "{asked:?}");
}

#[test]
fn readers_that_wait_for_no_key_frame_ask_for_none() {
    let mut rig = playing(options(), Camera::offering("96 nack pli"));
    key(&mut rig, 1);
    let next = flow(&mut rig, 2, 1_500);
    for (reader, ask) in [
        (2, Ask::Play { tracks: both(), start: Start::Live, delivery: Delivery::Tcp }),
        (3, play_instant()),
    ] {
        rig.prepare(reader);
        let ticket = rig.ask(reader, ask);
        rig.welcome(ticket);
    }
    flow(&mut rig, next, 4_000);
    assert_eq!(asked(&rig), []);
}

#[test]
fn a_reader_that_could_begin_at_once_but_for_the_bounds_asks() {
    let (mut few, mut young) = (options(), options());
    few.instant_max_bytes = 100;
    young.instant_max_age = ms(500);
    for options in [few, young] {
        let mut rig = playing(options, Camera::offering("96 nack pli"));
        key(&mut rig, 1);
        flow(&mut rig, 2, 1_500);
        assert_eq!(asked(&rig), []);
        rig.prepare(2);
        rig.ask(2, play_instant());
        assert_eq!(asked(&rig).len(), 1);
    }
}

#[test]
fn readers_that_are_gone_wish_for_nothing() {
    let mut rig = playing(udp(), Camera::offering("96 nack pli"));
    flow(&mut rig, 1, 100);
    assert_eq!(asked(&rig).len(), 1);
    rig.leave(1);
    rig.run(secs(30));
    assert_eq!(asked(&rig).len(), 1);
    // The next one's first picture overtakes the answer to PLAY; nothing is asked before that.
    rig.camera.set("PLAY", Act::Late(secs(3)));
    rig.prepare(2);
    let ticket = rig.ask(2, play());
    flow(&mut rig, 100, 2_000);
    assert_eq!(asked(&rig).len(), 1);
    flow(&mut rig, 150, 2_000);
    rig.welcome(ticket);
    assert_eq!(asked(&rig).len(), 2);
}
