//! What time it is on the readers' timeline, whatever the clocks of camera and host do.

use std::time::Duration;

use bytes::Bytes;
use proxy_session::{StreamEvent, StreamOptions};
use rtp_rtcp::{NtpTime, RtcpWriter, RtpTime, SenderInfo, Ssrc};
use time_normalizer::{Lie, NtpSource, TimeEvent};

use crate::camera::Camera;
use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, closing, ms, options, seconds_between, secs, sender_info, udp};

/// A camera's clocks: what its packets carry, and its reports.
#[derive(Clone, Copy)]
struct Clock {
    /// The RTP time, in seconds, and the sequence number of the next packets.
    rtp: f64,
    seq: u16,
    /// How far its wall clock is ahead of ours.
    ahead: i64,
    /// The rate at which the audio track counts, whatever its description names.
    audio_rate: f64,
}

impl Clock {
    const fn new() -> Self {
        Self { rtp: 10_000.0, seq: 1, ahead: 0, audio_rate: 8_000.0 }
    }

    fn ticks(&self, rate: f64) -> u32 {
        (self.rtp * rate).round() as u64 as u32
    }

    /// Both tracks for so long, and a report per track each second.
    fn flow(&mut self, rig: &mut Rig, duration: Duration) {
        for step in 0..duration.as_millis() / 40 {
            if step % 25 == 0 {
                self.report(rig, |wall| wall);
            }
            self.send(rig);
            rig.run(ms(40));
            self.rtp += 0.04;
        }
    }

    fn send(&mut self, rig: &mut Rig) {
        rig.send(&[
            (VIDEO, Packet::new(self.seq, self.ticks(90_000.0))),
            (AUDIO, Packet::audio(self.seq, self.ticks(self.audio_rate))),
        ]);
        self.seq = self.seq.wrapping_add(1);
    }

    /// A report of each track that says what `change` makes of the camera's time.
    fn report(&self, rig: &mut Rig, change: impl Fn(NtpTime) -> NtpTime) {
        let ahead = (self.ahead << 32).cast_unsigned();
        let ntp = change(NtpTime::from_bits(rig.now.wall.bits().wrapping_add(ahead)));
        for (track, ssrc, rate) in [(VIDEO, 7, 90_000.0), (AUDIO, 8, self.audio_rate)] {
            rig.send_rtcp(track, report(ssrc, ntp, RtpTime(self.ticks(rate))));
        }
    }
}

fn report(ssrc: u32, ntp: NtpTime, rtp: RtpTime) -> Bytes {
    let info = SenderInfo { ntp, rtp, packets: 1, octets: 1 };
    RtcpWriter::new().sender_report(Ssrc(ssrc), &info, &[]).cname(Ssrc(ssrc), "cam").finish()
}

fn events(rig: &Rig) -> Vec<TimeEvent> {
    let event = |event: &&StreamEvent| match event {
        StreamEvent::Time { event, .. } => Some(*event),
        _ => None,
    };
    rig.events().iter().filter_map(event).collect()
}

fn lies(rig: &Rig, wanted: Lie) -> usize {
    let is = |event: &&TimeEvent| matches!(event, TimeEvent::Lie { lie, .. } if *lie == wanted);
    events(rig).iter().filter(is).count()
}

/// How far the reports' time of day is from the host's (or what it should be), at the packets.
fn off(rig: &Rig, ahead: f64) -> f64 {
    let (at, info) = *rig.sender_reports(VIDEO).last().expect("a report");
    let now = rig.now.wall;
    let then = rig.elapsed() - at;
    seconds_between(info.ntp, now) - then.as_secs_f64() + ahead
}

/// Whether timestamps never go back, and the steps are those of the packets.
fn assert_steady(got: &[Got], frame: i32) {
    for pair in got.windows(2) {
        assert_eq!(pair[1].timestamp.ahead_of(pair[0].timestamp), frame, "{pair:?}");
    }
}

