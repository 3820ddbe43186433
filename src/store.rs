//! The pool of records. A slot is named by its index and a generation, so a handle kept too long
//! finds nothing instead of somebody else's span.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::record::Record;
use crate::turn::{Guarded, Turn};

/// Names a record for as long as one span has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    index: u32,
    /// Never zero, so that an optional slot takes no more room than a slot.
    generation: NonZero<u32>,
}

/// Records in segments that double in size, made when first needed and never moved.
#[derive(Debug)]
pub struct Store {
    segments: [OnceLock<Box<[Guarded<Cell>]>>; SEGMENTS],
    /// Released indices, the most recently used last: its memory is still in the cache.
    free: Guarded<Free>,
    /// Slots of spans that have ended and can still be read, the oldest first; some are released.
    ended: Guarded<VecDeque<Slot>>,
    /// Written by the thread whose turn it is, read by all.
    live: AtomicUsize,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Free {
    released: Vec<u32>,
    /// Indices from here on were never used.
    unused: u32,
}

#[derive(Debug)]
struct Cell {
    generation: NonZero<u32>,
    claimed: bool,
    /// Its span has ended: it is kept to be read, as long as there is room.
    ended: bool,
    record: Record,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            generation: NonZero::<u32>::MIN,
            claimed: false,
            ended: false,
            record: Record::default(),
        }
    }
}

/// Records of more ended spans than these are taken back, the oldest first.
const MAX_ENDED: usize = 1024;

const FIRST_SEGMENT: u32 = 64;
const SEGMENTS: usize = 24;

impl Store {
    /// A store for at most `capacity` open spans.
    pub fn new(capacity: usize) -> Self {
        Self {
            segments: [const { OnceLock::new() }; SEGMENTS],
            free: Guarded::new(Free::default()),
            ended: Guarded::new(VecDeque::new()),
            live: AtomicUsize::new(0),
            capacity: capacity.min(Self::MAX_CAPACITY),
        }
    }

    /// More spans than this cannot be open at once, whatever the configuration says.
    pub const MAX_CAPACITY: usize = 100_000_000;

