//! Sender reports to readers, receiver reports to the backend.

use std::time::Duration;

use proxy_session::StreamOptions;
use rtp_rtcp::{
    NtpTime, ReportBlock, RtcpPacket, RtcpWriter, RtpTime, SenderInfo, Ssrc, parse_compound,
};

use crate::camera::{Act, Camera};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, closing, ms, options, secs, sender_info, udp};

/// Sends a packet of the video every 100 ms for so long, and of the audio if asked to.
fn flow(rig: &mut Rig, for_seconds: u16, with_audio: bool) {
    for index in 0..for_seconds * 10 {
        let time = u32::from(index);
        rig.send(&[(VIDEO, Packet::new(index, time * 9_000))]);
        if with_audio {
            rig.send(&[(AUDIO, Packet::audio(index, time * 800))]);
        }
        rig.run(ms(100));
    }
}

fn gaps(times: &[Duration]) -> Vec<u128> {
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect()
}

#[test]
fn readers_get_a_report_per_track_at_least_every_five_seconds_while_media_flows() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 30, true);
    for track in [VIDEO, AUDIO] {
        let reports = rig.reports(track);
        assert!(reports.len() >= 5, "{reports:?}");
        assert!(gaps(&reports).iter().all(|gap| (2_000..=5_000).contains(gap)), "{reports:?}");
    }
}

#[test]
fn readers_get_a_report_every_two_seconds_from_a_silent_track() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 30, false);
    assert!(gaps(&rig.reports(VIDEO)).iter().all(|gap| (2_000..=5_000).contains(gap)));
    let reports = rig.reports(AUDIO);
    assert!(reports.len() >= 14 && gaps(&reports).iter().all(|gap| *gap == 2_000), "{reports:?}");
}

#[test]
fn nobody_gets_reports_while_nobody_plays() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 6, true);
    let told = rig.reports(VIDEO).len();
    rig.pause(1);
    rig.run(secs(30));
    assert_eq!(rig.reports(VIDEO).len(), told);
    assert!(rig.stream.poll_timeout().is_some_and(|at| at > rig.now.mono));
}

#[test]
fn a_report_says_what_went_out_and_goes_with_the_packets_in_time() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 6, true);
    let batches = rig.batches();
    let is_report = |batch: &fan_out::WireBatch| batch.kind() == fan_out::EntryKind::Report;
    let place = batches.iter().position(|(_, batch)| is_report(batch)).expect("a report");
    let (at, report) = &batches[place];
    let track = report.track().index();
    let compound = parse_compound(report.packet(0)).expect("a compound");
    let packets: Vec<_> = compound.collect();
    let RtcpPacket::SenderReport { ssrc, info, .. } = &packets[0] else { panic!("{packets:?}") };
    let sent =
        batches[..place].iter().filter(|(_, b)| !is_report(b) && b.track() == report.track());
    assert_eq!(info.packets as usize, sent.map(|(_, batch)| batch.len()).sum::<usize>());
    let got = rig.got(track);
    assert_eq!(*ssrc, got[0].ssrc);
    let last = got[info.packets as usize - 1].timestamp;
    let (rate, since) = ([90_000, 8_000][track], info.rtp.ahead_of(last));
    assert!((0..=rate / 5).contains(&since), "{since} at {at:?}");
}

#[test]
fn the_backend_is_told_how_it_is_received_at_least_every_five_seconds() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 21, true);
    let begin = rig.reported.len();
    assert!(begin >= 8, "{begin} for two tracks");
    for (_, report) in &rig.reported {
        let packets: Vec<_> = parse_compound(report).expect("a compound").collect();
        assert!(
            matches!(&packets[0], RtcpPacket::ReceiverReport { blocks, .. } if blocks.len() == 1)
        );
    }
    let mut times: Vec<_> = rig.reported.iter().map(|(at, _)| *at).collect();
    times.dedup();
    assert!(gaps(&times).iter().all(|gap| *gap <= 5_000));
    rig.pause(1);
    rig.run(secs(20));
    assert_eq!(rig.reported.len(), begin);
}