#[test]
fn reports_that_lie_are_one_line_each_and_change_nothing() {
    type Change = fn(NtpTime) -> NtpTime;
    let cases: [(Lie, Change); 3] = [
        (Lie::NoClock, |_| NtpTime::from_bits(0)),
        (Lie::Year1970, |wall| NtpTime::from_bits(wall.bits().wrapping_sub(1_700_000_000 << 32))),
        (Lie::Year1900, |wall| NtpTime::from_bits((wall.bits() & 0xffff_ffff) | (5 << 32))),
    ];
    for (lie, change) in cases {
        for options in [options(), udp()] {
            let mut rig = Rig::playing(options);
            let mut clock = Clock::new();
            for _ in 0..20 {
                clock.report(&mut rig, change);
                for _ in 0..25 {
                    clock.send(&mut rig);
                    rig.run(ms(40));
                    clock.rtp += 0.04;
                }
            }
            assert_eq!(lies(&rig, lie), 2, "{lie:?}: once per track: {:?}", events(&rig));
            assert_steady(&rig.got(VIDEO), 3600);
            assert_steady(&rig.got(AUDIO), 320);
            assert!(off(&rig, 0.0).abs() < 0.02, "{lie:?}: {} s", off(&rig, 0.0));
        }
    }
}

#[test]
fn a_clock_rate_that_the_description_names_wrongly_is_one_line_and_harms_no_other_track() {
    for audio_rate in [16_000.0, 4_000.0] {
        for options in [options(), udp()] {
            let mut rig = Rig::playing(options);
            let mut clock = Clock { audio_rate, ..Clock::new() };
            clock.flow(&mut rig, secs(30));
            assert_eq!(lies(&rig, Lie::ClockRate), 1, "{audio_rate}: {:?}", events(&rig));
            assert_steady(&rig.got(VIDEO), 3600);
            assert!(off(&rig, 0.0).abs() < 0.02, "{audio_rate}: {} s", off(&rig, 0.0));
            let audio = rig.got(AUDIO);
            assert_eq!(audio.len(), 750);
            let forwards = |pair: &[Got]| pair[1].timestamp.ahead_of(pair[0].timestamp) > 0;
            assert!(audio.windows(2).all(forwards), "{audio_rate}");
        }
    }
}

#[test]
fn reports_of_another_source_move_nothing() {
    let mut rig = Rig::playing(options());
    let mut clock = Clock::new();
    for _ in 0..10 {
        clock.flow(&mut rig, secs(1));
        let ntp = rig.now.wall.plus(secs(500));
        rig.send_rtcp(VIDEO, report(99, ntp, RtpTime(12)));
    }
    assert_eq!(lies(&rig, Lie::OtherSource), 1, "{:?}", events(&rig));
    assert!(off(&rig, 0.0).abs() < 0.02);
    assert_steady(&rig.got(VIDEO), 3600);
}

fn backend_time() -> StreamOptions {
    let mut options = options();
    options.time.ntp = NtpSource::Backend;
    options
}

#[test]
fn the_cameras_time_of_day_passes_through_where_it_is_wanted() {
    let mut rig = Rig::described(backend_time(), Camera::default());
    let mut clock = Clock { ahead: -7_200, ..Clock::new() };
    let welcome = rig.play(1);
    // Nobody knows the camera's time yet: it is our own.
    let own = sender_info(&welcome.tracks[VIDEO].report).ntp;
    assert!(seconds_between(own, rig.now.wall).abs() < 1.0);
    clock.flow(&mut rig, secs(10));
    let changes = |rig: &Rig| {
        let is = |event: &&TimeEvent| matches!(event, TimeEvent::BackendTime { .. });
        events(rig).iter().filter(is).count()
    };
    assert_eq!(changes(&rig), 1);
    assert!(off(&rig, -7_200.0).abs() < 0.02, "{} s", off(&rig, -7_200.0));
    // Media does not know of it.
    assert_steady(&rig.got(VIDEO), 3600);
    // The pair that a reader is given at PLAY says the same.
    let welcome = rig.play(2);
    let info = sender_info(&welcome.tracks[AUDIO].report);
    let camera = seconds_between(info.ntp, rig.now.wall);
    assert!((7_199.9..7_200.1).contains(&camera), "{camera} s");
}

#[test]
fn a_camera_without_reports_is_told_of_once() {
    for options in [options(), backend_time()] {
        let own = options.time.ntp == NtpSource::Backend;
        let mut rig = Rig::playing(options);
        let mut clock = Clock::new();
        for _ in 0..30 * 25 {
            clock.send(&mut rig);
            rig.run(ms(40));
            clock.rtp += 0.04;
        }
        let is = |event: &&TimeEvent| matches!(event, TimeEvent::NoReports { .. });
        let told = events(&rig).iter().filter(is).count();
        assert_eq!(told, 1, "backend's time: {own}");
        assert!(off(&rig, 0.0).abs() < 0.02);
    }
}

