//! The pool of records. A slot is named by its place and a generation, so a handle kept too long
//! finds nothing instead of somebody else's span.

use std::cell::RefMut;
use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::record::Record;
use crate::turn::{Guarded, Turn, TurnCell};

/// Names a record for as long as one span has it.
#[derive(Clone, Copy)]
pub struct Slot {
    cell: &'static Guarded<Cell>,
    generation: u32,
}

/// The records of one pipeline's spans. Their memory is the process's: what one pipeline leaves the
/// next uses, and it stays where the most spans that were ever open at once have brought it.
#[derive(Debug)]
pub struct Store {
    /// Which store of the process this is.
    number: u32,
    /// The slot of the span that ended last and can still be read: most die before another one ends.
    ended_last: TurnCell<Option<Slot>>,
    /// Those of others, the oldest first; some are released.
    ended: Guarded<VecDeque<Slot>>,
    /// Written by the thread whose turn it is, read by all.
    live: AtomicUsize,
    capacity: usize,
}

#[derive(Default)]
pub(crate) struct Cell {
    generation: u32,
    /// The number of the store whose span has it; 0 while nobody has.
    owner: u32,
    /// While nobody has it: the one that was free before it.
    next: Option<&'static Guarded<Cell>>,
    /// Its span has ended: it is kept to be read, as long as there is room.
    ended: bool,
    record: Record,
}

/// The record of a span that ends.
pub(crate) struct Ending<'a> {
    cell: RefMut<'a, Cell>,
    slot: Slot,
}

impl Ending<'_> {
    #[inline(always)]
    pub(crate) fn record(&self) -> &Record {
        &self.cell.record
    }

    /// True if it has ended before, and was kept to be read.
    #[inline(always)]
    pub(crate) fn has_ended(&self) -> bool {
        self.cell.ended
    }
}

/// All cells that were ever made: none is given back.
static SEGMENTS: Guarded<Vec<&'static [Guarded<Cell>]>> = Guarded::new(Vec::new());

/// The cell that nobody has and that was used last: its memory is still in the cache. Each has the next.
static FREE: TurnCell<Option<&'static Guarded<Cell>>> = TurnCell::new(None);

/// Cells are made so many at a time.
const SEGMENT: usize = 64;

/// Records of more ended spans than these are taken back, the oldest first.
const MAX_ENDED: usize = 1024;

