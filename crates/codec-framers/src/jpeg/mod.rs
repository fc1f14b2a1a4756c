//! Motion JPEG (RFC 2435).

pub(crate) mod glance;
