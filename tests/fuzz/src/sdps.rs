//! Session descriptions.

use codec_framers::{AnyDepacketizer, AnyFramer, AnyPacketizer, Glancer, Limits};
use sdp::{Presentation, ReaderView, parse_track_control};

/// Reads a description, writes it, offers it to readers.
pub(crate) fn run(input: &[u8]) {
    let Ok((presentation, _)) = Presentation::parse(input) else { return };
    let written = presentation.write();
    let (again, _) = Presentation::parse(written.as_bytes()).expect("what was written");
    assert_eq!(again, presentation, "what is written is read as the same");

    let request = "rtsp://192.0.2.7/stream";
    let urls = presentation.control_urls(None, None, request);
    assert_eq!(urls.media.len(), presentation.media.len());

    let view = ReaderView {
        origin_session_id: 1,
        origin_version: 1,
        name: None,
        allowed: &|index, _| index != 1,
        live: input.len().is_multiple_of(2),
    };
    let offered = presentation.for_readers(&view);
    for media in &offered.media {
        let index = media.control().and_then(parse_track_control).expect("a control of ours");
        let original = presentation.media.get(index).expect("a section");
        assert_eq!(media.formats, original.formats);
    }
    if !offered.media.is_empty() {
        let (again, _) = Presentation::parse(offered.write().as_bytes()).expect("an offer");
        assert_eq!(again, offered, "what readers are offered is read as the same");
    }
    for media in &presentation.media {
        let _ = AnyDepacketizer::for_media(media, Limits::default());
        for format in &media.formats {
            let _ = AnyFramer::for_format(&media.kind, format);
            let _ = AnyPacketizer::for_format(&media.kind, format);
            let _ = Glancer::new(&media.kind, format).parameter_sets();
        }
    }
}

/// Descriptions as servers write them, and broken ones.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const OWN: &[&str] = &[
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=Media\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
         a=range:npt=now-\r\nm=video 0 RTP/AVP 96\r\nb=AS:5000\r\na=control:trackID=1\r\n\
         a=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=4D000D; packetization-mode=1; \
         sprop-parameter-sets=Z00ADZWoUH6bgICAgQ==,aO48gA==\r\na=framerate:25\r\na=recvonly\r\n",
        "v=0\nm=audio 0 RTP/AVP 0 8 97 101\na=rtpmap:97 MPEG4-GENERIC/44100/2\na=fmtp:97 \
         mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendonly\n",
        "v=0\nm=video 0 RTP/AVP 26\na=framesize:26 2560-1920\nm=application 0 RTP/AVP 107\n\
         a=rtpmap:107 vnd.onvif.metadata/90000\na=control:rtsp://192.0.2.7/cam?a=b/track3\n",
    ];
    let mut seeds: Vec<_> = OWN.iter().map(|text| text.as_bytes().to_vec()).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/sdp/tests/fixtures");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("fixtures").flatten().map(|file| file.path()).collect();
    files.sort();
    seeds.extend(files.iter().flat_map(std::fs::read));
    seeds
}
