//! RTP and RTCP packets, sequence numbers, reordering and reception statistics, without I/O.
