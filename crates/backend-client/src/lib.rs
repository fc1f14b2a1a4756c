//! The RTSP client side of a proxied stream as a state machine without I/O.
