//! What the benchmarks, the load bench and the count tests share.

pub mod clock;
pub mod packets;
pub mod runs;
pub mod stage;
