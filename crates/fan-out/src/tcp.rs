//! Serving TCP readers: what to write next, and what became of the write.

use std::io::IoSlice;
use std::time::Instant;

use smallvec::SmallVec;

use crate::audience::{Audience, Reader, ReaderKey};
use crate::egress::{Egress, MAX_SLICES};
use crate::reader::{Context, TcpReader};

/// The most bytes copied into scratch for one write to a reader that the shared images do not
/// serve (one frame may go beyond it).
pub const MAX_SCRATCH_BYTES: usize = 65_536;

impl<A: Copy> Audience<A> {
    /// What the socket of reader `key` gets next, whole frames but for the end of a cut one;
    /// empty if there is nothing to send now.
    ///
    /// Decides about shedding and jumps. `scratch` serves readers that need bytes of their own.
    /// After the write, call [`Audience::consume`] with what the socket took, and then this
    /// again: it may have stopped short of what could be sent. If the socket takes nothing,
    /// `consume` need not be called.
    pub fn slices<'a>(
        &'a mut self,
        now: Instant,
        key: ReaderKey,
        egress: &'a Egress,
        scratch: &'a mut Vec<u8>,
        out: &mut SmallVec<[IoSlice<'a>; MAX_SLICES]>,
    ) {
        out.clear();
        egress.pending_slices(out);
        let Some((reader, mut cx)) = self.tcp_reader(now, key) else { return };
        reader.settle(&mut cx);
        let is_idle = reader.is_idle(cx.log);
        reader.note_offer(now, !out.is_empty() || !is_idle);
        // With no slice to spare there may be answers that did not find room: they go first.
        if is_idle || out.len() + 1 >= MAX_SLICES {
            return;
        }
        let Some(Reader::Tcp(reader)) = self.slot(key).map(|slot| &slot.reader) else { return };
        for frame in reader.private() {
            if out.len() == MAX_SLICES {
                return;
            }
            out.push(IoSlice::new(frame));
        }
        if out.len() == MAX_SLICES {
            return;
        }
        let mut pieces = reader.pieces(&self.log, &self.limits);
        scratch.clear();
        if let Some((frame, ..)) = reader.padding(&self.log) {
            scratch.extend_from_slice(&frame);
        }
        let is_shared = reader.takes_usual_channels();
        while scratch.len() < MAX_SCRATCH_BYTES
            && let Some(piece) = if is_shared { pieces.next_of_burst() } else { pieces.next() }
        {
            reader.copy_frames(&piece, MAX_SCRATCH_BYTES, scratch);
        }
        // The last one copied may have been cut there.
        let is_full = scratch.len() >= MAX_SCRATCH_BYTES;
        if !scratch.is_empty() {
            out.push(IoSlice::new(scratch));
        }
        if is_shared && !is_full {
            for piece in pieces.take(MAX_SLICES - out.len()) {
                let batch = &piece.entry.batch;
                let framed = self.log.interleaved(piece.entry);
                let begin = batch.framed_start(piece.from as usize);
                out.push(IoSlice::new(framed.get(begin..).unwrap_or_default()));
            }
        }
    }

    /// The socket of reader `key` took `n` bytes of what [`Audience::slices`] offered. Says whether
    /// [`Audience::slices`] may have more to offer now.
    pub fn consume(&mut self, now: Instant, key: ReaderKey, egress: &mut Egress, n: usize) -> bool {
        let left = egress.consume_pending(n);
        let Some((reader, mut cx)) = self.tcp_reader(now, key) else { return egress.has_pending() };
        reader.consume(&mut cx, egress, left);
        if n > 0 {
            reader.note_progress(now, cx.log);
        }
        egress.has_pending() || !reader.is_idle(cx.log)
    }

    /// Tells how many bytes the kernel holds unsent or unacknowledged for a TCP reader (Linux:
    /// `SIOCOUTQ`); they count as lag until the next call.
    pub fn note_kernel_bytes(&mut self, key: ReaderKey, bytes: u32) {
        if bytes > 0 {
            self.step_out(key);
        }
        if let Some(Reader::Tcp(reader)) = self.slot_mut(key).map(|slot| &mut slot.reader) {
            reader.kernel = bytes;
        }
    }

    /// A reader, by itself.
    pub(crate) fn tcp_reader(
        &mut self,
        now: Instant,
        key: ReaderKey,
    ) -> Option<(&mut TcpReader, Context<'_>)> {
        self.step_out(key);
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        let Reader::Tcp(reader) = &mut slot.reader else { return None };
        let cx = Context {
            now,
            key,
            log: &self.log,
            limits: &self.limits,
            video: self.video,
            stats: self.stats.get_mut(key.index as usize)?,
            events: &mut self.events,
        };
        Some((reader, cx))
    }
}
