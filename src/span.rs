//! A span and the rules of its life: draft, open, finished, released.
//!
//! | file | what is there |
//! |---|---|
//! | `handle` | who owns a span, and the boxes that are used again |
//! | `write` | what is set on it |
//! | `end` | how it ends, and what is sent of it |

mod end;
mod handle;
mod write;

use std::sync::Arc;

use prost::Message as _;

use crate::context::{SpanContext, SpanKind, Status, StatusCode};
use crate::id::SpanId;
use crate::otlp::message;
use crate::record::{Facts, Record, Rules};
use crate::store::Slot;
use crate::trace::{Trace, Verdict};
use crate::tracer::Tracer;
use crate::turn::{Guarded, Shared, Turn, TurnCell};

use crate::wire::{Field, first_field};
pub use end::Disguise;
use end::WithFacts;
pub use handle::Handle;

/// A span. What it points to is its own or nothing: the record by slot and generation, the finished
/// bytes by span id.
#[derive(Debug)]
pub struct Span {
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) tracer: &'static Tracer,
    /// From its beginning until its handle dies.
    pub(crate) trace: Option<Shared<Trace>>,
    /// None when the span is not recorded.
    pub(crate) slot: Option<Slot>,
    /// The `tracestate` that a sampler gave it, or an ancestor; None has the trace's.
    pub(crate) own_trace_state: Option<Arc<str>>,
    pub(crate) start_time_ns: TurnCell<u64>,
    /// Counts once the span has `ended`.
    pub(crate) end_time_ns: TurnCell<u64>,
    pub(crate) words: Guarded<Words>,
    pub(crate) phase: TurnCell<Phase>,
    pub(crate) ended: TurnCell<bool>,
    /// It has finished, and its record is still there to be read.
    pub(crate) kept: TurnCell<bool>,
    pub(crate) status: TurnCell<StatusCode>,
    pub(crate) kind: SpanKind,
    pub(crate) parent_is_remote: bool,
    pub(crate) is_root: bool,
    /// The decision that the span, or an ancestor, took for itself; None follows the trace.
    pub(crate) own_decision: Option<bool>,
}

/// What few spans have.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Why it failed, if anybody said. Its memory is used again.
    description: String,
    is_described: bool,
    /// What it is sent as, where others have their say in that.
    disguise: Option<Box<Disguise>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has ids, and no name yet.
    Draft,
    Open,
    /// Has its end; the record is still there, for those who are told of it.
    Ending,
    Finished,
    /// The handle has ended; the span was exported if it had finished before.
    Released,
}

/// Why a span did not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishError {
    /// It is a draft without a name.
    Draft,
    /// The end lies before the start, by so many nanoseconds. The span stays open.
    EndBeforeStart(u64),
}

/// The span's attributes, events and links are gone: the trace was handed over, or the handle
/// released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released;

/// A draft can be linked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyLinked;
impl Words {
    /// The box of a dead span keeps no more memory than this for its description.
    const KEPT_BYTES: usize = 256;

    #[inline(always)]
    fn clear(&mut self) {
        if self.is_described {
            self.is_described = false;
            self.description.shrink_to(Self::KEPT_BYTES);
        }
        if self.disguise.is_some() {
            self.disguise = None;
        }
    }

    #[inline]
    fn description(&self) -> Option<&str> {
        self.is_described.then_some(self.description.as_str())
    }

    #[inline]
    fn describe(&mut self, description: Option<&str>) {
        self.is_described = description.is_some();
        if let Some(description) = description {
            self.description.clear();
            self.description.push_str(description);
        }
    }
}

impl Span {
    /// The ids and flags, with the decision as it stands.
    pub fn context(&self) -> SpanContext {
        SpanContext {
            trace_id: self.trace().trace_id(),
            span_id: self.span_id,
            sampled: Some(self.sampled()),
            random: self.trace().random(),
            is_remote: false,
            trace_state: self.trace_state().cloned(),
        }
    }

    /// The W3C `tracestate`, None when empty.
    pub fn trace_state(&self) -> Option<&Arc<str>> {
        self.trace_state_in(self.trace())
    }

    #[inline(always)]
    fn trace_state_in<'a>(&'a self, trace: &'a Trace) -> Option<&'a Arc<str>> {
        let own = self.own_trace_state.as_ref();
        own.or(trace.trace_state())
            .filter(|state| !state.is_empty())
    }

    /// The span's id.
    pub fn span_id(&self) -> &SpanId {
        &self.span_id
    }

    /// Who asked for this span's work.
    pub fn parent_id(&self) -> Option<SpanId> {
        self.parent_id
    }

    /// True when the parent is another process's.
    pub fn parent_is_remote(&self) -> bool {
        self.parent_is_remote
    }

    /// The span's kind.
    pub fn kind(&self) -> SpanKind {
        self.kind
    }

