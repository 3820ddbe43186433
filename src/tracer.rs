//! Tracers: who makes spans, and what is decided when one starts.

use std::sync::Arc;

use crate::chunk::InstrumentationScope;
use crate::context::{SpanContext, SpanKind};
use crate::counter::Reason;
use crate::id::{SpanId, TraceId};
use crate::limits::Surplus;
use crate::pipeline::Pipeline;
use crate::sampler::Sampler;
use crate::span::{Handle, Phase, Span};
use crate::trace::{Trace, Verdict};
use crate::turn::{Turn, TurnCell};

/// The namespace of tracers that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Makes spans under one name, in one namespace.
#[derive(Debug)]
pub struct Tracer {
    name: String,
    namespace: String,
    version: Option<String>,
    /// None asks the pipeline's.
    sampler: Option<Sampler>,
    scope: &'static InstrumentationScope,
    surplus: Surplus,
}

/// What a new span is a child of.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// Nothing: a new trace.
    Root,
    /// A span of this process: the same local trace, if its pipeline is still the current one.
    Span(&'a Span),
    /// A span known by its ids only: a new local trace under it.
    Context(&'a SpanContext),
}

/// The span, if there is one. The no-op span gives neither ids nor a decision.
impl<'a> From<Option<&'a Span>> for Parent<'a> {
    fn from(span: Option<&'a Span>) -> Self {
        span.map_or(Self::Root, Self::Span)
    }
}

/// What is known of a span when it starts.
#[derive(Debug)]
pub struct SpanOptions<'a> {
    /// None makes a draft.
    pub name: Option<&'a str>,
    /// What the span is to the one who asked for its work.
    pub kind: SpanKind,
    /// None is now.
    pub start_time_ns: Option<u64>,
    /// Decides, whatever sampler or parent say.
    pub should_sample: Option<bool>,
    /// The parent.
    pub parent: Parent<'a>,
    /// What others chose for it.
    pub chosen: Option<&'a Chosen>,
}

/// What an id generator or a sampler of the application's chose for a span before it starts.
#[derive(Debug, Default)]
pub struct Chosen {
    /// The trace id of a span without a parent.
    pub trace_id: Option<TraceId>,
    /// True when that is random.
    pub random: bool,
    /// The id of the span.
    pub span_id: Option<SpanId>,
    /// The decision; None asks the sampler.
    pub sampled: Option<bool>,
    /// Recorded, though the decision is no.
    pub record_only: bool,
    /// The `tracestate`, perhaps an empty one; None has the parent's.
    pub trace_state: Option<Arc<str>>,
}

