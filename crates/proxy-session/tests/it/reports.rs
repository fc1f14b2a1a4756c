//! Sender reports to readers, receiver reports to the backend.

use std::time::Duration;

use rtp_rtcp::{RtcpPacket, parse_compound};

use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, secs};

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
fn readers_get_a_report_per_track_every_five_seconds_while_media_flows() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 30, true);
    for track in [VIDEO, AUDIO] {
        let reports = rig.reports(track);
        assert!(reports.len() >= 5, "{reports:?}");
        assert!(gaps(&reports).iter().all(|gap| *gap == 5_000), "{reports:?}");
    }
}

#[test]
fn readers_get_a_report_every_two_seconds_from_a_silent_track() {
    let mut rig = Rig::playing(options());
    flow(&mut rig, 30, false);
    assert!(gaps(&rig.reports(VIDEO)).iter().all(|gap| *gap == 5_000));
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
