//! Once the pools are warm, recording a request allocates nothing: not at its start, not with
//! attributes, events and a status, not when it is handed over.

#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one passes everything on to the system's"
)]

#[path = "../../benches/request/mod.rs"]
#[allow(
    dead_code,
    reason = "the benchmark's request, and what only the benchmark calls"
)]
mod request;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nanospan::sampler::Sampler;
use nanospan::{Exporter, Pipeline, QueueConfig, Tracer, turn};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // The thread may be past the end of its thread-locals.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: Each promise is the system allocator's, which gets the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: The caller keeps `alloc`'s promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: The caller keeps `alloc_zeroed`'s promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: The caller keeps `realloc`'s promises; the pointer is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: The caller keeps `dealloc`'s promises; the pointer is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn discarding(sampler: Sampler, queue: QueueConfig) -> Arc<Pipeline> {
    request::pipeline_to(Exporter::File("/dev/null".into()), sampler, queue)
}

/// What this thread asks for in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Enough for the worker to get back to sleep.
const PAUSE: Duration = Duration::from_millis(2);
/// One for each request: `serve` keeps its open spans in a vector.
const OWN: u64 = 1;
const ROUNDS: usize = 40;
/// Four spans each; fewer than wait for the worker at once.
const REQUESTS: u64 = 100;

/// What recording asks for in each of `ROUNDS` rounds of `REQUESTS`, after as many not counted.
fn in_steady_state(sampler: Sampler, queue: QueueConfig) -> Vec<u64> {
    let pipeline = discarding(sampler, queue);
    let tracer = Tracer::new("allocations", "default", None, None);
    let serve = |count| {
        allocations(|| {
            let taken = turn::take();
            for _ in 0..count {
                request::serve(taken.turn(), tracer, &pipeline);
            }
        })
    };
    let mut asked = Vec::new();
    for round in 0..2 * ROUNDS {
        // The first finished span wakes the worker, which looks around and goes on waiting.
        serve(1);
        thread::sleep(PAUSE);
        let here = serve(REQUESTS);
        assert!(pipeline.flush(TIMEOUT));
        // The worker says that all is sent, and then gives back what it was in.
        thread::sleep(PAUSE);
        if round >= ROUNDS {
            asked.push(here - OWN * REQUESTS);
        }
    }
    asked
}

// One test: pipelines that run side by side take each other's spare traces.
#[test]
fn recording_allocates_nothing_while_the_worker_sleeps_and_hardly_ever_beside_it() {
    let flushed_by_hand = || QueueConfig {
        max_batch_size: 10_000,
        max_coalescing_delay: Duration::from_secs(600),
        ..QueueConfig::default()
    };
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let asked = in_steady_state(sampler, flushed_by_hand());
        // On a busy machine a pause is too short now and then.
        let nothing = asked.iter().filter(|asked| **asked == 0).count();
        assert!(nothing >= ROUNDS * 9 / 10, "{asked:?}");
    }
    // A trace that the worker looks at when its last handle goes is not there for the next root.
    let beside = in_steady_state(Sampler::AlwaysOn, QueueConfig::default());
    let requests = ROUNDS as u64 * REQUESTS;
    assert!(beside.iter().sum::<u64>() <= requests / 100, "{beside:?}");
}