impl Tracer {
    /// A tracer. It lives as long as the program: spans that it made may be met at any time.
    pub fn new(
        name: &str,
        namespace: &str,
        version: Option<&str>,
        sampler: Option<Sampler>,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            version: version.map(str::to_owned),
            sampler,
            scope: InstrumentationScope::new(name, version),
            surplus: Surplus::Newest,
        }))
    }

    /// A tracer of the OpenTelemetry face, in the default namespace.
    pub fn of_scope(name: &str, scope: &'static InstrumentationScope) -> &'static Self {
        Box::leak(Box::new(Self {
            name: name.to_owned(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            version: None,
            sampler: None,
            scope,
            surplus: Surplus::Oldest,
        }))
    }

    /// The tracer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose active span its spans get as parent.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The version of what the tracer traces.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Its own sampler, if it has one.
    pub fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_ref()
    }

    pub(crate) fn scope(&self) -> &'static InstrumentationScope {
        self.scope
    }

    pub(crate) fn surplus(&self) -> Surplus {
        self.surplus
    }

    /// Starts a span, or makes a draft.
    pub fn start(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        options: &SpanOptions<'_>,
    ) -> Handle {
        self.start_with(turn, pipeline, options)
    }

    /// The same for most spans: with a name and a kind, now, as sampler and parent say.
    #[inline]
    pub fn start_simply(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        name: &str,
        kind: SpanKind,
        parent: Parent<'_>,
    ) -> Handle {
        let options = SpanOptions {
            name: Some(name),
            kind,
            start_time_ns: None,
            should_sample: None,
            parent,
            chosen: None,
        };
        self.start_with(turn, pipeline, &options)
    }

    // Inlined into both, with all below it, so that the simple start has no trace of the options that
    // it does not have.
    #[inline(always)]
    fn start_with(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        options: &SpanOptions<'_>,
    ) -> Handle {
        Handle::new(turn, self, |span| {
            let now_ns = match options.parent {
                Parent::Span(parent) if Arc::ptr_eq(parent.trace().pipeline(), pipeline) => {
                    self.begin_under_span(pipeline, parent, options, span);
                    match (options.name, options.start_time_ns) {
                        (Some(_), None) => parent.trace().now_ns(),
                        _ => 0,
                    }
                }
                Parent::Root => self.begin_trace(turn, pipeline, None, options, span),
                // Another pipeline's span, or one inherited by fork: known by its ids only.
                Parent::Span(parent) => {
                    let context = SpanContext {
                        is_remote: parent.is_inherited(),
                        ..parent.context()
                    };
                    self.begin_under_context(turn, pipeline, &context, options, span)
                }
                Parent::Context(context) => {
                    self.begin_under_context(turn, pipeline, context, options, span)
                }
            };
            Self::open(turn, pipeline, now_ns, options, span);
        })
    }

    #[inline(never)]
    fn begin_under_context(
        &self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        parent: &SpanContext,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) -> u64 {
        self.begin_trace(turn, pipeline, Some(parent), options, span)
    }

    fn sampler_of<'a>(&'a self, pipeline: &'a Pipeline) -> &'a Sampler {
        self.sampler.as_ref().unwrap_or_else(|| pipeline.sampler())
    }

    #[inline(always)]
    fn begin_under_span(
        &self,
        pipeline: &Pipeline,
        parent: &Span,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) {
        let own_decision = options.should_sample.or_else(|| {
            if parent.trace().is_decided_by_hand() {
                return parent.own_decision;
            }
            let parent_sampled = parent.sampled();
            let chosen = options.chosen.and_then(|chosen| chosen.sampled);
            let sampled = chosen.unwrap_or_else(|| {
                let sampler = self.sampler_of(pipeline);
                sampler.decide(Some(parent_sampled), &parent.trace().trace_id())
            });
            if sampled == parent_sampled {
                parent.own_decision
            } else {
                Some(sampled)
            }
        });
        span.trace = Some(Arc::clone(parent.trace()));
        span.parent_id = Some(parent.span_id);
        span.parent_is_remote = false;
        span.own_decision = own_decision;
        let chosen = options
            .chosen
            .and_then(|chosen| chosen.trace_state.as_ref());
        if let Some(state) = chosen.or(parent.own_trace_state.as_ref()) {
            span.own_trace_state = Some(Arc::clone(state));
        }
        span.is_root = false;
    }

    /// Begins a local trace, for its first span; says what time it is.
    #[inline(always)]
    fn begin_trace(
        &self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        parent: Option<&SpanContext>,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) -> u64 {
        let mut now_ns = 0;
        let trace = Trace::new(turn, pipeline, |head| {
            now_ns = pipeline.clock().tie(turn, &mut head.anchor);
            let chosen_id = options.chosen.and_then(|chosen| chosen.trace_id);
            (head.trace_id, head.random) = match (parent, chosen_id) {
                (Some(parent), _) => (parent.trace_id, parent.random),
                (None, Some(id)) => (id, options.chosen.is_some_and(|chosen| chosen.random)),
                (None, None) => (pipeline.ids().trace_id(turn, now_ns), true),
            };
            let chosen_state = options
                .chosen
                .and_then(|chosen| chosen.trace_state.as_ref());
            let state = chosen_state.or_else(|| parent?.trace_state.as_ref());
            head.trace_state = state.map(Arc::clone);
            let sampled = || {
                if let Some(sampled) = options.chosen.and_then(|chosen| chosen.sampled) {
                    return sampled;
                }
                let parent_sampled = parent.and_then(|parent| parent.sampled);
                let sampler = self.sampler_of(pipeline);
                sampler.decide(parent_sampled, &head.trace_id)
            };
            match options.should_sample {
                Some(true) => Verdict::Sampled,
                None if sampled() => Verdict::Sampled,
                None if pipeline.late_sampling() => Verdict::Undecided,
                Some(false) | None => Verdict::Unrecorded,
            }
        });
        span.trace = Some(trace);
        span.parent_id = parent.map(|parent| parent.span_id);
        span.parent_is_remote = parent.is_some_and(|parent| parent.is_remote);
        span.own_decision = options
            .chosen
            .and_then(|chosen| chosen.record_only.then_some(false));
        span.is_root = true;
        now_ns
    }

    #[inline(always)]
    fn open(
        turn: Turn<'_>,
        pipeline: &Pipeline,
        now_ns: u64,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) {
        let counters = pipeline.counters();
        counters.started.add(turn, 1);
        let verdict = span.trace().verdict();
        let record_only = options.chosen.is_some_and(|chosen| chosen.record_only);
        span.slot = None;
        if record_only || span.own_decision.unwrap_or_else(|| verdict.records()) {
            let name = options.name.unwrap_or_default();
            span.slot = pipeline.store().claim(turn, |record| record.set_name(name));
            if span.slot.is_some() {
                counters.recorded.add(turn, 1);
            } else {
                miss(pipeline, span.trace());
            }
        }
        let (phase, start_time_ns) = match options.name {
            None => (Phase::Draft, 0),
            Some(_) => (Phase::Open, options.start_time_ns.unwrap_or(now_ns)),
        };
        span.phase = TurnCell::new(phase);
        span.start_time_ns = TurnCell::new(start_time_ns);
        span.kind = options.kind;
        span.span_id = options
            .chosen
            .and_then(|chosen| chosen.span_id)
            .unwrap_or_else(|| pipeline.ids().span_id(turn));
        let sampled = span.own_decision.unwrap_or(verdict == Verdict::Sampled);
        counters.sampled.add(turn, usize::from(sampled));
    }
}

#[cold]
fn miss(pipeline: &Pipeline, trace: &Trace) {
    trace.miss();
    pipeline.counters().dropped.add(Reason::LiveLimit, 1);
    pipeline.notices().leave("live limit", || {
        "too many spans are open: new ones are not recorded \
         (max_live_spans of QueueConfig; stats()['dropped']['live_limit'] counts)"
            .to_owned()
    });
}
