//! AV1 (RTP Payload Format For AV1).

pub(crate) mod glance;
