//! Tracers: who makes spans, and what is decided when one starts.

use std::sync::Arc;

use crate::chunk::InstrumentationScope;
use crate::context::{SpanContext, SpanKind};
use crate::counter::Reason;
use crate::id::{SpanId, TraceId};
use crate::limits::Surplus;
use crate::pipeline::Pipeline;
use crate::sampler::{Answer, AskedParent, Decision, Known, Question, Sampler, without_threshold};
use crate::span::{Handle, Phase, Span};
use crate::trace::{Head, Trace, Verdict};
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
    /// Of its own sampler.
    known: Option<Known>,
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
    #[inline(always)]
    fn from(span: Option<&'a Span>) -> Self {
        match span {
            Some(span) => Self::Span(span),
            None => Self::Root,
        }
    }
}

/// What is known of a span when it starts.
#[derive(Clone, Copy, Debug)]
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

/// What is known of a span when it starts: all of it, or what is known of most.
trait Given: Copy {
    fn name(&self) -> Option<&str>;
    fn kind(&self) -> SpanKind;
    fn parent(&self) -> Parent<'_>;
    fn start_time_ns(&self) -> Option<u64>;
    fn should_sample(&self) -> Option<bool>;
    fn chosen(&self) -> Option<&Chosen>;
    /// All of it, for what is seldom done.
    fn options(&self) -> SpanOptions<'_>;
}

impl Given for &SpanOptions<'_> {
    #[inline(always)]
    fn name(&self) -> Option<&str> {
        self.name
    }

    #[inline(always)]
    fn kind(&self) -> SpanKind {
        self.kind
    }

    #[inline(always)]
    fn parent(&self) -> Parent<'_> {
        self.parent
    }

    #[inline(always)]
    fn start_time_ns(&self) -> Option<u64> {
        self.start_time_ns
    }

    #[inline(always)]
    fn should_sample(&self) -> Option<bool> {
        self.should_sample
    }

    #[inline(always)]
    fn chosen(&self) -> Option<&Chosen> {
        self.chosen
    }

    #[inline(always)]
    fn options(&self) -> SpanOptions<'_> {
        **self
    }
}

/// A name, a kind and a parent. The rest is known when this is compiled, so no code asks for it.
#[derive(Clone, Copy)]
struct Simple<'a> {
    name: &'a str,
    kind: SpanKind,
    parent: Option<&'a Span>,
}

