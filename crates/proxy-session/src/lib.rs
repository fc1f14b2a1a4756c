//! One proxied stream: backend, tracks and relay, without I/O.
