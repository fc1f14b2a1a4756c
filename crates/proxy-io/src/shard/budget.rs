//! Keeping the logs of all streams within their budget: the longest is cut first.

use std::time::{Duration, Instant};

use rtp_rtcp::Now;

use super::Shard;
use crate::bus::{FromStream, Message};
use crate::ledger::Standing;
use crate::registry::StreamId;

/// When this shard last did something about the budget.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    looked: Option<Instant>,
    told: Option<Instant>,
    untold: u32,
}

/// Between two looks while there is still room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Between two words about it.
const TELL_AGAIN: Duration = Duration::from_secs(10);

impl Shard {
    /// After every batch published: cuts logs where all together come near what they may hold.
    pub(super) fn keep_budget(&mut self, now: Now) {
        let standing = self.ledger.standing();
        let is_urgent = match standing {
            Standing::Within => return,
            Standing::Near(_) => false,
            Standing::Over(_) => true,
        };
        let since = |at: Instant| now.mono.saturating_duration_since(at);
        if !is_urgent && self.cuts.looked.is_some_and(|at| since(at) < LOOK_AGAIN) {
            return;
        }
        self.cuts.looked = Some(now.mono);
        let longest = self.longest_log().map(|(span, _)| span).unwrap_or_default();
        self.ledger.note_longest(self.me, longest);
        match self.ledger.longest() {
            // A shard that is too far behind to be told sees it when it publishes.
            Some(other) if other != self.me && !is_urgent => {
                let _full = self.bus.try_send(other, Message::CutLogs);
            }
            _ => self.cut_logs(now),
        }
    }

    /// Cuts the longest logs of this shard's streams until enough is gone.
    pub(super) fn cut_logs(&mut self, now: Now) {
        let (Standing::Near(mut excess) | Standing::Over(mut excess)) = self.ledger.standing()
        else {
            return;
        };
        // Each is cut to what lagging readers need, and once more where that is too much as well.
        for _ in 0..2 * self.homes.len() {
            let Some((span, id)) = self.longest_log().filter(|_| excess > 0) else { break };
            let freed = self.cut_stream(now, id, span, excess);
            if freed == 0 {
                break;
            }
            excess = excess.saturating_sub(freed);
        }
        let longest = self.longest_log().map(|(span, _)| span).unwrap_or_default();
        self.ledger.note_longest(self.me, longest);
    }

    /// Cuts one stream's logs on all shards; tells how many bytes that frees, at once or soon.
    fn cut_stream(&mut self, now: Now, id: StreamId, span: Duration, excess: usize) -> usize {
        let Some(home) = self.homes.get(&id) else { return 0 };
        let (held, needed) = (home.meter.bytes(), home.entry.fan_out.lag_max_age);
        let others: Vec<usize> =
            home.subscribers.iter().copied().filter(|shard| *shard != self.me).collect();
        // Without its key frame what is older than readers may lag is of no use to anybody.
        let (part, whole) = if span > needed {
            (needed.as_millis(), span.as_millis())
        } else {
            (held.saturating_sub(excess) as u128, held as u128)
        };
        let keep = u32::try_from(part * 1000 / whole.max(1)).unwrap_or(1000).min(999);
        self.cut_log(id, keep);
        for shard in others {
            self.tell_shard(now, shard, id, FromStream::Cut { keep });
        }
        self.tell_of_cut(now, id, span);
        held - held / 1000 * (keep as usize)
    }

    /// Leaves so many thousandths of a log on this shard, the newest.
    pub(super) fn cut_log(&mut self, id: StreamId, keep: u32) {
        if let Some(watch) = self.watches.get_mut(&id) {
            let bytes = watch.audience.log_bytes() / 1000 * (keep as usize);
            watch.audience.shrink_to(bytes);
            self.mark(id);
        }
    }

    /// The log of this shard's streams that spans the longest time.
    fn longest_log(&self) -> Option<(Duration, StreamId)> {
        let spans = self.homes.iter().filter_map(|(id, home)| {
            let span = self.watches.get(id)?.audience.log_span();
            (home.meter.bytes() > 0 && !span.is_zero()).then_some((span, *id))
        });
        spans.max()
    }

    fn tell_of_cut(&mut self, now: Now, id: StreamId, span: Duration) {
        let Some(home) = self.homes.get(&id) else { return };
        let stream = home.stream.name();
        let since = |at: Instant| now.mono.saturating_duration_since(at);
        if self.cuts.told.is_some_and(|at| since(at) < TELL_AGAIN) {
            self.cuts.untold += 1;
            tracing::debug!(%stream, "log cut: log_budget is reached");
            return;
        }
        self.cuts.told = Some(now.mono);
        let more = std::mem::take(&mut self.cuts.untold);
        let budget = self.ledger.budget();
        let kept = format!("{:.1} s", span.as_secs_f64());
        tracing::warn!(
            %stream,
            budget,
            %kept,
            more,
            "the media kept of all streams reaches log_budget: this stream's, which went back furthest, is cut, and readers of it wait for the next key frame; set limits.log_budget higher, or shorter times between key frames in the camera"
        );
    }
}
