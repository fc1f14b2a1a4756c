//! What the benchmarks, the load bench, the counting of instructions and the count tests share.

pub mod clock;
pub mod formats;
pub mod hot;
pub mod packets;
pub mod rig;
pub mod runs;
pub mod stage;
