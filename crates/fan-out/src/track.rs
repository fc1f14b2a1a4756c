//! Tracks and sets of tracks.

use std::fmt;

/// How many tracks one stream may have.
pub const MAX_TRACKS: usize = 32;

/// A track's index within its stream, in the order of the backend's description.
///
/// Valid values are below [`MAX_TRACKS`]; a larger one belongs to no mask and its packets are
/// given to no reader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The interleaved channels that most readers ask for: 2n for RTP and 2n+1 for RTCP.
    pub const fn usual_channels(self) -> (u8, u8) {
        (self.0.wrapping_mul(2), self.0.wrapping_mul(2).wrapping_add(1))
    }
}

/// A set of tracks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TrackMask(u32);

impl TrackMask {
    /// No track.
    pub const EMPTY: Self = Self(0);
    /// Every track a stream may have.
    pub const ALL: Self = Self(u32::MAX);

    /// The set of this one track (empty if the index is out of range).
    pub const fn of(track: TrackId) -> Self {
        if track.index() < MAX_TRACKS { Self(1 << track.0) } else { Self::EMPTY }
    }

    /// Whether `track` is in the set.
    pub const fn contains(self, track: TrackId) -> bool {
        self.0 & Self::of(track).0 != 0
    }

    /// Adds `track`.
    pub const fn insert(&mut self, track: TrackId) {
        self.0 |= Self::of(track).0;
    }

    /// Takes `track` out.
    pub const fn remove(&mut self, track: TrackId) {
        self.0 &= !Self::of(track).0;
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one but not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no track is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many tracks are in it.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The tracks, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = TrackId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let track = rest.trailing_zeros();
            rest &= rest - 1;
            Some(TrackId(track as u8))
        })
    }

    /// How many tracks of the set come before `track`: its place in a list with one element per
    /// track of the set.
    pub(crate) const fn rank(self, track: TrackId) -> usize {
        let below = if track.index() < MAX_TRACKS { (1 << track.0) - 1 } else { u32::MAX };
        (self.0 & below).count_ones() as usize
    }
}

impl FromIterator<TrackId> for TrackMask {
    fn from_iter<I: IntoIterator<Item = TrackId>>(tracks: I) -> Self {
        tracks.into_iter().fold(Self::EMPTY, |mask, track| mask.union(Self::of(track)))
    }
}

impl fmt::Debug for TrackMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|track| track.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_lists_its_tracks_in_order_and_ranks_them() {
        let mask: TrackMask = [TrackId(31), TrackId(0), TrackId(5)].into_iter().collect();
        assert_eq!(mask.iter().map(|track| track.0).collect::<Vec<_>>(), [0, 5, 31]);
        assert_eq!(mask.iter().map(|track| mask.rank(track)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(mask.len(), 3);
    }

    #[test]
    fn a_track_out_of_range_is_in_no_mask() {
        let mut mask = TrackMask::ALL;
        assert!(!mask.contains(TrackId(32)));
        mask.remove(TrackId(32));
        assert_eq!(mask, TrackMask::ALL);
        assert!(TrackMask::of(TrackId(200)).is_empty());
    }
}