/// More cells; one of them.
#[cold]
fn grow(turn: Turn<'_>) -> &'static Guarded<Cell> {
    let cells: Box<[Guarded<Cell>]> = (0..SEGMENT).map(|_| Guarded::default()).collect();
    let cells: &'static [Guarded<Cell>] = Box::leak(cells);
    SEGMENTS.borrow(turn).push(cells);
    for cell in &cells[1..] {
        cell.borrow(turn).next = FREE.get(turn);
        FREE.set(turn, Some(cell));
    }
    &cells[0]
}

impl Store {
    /// A store for at most `capacity` open spans.
    pub fn new(capacity: usize) -> Self {
        static STORES: AtomicU32 = AtomicU32::new(0);
        Self {
            number: STORES.fetch_add(1, Ordering::Relaxed) + 1,
            ended_last: TurnCell::empty(),
            ended: Guarded::new(VecDeque::new()),
            live: AtomicUsize::new(0),
            capacity: capacity.min(Self::MAX_CAPACITY),
        }
    }

    /// More spans than this cannot be open at once, whatever the configuration says.
    pub const MAX_CAPACITY: usize = 100_000_000;

    /// An empty record, but for its name, or None when `capacity` spans are open.
    #[inline(always)]
    pub fn claim(&self, turn: Turn<'_>, name: &str) -> Option<Slot> {
        let live = self.live.load(Ordering::Relaxed);
        if live >= self.capacity {
            return None;
        }
        self.live.store(live + 1, Ordering::Relaxed);
        let (cell, is_free) = match FREE.get(turn) {
            Some(cell) => (cell, true),
            None => (grow(turn), false),
        };
        let mut claimed = cell.borrow(turn);
        if is_free {
            FREE.set(turn, claimed.next);
        }
        claimed.owner = self.number;
        claimed.record.begin(name);
        Some(Slot {
            cell,
            generation: claimed.generation,
        })
    }

    /// Works on the record, if the span still has it. `work` must not call Python.
    #[inline(always)]
    pub fn with<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let mut cell = slot.cell.borrow(turn);
        (cell.generation == slot.generation).then(|| work(&mut cell.record))
    }

    /// The record of an open span, if the span still has it. Nothing that may run Python code may happen
    /// while it is borrowed.
    #[inline(always)]
    pub fn open<'a>(&self, turn: Turn<'a>, slot: Slot) -> Option<RefMut<'a, Record>> {
        let cell = slot.cell.borrow(turn);
        let is_open = !cell.ended && cell.generation == slot.generation;
        is_open.then(|| RefMut::map(cell, |cell| &mut cell.record))
    }

    /// The record of a span that ends, if the span still has it.
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "which store's record it is")]
    pub(crate) fn ending<'a>(&self, turn: Turn<'a>, slot: Slot) -> Option<Ending<'a>> {
        let cell = slot.cell.borrow(turn);
        (cell.generation == slot.generation).then_some(Ending { cell, slot })
    }

    /// Takes the record of an ended span back. With `keeps` it can still be read, until its handle
    /// dies or many others have ended too; it counts as open no more.
    #[inline(always)]
    pub(crate) fn end(&self, turn: Turn<'_>, ending: Ending<'_>, keeps: bool) {
        let Ending { mut cell, slot } = ending;
        if !cell.ended {
            self.live
                .store(self.live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
        if keeps {
            cell.ended = true;
            drop(cell);
            return self.keep(turn, slot);
        }
        cell.record.clear();
        cell.owner = 0;
        cell.ended = false;
        // Wraps after 2^32 uses of one cell: a handle would have to be kept for all of them.
        cell.generation = cell.generation.wrapping_add(1);
        cell.next = FREE.get(turn);
        FREE.set(turn, Some(slot.cell));
    }

    /// Takes back a record that nobody reads any more. False if that has happened.
    pub fn release(&self, turn: Turn<'_>, slot: Slot) -> bool {
        let Some(ending) = self.ending(turn, slot) else {
            return false;
        };
        if ending.has_ended() {
            self.forget(turn, slot);
        }
        self.end(turn, ending, false);
        true
    }

    /// Need not remember an ended span any more.
    #[inline(always)]
    fn forget(&self, turn: Turn<'_>, slot: Slot) {
        let last = self.ended_last.get(turn);
        if last.is_some_and(|last| ptr::eq(last.cell, slot.cell)) {
            self.ended_last.set(turn, None);
        }
    }

    /// Keeps the record of a span that has ended, in the place of the oldest.
    #[inline(always)]
    fn keep(&self, turn: Turn<'_>, slot: Slot) {
        if let Some(before) = self.ended_last.put(turn, slot) {
            self.keep_long(turn, before);
        }
    }

    #[inline(never)]
    fn keep_long(&self, turn: Turn<'_>, slot: Slot) {
        let oldest = {
            let mut ended = self.ended.borrow(turn);
            ended.push_back(slot);
            if ended.len() >= MAX_ENDED {
                ended.pop_front()
            } else {
                None
            }
        };
        if let Some(oldest) = oldest {
            self.release(turn, oldest);
        }
    }

    /// Takes back every record without its handle; `seen` gets the names of the spans that were open.
    pub fn reclaim_all(&self, turn: Turn<'_>, mut seen: impl FnMut(&str)) {
        let segments = SEGMENTS.borrow(turn).clone();
        for cell_of in segments.into_iter().flatten() {
            let (slot, open) = {
                let cell = cell_of.borrow(turn);
                if cell.owner != self.number {
                    continue;
                }
                let name = (!cell.ended).then(|| cell.record.name().into_owned());
                let generation = cell.generation;
                let cell = cell_of;
                (Slot { cell, generation }, name)
            };
            self.release(turn, slot);
            if let Some(name) = open {
                seen(&name);
            }
        }
    }

    /// How many spans are open.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let generation = self.generation;
        f.debug_struct("Slot")
            .field("generation", &generation)
            .finish_non_exhaustive()
    }
}

