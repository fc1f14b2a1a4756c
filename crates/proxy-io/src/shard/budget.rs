//! Keeping the logs of all streams within their budget: the longest is cut first.

use std::time::{Duration, Instant};

use fan_out::FanOutLimits;
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

/// What is left of the longest log there is, which spans so much; `None` for all of it.
///
/// Without its key frame what is older than readers may lag is of no use to anybody. Where that is
/// too much as well, all logs get shorter; but what readers that keep up may not have been sent yet
/// goes only if there is nothing else.
fn kept(span: Duration, limits: &FanOutLimits, is_urgent: bool) -> Option<Duration> {
    if span > limits.lag_max_age {
        Some(limits.lag_max_age)
    } else if span > limits.burst_grace {
        Some(limits.burst_grace.max(span / 2))
    } else {
        is_urgent.then_some(Duration::ZERO)
    }
}

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
        let standing = self.ledger.standing();
        let (Standing::Near(mut excess) | Standing::Over(mut excess)) = standing else { return };
        let is_urgent = matches!(standing, Standing::Over(_));
        for _ in 0..2 * self.homes.len() {
            let Some((span, id)) = self.longest_log().filter(|_| excess > 0) else { break };
            let Some(home) = self.homes.get(&id) else { break };
            let Some(keep) = kept(span, &home.entry.fan_out, is_urgent) else { break };
            let freed = self.cut_stream(now, id, span, keep);
            if freed == 0 {
                break;
            }
            excess = excess.saturating_sub(freed);
        }
        let longest = self.longest_log().map(|(span, _)| span).unwrap_or_default();
        self.ledger.note_longest(self.me, longest);
    }

    /// Cuts one stream's logs on all shards; tells how many bytes that frees, at once or soon.
    fn cut_stream(&mut self, now: Now, id: StreamId, span: Duration, keep: Duration) -> usize {
        let Some(home) = self.homes.get(&id) else { return 0 };
        let others: Vec<usize> =
            home.subscribers.iter().copied().filter(|shard| *shard != self.me).collect();
        let freed = self.cut_log(now, id, keep);
        for shard in others {
            self.tell_shard(now, shard, id, FromStream::Cut { keep });
        }
        self.tell_of_cut(now, id, span);
        freed
    }

    /// Leaves so much time of a log on this shard, the newest; tells how many bytes are gone.
    pub(super) fn cut_log(&mut self, now: Now, id: StreamId, keep: Duration) -> usize {
        let Some(watch) = self.watches.get_mut(&id) else { return 0 };
        let before = watch.audience.log_bytes();
        if let Some(at) = now.mono.checked_sub(keep) {
            watch.audience.forget_before(at);
        }
        let freed = before - watch.audience.log_bytes();
        self.mark(id);
        freed
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
