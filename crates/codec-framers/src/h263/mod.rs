//! H.263 (RFC 4629, RFC 2190).

pub(crate) mod glance;
