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
mod model {
    use super::*;
    use crate::chunk::{Chunk, ChunkSlot, InstrumentationScope};
    use loom::sync::Arc;
    use loom::thread;

    fn empty() -> Box<Chunk> {
        Chunk::with_room(1)
    }

    /// Two threads finish spans of one trace and ring; the worker takes what it finds and sleeps
    /// without a time. In every interleaving it ends up with both spans, and none twice.
    #[test]
    fn every_span_that_was_added_before_a_ring_is_found_by_the_sleeper() {
        loom::model(|| {
            let shared = Arc::new((ChunkSlot::default(), Doorbell::default()));
            let scope = InstrumentationScope::new("t", None);
            let finishers: Vec<_> = [1, 2]
                .map(|byte| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        shared.0.add(scope, true, empty, |buffer| buffer.push(byte));
                        shared.1.ring(false);
                    })
                })
                .into();
            let mut taken = Vec::new();
            while taken.len() < 2 {
                shared.1.clear();
                if let Some(chunk) = shared.0.take() {
                    taken.extend(chunk.runs().flat_map(|run| run.bytes.clone()));
                }
                if taken.len() < 2 {
                    shared.1.sleep(None);
                }
            }
            for finisher in finishers {
                finisher.join().unwrap();
            }
            taken.sort_unstable();
            assert_eq!(taken, [1, 2]);
            assert!(shared.0.take().is_none());
        });
    }

    /// The root ends while a child finishes and the worker looks: whoever takes the chunk, each
    /// span is taken once. The flag stands for `Trace::ended`.
    #[test]
    fn a_child_that_finishes_beside_its_root_is_taken_exactly_once() {
        use loom::sync::atomic::{AtomicBool, Ordering};
        loom::model(|| {
            let slot = Arc::new(ChunkSlot::default());
            let ended = Arc::new(AtomicBool::new(false));
            let out = Arc::new(Mutex::new(Vec::new()));
            let scope = InstrumentationScope::new("t", None);
            let hand_over = |slot: &ChunkSlot, out: &Mutex<Vec<u8>>| {
                if let Some(chunk) = slot.take() {
                    lock(out).extend(chunk.runs().flat_map(|run| run.bytes.clone()));
                }
            };
            let child = {
                let (slot, ended, out) = (Arc::clone(&slot), Arc::clone(&ended), Arc::clone(&out));
                thread::spawn(move || {
                    slot.add(scope, true, empty, |buffer| buffer.push(1));
                    if ended.load(Ordering::Acquire) {
                        hand_over(&slot, &out);
                    }
                })
            };
            slot.add(scope, true, empty, |buffer| buffer.push(2));
            ended.store(true, Ordering::Release);
            hand_over(&slot, &out);
            child.join().unwrap();
            let mut out = lock(&out).clone();
            out.sort_unstable();
            assert_eq!(out, [1, 2]);
        });
    }
}
