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

use nanospan::clock::Clock;
use nanospan::pipeline::Settings;
use nanospan::resource::Resource;
use nanospan::sampler::Sampler;
use nanospan::{Config, Exporter, Pipeline, QueueConfig, SpanLimits, Tracer, turn};

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

fn discarding(sampler: Sampler) -> Arc<Pipeline> {
    let settings = Settings {
        exporters: vec![Exporter::File("/dev/null".into())],
        resource: Resource::default(),
        limits: SpanLimits::default(),
        queue: QueueConfig::default(),
        sampler,
        sampling_rate: None,
        late_sampling: false,
        forgets: false,
        clock: Clock::System,
    };
    let pipeline = Pipeline::new(Config {
        settings: Arc::new(settings),
        ids: None,
    });
    pipeline.expect("it opens")
}

/// What this thread asks for in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn in_steady_state(sampler: Sampler) -> u64 {
    let pipeline = discarding(sampler);
    let tracer = Tracer::new("allocations", "default", None, None);
    let rounds = |count: usize| {
        let mut asked = 0;
        for _ in 0..count {
            // As many as wait for the worker at once.
            asked += allocations(|| {
                let taken = turn::take();
                for _ in 0..100 {
                    request::serve(taken.turn(), tracer, &pipeline);
                }
            });
            assert!(pipeline.flush(TIMEOUT));
            // The worker says that all is sent, and then gives back what it was in.
            thread::sleep(Duration::from_millis(2));
        }
        asked
    };
    rounds(20);
    rounds(100)
}

#[test]
fn ten_thousand_requests_allocate_nothing_but_the_vector_of_the_test() {
    // `serve` keeps its open spans in a vector.
    let own = 100 * 100;
    assert_eq!(in_steady_state(Sampler::AlwaysOn) - own, 0);
    assert_eq!(in_steady_state(Sampler::AlwaysOff) - own, 0);
}
