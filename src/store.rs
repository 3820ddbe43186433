//! The pool of records. A slot is named by its place and a generation, so a handle kept too long
//! finds nothing instead of somebody else's span.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::record::Record;
use crate::turn::{Guarded, Turn};

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
    /// Slots of spans that have ended and can still be read, the oldest first; some are released.
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
    /// Its span has ended: it is kept to be read, as long as there is room.
    ended: bool,
    record: Record,
}

/// All cells that were ever made: none is given back.
struct Pool {
    segments: Vec<&'static [Guarded<Cell>]>,
    /// The most recently used last: its memory is still in the cache.
    free: Vec<&'static Guarded<Cell>>,
}

static POOL: Guarded<Pool> = Guarded::new(Pool {
    segments: Vec::new(),
    free: Vec::new(),
});

/// Cells are made so many at a time.
const SEGMENT: usize = 64;

/// Records of more ended spans than these are taken back, the oldest first.
const MAX_ENDED: usize = 1024;

impl Pool {
    #[cold]
    fn grow(&mut self) {
        let cells: Box<[Guarded<Cell>]> = (0..SEGMENT).map(|_| Guarded::default()).collect();
        let cells: &'static [Guarded<Cell>] = Box::leak(cells);
        self.segments.push(cells);
        self.free.extend(cells.iter().rev());
    }
}

impl Store {
    /// A store for at most `capacity` open spans.
    pub fn new(capacity: usize) -> Self {
        static STORES: AtomicU32 = AtomicU32::new(0);
        Self {
            number: STORES.fetch_add(1, Ordering::Relaxed) + 1,
            ended: Guarded::new(VecDeque::new()),
            live: AtomicUsize::new(0),
            capacity: capacity.min(Self::MAX_CAPACITY),
        }
    }

    /// More spans than this cannot be open at once, whatever the configuration says.
    pub const MAX_CAPACITY: usize = 100_000_000;

    /// An empty record, which `begin` begins, or None when `capacity` spans are open.
    #[inline(always)]
    pub fn claim(&self, turn: Turn<'_>, begin: impl FnOnce(&mut Record)) -> Option<Slot> {
        let live = self.live.load(Ordering::Relaxed);
        if live >= self.capacity {
            return None;
        }
        self.live.store(live + 1, Ordering::Relaxed);
        let cell = {
            let mut pool = POOL.borrow(turn);
            if pool.free.is_empty() {
                pool.grow();
            }
            pool.free.pop()?
        };
        let mut claimed = cell.borrow(turn);
        claimed.owner = self.number;
        begin(&mut claimed.record);
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

    /// Works on the record of an open span, if the span still has it. `work` must not call Python.
    #[inline(always)]
    pub fn with_open<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let mut cell = slot.cell.borrow(turn);
        let is_open = !cell.ended && cell.generation == slot.generation;
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
            let mut cell = slot.cell.borrow(turn);
            if cell.ended || cell.generation != slot.generation {
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
    #[inline(always)]
    pub fn release<R>(
        &self,
        turn: Turn<'_>,
        slot: Slot,
        work: impl FnOnce(&Record) -> R,
    ) -> Option<R> {
        let mut cell = slot.cell.borrow(turn);
        if cell.generation != slot.generation {
            return None;
        }
        let result = work(&cell.record);
        cell.record.clear();
        cell.owner = 0;
        let was_open = !std::mem::take(&mut cell.ended);
        // Wraps after 2^32 uses of one cell: a handle would have to be kept for all of them.
        cell.generation = cell.generation.wrapping_add(1);
        if was_open {
            self.live
                .store(self.live.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
        POOL.borrow(turn).free.push(slot.cell);
        Some(result)
    }

    /// Takes back every record without its handle; `seen` gets the names of the spans that were open.
    pub fn reclaim_all(&self, turn: Turn<'_>, mut seen: impl FnMut(&str)) {
        let segments = POOL.borrow(turn).segments.clone();
        for cell in segments.into_iter().flatten() {
            let (generation, ended) = {
                let cell = cell.borrow(turn);
                if cell.owner != self.number {
                    continue;
                }
                (cell.generation, cell.ended)
            };
            self.release(turn, Slot { cell, generation }, |record| {
                if !ended {
                    seen(record.name());
                }
            });
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
    POOL.borrow(turn).segments.len() * SEGMENT
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
        let slot = store.claim(turn, |_| ()).unwrap();
        assert_eq!(store.release(turn, slot, |_| ()), Some(()));
        assert_eq!(store.release(turn, slot, |_| ()), None);
        assert_eq!(store.with(turn, slot, |_| ()), None);
        let next = store.claim(turn, |_| ()).unwrap();
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
        let slot = store.claim(turn, |_| ()).unwrap();
        store.with(turn, slot, |record| record.set_name("left behind"));
        store.release(turn, slot, |_| ());
        let next = store.claim(turn, |_| ()).unwrap();
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
        let mut most = 0;
        for round in 0..20 {
            let slots: Vec<_> = std::iter::from_fn(|| store.claim(turn, |_| ())).collect();
            assert_eq!((slots.len(), store.live()), (100, 100));
            for slot in slots {
                store.release(turn, slot, |_| ());
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
        let claimed = || store.claim(turn, |_| ()).unwrap();
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
        let (mine, yours) = (one.claim(turn, |_| ()), other.claim(turn, |_| ()));
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
        let slots: Vec<_> = (0..3).map(|_| store.claim(turn, |_| ()).unwrap()).collect();
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
                        let slot = store.claim(turn::take().turn(), |_| ()).unwrap();
                        store.with(turn::take().turn(), slot, |record| record.set_name(&name));
                        let read = store
                            .release(turn::take().turn(), slot, |record| record.name().to_owned());
                        assert_eq!(read.as_deref(), Some(name.as_str()));
                    }
                });
            }
        });
        assert_eq!(store.live(), 0);
    }
}
