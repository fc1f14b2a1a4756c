//! TCP readers that are in step: at the same place of the log, with nothing of their own to get.
//!
//! Nearly all readers are, for months. What one of them has been sent all have, so that is kept
//! once for a row of them: while their sockets take everything, serving them reads and writes
//! nothing of a reader's own but its key. With hundreds of readers nothing of theirs would be in
//! the cache any more when their turn comes.
//!
//! A reader falls out of its row, and is then what it would be without it, before anything is done
//! with it alone; and it gets in again when it is where the row is.

use std::time::Instant;

use slab::Slab;

use crate::ReaderKey;
use crate::audience::{Audience, Reader, Slot};
use crate::event::ReaderStats;
use crate::limits::FanOutLimits;
use crate::log::{Log, Place};
use crate::reader::TcpReader;

/// The rows of an audience. Numbers of rows last as long as there is somebody in them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// A bit for each reader that is in none, by its place.
    alone: Vec<u64>,
}

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// At most [`FanOutLimits::max_alike`] readers.
#[derive(Debug, Default)]
pub(crate) struct Row {
    members: Vec<ReaderKey>,
    /// Where they are; none of an empty row.
    at: Option<Step>,
    /// Where the first `done` of them are already.
    ahead: Option<Step>,
    done: usize,
}

/// What is true of every reader of a row, besides since when it is there.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// As it would be by itself.
    pub(crate) reader: TcpReader,
    /// What readers of the row were sent since it began.
    sent: Sent,
}

/// Packets and octets as [`ReaderStats`] count them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

impl Step {
    /// All of what they were offered together has been taken.
    pub(crate) fn count(&mut self, sent: Sent) {
        self.sent.packets += sent.packets;
        self.sent.octets += sent.octets;
    }

    /// Makes a reader what it is, after it was what the row is.
    fn give(&self, reader: &mut TcpReader, stats: &mut ReaderStats) {
        let TcpReader { cursor, passed, progress, .. } = self.reader;
        (reader.cursor, reader.passed, reader.progress) = (cursor, passed, progress);
        reader.sent.clone_from(&self.reader.sent);
        stats.packets = stats.packets.wrapping_add(self.sent.packets);
        stats.octets = stats.octets.wrapping_add(self.sent.octets);
        reader.row = None;
    }

    /// Whether a reader is where the row is.
    fn is_that_of(&self, other: &TcpReader) -> bool {
        let TcpReader { cursor, mask, passed, ref sent, .. } = self.reader;
        (cursor, mask, passed, sent) == (other.cursor, other.mask, other.passed, &other.sent)
    }
}

impl Row {
    /// Those who have not been served yet, from where they are, and until where the others were.
    pub(crate) fn waiting(&self) -> (&[ReaderKey], Option<&TcpReader>, Option<Place>) {
        let members = self.members.get(self.done..).unwrap_or_default();
        let at = self.at.as_ref().filter(|_| !members.is_empty());
        let until = self.ahead.as_ref().map(|ahead| ahead.reader.cursor);
        (members, at.map(|at| &at.reader), until)
    }

    /// Where those are who have been served least.
    pub(crate) fn at(&self) -> Option<&TcpReader> {
        self.at.as_ref().map(|at| &at.reader)
    }

    /// Where it is, for changes that concern all.
    pub(crate) fn at_mut(&mut self) -> Option<&mut TcpReader> {
        self.at.as_mut().map(|at| &mut at.reader)
    }

    /// Whether some have been served and others not.
    pub(crate) fn is_split(&self) -> bool {
        self.ahead.is_some()
    }

    /// The next `count` have been served; `step` makes of where they were where they are.
    pub(crate) fn advance(&mut self, count: usize, step: impl FnOnce(&mut Step)) {
        self.done += count;
        match (&mut self.at, &self.ahead) {
            (Some(at), None) if self.done >= self.members.len() => step(at),
            (Some(at), None) => {
                let mut ahead = at.clone();
                step(&mut ahead);
                self.ahead = Some(ahead);
            }
            (_, Some(_)) | (None, _) => {}
        }
        self.unite();
    }

