//! The description of a stream (RFC 8866, RFC 6184 section 8.2, RFC 7798 section 7.2, RFC 3640
//! section 4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fault::Track;
use crate::media::{Content, ParameterSet, ParameterSets};

/// The session description of one stream.
pub(crate) fn describe(content: &Content, set: ParameterSet, name: &str, id: u64) -> String {
    let mut text = format!(
        "v=0\r\n\
         o=- {id} 1 IN IP4 0.0.0.0\r\n\
         s=Test camera {name}\r\n\
         c=IN IP4 0.0.0.0\r\n\
         t=0 0\r\n\
         a=tool:test-camera\r\n\
         a=type:broadcast\r\n\
         a=control:*\r\n\
         a=range:npt=now-\r\n"
    );
    if let Some(track) = content.describe_recording(control(Track::Video)) {
        text.push_str(&track);
        return text;
    }
    let (encoding, parameters) = video_format(content.parameter_sets(set));
    text.push_str(&format!(
        "m=video 0 RTP/AVP {video}\r\n\
         a=rtpmap:{video} {encoding}/90000\r\n\
         a=fmtp:{video} {parameters}\r\n\
         a=framerate:{fps}\r\n\
         a=control:{control}\r\n",
        video = payload_type(Track::Video),
        fps = content.fps(),
        control = control(Track::Video),
    ));
    if let Some([high, low]) = content.audio_config() {
        text.push_str(&format!(
            "m=audio 0 RTP/AVP {audio}\r\n\
             a=rtpmap:{audio} MPEG4-GENERIC/{rate}/1\r\n\
             a=fmtp:{audio} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;\
             indexlength=3;indexdeltalength=3;config={high:02X}{low:02X}\r\n\
             a=control:{control}\r\n",
            audio = payload_type(Track::Audio),
            rate = content.clock_rate(Track::Audio),
            control = control(Track::Audio),
        ));
    }
    text
}

/// The encoding's name and its format parameters (RFC 6184, section 8.1, RFC 7798, section 7.1).
fn video_format(sets: &ParameterSets) -> (&'static str, String) {
    match sets {
        ParameterSets::H264 { sps, pps } => {
            let profile = match **sps {
                [_, profile, constraints, level, ..] => {
                    format!("{profile:02X}{constraints:02X}{level:02X}")
                }
                _ => String::new(),
            };
            let (sps, pps) = (STANDARD.encode(sps), STANDARD.encode(pps));
            let parameters = format!(
                "packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sps},{pps}"
            );
            ("H264", parameters)
        }
        ParameterSets::H265 { vps, sps, pps } => {
            let [vps, sps, pps] = [vps, sps, pps].map(|set| STANDARD.encode(set));
            ("H265", format!("sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}"))
        }
    }
}

/// A track's control attribute.
pub(crate) fn control(track: Track) -> &'static str {
    match track {
        Track::Video => "trackID=1",
        Track::Audio => "trackID=2",
    }
}

/// The track of a control attribute.
pub(crate) fn track(control: &str) -> Option<Track> {
    [Track::Video, Track::Audio].into_iter().find(|&track| self::control(track) == control)
}

/// A track's RTP payload type.
pub(crate) fn payload_type(track: Track) -> u8 {
    match track {
        Track::Video => 96,
        Track::Audio => 97,
    }
}