/// What was last said of a source to the backend.
fn last_block(rig: &Rig, source: u32) -> (Duration, ReportBlock) {
    let mut found = None;
    for (at, report) in &rig.reported {
        for packet in parse_compound(report).expect("a compound") {
            if let RtcpPacket::ReceiverReport { blocks, .. } = packet {
                let of_source = blocks.iter().find(|block| block.ssrc == Ssrc(source));
                found = of_source.map(|block| (*at, *block)).or(found);
            }
        }
    }
    found.expect("a report of that source")
}

#[test]
fn the_first_report_to_the_backend_follows_the_first_packet_soon_and_has_a_name() {
    for options in [options(), udp()] {
        let mut rig = Rig::playing(options);
        // Over UDP, something has to open the way.
        rig.run(secs(5));
        rig.reported.retain(|(at, _)| *at > secs(1));
        assert!(rig.reported.is_empty(), "nothing has come yet");
        let begin = rig.elapsed();
        flow(&mut rig, 8, true);
        let first = rig.reported[0].0 - begin;
        assert!(first <= ms(2_500), "{first:?}");
        for (_, report) in &rig.reported {
            let packets: Vec<_> = parse_compound(report).expect("a compound").collect();
            let [RtcpPacket::ReceiverReport { .. }, RtcpPacket::SourceDescription(_)] =
                &packets[..]
            else {
                panic!("{packets:?}")
            };
            let name = rig.stream.cname().as_bytes();
            assert!(report.windows(name.len()).any(|part| part == name));
        }
    }
}

#[test]
fn the_backend_is_told_the_truth_about_loss_and_jitter() {
    let mut rig = Rig::playing(udp());
    let mut last = 0;
    for index in 0..400_u16 {
        // Every tenth is lost, and every second one is 10 ms late.
        let late = if index % 2 == 1 { 10 } else { 0 };
        rig.run(ms(late));
        if index % 10 != 5 {
            rig.send(&[(VIDEO, Packet::new(index, u32::from(index) * 9_000))]);
            last = index;
        }
        rig.run(ms(100 - late));
    }
    let (_, block) = last_block(&rig, 7);
    let reported = u32::from(u16::try_from(block.highest_seq & 0xffff).expect("16 bits"));
    assert!(reported.abs_diff(u32::from(last)) <= 50, "{reported} of {last}");
    let lost = (reported + 4) / 10;
    assert!(block.cumulative_lost.unsigned_abs().abs_diff(lost) <= 1, "{block:?}, not {lost}");
    // A tenth, in 256ths, of an interval of 20 to 50 packets.
    assert!((18..=36).contains(&block.fraction_lost), "{block:?}");
    // 10 ms of 90 kHz; steps over lost packets are none.
    assert!((600..=900).contains(&block.jitter), "{block:?}");
}

#[test]
fn the_backend_is_told_which_report_of_its_own_came_and_how_long_ago() {
    for options in [options(), udp()] {
        let mut rig = Rig::playing(options);
        flow(&mut rig, 1, true);
        let ntp = NtpTime::from_unix(secs(1_234_567_890));
        let info = SenderInfo { ntp, rtp: RtpTime(90_000), packets: 1, octets: 1 };
        let report = |ssrc| {
            RtcpWriter::new()
                .sender_report(Ssrc(ssrc), &info, &[])
                .cname(Ssrc(ssrc), "cam")
                .finish()
        };
        let came = rig.elapsed();
        rig.send_rtcp(VIDEO, report(7));
        // Not of the source that sends the packets.
        rig.send_rtcp(AUDIO, report(99));
        flow(&mut rig, 8, true);
        let (at, block) = last_block(&rig, 7);
        assert_eq!(block.last_sr, ntp.middle());
        let since = Duration::from_secs(1) * block.delay_since_last_sr / 65_536;
        assert!(since.abs_diff(at - came) < ms(1), "{since:?}, not {:?}", at - came);
        let (_, block) = last_block(&rig, 8);
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
    }
}