    /// Once all have been served they are in step again.
    fn unite(&mut self) {
        if self.done >= self.members.len() {
            self.done = 0;
            if let Some(ahead) = self.ahead.take() {
                self.at = Some(ahead);
            }
        }
        if self.members.is_empty() {
            *self = Self::default();
        }
    }

    /// Lets go of a member; returns where it is.
    fn remove(&mut self, key: ReaderKey) -> Option<Step> {
        let index = self.members.iter().position(|member| *member == key)?;
        let step = if index < self.done { self.ahead.clone() } else { self.at.clone() };
        self.members.remove(index);
        if index < self.done {
            self.done -= 1;
        }
        self.unite();
        step
    }
}

impl Rows {
    pub(crate) fn get(&self, number: usize) -> Option<&Row> {
        self.rows.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut Row> {
        self.rows.get_mut(number)
    }

    /// One past the greatest number of a row.
    pub(crate) fn end(&self) -> usize {
        self.rows.len()
    }

    /// The first reader in no row, of those with this place or a later one.
    pub(crate) fn next_alone(&self, from: usize) -> Option<usize> {
        let (first, skip) = (from / WORD, from % WORD);
        let words = self.alone.iter().enumerate().skip(first);
        let mut left = words.map(|(number, &bits)| {
            let bits = if number == first { bits & (u64::MAX << skip) } else { bits };
            (number, bits)
        });
        let (number, bits) = left.find(|(_, bits)| *bits != 0)?;
        Some(number * WORD + bits.trailing_zeros() as usize)
    }

    /// Notes whether a reader that is served over TCP is there and in no row.
    pub(crate) fn set_alone(&mut self, key: ReaderKey, is_alone: bool) {
        let (number, bit) = (key.index() / WORD, 1 << (key.index() % WORD));
        if self.alone.len() <= number {
            self.alone.resize(number + 1, 0);
        }
        if let Some(bits) = self.alone.get_mut(number) {
            *bits = if is_alone { *bits | bit } else { *bits & !bit };
        }
    }

    /// The oldest position that readers in rows still need.
    pub(crate) fn needs(&self) -> Option<u64> {
        self.rows.iter().filter_map(|row| Some(row.at.as_ref()?.reader.needs())).min()
    }

    /// What a reader is, wherever it is; `stats` are its own.
    pub(crate) fn seen(
        &self,
        key: ReaderKey,
        reader: &TcpReader,
        stats: &mut ReaderStats,
    ) -> TcpReader {
        let mut reader = reader.clone();
        let row = reader.row.and_then(|number| self.rows.get(usize::from(number)));
        if let Some(row) = row
            && let Some(index) = row.members.iter().position(|member| *member == key)
            && let Some(step) = if index < row.done { &row.ahead } else { &row.at }
        {
            step.give(&mut reader, stats);
        }
        reader
    }

    /// Takes a reader out of its row, if it is in one.
    pub(crate) fn fall_out(
        &mut self,
        key: ReaderKey,
        reader: &mut TcpReader,
        stats: &mut ReaderStats,
    ) {
        let Some(number) = reader.row else { return };
        let step = self.rows.get_mut(usize::from(number)).and_then(|row| row.remove(key));
        if let Some(step) = step {
            step.give(reader, stats);
        }
        reader.row = None;
        self.set_alone(key, true);
    }

    /// Whether an earlier row has room for all of this one and is where it is.
    fn fits_into_another(&self, number: usize, limits: &FanOutLimits) -> bool {
        let Some((row, earlier)) = self.rows.get(..=number).and_then(<[Row]>::split_last) else {
            return false;
        };
        row.at.as_ref().is_some_and(|at| {
            let takes = |other: &Row| {
                let is_there = other.at.as_ref().is_some_and(|step| step.is_that_of(&at.reader));
                is_there && other.members.len() + row.members.len() <= limits.max_alike()
            };
            !row.is_split() && earlier.iter().any(|other| !other.is_split() && takes(other))
        })
    }

    /// Takes all readers out of a row.
    pub(crate) fn dissolve(
        &mut self,
        number: usize,
        slots: &mut Slab<Slot>,
        stats: &mut [ReaderStats],
    ) {
        let Some(row) = self.rows.get_mut(number).map(std::mem::take) else { return };
        for (index, key) in row.members.iter().enumerate() {
            let step = if index < row.done { &row.ahead } else { &row.at };
            if let Some(step) = step
                && let Some(slot) = slots.get_mut(key.index())
                && let Reader::Tcp(reader) = &mut slot.reader
                && let Some(stats) = stats.get_mut(key.index())
            {
                step.give(reader, stats);
                self.set_alone(*key, true);
            }
        }
    }

    /// Takes a reader into a row where it can be.
    pub(crate) fn fall_in(
        &mut self,
        key: ReaderKey,
        reader: &mut TcpReader,
        stats: &mut ReaderStats,
        log: &Log,
        limits: &FanOutLimits,
    ) {
        if reader.row.is_some() || !reader.is_plain() || !reader.is_idle(log) || !reader.is_calm() {
            return;
        }
        let fits = |row: &Row| {
            !row.is_split()
                && row.members.len() < limits.max_alike()
                && row.at.as_ref().is_some_and(|at| at.is_that_of(reader))
        };
        let place = self.rows.iter().position(fits);
        let place = place.or_else(|| self.rows.iter().position(|row| row.at.is_none()));
        let number = place.unwrap_or(self.rows.len());
        // Who finds no row is served by itself.
        let Ok(name) = u16::try_from(number) else { return };
        if number == self.rows.len() {
            self.rows.push(Row::default());
        }
        let Some(row) = self.rows.get_mut(number) else { return };
        let at =
            row.at.get_or_insert_with(|| Step { reader: reader.clone(), sent: Sent::default() });
        stats.packets = stats.packets.wrapping_sub(at.sent.packets);
        stats.octets = stats.octets.wrapping_sub(at.sent.octets);
        row.members.push(key);
        reader.row = Some(name);
        self.set_alone(key, false);
    }
}

impl TcpReader {
    /// Whether nothing is remembered of it that a row would not know.
    fn is_calm(&self) -> bool {
        !self.waiting && !self.is_stuck && self.kernel == 0 && self.shed.is_empty()
    }