    /// The tracer that made it.
    pub fn tracer(&self) -> &'static Tracer {
        self.tracer
    }

    /// Its local trace.
    #[inline(always)]
    pub fn trace(&self) -> &Trace {
        self.shared_trace()
    }

    /// The same, as its owners share it.
    #[inline(always)]
    pub(crate) fn shared_trace(&self) -> &Shared<Trace> {
        self.trace.as_ref().expect("the span has begun")
    }

    /// True for the first span of the local trace.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// The decision on the span as it stands.
    pub fn sampled(&self) -> bool {
        self.own_decision
            .unwrap_or_else(|| self.trace().verdict() == Verdict::Sampled)
    }

    /// The W3C trace flags, with the decision as it stands.
    pub fn trace_flags(&self) -> u8 {
        u8::from(self.sampled()) | u8::from(self.trace().random()) << 1
    }

    /// Another process is told of the span. If that it is sampled, that stays so.
    pub fn announce(&self) {
        if self.own_decision.is_none() {
            self.trace().announce();
        }
    }

    /// True if it was recorded when it started.
    #[inline]
    pub fn is_recorded(&self) -> bool {
        self.slot.is_some()
    }

    /// True while what is set on it is kept.
    pub fn is_recording(&self, turn: Turn<'_>) -> bool {
        self.is_unfinished(turn) && self.with_record(turn, |_| ()).is_some()
    }

    /// True until it finishes or is released.
    #[inline(always)]
    pub fn is_unfinished(&self, turn: Turn<'_>) -> bool {
        matches!(self.phase.get(turn), Phase::Draft | Phase::Open)
    }

    /// Nanoseconds since 1970; 0 for a draft.
    pub fn start_time_ns(&self, turn: Turn<'_>) -> u64 {
        self.start_time_ns.get(turn)
    }

    /// Nanoseconds since 1970, None until it finishes.
    pub fn end_time_ns(&self, turn: Turn<'_>) -> Option<u64> {
        self.ended.get(turn).then(|| self.end_time_ns.get(turn))
    }

    /// How its work ended, as far as known, without the reason.
    #[inline]
    pub fn status_code(&self, turn: Turn<'_>) -> StatusCode {
        self.status.get(turn)
    }

    /// How its work ended, as far as known.
    pub fn status(&self, turn: Turn<'_>) -> Status {
        Status {
            code: self.status.get(turn),
            description: self.words.borrow(turn).description().map(Box::from),
        }
    }

    /// The span's attributes, events and links with the rest, as far as they are known.
    pub fn read(&self, turn: Turn<'_>) -> Result<message::Span, Released> {
        let Some(slot) = self.slot.filter(|_| !self.is_inherited()) else {
            return Ok(message::Span::default());
        };
        let store = self.trace().pipeline().store();
        let written =
            |record: &Record| content(&self.with_facts(turn, self.trace(), Write(record)));
        let bytes = match self.phase.get(turn) {
            Phase::Draft | Phase::Open | Phase::Ending => {
                store.with(turn, slot, |record| written(record))
            }
            Phase::Finished => {
                let kept = store.with(turn, slot, |record| written(record));
                kept.or_else(|| self.trace().find(turn, self.span_id))
            }
            Phase::Released => None,
        };
        message::Span::decode(bytes.ok_or(Released)?.as_slice()).map_err(|_| Released)
    }

    /// True in a child process that inherited the handle by `fork`: there it is a remote parent,
    /// and nothing more.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.trace().pipeline().is_inherited()
    }

    #[inline]
    pub(super) fn with_record<R>(
        &self,
        turn: Turn<'_>,
        work: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let slot = self.slot.filter(|_| !self.is_inherited())?;
        self.trace().pipeline().store().with(turn, slot, work)
    }

    /// Writes to the record. False when the span keeps nothing: not recorded, or ended, which
    /// counts as an ignored write.
    #[inline(always)]
    fn write(&self, turn: Turn<'_>, work: impl FnOnce(&mut Record)) -> bool {
        let Some(slot) = self.slot else {
            return false;
        };
        let pipeline = self.trace().pipeline();
        if pipeline.is_inherited() {
            return false;
        }
        let Some(mut record) = pipeline.store().open(turn, slot) else {
            pipeline.counters().ignored_writes.add(1);
            return false;
        };
        work(&mut record);
        true
    }

    #[inline]
    fn rules(&self) -> Rules<'_> {
        Rules {
            limits: self.trace().pipeline().limits(),
            surplus: self.tracer.surplus(),
        }
    }
}

/// Writes the span.
struct Write<'a>(&'a Record);

impl WithFacts<Vec<u8>> for Write<'_> {
    fn with(self, facts: &impl Facts) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.0.measured(facts).write(&mut buffer);
        buffer
    }
}

/// The content of the one length-delimited field in `buffer`.
fn content(buffer: &[u8]) -> Vec<u8> {
    match first_field(buffer) {
        Some((_, Field::Bytes(bytes), _)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
