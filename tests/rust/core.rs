//! The core as a Rust program uses it, without Python: what comes out is read back by the crate
//! `opentelemetry-proto`, which shares nothing with ours.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nanospan::clock::{Clock, ManualClock};
use nanospan::counter::Reason;
use nanospan::id::{Script, SpanId, TraceId};
use nanospan::pipeline::Settings;
use nanospan::resource::Resource;
use nanospan::sampler::Sampler;
use nanospan::turn;
use nanospan::value::Value;
use nanospan::{
    Config, Exporter, Handle, Memory, Parent, Pipeline, QueueConfig, SpanKind, SpanLimits,
    SpanOptions, StatusCode, Tracer,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;

const TIMEOUT: Duration = Duration::from_secs(10);

struct Recording {
    pipeline: Arc<Pipeline>,
    memory: Memory,
    tracer: &'static Tracer,
}

fn settings(memory: &Memory) -> Settings {
    Settings {
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
    }
}

fn recording(change: impl FnOnce(&mut Settings), ids: Option<Script>) -> Recording {
    let memory = Memory::default();
    let mut settings = settings(&memory);
    change(&mut settings);
    let pipeline = Pipeline::new(Config {
        settings: Arc::new(settings),
        ids,
    });
    Recording {
        pipeline: pipeline.expect("memory opens"),
        memory,
        tracer: Tracer::new("test", "default", Some("1"), None),
    }
}

impl Recording {
    fn start(&self, name: &str, parent: Parent<'_>) -> Handle {
        let options = SpanOptions {
            name: Some(name),
            kind: SpanKind::Internal,
            start_time_ns: None,
            should_sample: None,
            parent,
            chosen: None,
        };
        self.tracer
            .start(turn::take().turn(), &self.pipeline, &options)
    }

    fn spans(&self) -> Vec<otlp::Span> {
        assert!(self.pipeline.flush(TIMEOUT));
        let batches = self.memory.batches();
        let requests = batches
            .iter()
            .map(|bytes| ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap());
        let resource_spans = requests.flat_map(|request| request.resource_spans);
        let scope_spans = resource_spans.flat_map(|spans| spans.scope_spans);
        scope_spans.flat_map(|spans| spans.spans).collect()
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[test]
fn a_whole_span_is_what_another_decoder_reads() {
    let clock = Arc::new(ManualClock::new(100));
    let trace_id = TraceId::new([1; 16]).unwrap();
    let span_id = SpanId::new([2; 8]).unwrap();
    let script = Script {
        trace_ids: [trace_id].into(),
        span_ids: [span_id].into(),
    };
    let recording = recording(
        |settings| settings.clock = Clock::Manual(Arc::clone(&clock)),
        Some(script),
    );
    let span = recording.start("GET /cart", Parent::Root);
    span.set_attribute(
        turn::take().turn(),
        "http.request.method",
        Value::Text("GET"),
    );
    clock.tick(5);
    span.add_event(
        turn::take().turn(),
        "cache.miss",
        None,
        [("key", Value::Int(-7))].into_iter(),
    );
    span.set_status(turn::take().turn(), StatusCode::Error, Some("no cart"));
    clock.tick(5);
    span.finish(turn::take().turn(), None).unwrap();
    let expected = otlp::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        flags: 0x103,
        name: "GET /cart".into(),
        kind: 1,
        start_time_unix_nano: 100,
        end_time_unix_nano: 110,
        attributes: vec![attribute(
            "http.request.method",
            any_value::Value::StringValue("GET".into()),
        )],
        events: vec![otlp::span::Event {
            time_unix_nano: 105,
            name: "cache.miss".into(),
            attributes: vec![attribute("key", any_value::Value::IntValue(-7))],
            dropped_attributes_count: 0,
        }],
        status: Some(otlp::Status {
            code: 2,
            message: "no cart".into(),
        }),
        ..otlp::Span::default()
    };
    assert_eq!(recording.spans(), [expected]);
}

#[test]
fn threads_that_share_a_trace_send_each_span_once() {
    const THREADS: usize = 8;
    const SPANS: usize = 500;
    let recording = recording(
        |settings| settings.queue.max_coalescing_delay = Duration::from_millis(1),
        None,
    );
    let root = recording.start("root", Parent::Root);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..SPANS {
                    let span = recording.start("child", Parent::Span(&root));
                    if number == SPANS / 2 {
                        root.finish(turn::take().turn(), None).unwrap();
                    }
                    span.finish(turn::take().turn(), None).unwrap();
                }
            });
        }
    });
    let spans = recording.spans();
    let ids: std::collections::HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!((spans.len(), ids.len()), (THREADS * SPANS + 1, spans.len()));
    let (open, queued, bytes, _) = recording.pipeline.gauges();
    assert_eq!((open, queued, bytes), (0, 0, 0));
}

#[test]
fn what_does_not_fit_is_dropped_as_whole_traces_and_the_account_comes_back_to_nothing() {
    let recording = recording(|settings| settings.queue.max_entries = 5, None);
    for _ in 0..200 {
        let root = recording.start("root", Parent::Root);
        for _ in 0..3 {
            let child = recording.start("child", Parent::Span(&root));
            child.finish(turn::take().turn(), None).unwrap();
        }
        root.finish(turn::take().turn(), None).unwrap();
    }
    let spans = recording.spans();
    let counters = recording.pipeline.counters();
    let dropped = counters.dropped.get(Reason::QueueFull);
    assert_eq!(spans.len() as u64 + dropped, 800);
    assert_eq!(counters.sent.get(), spans.len() as u64);
    for span in &spans {
        let of_trace = spans.iter().filter(|other| other.trace_id == span.trace_id);
        assert_eq!(of_trace.count(), 4);
    }
    let (_, queued, bytes, _) = recording.pipeline.gauges();
    assert_eq!((queued, bytes), (0, 0));
}

