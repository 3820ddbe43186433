//! The request that is measured, from Rust: the same as in `python/cases.py`.

use std::sync::Arc;
use std::time::Duration;

use nanospan::clock::Clock;
use nanospan::pipeline::Settings;
use nanospan::resource::Resource;
use nanospan::sampler::Sampler;
use nanospan::turn::Turn;
use nanospan::value::Value;
use nanospan::{
    Config, Exporter, Handle, Memory, Pipeline, QueueConfig, Span, SpanKind, SpanLimits,
    StatusCode, Tracer,
};

/// What each of its spans has.
pub(crate) const ATTRIBUTES: [(&str, Value<'_>); 8] = [
    ("http.request.method", Value::Text("GET")),
    ("url.path", Value::Text("/v1/users/123")),
    ("url.scheme", Value::Text("https")),
    ("server.address", Value::Text("api.example.com")),
    ("server.port", Value::Int(8443)),
    ("http.response.status_code", Value::Int(200)),
    ("network.protocol.version", Value::Text("1.1")),
    ("user_agent.original", Value::Text("python-httpx/0.27")),
];
const EVENT: [(&str, Value<'_>); 2] = [
    ("exception.type", Value::Text("none")),
    ("n", Value::Int(1)),
];
const NAMES: [&str; 4] = ["op0", "op1", "op2", "op3"];

/// A pipeline that keeps what it is given, and makes its worker sleep until a flush.
pub(crate) fn pipeline(sampler: Sampler) -> (Arc<Pipeline>, Memory) {
    let memory = Memory::default();
    let queue = QueueConfig {
        max_batch_size: 10_000,
        max_coalescing_delay: Duration::from_secs(600),
        ..QueueConfig::default()
    };
    let to = Exporter::Memory(memory.clone());
    (pipeline_to(to, sampler, queue), memory)
}

/// A pipeline with defaults for the rest.
pub(crate) fn pipeline_to(
    exporter: Exporter,
    sampler: Sampler,
    queue: QueueConfig,
) -> Arc<Pipeline> {
    let settings = Settings {
        exporters: vec![exporter],
        resource: Resource::default(),
        limits: SpanLimits::default(),
        queue,
        sampler,
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
    pipeline.expect("it opens")
}

/// Starts a span.
pub(crate) fn start(
    turn: Turn<'_>,
    tracer: &'static Tracer,
    pipeline: &Arc<Pipeline>,
    name: &str,
    parent: Option<&Span>,
) -> Handle {
    let mut span = Handle::default();
    tracer.start_simply(turn, pipeline, name, SpanKind::Internal, parent, &mut span);
    span
}

/// Finishes a span, and lets go of its handle.
pub(crate) fn finish(turn: Turn<'_>, mut span: Handle) {
    let _first = span.finish_now(turn).expect("it is no draft");
    span.discard(turn);
}

/// Adds the event.
pub(crate) fn add_event(turn: Turn<'_>, span: &Span) {
    span.add_event(turn, "cache.miss", None, EVENT.into_iter());
}

/// Four nested spans, each with eight attributes, an event and a status.
pub(crate) fn serve(turn: Turn<'_>, tracer: &'static Tracer, pipeline: &Arc<Pipeline>) {
    let mut open: Vec<Handle> = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        let parent = open.last().map(std::ops::Deref::deref);
        let span = start(turn, tracer, pipeline, name, parent);
        for (key, value) in ATTRIBUTES {
            span.set_attribute(turn, key, value);
        }
        add_event(turn, &span);
        span.set_status(turn, StatusCode::Error, Some("upstream timeout"));
        open.push(span);
    }
    while let Some(span) = open.pop() {
        finish(turn, span);
    }
}