#[test]
fn the_hosts_clock_is_followed_at_once_when_it_is_set() {
    for step in [3_600 * 24 * 365 * 50, -3_600, 2] {
        let mut rig = Rig::playing(options());
        let mut clock = Clock::new();
        clock.flow(&mut rig, secs(12));
        rig.set_clock(step);
        clock.flow(&mut rig, secs(12));
        let is = |event: &&TimeEvent| matches!(event, TimeEvent::HostClockStepped { .. });
        assert_eq!(events(&rig).iter().filter(is).count(), 1, "{step}");
        assert!(off(&rig, 0.0).abs() < 0.02, "{step}: {} s", off(&rig, 0.0));
        assert_steady(&rig.got(VIDEO), 3600);
        assert_steady(&rig.got(AUDIO), 320);
    }
}

/// How far two packets are apart on the readers' timeline, in seconds.
fn gap(before: &Got, after: &Got, rate: f64) -> f64 {
    f64::from(after.timestamp.ahead_of(before.timestamp)) / rate
}

#[test]
fn a_camera_that_comes_back_with_its_clock_set_goes_on_after_the_true_gap() {
    for step in [3_600_i64, -3_600] {
        for options in [options(), udp()] {
            let mut rig = Rig::playing(closing(options));
            let mut clock = Clock::new();
            clock.flow(&mut rig, secs(10));
            let last = rig.elapsed() - ms(40);
            let old = [VIDEO, AUDIO].map(|track| rig.got(track).len());
            rig.close();
            assert_eq!(rig.ends(), 1);
            rig.run(secs(7));
            // Its RTP time follows its clock, and its numbers begin anew.
            clock = Clock { rtp: clock.rtp + 7.0 + step as f64, seq: 30_000, ahead: step, ..clock };
            let welcome = rig.play(2);
            let first = rig.elapsed();
            clock.flow(&mut rig, secs(10));
            let true_gap = (first - last).as_secs_f64();
            for (track, rate, frame) in [(VIDEO, 90_000.0, 3600), (AUDIO, 8_000.0, 320)] {
                let got = rig.got(track);
                let (before, after) = got.split_at(old[track]);
                let gap = gap(&before[before.len() - 1], &after[0], rate);
                assert!((gap - true_gap).abs() < 0.005, "{step}: {gap} s, not {true_gap} s");
                assert_eq!(after[0].seq, before[before.len() - 1].seq.next());
                assert_steady(after, frame);
                let told = after[0].timestamp.ahead_of(welcome.tracks[track].rtptime);
                assert!(told >= 0, "{step}: {told} ticks before what was told");
            }
            assert!(off(&rig, 0.0).abs() < 0.02, "{step}: {} s", off(&rig, 0.0));
        }
    }
}

#[test]
fn a_camera_that_sets_its_clock_while_it_plays_is_told_of_and_does_no_harm() {
    for step in [3_600_i64, -3_600, 5] {
        let mut rig = Rig::playing(options());
        let mut clock = Clock::new();
        clock.flow(&mut rig, secs(12));
        clock.ahead = step;
        clock.flow(&mut rig, secs(12));
        let is = |event: &&TimeEvent| matches!(event, TimeEvent::BackendClockStepped { .. });
        let all = events(&rig);
        assert_eq!(all.iter().filter(is).count(), 1, "{step}: {all:?}");
        assert!(off(&rig, 0.0).abs() < 0.02, "{step}: {} s", off(&rig, 0.0));
        assert_steady(&rig.got(VIDEO), 3600);
        assert_steady(&rig.got(AUDIO), 320);
    }
}

#[test]
fn timestamps_that_step_with_the_cameras_clock_go_on_without_a_jump() {
    for step in [3_600.0, -3_600.0] {
        let mut rig = Rig::playing(options());
        let mut clock = Clock::new();
        clock.flow(&mut rig, secs(10));
        clock.rtp += step;
        clock.ahead = step as i64;
        clock.flow(&mut rig, secs(10));
        let got = rig.got(VIDEO);
        let (first, last) = (&got[0], &got[got.len() - 1]);
        let all = gap(first, last, 90_000.0);
        assert!((all - 19.96).abs() < 0.05, "{step}: {all} s");
        let back = got.windows(2).filter(|p| p[1].timestamp.ahead_of(p[0].timestamp) < 0).count();
        assert_eq!(back, 0, "{step}");
        assert!(off(&rig, 0.0).abs() < 0.02, "{step}: {} s", off(&rig, 0.0));
    }
}
