//! The RTSP server side, connections and sessions, as a state machine without I/O.
