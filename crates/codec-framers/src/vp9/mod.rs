//! VP9 (RFC 9628).

pub(crate) mod glance;
