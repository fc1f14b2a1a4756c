//! The description of a stream (RFC 8866, RFC 6184 section 8.2, RFC 3640 section 4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fault::Track;
use crate::media::{Content, ParameterSet};

/// The session description of one stream.
pub(crate) fn describe(content: &Content, set: ParameterSet, name: &str, id: u64) -> String {
    let sets = content.parameter_sets(set);
    let profile = match *sets.sps {
        [_, profile, constraints, level, ..] => {
            format!("{profile:02X}{constraints:02X}{level:02X}")
        }
        _ => String::new(),
    };
    let mut text = format!(
        "v=0\r\n\
         o=- {id} 1 IN IP4 0.0.0.0\r\n\
         s=Test camera {name}\r\n\
         c=IN IP4 0.0.0.0\r\n\
         t=0 0\r\n\
         a=tool:test-camera\r\n\
         a=type:broadcast\r\n\
         a=control:*\r\n\
         a=range:npt=now-\r\n\
         m=video 0 RTP/AVP {video}\r\n\
         a=rtpmap:{video} H264/90000\r\n\
         a=fmtp:{video} packetization-mode=1;profile-level-id={profile};\
         sprop-parameter-sets={sps},{pps}\r\n\
         a=framerate:{fps}\r\n\
         a=control:{control}\r\n",
        video = payload_type(Track::Video),
        sps = STANDARD.encode(&sets.sps),
        pps = STANDARD.encode(&sets.pps),
        fps = content.fps(),
        control = control(Track::Video),
    );
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