#[test]
fn a_trace_that_waits_for_a_late_decision_is_dropped_unless_somebody_asks_for_it() {
    let recording = recording(
        |settings| {
            settings.sampler = Sampler::AlwaysOff;
            settings.late_sampling = true;
        },
        None,
    );
    for wanted in [true, false] {
        let root = recording.start(&format!("wanted {wanted}"), Parent::Root);
        assert!(root.is_recording(turn::take().turn()) && !root.sampled());
        assert!(root.trace().set_should_sample(wanted));
        root.finish(turn::take().turn(), None).unwrap();
        // Late children follow the final decision.
        let late = recording.start("late", Parent::Span(&root));
        assert_eq!(late.sampled(), wanted);
        late.finish(turn::take().turn(), None).unwrap();
    }
    let names: Vec<_> = recording
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["wanted true", "late"]);
}

#[test]
fn a_handle_that_dies_unfinished_is_counted_and_its_finished_children_go_on() {
    let recording = recording(|_| (), None);
    let mut root = recording.start("abandoned root", Parent::Root);
    recording
        .start("child", Parent::Span(&root))
        .finish(turn::take().turn(), None)
        .unwrap();
    root.discard(turn::take().turn());
    let names: Vec<_> = recording
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["child"]);
    assert_eq!(recording.pipeline.counters().abandoned.get(), 1);
    let notices = recording.pipeline.notices().take();
    assert!(notices[0].text.contains("abandoned root"), "{notices:?}");
}

#[test]
fn after_shutdown_handles_have_nothing_and_do_no_harm() {
    let recording = recording(|_| (), None);
    let span = recording.start("open", Parent::Root);
    let deadline = std::time::Instant::now() + TIMEOUT;
    let flush = recording
        .pipeline
        .begin_shutdown(turn::take().turn(), deadline);
    assert!(recording.pipeline.end_shutdown(flush, deadline));
    span.set_attribute(turn::take().turn(), "late", Value::Bool(true));
    span.finish(turn::take().turn(), None).unwrap();
    let counters = recording.pipeline.counters();
    assert_eq!((counters.abandoned.get(), counters.sent.get()), (1, 0));
    assert_eq!(recording.pipeline.worker_state(), "not_started");
}

#[test]
fn a_replaced_pipeline_ends_with_its_last_open_span() {
    let recording = recording(|_| (), None);
    let open = recording.start("open", Parent::Root);
    recording
        .start("first", Parent::Root)
        .finish(turn::take().turn(), None)
        .unwrap();
    let flush = recording.pipeline.begin_flush(turn::take().turn());
    recording.pipeline.retire(flush, Instant::now() + TIMEOUT);
    assert_eq!(recording.pipeline.worker_state(), "running");
    open.finish(turn::take().turn(), None).unwrap();
    wait_for("stopped", &recording.pipeline);
    assert_eq!(recording.memory.batches().len(), 2);
}

#[test]
fn a_worker_rests_until_the_forks_are_over_and_nothing_is_lost_or_sent_twice() {
    let recording = recording(|_| (), None);
    let Recording { pipeline, .. } = &recording;
    recording
        .start("first", Parent::Root)
        .finish(turn::take().turn(), None)
        .unwrap();
    pipeline.rest();
    pipeline.rest();
    wait_for("not_started", pipeline);
    recording
        .start("second", Parent::Root)
        .finish(turn::take().turn(), None)
        .unwrap();
    assert!(!pipeline.flush(Duration::from_millis(20)));
    pipeline.resume();
    pipeline.catch_up();
    assert_eq!(pipeline.worker_state(), "not_started");
    pipeline.resume();
    pipeline.catch_up();
    assert_eq!(pipeline.worker_state(), "running");
    let names: Vec<_> = recording.spans().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_shutdown_while_the_worker_rests_ends_after_the_fork() {
    let recording = recording(|_| (), None);
    let Recording { pipeline, .. } = &recording;
    recording
        .start("first", Parent::Root)
        .finish(turn::take().turn(), None)
        .unwrap();
    pipeline.rest();
    wait_for("not_started", pipeline);
    let sent = thread::scope(|scope| {
        let shutdown = scope.spawn(|| {
            let deadline = std::time::Instant::now() + TIMEOUT;
            let flush = pipeline.begin_shutdown(turn::take().turn(), deadline);
            pipeline.end_shutdown(flush, deadline)
        });
        thread::sleep(Duration::from_millis(5));
        pipeline.resume();
        pipeline.catch_up();
        shutdown.join().unwrap()
    });
    assert!(sent);
    assert_eq!(pipeline.worker_state(), "stopped");
    assert_eq!(pipeline.counters().sent.get(), 1);
}

#[test]
fn threads_that_finish_spans_beside_many_forks_lose_none() {
    let recording = recording(|_| (), None);
    let Recording { pipeline, .. } = &recording;
    let spans = if cfg!(miri) { 50 } else { 2_000 };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..spans {
                    recording
                        .start("span", Parent::Root)
                        .finish(turn::take().turn(), None)
                        .unwrap();
                    thread::yield_now();
                }
            });
        }
        for _ in 0..spans / 10 {
            pipeline.rest();
            thread::yield_now();
            pipeline.resume();
            pipeline.catch_up();
        }
    });
    assert_eq!(recording.spans().len(), 2 * spans);
    assert_eq!(pipeline.counters().sent.get(), 2 * spans as u64);
}

fn wait_for(state: &str, pipeline: &Pipeline) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while pipeline.worker_state() != state {
        let now = pipeline.worker_state();
        assert!(std::time::Instant::now() < deadline, "the worker is {now}");
        thread::sleep(Duration::from_millis(1));
    }
}
