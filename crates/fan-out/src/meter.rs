//! Counting the memory of batches while they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes of batches from the moment they are built until the last one who holds them
/// lets go: a batch in the logs of several shards, or on its way between them, counts once.
///
/// A meter may be part of another, so that the batches of many streams are counted together.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicUsize,
    whole: Option<Arc<Self>>,
}

impl Meter {
    /// A meter whose bytes count in `whole` too.
    #[must_use]
    pub fn within(whole: Arc<Self>) -> Self {
        Self { bytes: AtomicUsize::new(0), whole: Some(whole) }
    }

    /// The bytes that are held now, both forms of the images counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(bytes);
        }
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.remove(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rtp_rtcp::{ExtSeq, RtpTime, Ssrc};

    use super::*;
    use crate::{Push, TrackId, WireBatchBuilder};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "one base for the test's instants")]
    fn a_batch_counts_once_with_both_forms_until_the_last_holder_lets_go() {
        let whole = Arc::new(Meter::default());
        let meters: Vec<_> = (0..2).map(|_| Arc::new(Meter::within(Arc::clone(&whole)))).collect();
        let packet = [&[0x80; 12][..], &[0; 1000]].concat();
        let batches: Vec<_> = meters
            .iter()
            .filter_map(|meter| {
                let mut builder = WireBatchBuilder::metered(TrackId(0), Arc::clone(meter));
                let pushed = builder.push(&packet, ExtSeq(1), RtpTime(0), Ssrc(0));
                assert_eq!(pushed, Push::Added);
                builder.finish(Instant::now())
            })
            .collect();
        let one = batches[0].bytes_held();
        assert!(one >= packet.len());
        assert_eq!((meters[0].bytes(), whole.bytes()), (one, 2 * one));
        let framed = batches[0].interleaved().len();
        let again = Arc::clone(&batches[0]);
        assert_eq!(batches[0].interleaved().len(), framed);
        assert_eq!((meters[0].bytes(), whole.bytes()), (one + framed, 2 * one + framed));
        drop(batches);
        assert_eq!((meters[0].bytes(), meters[1].bytes()), (one + framed, 0));
        drop(again);
        assert_eq!((meters[0].bytes(), whole.bytes()), (0, 0));
    }
}