/// How many records the process ever made.
#[cfg(test)]
fn made(turn: Turn<'_>) -> usize {
    SEGMENTS.borrow(turn).len() * SEGMENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;

    #[test]
    fn a_slot_finds_nothing_once_released() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(10);
        let slot = store.claim(turn, "").unwrap();
        assert!(store.release(turn, slot));
        assert!(!store.release(turn, slot));
        assert_eq!(store.with(turn, slot, |_| ()), None);
        let next = store.claim(turn, "").unwrap();
        assert!(
            std::ptr::eq(next.cell, slot.cell),
            "the hot record comes first"
        );
        assert_eq!(store.with(turn, slot, |_| ()), None);
        assert_eq!(store.with(turn, next, |_| ()), Some(()));
    }

    #[test]
    fn a_claimed_record_is_empty() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(10);
        let slot = store.claim(turn, "").unwrap();
        store.with(turn, slot, |record| record.set_name("left behind"));
        store.release(turn, slot);
        let next = store.claim(turn, "").unwrap();
        assert_eq!(
            store
                .with(turn, next, |record| record.name().into_owned())
                .as_deref(),
            Some("")
        );
    }

    #[test]
    fn no_more_than_the_capacity_are_open_and_the_pool_stays_at_its_high_water_mark() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(100);
        let mut most = 0;
        for round in 0..20 {
            let slots: Vec<_> = std::iter::from_fn(|| store.claim(turn, "")).collect();
            assert_eq!((slots.len(), store.live()), (100, 100));
            for slot in slots {
                store.release(turn, slot);
            }
            if round == 0 {
                most = made(turn);
            }
        }
        assert_eq!((store.live(), made(turn)), (0, most));
    }

    #[test]
    fn an_ended_span_is_read_until_it_is_released_or_many_others_have_ended() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(2);
        let claimed = || store.claim(turn, "").unwrap();
        let ended = || {
            let slot = claimed();
            let ending = store.ending(turn, slot).unwrap();
            assert!(!ending.has_ended());
            store.end(turn, ending, true);
            slot
        };
        let (first, second) = (ended(), ended());
        assert_eq!(store.live(), 0);
        assert_eq!(store.with(turn, first, |_| ()), Some(()));
        assert!(store.open(turn, first).is_none());
        assert!(store.release(turn, second));
        for _ in 0..MAX_ENDED {
            ended();
        }
        assert_eq!(store.with(turn, first, |_| ()), None);
        assert!(store.ended.borrow(turn).len() <= MAX_ENDED);
        let mut seen = 0;
        store.reclaim_all(turn, |_| seen += 1);
        assert_eq!((seen, store.live()), (0, 0));
    }

    #[test]
    fn what_one_store_reclaims_is_not_another_ones() {
        let taken = turn::take();
        let turn = taken.turn();
        let (one, other) = (Store::new(10), Store::new(10));
        let (mine, yours) = (one.claim(turn, ""), other.claim(turn, ""));
        one.reclaim_all(turn, |_| ());
        assert_eq!(one.with(turn, mine.unwrap(), |_| ()), None);
        assert_eq!(other.with(turn, yours.unwrap(), |_| ()), Some(()));
        assert_eq!((one.live(), other.live()), (0, 1));
        other.reclaim_all(turn, |_| ());
    }

    #[test]
    fn reclaiming_leaves_every_handle_with_nothing() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(10);
        let slots: Vec<_> = (0..3).map(|_| store.claim(turn, "").unwrap()).collect();
        store.release(turn, slots[1]);
        let mut seen = 0;
        store.reclaim_all(turn, |_| seen += 1);
        assert_eq!((seen, store.live()), (2, 0));
        assert!(
            slots
                .iter()
                .all(|slot| store.with(turn, *slot, |_| ()).is_none())
        );
    }

    #[test]
    fn threads_that_share_the_store_never_meet_in_a_record() {
        let store = Store::new(64);
        let rounds = if cfg!(miri) { 20 } else { 5_000 };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let name = format!("{thread}/{round}");
                        let slot = store.claim(turn::take().turn(), "").unwrap();
                        store.with(turn::take().turn(), slot, |record| record.set_name(&name));
                        let name_of = |record: &mut Record| record.name().into_owned();
                        let read = store.with(turn::take().turn(), slot, name_of);
                        assert!(store.release(turn::take().turn(), slot));
                        assert_eq!(read.as_deref(), Some(name.as_str()));
                    }
                });
            }
        });
        assert_eq!(store.live(), 0);
    }
}