    /// An empty record, or None when `capacity` spans are open.
    #[inline]
    pub fn claim(&self, turn: Turn<'_>) -> Option<Slot> {
        let live = self.live.load(Ordering::Relaxed);
        if live >= self.capacity {
            return None;
        }
        self.live.store(live + 1, Ordering::Relaxed);
        let mut free = self.free.borrow(turn);
        let index = free.released.pop().unwrap_or_else(|| {
            free.unused += 1;
            free.unused - 1
        });
        let mut cell = self.cell(index).borrow(turn);
        cell.claimed = true;
        Some(Slot {
            index,
            generation: cell.generation,
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
        let mut cell = self.cell(slot.index).borrow(turn);
        (cell.claimed && cell.generation == slot.generation).then(|| work(&mut cell.record))
    }

    /// Works on the record of an open span, if the span still has it. `work` must not call Python.
    #[inline(always)]
    pub fn with_open<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let mut cell = self.cell(slot.index).borrow(turn);
        let is_open = cell.claimed && !cell.ended && cell.generation == slot.generation;
        is_open.then(|| work(&mut cell.record))
    }

    /// Works on the record of a span that has ended. The span keeps it, to be read, until its handle
    /// dies or many others have ended too; it counts as open no more.
    #[inline]
    pub fn keep<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&Record) -> R,
    ) -> Option<R> {
        let result = {
            let mut cell = self.cell(slot.index).borrow(turn);
            if !cell.claimed || cell.ended || cell.generation != slot.generation {
                return None;
            }
            cell.ended = true;
            work(&cell.record)
        };
        self.live
            .store(self.live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        let oldest = {
            let mut ended = self.ended.borrow(turn);
            ended.push_back(slot);
            if ended.len() > MAX_ENDED {
                ended.pop_front()
            } else {
                None
            }
        };
        if let Some(oldest) = oldest {
            self.release(turn, oldest, |_| ());
        }
        Some(result)
    }

    /// Works on the record a last time and takes it back, if the span still has it.
    #[inline]
    pub fn release<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&Record) -> R,
    ) -> Option<R> {
        let mut cell = self.cell(slot.index).borrow(turn);
        if !cell.claimed || cell.generation != slot.generation {
            return None;
        }
        let result = work(&cell.record);
        cell.record.clear();
        cell.claimed = false;
        let was_open = !std::mem::take(&mut cell.ended);
        // Begins anew after 2^32 uses of one slot: a handle would have to be kept for all of them.
        cell.generation = cell.generation.checked_add(1).unwrap_or(NonZero::<u32>::MIN);
        if was_open {
            self.live
                .store(self.live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
        self.free.borrow(turn).released.push(slot.index);
        Some(result)
    }

    /// Takes back every record without its handle; `seen` gets the names of the spans that were open.
    pub fn reclaim_all(&self, turn: Turn<'_>, mut seen: impl FnMut(&str)) {
        let used = self.free.borrow(turn).unused;
        for index in 0..used {
            let generation = {
                let cell = self.cell(index).borrow(turn);
                cell.claimed.then_some((cell.generation, cell.ended))
            };
            if let Some((generation, ended)) = generation {
                self.release(turn, Slot { index, generation }, |record| {
                    if !ended {
                        seen(record.name());
                    }
                });
            }
        }
    }

    /// How many spans are open.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// How many records were ever made: the most spans that were open at once.
    pub fn high_water(&self, turn: Turn<'_>) -> usize {
        self.free.borrow(turn).unused as usize
    }

    #[inline(always)]
    fn cell(&self, index: u32) -> &Guarded<Cell> {
        // Segment n holds FIRST_SEGMENT << n cells, after the FIRST_SEGMENT * (2^n - 1) before it.
        let segment = (index / FIRST_SEGMENT + 1).ilog2();
        let start = FIRST_SEGMENT * ((1 << segment) - 1);
        let cells = self.segments[segment as usize].get_or_init(|| {
            (0..FIRST_SEGMENT << segment)
                .map(|_| Guarded::default())
                .collect()
        });
        &cells[(index - start) as usize]
    }
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
        let slot = store.claim(turn).unwrap();
        assert_eq!(store.release(turn, slot, |_| ()), Some(()));
        assert_eq!(store.release(turn, slot, |_| ()), None);
        assert_eq!(store.with(turn, slot, |_| ()), None);
        let next = store.claim(turn).unwrap();
        assert_eq!(next.index, slot.index, "the hot record comes first");
        assert_eq!(store.with(turn, slot, |_| ()), None);
        assert_eq!(store.with(turn, next, |_| ()), Some(()));
    }

    #[test]
    fn a_claimed_record_is_empty() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(10);
        let slot = store.claim(turn).unwrap();
        store.with(turn, slot, |record| record.set_name("left behind"));
        store.release(turn, slot, |_| ());
        let next = store.claim(turn).unwrap();
        assert_eq!(
            store
                .with(turn, next, |record| record.name().to_owned())
                .as_deref(),
            Some("")
        );
    }

    #[test]
    fn no_more_than_the_capacity_are_open_and_the_pool_stays_at_its_high_water_mark() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(100);
        for _ in 0..20 {
            let slots: Vec<_> = std::iter::from_fn(|| store.claim(turn)).collect();
            assert_eq!((slots.len(), store.live()), (100, 100));
            for slot in slots {
                store.release(turn, slot, |_| ());
            }
        }
        assert_eq!((store.live(), store.high_water(turn)), (0, 100));
    }

    #[test]
    fn an_ended_span_is_read_until_it_is_released_or_many_others_have_ended() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(2);
        let claimed = || store.claim(turn).unwrap();
        let ended = || {
            let slot = claimed();
            assert_eq!(store.keep(turn, slot, |_| ()), Some(()));
            assert_eq!(store.keep(turn, slot, |_| ()), None);
            slot
        };
        let (first, second) = (ended(), ended());
        assert_eq!(store.live(), 0);
        assert_eq!(store.with(turn, first, |_| ()), Some(()));
        assert_eq!(store.with_open(turn, first, |_| ()), None);
        assert_eq!(store.release(turn, second, |_| ()), Some(()));
        for _ in 0..MAX_ENDED {
            ended();
        }
        assert_eq!(store.with(turn, first, |_| ()), None);
        assert!(store.high_water(turn) <= MAX_ENDED as u32 as usize + 1);
        let mut seen = 0;
        store.reclaim_all(turn, |_| seen += 1);
        assert_eq!((seen, store.live()), (0, 0));
    }

    #[test]
    fn every_index_has_a_cell_of_its_own() {
        let store = Store::new(Store::MAX_CAPACITY);
        let cells: std::collections::HashSet<_> = (0..1_000)
            .map(|index| std::ptr::from_ref(store.cell(index)))
            .collect();
        assert_eq!(cells.len(), 1_000);
        let last = Store::MAX_CAPACITY as u32 - 1;
        assert!(((last / FIRST_SEGMENT + 1).ilog2() as usize) < SEGMENTS);
    }

    #[test]
    fn reclaiming_leaves_every_handle_with_nothing() {
        let taken = turn::take();
        let turn = taken.turn();
        let store = Store::new(10);
        let slots: Vec<_> = (0..3).map(|_| store.claim(turn).unwrap()).collect();
        store.release(turn, slots[1], |_| ());
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
                        let slot = store.claim(turn::take().turn()).unwrap();
                        store.with(turn::take().turn(), slot, |record| record.set_name(&name));
                        let read = store
                            .release(turn::take().turn(), slot, |record| record.name().to_owned());
                        assert_eq!(read.as_deref(), Some(name.as_str()));
                    }
                });
            }
        });
        assert_eq!(store.live(), 0);
        assert!(store.high_water(turn::take().turn()) <= 4);
    }
}