impl Given for Simple<'_> {
    #[inline(always)]
    fn name(&self) -> Option<&str> {
        Some(self.name)
    }

    #[inline(always)]
    fn kind(&self) -> SpanKind {
        self.kind
    }

    #[inline(always)]
    fn parent(&self) -> Parent<'_> {
        self.parent.into()
    }

    #[inline(always)]
    fn start_time_ns(&self) -> Option<u64> {
        None
    }

    #[inline(always)]
    fn should_sample(&self) -> Option<bool> {
        None
    }

    #[inline(always)]
    fn chosen(&self) -> Option<&Chosen> {
        None
    }

    #[cold]
    fn options(&self) -> SpanOptions<'_> {
        SpanOptions {
            name: Some(self.name),
            kind: self.kind,
            start_time_ns: None,
            should_sample: None,
            parent: self.parent.into(),
            chosen: None,
        }
    }
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
            known: sampler.as_ref().map(Sampler::known),
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
            known: None,
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
        let mut handle = Handle::default();
        self.start_with(turn, pipeline, options, &mut handle);
        handle
    }

    /// The same for most spans: with a name and a kind, under a span of this process or none, now, as
    /// sampler and parent say; in a handle that is at rest.
    #[inline(always)]
    pub fn start_simply(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        name: &str,
        kind: SpanKind,
        parent: Option<&Span>,
        handle: &mut Handle,
    ) {
        let simple = Simple { name, kind, parent };
        self.start_with(turn, pipeline, simple, handle);
    }

    // Inlined into both, with all below it, so that the simple start has no trace of the options that
    // it does not have.
    #[inline(always)]
    fn start_with(
        &'static self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        given: impl Given,
        handle: &mut Handle,
    ) {
        let span = handle.begin(turn, self);
        let began = match given.parent() {
            Parent::Span(parent) if Arc::ptr_eq(parent.trace().pipeline(), pipeline) => {
                let now_ns = match (given.name(), given.start_time_ns()) {
                    (Some(_), None) => parent.trace().now_ns(),
                    _ => 0,
                };
                self.begin_under_span(turn, pipeline, parent, given, now_ns, span)
            }
            Parent::Root => self.begin_trace(turn, pipeline, None, given, span),
            // Another pipeline's span, or one inherited by fork: known by its ids only.
            Parent::Span(parent) => {
                let context = SpanContext {
                    is_remote: parent.is_inherited(),
                    ..parent.context()
                };
                self.begin_under_context(turn, pipeline, &context, &given.options(), span)
            }
            Parent::Context(context) => {
                self.begin_under_context(turn, pipeline, context, &given.options(), span)
            }
        };
        Self::open(turn, pipeline, began, given, span);
    }

    #[inline(never)]
    fn begin_under_context(
        &self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        parent: &SpanContext,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) -> Began {
        self.begin_trace(turn, pipeline, Some(parent), options, span)
    }

    #[inline(always)]
    fn known_of(&self, pipeline: &Pipeline) -> Known {
        self.known.unwrap_or(pipeline.known())
    }

    fn sampler_of<'a>(&'a self, pipeline: &'a Pipeline) -> &'a Sampler {
        self.sampler.as_ref().unwrap_or_else(|| pipeline.sampler())
    }

    /// Begins a child.
    #[inline(always)]
    fn begin_under_span(
        &self,
        turn: Turn<'_>,
        pipeline: &Pipeline,
        parent: &Span,
        given: impl Given,
        now_ns: u64,
        span: &mut Span,
    ) -> Began {
        let trace = parent.trace();
        let mut began = Began {
            now_ns,
            record_only: false,
            verdict: trace.verdict(),
            span_id: None,
        };
        span.belong_to(parent.shared_trace().another(turn));
        span.parent_id = Some(parent.span_id);
        span.parent_is_remote = false;
        span.is_root = false;
        if let Some(state) = &parent.own_trace_state {
            span.own_trace_state = Some(Arc::clone(state));
        }
        // Most children follow, and need not ask.
        if given.should_sample().is_some()
            || trace.is_decided_by_hand()
            || given.chosen().is_none() && self.known_of(pipeline).children_follow
        {
            span.own_decision = given.should_sample().or(parent.own_decision);
            if given.should_sample().is_some() {
                if let Some(state) = given.options().by_hand(parent.trace_state()) {
                    span.own_trace_state = Some(state);
                }
            }
            return began;
        }
        began.record_only = self.ask_about_child(pipeline, parent, &given.options(), span);
        began
    }

    /// Asks for a child. True if it is recorded for this process only.
    #[inline(never)]
    fn ask_about_child(
        &self,
        pipeline: &Pipeline,
        parent: &Span,
        options: &SpanOptions<'_>,
        span: &mut Span,
    ) -> bool {
        let parent_sampled = parent.sampled();
        let answer = options.chosen_answer().unwrap_or_else(|| {
            self.sampler_of(pipeline).decide(&Question {
                trace_id: &parent.trace().trace_id(),
                random: parent.trace().random(),
                parent: Some(AskedParent {
                    span_id: parent.span_id,
                    sampled: Some(parent_sampled),
                    is_remote: false,
                }),
                trace_state: parent.trace_state().map(AsRef::as_ref),
                tracer: &self.name,
                name: options.name.unwrap_or_default(),
                kind: options.kind,
                now_ns: &|| parent.trace().now_ns(),
            })
        });
        let record_only = records_only(pipeline, &answer);
        let sampled = answer.decision == Decision::RecordAndSample;
        span.own_decision = match () {
            () if record_only => Some(false),
            () if sampled == parent_sampled => parent.own_decision,
            () => Some(sampled),
        };
        if answer.trace_state.is_some() {
            span.own_trace_state = answer.trace_state;
        }
        record_only
    }

    /// Begins a local trace, for its first span.
    #[inline(always)]
    fn begin_trace(
        &self,
        turn: Turn<'_>,
        pipeline: &Arc<Pipeline>,
        parent: Option<&SpanContext>,
        given: impl Given,
        span: &mut Span,
    ) -> Began {
        let mut trace = Trace::fresh(turn, pipeline);
        let head = &mut trace.head;
        let now_ns = pipeline.clock().tie(turn, &mut head.anchor);
        let chosen_id = given.chosen().and_then(|chosen| chosen.trace_id);
        let mut span_id = None;
        (head.trace_id, head.random) = match (parent, chosen_id) {
            (Some(parent), _) => (parent.trace_id, parent.random),
            (None, Some(id)) => (id, given.chosen().is_some_and(|chosen| chosen.random)),
            (None, None) => {
                let (trace_id, of_root) = pipeline.ids().trace_and_span_id(turn, now_ns);
                span_id = Some(of_root);
                (trace_id, true)
            }
        };
        // Most roots are judged by their trace id alone.
        let is_plain = parent.is_none() && given.chosen().is_none();
        let quick = match given.should_sample() {
            None if is_plain => match self.known_of(pipeline).roots {
                Some(sampled) => Some(sampled),
                None => self.sampler_of(pipeline).decide_on_root(&head.trace_id),
            },
            _ => None,
        };
        let (sampled, record_only) = match quick {
            Some(sampled) => (sampled, false),
            None => self.ask_about_root(pipeline, parent, &given.options(), now_ns, head),
        };
        let verdict = match given.should_sample() {
            _ if sampled => Verdict::Sampled,
            None if pipeline.late_sampling() => Verdict::Undecided,
            _ => Verdict::Unrecorded,
        };
        trace.begin(verdict);
        span.belong_to(trace.share(turn));
        span.parent_id = parent.map(|parent| parent.span_id);
        span.parent_is_remote = parent.is_some_and(|parent| parent.is_remote);
        span.own_decision = record_only.then_some(false);
        span.is_root = true;
        Began {
            now_ns,
            record_only,
            verdict,
            span_id,
        }
    }

    /// Whether the first span of a trace is sampled, and whether it is recorded only.
    #[inline(never)]
    fn ask_about_root(
        &self,
        pipeline: &Pipeline,
        parent: Option<&SpanContext>,
        options: &SpanOptions<'_>,
        now_ns: u64,
        head: &mut Head,
    ) -> (bool, bool) {
        let parents = parent.and_then(|parent| parent.trace_state.as_ref());
        if let Some(sampled) = options.should_sample {
            head.trace_state = options.by_hand(parents).or_else(|| parents.cloned());
            return (sampled, false);
        }
        let answer = options.chosen_answer().unwrap_or_else(|| {
            self.sampler_of(pipeline).decide(&Question {
                trace_id: &head.trace_id,
                random: parent.is_none_or(|parent| parent.random),
                parent: parent.map(|parent| AskedParent {
                    span_id: parent.span_id,
                    sampled: parent.sampled,
                    is_remote: parent.is_remote,
                }),
                trace_state: parents.map(AsRef::as_ref),
                tracer: &self.name,
                name: options.name.unwrap_or_default(),
                kind: options.kind,
                now_ns: &|| now_ns,
            })
        });
        let record_only = records_only(pipeline, &answer);
        let sampled = answer.decision == Decision::RecordAndSample;
        head.trace_state = answer.trace_state.or_else(|| parents.cloned());
        (sampled, record_only)
    }

    #[inline(always)]
    fn open(turn: Turn<'_>, pipeline: &Pipeline, began: Began, given: impl Given, span: &mut Span) {
        let counters = pipeline.counters();
        counters.started.add(turn, 1);
        span.slot = None;
        if began.record_only || span.own_decision.unwrap_or(began.verdict.records()) {
            let name = given.name().unwrap_or_default();
            span.slot = pipeline.store().claim(turn, name);
            if span.slot.is_some() {
                counters.recorded.add(turn, 1);
            } else {
                miss(pipeline, span.trace());
            }
        }
        let (phase, start_time_ns) = match given.name() {
            None => (Phase::Draft, 0),
            Some(_) => (Phase::Open, given.start_time_ns().unwrap_or(began.now_ns)),
        };
        span.phase = TurnCell::new(phase);
        span.start_time_ns = TurnCell::new(start_time_ns);
        span.kind = given.kind();
        let chosen_id = given.chosen().and_then(|chosen| chosen.span_id);
        span.span_id = match (chosen_id, began.span_id) {
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => pipeline.ids().span_id(turn),
        };
        let sampled = span
            .own_decision
            .unwrap_or(began.verdict == Verdict::Sampled);
        counters.sampled.add(turn, usize::from(sampled));
    }
}

/// What is known of a span once its trace is there.
#[derive(Clone, Copy)]
struct Began {
    /// What time it is; 0 where nobody asks.
    now_ns: u64,
    /// It is recorded for this process only.
    record_only: bool,
    /// What is decided on its trace so far.
    verdict: Verdict,
    /// Of the first span of a trace whose id we made: made with it.
    span_id: Option<SpanId>,
}

/// True for a span that is recorded for this process only. With a late decision to come all are
/// recorded, and follow that.
fn records_only(pipeline: &Pipeline, answer: &Answer) -> bool {
    answer.decision == Decision::RecordOnly && !pipeline.late_sampling()
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
