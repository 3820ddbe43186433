//! Tracers: who makes spans, and what is decided when one starts.

use std::sync::{Arc, Mutex};

use crate::chunk::InstrumentationScope;
use crate::context::{SpanContext, SpanKind, Status};
use crate::counter::Reason;
use crate::pipeline::Pipeline;
use crate::sampler::Sampler;
use crate::span::{Life, Phase, Span};
use crate::trace::{Trace, Verdict};

/// Makes spans under one name, in one namespace.
#[derive(Debug)]
pub struct Tracer {
    name: String,
    namespace: String,
    version: Option<String>,
    /// None asks the pipeline's.
    sampler: Option<Sampler>,
    scope: Arc<InstrumentationScope>,
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
}

impl Tracer {
    /// A tracer.
    pub fn new(
        name: &str,
        namespace: &str,
        version: Option<&str>,
        sampler: Option<Sampler>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            version: version.map(str::to_owned),
            sampler,
            scope: Arc::new(InstrumentationScope::new(name, version)),
        }
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

    pub(crate) fn scope(&self) -> &Arc<InstrumentationScope> {
        &self.scope
    }

    /// Starts a span, or makes a draft.
    pub fn start(self: &Arc<Self>, pipeline: &Arc<Pipeline>, options: &SpanOptions<'_>) -> Span {
        let origin = match options.parent {
            Parent::Span(parent) if Arc::ptr_eq(parent.trace().pipeline(), pipeline) => {
                self.under_span(pipeline, parent, options.should_sample)
            }
            // Another pipeline's span, or one inherited by fork: known by its ids only.
            Parent::Span(parent) => {
                let context = SpanContext {
                    is_remote: parent.is_inherited(),
                    ..parent.context()
                };
                self.under_context(pipeline, Some(&context), options.should_sample)
            }
            Parent::Context(context) => {
                self.under_context(pipeline, Some(context), options.should_sample)
            }
            Parent::Root => self.under_context(pipeline, None, options.should_sample),
        };
        self.open(pipeline, origin, options)
    }

    fn sampler_of<'a>(&'a self, pipeline: &'a Pipeline) -> &'a Sampler {
        self.sampler.as_ref().unwrap_or_else(|| pipeline.sampler())
    }

    fn under_span(
        &self,
        pipeline: &Pipeline,
        parent: &Span,
        should_sample: Option<bool>,
    ) -> Origin {
        let parent_sampled = parent.sampled();
        let own_decision = should_sample.or_else(|| {
            if parent.trace.is_decided_by_hand() {
                return parent.own_decision;
            }
            let sampler = self.sampler_of(pipeline);
            let sampled = sampler.decide(Some(parent_sampled), &parent.context.trace_id);
            if sampled == parent_sampled {
                parent.own_decision
            } else {
                Some(sampled)
            }
        });
        Origin {
            trace: Arc::clone(parent.trace()),
            parent: Some(parent.context.clone()),
            own_decision,
            is_root: false,
        }
    }

    fn under_context(
        &self,
        pipeline: &Arc<Pipeline>,
        parent: Option<&SpanContext>,
        should_sample: Option<bool>,
    ) -> Origin {
        let trace_id = parent.map_or_else(|| pipeline.ids().trace_id(), |parent| parent.trace_id);
        let head = || {
            let parent_sampled = parent.and_then(|parent| parent.sampled);
            self.sampler_of(pipeline).decide(parent_sampled, &trace_id)
        };
        let verdict = match should_sample {
            Some(true) => Verdict::Sampled,
            None if head() => Verdict::Sampled,
            None if pipeline.late_sampling() => Verdict::Undecided,
            Some(false) | None => Verdict::Unrecorded,
        };
        let random = parent.is_none_or(|parent| parent.random);
        Origin {
            trace: Trace::new(pipeline, trace_id, random, verdict),
            parent: parent.cloned(),
            own_decision: None,
            is_root: true,
        }
    }

    fn open(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        origin: Origin,
        options: &SpanOptions<'_>,
    ) -> Span {
        let Origin {
            trace,
            parent,
            own_decision,
            is_root,
        } = origin;
        let counters = pipeline.counters();
        counters.started.add(1);
        let records = own_decision.unwrap_or_else(|| trace.verdict().records());
        let slot = if records { claim(pipeline) } else { None };
        if records && slot.is_none() {
            trace.miss();
        }
        if let Some(slot) = slot {
            counters.recorded.add(1);
            pipeline.store().with(slot, |record| {
                record.set_name(options.name.unwrap_or_default());
            });
        }
        let start_time_ns = match options.name {
            None => 0,
            Some(_) => options.start_time_ns.unwrap_or_else(|| trace.now_ns()),
        };
        let phase = if options.name.is_some() {
            Phase::Open
        } else {
            Phase::Draft
        };
        let span = Span {
            context: SpanContext {
                trace_id: trace.trace_id(),
                span_id: pipeline.ids().span_id(),
                // Only sampled spans are ever sent, so this is what their flags say;
                // `Span::context` gives the decision as it stands.
                sampled: Some(true),
                random: trace.random(),
                is_remote: false,
                trace_state: parent
                    .as_ref()
                    .and_then(|parent| parent.trace_state.clone()),
            },
            parent_id: parent.as_ref().map(|parent| parent.span_id),
            parent_is_remote: parent.as_ref().is_some_and(|parent| parent.is_remote),
            kind: options.kind,
            tracer: Arc::clone(self),
            trace,
            slot,
            own_decision,
            is_root,
            life: Mutex::new(Life {
                phase,
                start_time_ns,
                end_time_ns: None,
                status: Status::default(),
            }),
        };
        counters.sampled.add(usize::from(span.sampled()));
        span
    }
}

/// Where a span comes from, and what was decided on it.
struct Origin {
    trace: Arc<Trace>,
    parent: Option<SpanContext>,
    own_decision: Option<bool>,
    is_root: bool,
}

fn claim(pipeline: &Pipeline) -> Option<crate::store::Slot> {
    let slot = pipeline.store().claim();
    if slot.is_none() {
        pipeline.counters().dropped.add(Reason::LiveLimit, 1);
        pipeline.notices().leave("live limit", || {
            "too many spans are open: new ones are not recorded \
             (max_live_spans of QueueConfig; stats()['dropped']['live_limit'] counts)"
                .to_owned()
        });
    }
    slot
}
