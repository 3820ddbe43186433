//! What happens to chunks, flushes and ways out when a worker has gone or a way out breaks.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;

use super::super::{Config, Exporter, QueueConfig, Settings};
use super::*;
use crate::chunk::{Chunk, InstrumentationScope};
use crate::clock::Clock;
use crate::context::SpanKind;
use crate::counter::Reason;
use crate::export::memory::Memory;
use crate::export::{Failure, Reply, WayOut};
use crate::limits::SpanLimits;
use crate::resource::Resource;
use crate::sampler::Sampler;
use crate::span::Handle;
use crate::tracer::{Parent, SpanOptions, Tracer};
use crate::turn;

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
        keep: None,
        forgets: false,
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
    let mut chunk = Chunk::with_room(2);
    chunk.begin(InstrumentationScope::new("test", None), true);
    // `ScopeSpans.spans` with an empty `Span`.
    chunk.add_to_first().extend([0x12, 0]);
    pipeline.queue.reserve(turn::take().turn(), 1, 2);
    pipeline.enqueue(None, chunk, 1);
}

fn start(tracer: &'static Tracer, pipeline: &Arc<Pipeline>, parent: Parent<'_>) -> Handle {
    let options = SpanOptions {
        name: Some("x"),
        kind: SpanKind::Internal,
        start_time_ns: None,
        should_sample: None,
        parent,
        chosen: None,
    };
    tracer.start(turn::take().turn(), pipeline, &options)
}

#[test]
fn a_chunk_that_comes_after_the_worker_has_gone_is_counted_and_leaves_the_account() {
    for started in [true, false] {
        let pipeline = pipeline(&Memory::default());
        if started {
            finish_a_span(&pipeline);
        }
        assert!(shutdown(&pipeline));
        finish_a_span(&pipeline);
        assert_eq!(pipeline.counters.dropped.get(Reason::Shutdown), 1);
        assert_eq!((pipeline.queue.spans(), pipeline.queue.bytes()), (0, 0));
    }
}

#[test]
fn of_spans_that_finish_beside_a_shutdown_none_stays_in_the_account() {
    let tracer = Tracer::new("test", "default", None, None);
    for _ in 0..500 {
        let pipeline = pipeline(&Memory::default());
        let root = start(tracer, &pipeline, Parent::Root);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !pipeline.is_closed() {
                        let child = start(tracer, &pipeline, Parent::Span(&root));
                        child.finish(turn::take().turn(), None).unwrap();
                    }
                });
            }
            thread::yield_now();
            shutdown(&pipeline);
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
    let flush = pipeline.begin_flush(turn::take().turn());
    pipeline.retire(flush, Instant::now() + TIMEOUT);
    wait_until(|| pipeline.worker_state() == "stopped");
    assert!(pipeline.flush(TIMEOUT));
    assert_eq!(memory.batches().len(), 1);
}

#[test]
fn a_flush_asked_for_while_the_worker_sends_its_last_says_that_all_was_sent() {
    let pipeline = pipeline(&Memory::default());
    let (begun, has_begun) = channel();
    let (release, released) = channel();
    put_first(&pipeline, Slow { begun, released });
    finish_a_span(&pipeline);
    thread::scope(|scope| {
        let shutdown = scope.spawn(|| shutdown(&pipeline));
        has_begun.recv_timeout(TIMEOUT).expect("it is sending");
        let flush = scope.spawn(|| pipeline.flush(TIMEOUT));
        wait_until(|| pipeline.worker.orders().drains_wanted == 2);
        release.send(()).expect("somebody waits");
        assert!(shutdown.join().unwrap());
        assert!(flush.join().unwrap());
    });
}

/// A way out that takes as long as the test wants.
struct Slow {
    begun: Sender<()>,
    released: Receiver<()>,
}

impl WayOut for Slow {
    fn send(&mut self, _bytes: &Bytes, _patience: &Patience) -> Result<Reply, Failure> {
        self.begun.send(()).expect("the test waits");
        self.released.recv_timeout(TIMEOUT).expect("it is released");
        Ok(Reply::default())
    }
}

#[test]
fn a_way_out_that_panics_is_a_failure_of_its_own_and_the_others_go_on() {
    let memory = Memory::default();
    let pipeline = pipeline(&memory);
    put_first(&pipeline, Broken);
    for sent in 1..=3 {
        finish_a_span(&pipeline);
        assert!(!pipeline.flush(TIMEOUT));
        assert_eq!(memory.batches().len(), sent);
        assert_eq!(pipeline.worker_state(), "running");
    }
    assert_eq!(pipeline.counters.dropped.get(Reason::ExportFailed), 3);
    let error = pipeline.last_error().unwrap_or_default();
    assert!(error.starts_with("test: "), "{error}");
}

struct Broken;

impl WayOut for Broken {
    fn send(&mut self, _bytes: &Bytes, _patience: &Patience) -> Result<Reply, Failure> {
        panic!("a defect, made for this test");
    }
}

fn shutdown(pipeline: &Arc<Pipeline>) -> bool {
    let deadline = Instant::now() + TIMEOUT;
    let flush = pipeline.begin_shutdown(turn::take().turn(), deadline);
    pipeline.end_shutdown(flush, deadline)
}

fn put_first(pipeline: &Pipeline, way: impl WayOut + 'static) {
    let mut orders = pipeline.worker.orders();
    let out = Out {
        name: "test".to_owned(),
        bytes: Box::new(|request| request),
        way: Box::new(way),
    };
    let desk = orders.desk.as_mut().expect("not started");
    desk.sender.put_first(out);
}

fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        thread::sleep(Duration::from_millis(1));
    }
}
