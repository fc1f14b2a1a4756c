//! What a description may make us hold.

/// The longest description that is read, in bytes as received. Longer ones are
/// [`SdpError::TooLarge`](crate::SdpError::TooLarge).
pub const MAX_SDP_BYTES: usize = 256 * 1024;

/// Media sections kept; those beyond are left out and reported.
pub const MAX_MEDIA: usize = 32;

/// Payload types looked at per media section; those beyond stay in the `m=` line unread.
pub const MAX_FORMATS: usize = 64;

/// Lines kept in all; those beyond are left out and reported.
pub const MAX_LINES: usize = 16_384;

/// Repairs listed per description; the rest are counted in
/// [`Tolerated::More`](crate::Tolerated::More).
pub const MAX_TOLERATED: usize = 64;
