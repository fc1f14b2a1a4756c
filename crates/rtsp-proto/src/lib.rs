//! RTSP/1.0 messages, headers, interleaved framing, URLs and digest authentication, without I/O.
