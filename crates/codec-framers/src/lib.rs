//! What RTP payloads tell about key frames, parameter sets and access units.
