//! How the application's threads wake the worker, at the cost of one atomic operation when it need
//! not be woken.

use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock};
use std::time::Instant;

/// One sleeper, any number of callers. All orders follow from read-modify-write operations on one
/// atomic, so none of them needs to be sequentially consistent.
#[derive(Debug)]
pub(crate) struct Doorbell {
    state: AtomicU64,
    woken: Mutex<bool>,
    bell: Condvar,
}

/// The sleeper waits for any ring.
const IDLE: u64 = 1;
/// The sleeper waits until a time, and before it for urgent rings only.
const TIMED: u64 = 2;
/// One ring since the sleeper last looked. They are counted, since to add is one instruction where to
/// set a bit and see the others is a loop.
const RING: u64 = 4;

impl Default for Doorbell {
    fn default() -> Self {
        Self {
            state: AtomicU64::new(0),
            woken: Mutex::new(false),
            bell: Condvar::new(),
        }
    }
}

impl Doorbell {
    /// Says that there is work. A sleeper with a time set is woken only if it is `urgent`: what
    /// comes now falls due later than what it waits for.
    #[inline(always)]
    pub(crate) fn ring(&self, urgent: bool) {
        let before = self.state.fetch_add(RING, Ordering::AcqRel);
        if before & IDLE != 0 || (urgent && before & TIMED != 0) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        *lock(&self.woken) = true;
        self.bell.notify_one();
    }

    /// For the sleeper: forgets the rings so far. Call it before looking for work, so that a ring
    /// during the look makes the next sleep end at once.
    pub(crate) fn clear(&self) {
        self.state.swap(0, Ordering::AcqRel);
    }

    /// For the sleeper: sleeps until `deadline` or a ring. Returns at once if there was a ring
    /// since [`Self::clear`].
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        let mode = if deadline.is_some() { TIMED } else { IDLE };
        let announced = self
            .state
            .compare_exchange(0, mode, Ordering::AcqRel, Ordering::Acquire);
        if announced.is_err() {
            return;
        }
        let mut woken = lock(&self.woken);
        while !*woken {
            woken = match deadline {
                None => self
                    .bell
                    .wait(woken)
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let result = self.bell.wait_timeout(woken, left);
                    result.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
    }
}

#[cfg(all(test, not(nanospan_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ring_before_the_sleep_ends_it_at_once() {
        let bell = Doorbell::default();
        bell.clear();
        bell.ring(false);
        bell.sleep(None);
    }

    #[test]
    fn a_sleeper_with_a_time_set_wakes_by_itself_and_for_urgent_rings() {
        let bell = Doorbell::default();
        bell.clear();
        bell.sleep(Some(Instant::now() + Duration::from_millis(5)));
        bell.clear();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                bell.ring(true);
            });
            bell.sleep(Some(begun + Duration::from_secs(30)));
        });
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[cfg(all(test, nanospan_loom))]
#[allow(unsafe_code, reason = "turns by a lock of the model")]
mod model {
    use super::*;
    use crate::chunk::{Chunk, ChunkSlot, Seen};
    use crate::turn::Turn;
    use loom::sync::Arc;
    use loom::thread;

    /// Adds a span of one byte, as a trace does. The lock stands for the interpreter's.
    fn add(slot: &ChunkSlot, lock_of_turns: &Mutex<()>, byte: u8) {
        let _taken = lock(lock_of_turns);
        // SAFETY: all turns of the model come from this lock.
        let turn = unsafe { Turn::assume() };
        let write = |chunk: &mut Chunk| chunk.add_to_first().push(byte);
        if let Some(mut chunk) = slot.take_out(turn) {
            write(&mut chunk);
        } else {
            let mut chunk = Chunk::with_room(1);
            write(&mut chunk);
            slot.put(turn, chunk);
        }
    }

    fn bytes(chunk: Option<Box<Chunk>>) -> Vec<u8> {
        let runs = chunk.into_iter();
        runs.flat_map(|chunk| {
            let runs = chunk.runs();
            runs.flat_map(|run| run.bytes.clone()).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Two threads finish spans of one trace and ring; the worker takes what it finds and sleeps
    /// without a time only where nothing is seen. In every interleaving it ends up with both spans, and
    /// none twice.
    #[test]
    fn every_span_that_was_added_before_a_ring_is_found_by_the_sleeper() {
        loom::model(|| {
            let shared = Arc::new((ChunkSlot::default(), Mutex::new(()), Doorbell::default()));
            let finishers: Vec<_> = [1, 2]
                .map(|byte| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        add(&shared.0, &shared.1, byte);
                        shared.2.ring(false);
                    })
                })
                .into();
            let mut taken = Vec::new();
            while taken.len() < 2 {
                shared.2.clear();
                let seen = shared.0.look();
                taken.extend(bytes(shared.0.steal()));
                if seen == Seen::Out {
                    thread::yield_now();
                } else if taken.len() < 2 {
                    shared.2.sleep(None);
                }
            }
            for finisher in finishers {
                finisher.join().unwrap();
            }
            taken.sort_unstable();
            assert_eq!(taken, [1, 2]);
            assert_eq!(shared.0.look(), Seen::Empty);
        });
    }

    /// A child finishes, then the root ends, while the worker steals: whoever takes the chunk, each span
    /// is taken once.
    #[test]
    fn what_the_worker_steals_beside_the_end_of_a_trace_is_taken_exactly_once() {
        loom::model(|| {
            let shared = Arc::new((ChunkSlot::default(), Mutex::new(())));
            let worker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || bytes(shared.0.steal()))
            };
            add(&shared.0, &shared.1, 1);
            add(&shared.0, &shared.1, 2);
            let mut out = {
                let _taken = lock(&shared.1);
                // SAFETY: as in `add`.
                bytes(shared.0.take(unsafe { Turn::assume() }))
            };
            out.extend(worker.join().unwrap());
            out.sort_unstable();
            assert_eq!(out, [1, 2]);
            assert_eq!(shared.0.look(), Seen::Empty);
        });
    }
}
