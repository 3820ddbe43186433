//! Tracers: who makes spans, and what is decided when one starts.

use std::sync::Arc;

use crate::chunk::InstrumentationScope;
use crate::context::{SpanContext, SpanKind, Status};
use crate::counter::Reason;
use crate::id::{SpanId, TraceId};
use crate::limits::Surplus;
use crate::pipeline::Pipeline;
use crate::sampler::{Answer, AskedParent, Decision, Question, Sampler, without_threshold};
use crate::span::{Life, Phase, Span};
use crate::store::Slot;
use crate::trace::{Beginning, Trace, Verdict};
use crate::turn::{Guarded, Turn};

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

impl SpanOptions<'_> {
    /// What a decision by hand makes of the parent's `tracestate`; None leaves it as it is.
    fn by_hand(&self, parents: Option<&Arc<str>>) -> Option<Arc<str>> {
        self.should_sample
            .and(parents)
            .and_then(|state| without_threshold(state))
    }

    /// The answer of a sampler of the application's, if one was asked.
    fn chosen_answer(&self) -> Option<Answer> {
        let chosen = self.chosen?;
        Some(Answer {
            decision: match (chosen.sampled?, chosen.record_only) {
                (true, _) => Decision::RecordAndSample,
                (false, true) => Decision::RecordOnly,
                (false, false) => Decision::Drop,
            },
            trace_state: chosen.trace_state.clone(),
        })
    }
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
    ) -> Span {
        match options.parent {
            Parent::Span(parent) if Arc::ptr_eq(parent.trace().pipeline(), pipeline) => {
                let origin = self.under_span(pipeline, parent, options);
                let now_ns = match (options.name, options.start_time_ns) {
                    (Some(_), None) => parent.trace.now_ns(),
                    _ => 0,
                };
                self.open(turn, pipeline, origin, now_ns, options)
            }
            // Another pipeline's span, or one inherited by fork: known by its ids only.
            Parent::Span(parent) => {
                let context = SpanContext {
                    is_remote: parent.is_inherited(),
                    ..parent.context()
                };
                self.start_root(turn, pipeline, Some(&context), options)
            }
            Parent::Context(context) => self.start_root(turn, pipeline, Some(context), options),
            Parent::Root => self.start_root(turn, pipeline, None, options),
        }
    }

    fn sampler_of<'a>(&'a self, pipeline: &'a Pipeline) -> &'a Sampler {
        self.sampler.as_ref().unwrap_or_else(|| pipeline.sampler())
    }

    fn under_span(&self, pipeline: &Pipeline, parent: &Span, options: &SpanOptions<'_>) -> Origin {
        let parent_sampled = parent.sampled();
        let sampler = self.sampler_of(pipeline);
        let chosen = options.chosen_answer();
        // Most children follow, and need not ask.
        let follows = options.should_sample.is_some()
            || parent.trace.is_decided_by_hand()
            || chosen.is_none() && sampler.follows_local_parents();
        let answer = if follows {
            None
        } else {
            Some(chosen.unwrap_or_else(|| {
                sampler.decide(&Question {
                    trace_id: &parent.trace.trace_id(),
                    random: parent.trace.random(),
                    parent: Some(AskedParent {
                        span_id: parent.span_id,
                        sampled: Some(parent_sampled),
                        is_remote: false,
                    }),
                    trace_state: parent.trace_state().map(AsRef::as_ref),
                    tracer: &self.name,
                    name: options.name.unwrap_or_default(),
                    kind: options.kind,
                    now_ns: &|| parent.trace.now_ns(),
                })
            }))
        };
        let record_only = records_only(pipeline, answer.as_ref());
        let own_decision = match &answer {
            None => options.should_sample.or(parent.own_decision),
            Some(_) if record_only => Some(false),
            Some(answer) => {
                let sampled = answer.decision == Decision::RecordAndSample;
                if sampled == parent_sampled {
                    parent.own_decision
                } else {
                    Some(sampled)
                }
            }
        };
        Origin {
            trace: Arc::clone(&parent.trace),
            parent_id: Some(parent.span_id),
            parent_is_remote: false,
            own_decision,
            own_trace_state: match answer {
                Some(answer) => answer.trace_state,
                None => options.by_hand(parent.trace_state()),
            }
            .or_else(|| parent.own_trace_state.clone()),
            record_only,
            is_root: false,
        }
    }

    /// Starts the first span of a local trace.
    fn start_root(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        parent: Option<&SpanContext>,
        options: &SpanOptions<'_>,
    ) -> Span {
        let (anchor, now_ns) = pipeline.clock().anchor(turn);
        let trace_id = match (parent, options.chosen) {
            (Some(parent), _) => parent.trace_id,
            (
                None,
                Some(Chosen {
                    trace_id: Some(trace_id),
                    ..
                }),
            ) => *trace_id,
            (None, _) => pipeline.ids().trace_id(turn, now_ns),
        };
        let answer = if options.should_sample.is_some() {
            None
        } else {
            Some(options.chosen_answer().unwrap_or_else(|| {
                self.sampler_of(pipeline).decide(&Question {
                    trace_id: &trace_id,
                    random: parent.is_none_or(|parent| parent.random),
                    parent: parent.map(|parent| AskedParent {
                        span_id: parent.span_id,
                        sampled: parent.sampled,
                        is_remote: parent.is_remote,
                    }),
                    trace_state: parent.and_then(|parent| parent.trace_state.as_deref()),
                    tracer: &self.name,
                    name: options.name.unwrap_or_default(),
                    kind: options.kind,
                    now_ns: &|| now_ns,
                })
            }))
        };
        let record_only = records_only(pipeline, answer.as_ref());
        let sampled = answer.as_ref().map_or(options.should_sample, |answer| {
            Some(answer.decision == Decision::RecordAndSample)
        });
        let verdict = match sampled {
            Some(true) => Verdict::Sampled,
            _ if answer.is_some() && pipeline.late_sampling() => Verdict::Undecided,
            _ => Verdict::Unrecorded,
        };
        let beginning = Beginning {
            trace_id,
            random: match (parent, options.chosen) {
                (Some(parent), _) => parent.random,
                (None, Some(chosen)) if chosen.trace_id.is_some() => chosen.random,
                (None, _) => true,
            },
            trace_state: match answer {
                Some(answer) => answer.trace_state,
                None => options.by_hand(parent.and_then(|parent| parent.trace_state.as_ref())),
            }
            .or_else(|| parent.and_then(|parent| parent.trace_state.clone())),
            anchor,
            verdict,
        };
        let origin = Origin {
            trace: Trace::new(pipeline, beginning),
            parent_id: parent.map(|parent| parent.span_id),
            parent_is_remote: parent.is_some_and(|parent| parent.is_remote),
            own_decision: record_only.then_some(false),
            own_trace_state: None,
            record_only,
            is_root: true,
        };
        self.open(turn, pipeline, origin, now_ns, options)
    }

    fn open(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Pipeline,
        origin: Origin,
        now_ns: u64,
        options: &SpanOptions<'_>,
    ) -> Span {
        let Origin {
            trace,
            parent_id,
            parent_is_remote,
            own_decision,
            own_trace_state,
            record_only,
            is_root,
        } = origin;
        let counters = pipeline.counters();
        counters.started.add(turn, 1);
        let records = record_only || own_decision.unwrap_or_else(|| trace.verdict().records());
        let slot = if records { claim(turn, pipeline) } else { None };
        if let Some(slot) = slot {
            counters.recorded.add(turn, 1);
            pipeline.store().with(turn, slot, |record| {
                record.set_name(options.name.unwrap_or_default());
            });
        } else if records {
            trace.miss();
        }
        let (phase, start_time_ns) = match options.name {
            None => (Phase::Draft, 0),
            Some(_) => (Phase::Open, options.start_time_ns.unwrap_or(now_ns)),
        };
        let span = Span {
            span_id: options
                .chosen
                .and_then(|chosen| chosen.span_id)
                .unwrap_or_else(|| pipeline.ids().span_id(turn)),
            parent_id,
            parent_is_remote,
            kind: options.kind,
            tracer: self,
            trace,
            slot,
            own_decision,
            own_trace_state,
            is_root,
            life: Guarded::new(Life {
                phase,
                start_time_ns,
                end_time_ns: None,
                kept: false,
                status: Status::default(),
                disguise: None,
            }),
        };
        counters.sampled.add(turn, usize::from(span.sampled()));
        span
    }
}

/// Where a span comes from, and what was decided on it.
struct Origin {
    trace: Arc<Trace>,
    parent_id: Option<SpanId>,
    parent_is_remote: bool,
    own_decision: Option<bool>,
    own_trace_state: Option<Arc<str>>,
    record_only: bool,
    is_root: bool,
}

/// True for a span that is recorded for this process only. With a late decision to come all are
/// recorded, and follow that.
fn records_only(pipeline: &Pipeline, answer: Option<&Answer>) -> bool {
    answer.is_some_and(|answer| answer.decision == Decision::RecordOnly)
        && !pipeline.late_sampling()
}

fn claim(turn: Turn<'_>, pipeline: &Pipeline) -> Option<Slot> {
    let slot = pipeline.store().claim(turn);
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
