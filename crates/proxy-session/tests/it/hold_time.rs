//! Sound and picture stay together for readers that outlive their backend's session.

use std::time::Duration;

use fan_out::EntryKind;
use rtp_rtcp::{NtpTime, RtcpWriter, RtpTime, SenderInfo, Ssrc};

use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, ms, options, seconds_between, secs, sender_info, udp};

/// A session of a camera whose pictures come later than their sound.
struct Session {
    /// Its first numbers and timestamps, and its sources.
    base: u32,
    /// How much later.
    lag: Duration,
    /// How far its clock is ahead of ours, in seconds.
    ahead: u64,
    /// When it began, on the rig's clock, and by the time of day.
    began: Duration,
    day: NtpTime,
    videos: u16,
    audios: u16,
}

impl Session {
    /// Begins with a report of each track, as cameras do.
    fn begin(rig: &mut Rig, base: u32, lag: Duration, ahead: u64) -> Self {
        let (began, day) = (rig.elapsed(), rig.now.wall);
        let this = Self { base, lag, ahead, began, day, videos: 0, audios: 0 };
        this.report(rig);
        this
    }

    fn report(&self, rig: &mut Rig) {
        let passed = (rig.elapsed() - self.began).as_millis() as u32;
        let ntp = NtpTime::from_bits(rig.now.wall.bits() + (self.ahead << 32));
        for (track, ssrc, rate) in [(VIDEO, 1, 90), (AUDIO, 2, 8)] {
            let rtp = RtpTime(self.base + passed * rate);
            let info = SenderInfo { ntp, rtp, packets: 1, octets: 1 };
            let source = Ssrc(self.base + ssrc);
            let report = RtcpWriter::new().sender_report(source, &info, &[]).cname(source, "cam");
            rig.send_rtcp(track, report.finish());
        }
    }

    /// What comes until so long after the beginning: frames of 40 ms, a key frame each second.
    fn until(&mut self, rig: &mut Rig, end: Duration) {
        while rig.elapsed() < self.began + end {
            let passed = rig.elapsed() - self.began;
            if passed >= ms(40) * u32::from(self.audios) {
                let time = self.base + u32::from(self.audios) * 320;
                let audio = Packet::audio(self.audios, time).from(self.base + 2);
                rig.send(&[(AUDIO, audio)]);
                self.audios += 1;
            }
            if passed >= self.lag + ms(40) * u32::from(self.videos) {
                let time = self.base + u32::from(self.videos) * 3600;
                let video = match (self.videos + 5) % 25 {
                    0 => Packet::key(self.videos, time),
                    _ => Packet::new(self.videos, time),
                };
                rig.send(&[(VIDEO, video.from(self.base + 1))]);
                self.videos += 1;
            }
            rig.run(ms(1));
        }
    }
}

/// For each packet that readers got since the session began: its track, and how much later than at
/// the camera it is shown by the reports before it, in seconds, but for what all have in common.
fn shown(rig: &Rig, session: &Session) -> Vec<(usize, f64)> {
    let (mut last, mut out) = ([None, None], Vec::new());
    // The first picture that is sent is a key frame.
    let mut places = [20.0, 0.0];
    let mut sent = [0; 2];
    for (at, batch) in rig.batches() {
        let track = batch.track().index();
        if batch.kind() == EntryKind::Report {
            let info = sender_info(batch.packet(0));
            assert_eq!(info.packets, sent[track], "of track {track} at {at:?}");
            last[track] = Some(info);
            continue;
        }
        sent[track] += batch.packets().len() as u32;
        for packet in batch.packets().filter(|_| at >= session.began) {
            let report = last[track].expect("a report comes first");
            let rate = if track == VIDEO { 90_000.0 } else { 8_000.0 };
            let after = f64::from(Got::new(packet).timestamp.ahead_of(report.rtp)) / rate;
            let shown = seconds_between(session.day, report.ntp) + after;
            out.push((track, shown - 0.04 * places[track]));
            places[track] += 1.0;
        }
    }
    out
}

#[test]
fn sound_and_picture_are_together_from_the_first_packet_after_an_outage() {
    for options in [options(), udp()] {
        for (lag, ahead) in [(0, 0), (20, 0), (60, 0), (20, 3_600)] {
            let mut rig = Rig::playing(options.clone());
            Session::begin(&mut rig, 1_000, ms(15), 0).until(&mut rig, secs(4));
            rig.camera.is_up = false;
            rig.close();
            rig.run(secs(5));
            rig.camera.is_up = true;
            for _ in 0..400 {
                if rig.camera.is_playing {
                    break;
                }
                rig.run(ms(10));
            }
            let mut session = Session::begin(&mut rig, 700_000, ms(lag), ahead);
            session.until(&mut rig, secs(4));
            session.report(&mut rig);
            session.until(&mut rig, secs(6));
            let shown = shown(&rig, &session);
            assert!(shown.iter().filter(|(track, _)| *track == VIDEO).count() > 100);
            let (least, most) =
                shown.iter().fold((f64::MAX, f64::MIN), |(least, most), (_, at)| {
                    (least.min(*at), most.max(*at))
                });
            assert!(
                most - least < 0.005,
                "lag {lag}, {ahead} s ahead: from {least} to {most} s: {shown:?}"
            );
        }
    }
}