    /// Passes over what is not for it, of a reader in a row.
    pub(crate) fn pass_others(&mut self, log: &Log) {
        while let Some(entry) = log.get(self.cursor.pos)
            && (!self.mask.contains(entry.batch.track()) || entry.batch.is_empty())
        {
            self.cursor = Place::at(self.cursor.pos + 1);
        }
    }

    /// Whether its next frame calls for no decision about a reader alone: it has not waited long,
    /// none is gone before it, and its number does not jump.
    pub(crate) fn is_in_order(&self, now: Instant, log: &Log, limits: &FanOutLimits) -> bool {
        if self.needs() < log.base() || self.age(now, log) >= limits.burst_grace {
            return false;
        }
        let entry = log.get(self.cursor.pos);
        entry.is_none_or(|entry| entry.step <= u64::from(limits.padding_jump))
    }
}

impl<A: Copy> Audience<A> {
    /// A reader is to be looked at by itself.
    pub(crate) fn step_out(&mut self, key: ReaderKey) {
        let Self { slots, stats, rows, .. } = self;
        let slot = slots.get_mut(key.index()).filter(|slot| slot.generation == key.generation);
        if let Some(Reader::Tcp(reader)) = slot.map(|slot| &mut slot.reader)
            && let Some(stats) = stats.get_mut(key.index())
        {
            rows.fall_out(key, reader, stats);
        }
    }

    /// Readers in rows that have something to get are to be looked at one by one, and those of rows
    /// that others have left so far that two would be one: then they fall in there.
    pub(crate) fn dissolve_late_rows(&mut self) {
        let Self { limits, log, slots, stats, rows, .. } = self;
        for number in 0..rows.end() {
            let at = rows.get(number).and_then(Row::at);
            if at.is_some_and(|at| !at.is_idle(log)) || rows.fits_into_another(number, limits) {
                rows.dissolve(number, slots, stats);
            }
        }
    }

    /// All readers are to be looked at one by one.
    pub(crate) fn dissolve_rows(&mut self) {
        let Self { slots, stats, rows, .. } = self;
        for number in 0..rows.end() {
            rows.dissolve(number, slots, stats);
        }
    }
}