/// Whether what was said to the backend before the last TEARDOWN ends with a BYE of both tracks.
fn said_goodbye(rig: &Rig) -> bool {
    let &before =
        rig.torn_down.last().unwrap_or_else(|| panic!("no TEARDOWN in {}", rig.camera.dialogue));
    let said: Vec<_> = rig.reported[..before].iter().rev().take(2).collect();
    let has_bye = |report: &[u8]| {
        let packets: Vec<_> = parse_compound(report).expect("a compound").collect();
        let [RtcpPacket::ReceiverReport { ssrc, .. }, _, RtcpPacket::Bye { ssrcs, .. }] =
            &packets[..]
        else {
            return false;
        };
        ssrcs[..] == [*ssrc]
    };
    assert_eq!(before, rig.reported.len(), "something was said after TEARDOWN");
    said.len() == 2 && said.iter().all(|(_, report)| has_bye(report))
}

#[test]
fn the_backend_hears_a_goodbye_before_teardown() {
    for options in [options(), udp()] {
        let mut rig = Rig::playing(options.clone());
        flow(&mut rig, 8, true);
        rig.shutdown();
        assert!(said_goodbye(&rig));

        // A session that PAUSE cannot end.
        let camera = Camera::default().with("PAUSE", Act::Status(405));
        let mut rig = Rig::described(options.clone(), camera);
        rig.play(1);
        flow(&mut rig, 8, true);
        rig.leave(1);
        rig.run(secs(1));
        assert!(said_goodbye(&rig));

        // One that is given up because nothing comes.
        let mut rig = Rig::playing(closing(options));
        flow(&mut rig, 8, true);
        rig.run(secs(30));
        assert!(said_goodbye(&rig));
    }
}

#[test]
fn who_has_said_nothing_leaves_without_a_word() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 1, true);
    assert!(rig.reported.is_empty());
    rig.shutdown();
    assert_eq!((rig.torn_down.len(), rig.reported.len()), (1, 0));
}

fn silent() -> StreamOptions {
    let mut options = udp();
    options.backend.max_packet_gap = None;
    options
}

#[test]
fn silence_is_bridged_by_reports_whose_times_go_on() {
    let mut rig = Rig::playing(silent());
    flow(&mut rig, 10, true);
    let sent = rig.got(VIDEO).len();
    let (begin, heard) = (rig.elapsed(), rig.reports(VIDEO).len());
    rig.run(secs(60));
    for (track, rate) in [(VIDEO, 90_000.0), (AUDIO, 8_000.0)] {
        let reports = rig.sender_reports(track);
        let times: Vec<_> = reports.iter().map(|(at, _)| *at).collect();
        let waits: Vec<_> = times.iter().filter(|at| **at > begin).copied().collect();
        assert!(waits.len() >= 29, "{track}: {}", waits.len());
        assert!(gaps(&waits).iter().all(|gap| *gap == 2_000), "{track}: {waits:?}");
        assert!(waits[0] - begin <= secs(2));
        for pair in reports.windows(2) {
            let (passed, before, after) = (pair[1].0 - pair[0].0, pair[0].1, pair[1].1);
            let rtp = f64::from(after.rtp.ahead_of(before.rtp)) / rate;
            let ntp = after.ntp.since(before.ntp).expect("later").as_secs_f64();
            assert!((rtp - ntp).abs() < 0.001, "{track}: {rtp} s and {ntp} s");
            assert!((ntp - passed.as_secs_f64()).abs() < 0.006, "{track}: {ntp} s in {passed:?}");
        }
    }
    assert!(rig.reports(VIDEO).len() > heard);
    let (_, last) = rig.sender_reports(VIDEO)[rig.reports(VIDEO).len() - 1];
    assert_eq!(last.packets as usize, sent);
}

#[test]
fn what_a_reader_is_told_at_play_counts_what_all_readers_were_sent() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 3, true);
    let told = rig.play(2);
    for track in [VIDEO, AUDIO] {
        let info = sender_info(&told.tracks[track].report);
        let got = rig.got(track);
        let octets: usize = got.iter().map(|packet| packet.rest.len() - 12).sum();
        assert_eq!((info.packets as usize, info.octets as usize), (got.len(), octets));
    }
}
