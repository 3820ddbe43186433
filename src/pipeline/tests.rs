//! What happens to chunks, flushes and ways out when a worker has gone or a way out breaks.

use std::io;
use std::thread;

use super::*;
use crate::chunk::{ChunkSlot, InstrumentationScope};
use crate::clock::Clock;
use crate::context::SpanKind;
use crate::export::WayOut;
use crate::export::memory::Memory;
use crate::resource::Resource;
use crate::span::Span;
use crate::tracer::{Parent, SpanOptions, Tracer};

const TIMEOUT: Duration = Duration::from_secs(10);

fn pipeline(memory: &Memory) -> Arc<Pipeline> {
    let settings = Settings {
        exporters: vec![Exporter::Memory(memory.clone())],
        resource: Resource::default(),
        limits: SpanLimits::default(),
        queue: QueueConfig::default(),
        sampler: Sampler::AlwaysOn,
        sampling_rate: None,
        late_sampling: false,
        clock: Clock::System,
    };
    let pipeline = Pipeline::new(Config {
        settings: Arc::new(settings),
        ids: None,
    });
    pipeline.expect("memory opens")
}

/// Queues a chunk of one span, as a trace does that saw the pipeline open.
fn finish_a_span(pipeline: &Arc<Pipeline>) {
    let slot = ChunkSlot::default();
    let scope = Arc::new(InstrumentationScope::new("test", None));
    slot.add(&scope, true, |buffer| {
        // `ScopeSpans.spans` with an empty `Span`.
        buffer.extend([0x12, 0]);
        pipeline.queue.reserve(1, 2);
    });
    pipeline.enqueue(slot.take().expect("a span was added"));
}

fn start(tracer: &Arc<Tracer>, pipeline: &Arc<Pipeline>, parent: Parent<'_>) -> Span {
    let options = SpanOptions {
        name: Some("x"),
        kind: SpanKind::Internal,
        start_time_ns: None,
        should_sample: None,
        parent,
    };
    tracer.start(pipeline, &options)
}

#[test]
fn a_chunk_that_comes_after_the_worker_has_gone_is_counted_and_leaves_the_account() {
    for started in [true, false] {
        let pipeline = pipeline(&Memory::default());
        if started {
            finish_a_span(&pipeline);
        }
        assert!(pipeline.shutdown(TIMEOUT));
        finish_a_span(&pipeline);
        assert_eq!(pipeline.counters.dropped.get(Reason::Shutdown), 1);
        assert_eq!((pipeline.queue.spans(), pipeline.queue.bytes()), (0, 0));
    }
}

#[test]
fn a_shutdown_beside_a_busy_worker_leaves_nothing_and_says_that_all_was_sent() {
    for _ in 0..2_000 {
        let pipeline = pipeline(&Memory::default());
        finish_a_span(&pipeline);
        pipeline.worker.look();
        assert!(pipeline.shutdown(TIMEOUT));
        assert_eq!((pipeline.queue.spans(), pipeline.queue.bytes()), (0, 0));
    }
}

#[test]
fn of_spans_that_finish_beside_a_shutdown_none_stays_in_the_account() {
    let tracer = Arc::new(Tracer::new("test", "default", None, None));
    for _ in 0..500 {
        let pipeline = pipeline(&Memory::default());
        let root = start(&tracer, &pipeline, Parent::Root);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !pipeline.is_closed() {
                        let child = start(&tracer, &pipeline, Parent::Span(&root));
                        child.finish(None).unwrap();
                    }
                });
            }
            thread::yield_now();
            pipeline.shutdown(TIMEOUT);
        });
        assert_eq!((pipeline.queue.spans(), pipeline.queue.bytes()), (0, 0));
        let counters = &pipeline.counters;
        let dropped: u64 = Reason::ALL
            .map(|reason| counters.dropped.get(reason))
            .iter()
            .sum();
        assert_eq!(counters.sent.get() + dropped, counters.finished.get());
    }
}

#[test]
fn a_flush_after_the_last_span_of_a_replaced_pipeline_says_that_all_was_sent() {
    let memory = Memory::default();
    let pipeline = pipeline(&memory);
    finish_a_span(&pipeline);
    pipeline.retire(TIMEOUT);
    let deadline = Instant::now() + TIMEOUT;
    while pipeline.worker_state() != "stopped" {
        assert!(Instant::now() < deadline, "the worker goes on");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(pipeline.flush(TIMEOUT));
    assert_eq!(memory.batches().len(), 1);
}

#[test]
fn a_way_out_that_panics_is_a_failure_of_its_own_and_the_others_go_on() {
    struct Broken;
    impl WayOut for Broken {
        fn send(&mut self, _bytes: &[u8]) -> io::Result<()> {
            panic!("a defect, made for this test");
        }
    }
    let memory = Memory::default();
    let pipeline = pipeline(&memory);
    let broken = config::Out {
        name: "broken".to_owned(),
        bytes: |request| request,
        way: Box::new(Broken),
    };
    pipeline.worker.put_first(broken);
    for sent in 1..=3 {
        finish_a_span(&pipeline);
        assert!(!pipeline.flush(TIMEOUT));
        assert_eq!(memory.batches().len(), sent);
        assert_eq!(pipeline.worker_state(), "running");
    }
    assert_eq!(pipeline.counters.dropped.get(Reason::ExportFailed), 3);
    let error = pipeline.last_error().unwrap_or_default();
    assert!(error.starts_with("broken: "), "{error}");
}
