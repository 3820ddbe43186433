//! The handle of a span and the rules of its life: draft, open, finished, released.

use std::sync::Arc;

use prost::Message as _;

use crate::chunk::SPANS;
use crate::context::{SpanContext, SpanKind, Status, StatusCode};
use crate::id::SpanId;
use crate::otlp::message;
use crate::record::{Distinct, Facts, Record, Rules, Target};
use crate::store::Slot;
use crate::trace::{Trace, Verdict};
use crate::tracer::Tracer;
use crate::turn::{Guarded, Turn, TurnCell};
use crate::value::{Encode, Value};
use crate::wire::{Field, first_field};

/// A span as its owner holds it. It stays in its box, which is used again: to move it would cost as
/// much as to begin it. Its owner calls [`Handle::discard`] when it dies.
#[derive(Debug)]
pub struct Handle(Option<Box<Span>>);

/// A span. What it points to is its own or nothing: the record by slot and generation, the finished
/// bytes by span id.
#[derive(Debug)]
pub struct Span {
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) tracer: &'static Tracer,
    /// From its beginning until its handle dies.
    pub(crate) trace: Option<Arc<Trace>>,
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

/// What a span is sent as: its record has the rest.
#[derive(Clone, Debug)]
pub struct Disguise {
    /// Its own context.
    pub context: SpanContext,
    /// Its parent, and whether that is another process's.
    pub parent: Option<(SpanId, bool)>,
    /// Its kind.
    pub kind: SpanKind,
    /// Nanoseconds since 1970.
    pub start_time_ns: u64,
    /// Nanoseconds since 1970.
    pub end_time_ns: u64,
    /// How its work ended.
    pub status: Status,
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

/// Boxes of spans whose handles have died.
static SPARE: Guarded<Vec<Box<Span>>> = Guarded::new(Vec::new());
const MAX_SPARE: usize = 256;

impl std::ops::Deref for Handle {
    type Target = Span;

    #[inline(always)]
    fn deref(&self) -> &Span {
        self.0.as_deref().expect("the handle lives")
    }
}

impl Handle {
    /// A span that `begin` begins: all but the fields for its end.
    #[inline(always)]
    pub(crate) fn new(
        turn: Turn<'_>,
        tracer: &'static Tracer,
        begin: impl FnOnce(&mut Span),
    ) -> Self {
        let spare = SPARE.borrow(turn).pop();
        let mut span = spare.unwrap_or_else(|| Span::blank(tracer));
        span.tracer = tracer;
        span.ended = TurnCell::new(false);
        span.kept = TurnCell::new(false);
        span.status = TurnCell::new(StatusCode::Unset);
        begin(&mut span);
        Self(Some(span))
    }

    /// The handle dies. If it is unfinished it takes its span along, which is counted and named;
    /// the finished children go on.
    #[inline]
    pub fn discard(&mut self, turn: Turn<'_>) {
        let Some(mut span) = self.0.take() else {
            return;
        };
        // In a forked child the trace and all that belongs to it is the parent's.
        if span.is_inherited() {
            return;
        }
        if span.is_unfinished(turn) {
            span.abandon(turn);
        } else if let Some(slot) = span.slot.filter(|_| span.kept.get(turn)) {
            // To be read, and now nobody can.
            span.trace().pipeline().store().release(turn, slot, |_| ());
        }
        if let Some(trace) = span.trace.take() {
            Trace::let_go(trace, turn);
        }
        span.words.get_mut().clear();
        span.own_trace_state = None;
        let mut spare = SPARE.borrow(turn);
        if spare.len() < MAX_SPARE {
            spare.push(span);
        }
    }
}

impl Words {
    /// The box of a dead span keeps no more memory than this for its description.
    const KEPT_BYTES: usize = 256;

    #[inline]
    fn clear(&mut self) {
        self.is_described = false;
        if self.description.capacity() > Self::KEPT_BYTES {
            self.description = String::new();
        }
        self.disguise = None;
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
    /// A span that has not begun.
    #[cold]
    fn blank(tracer: &'static Tracer) -> Box<Self> {
        Box::new(Self {
            span_id: SpanId::LEAST,
            parent_id: None,
            tracer,
            trace: None,
            slot: None,
            own_trace_state: None,
            start_time_ns: TurnCell::new(0),
            end_time_ns: TurnCell::new(0),
            words: Guarded::new(Words::default()),
            phase: TurnCell::new(Phase::Draft),
            ended: TurnCell::new(false),
            kept: TurnCell::new(false),
            status: TurnCell::new(StatusCode::Unset),
            kind: SpanKind::default(),
            parent_is_remote: false,
            is_root: false,
            own_decision: None,
        })
    }

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
        let own = self.own_trace_state.as_ref();
        own.or_else(|| self.trace().trace_state())
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
    pub fn trace(&self) -> &Arc<Trace> {
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
    #[inline]
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

    /// Sets an attribute; the last write wins.
    #[inline(always)]
    pub fn set_attribute(&self, turn: Turn<'_>, key: &str, value: Value<'_>) {
        match value {
            Value::Text(text) => self.set(turn, key, text),
            Value::Bool(bool) => self.set(turn, key, bool),
            Value::Int(int) => self.set(turn, key, int),
            Value::Double(double) => self.set(turn, key, double),
            value => self.set(turn, key, value),
        }
    }

    // One function for each type: a value that passes through memory waits there.
    #[inline(never)]
    fn set<V: Encode>(&self, turn: Turn<'_>, key: &str, value: V) {
        let rules = self.rules();
        self.write(turn, |record| record.set(key, value, rules));
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss_attributes(&self, turn: Turn<'_>, count: u32) {
        self.write(turn, |record| record.miss_attributes(count));
    }

    /// Removes an attribute.
    pub fn unset_attribute(&self, turn: Turn<'_>, key: &str) {
        self.write(turn, |record| record.unset_attribute(key));
    }

    /// Adds an event, now unless `time_ns` says when.
    pub fn add_event<'a>(
        &self,
        turn: Turn<'_>,
        name: &str,
        time_ns: Option<u64>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        if self.slot.is_none() {
            return;
        }
        let time_ns = time_ns.unwrap_or_else(|| self.trace().now_ns());
        let rules = self.rules();
        self.write(turn, |record| {
            record.add_event(name, time_ns, attributes, 0, rules);
        });
    }

    /// How many attributes an event may have.
    #[inline]
    pub(crate) fn max_event_attributes(&self) -> usize {
        self.trace().pipeline().limits().attribute_per_event_count
    }

    /// Adds an event now, to which `fill` adds attributes whose keys differ, as many as it may have.
    /// It must not call Python.
    #[inline(always)]
    pub(crate) fn add_event_of_distinct(
        &self,
        turn: Turn<'_>,
        name: &str,
        fill: impl FnOnce(&mut Distinct<'_>),
    ) {
        if self.slot.is_none() {
            return;
        }
        let time_ns = self.trace().now_ns();
        let rules = self.rules();
        self.write(turn, |record| {
            record.add_event_of_distinct(name, time_ns, rules, fill);
        });
    }

    /// Adds a link.
    pub fn add_link<'a>(
        &self,
        turn: Turn<'_>,
        target: Target<'_>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        let rules = self.rules();
        self.write(turn, |record| record.add_link(target, attributes, 0, rules));
    }

    /// Changes what it holds, by the rules of its tracer. `work` must not call Python.
    pub fn change(&self, turn: Turn<'_>, work: impl FnOnce(&mut Record, Rules<'_>)) {
        let rules = self.rules();
        self.write(turn, |record| work(record, rules));
    }

    /// Sets the status by the rules of [`Status::set`].
    pub fn set_status(&self, turn: Turn<'_>, code: StatusCode, description: Option<&str>) {
        if self.slot.is_none() {
            return;
        }
        // A status has no other limit on its text than an attribute's.
        let description = description
            .map(|text| text.truncated(self.trace().pipeline().limits().attribute_value_length));
        if self.write(turn, |_| ()) {
            let before = self.status.get(turn);
            if let Some(code) = before.set(code) {
                self.status.set(turn, code);
                let description = description.filter(|_| code == StatusCode::Error);
                self.words.borrow(turn).describe(description);
            }
        }
    }

    /// Gives a draft its name and start.
    pub fn link(
        &self,
        turn: Turn<'_>,
        name: &str,
        start_time_ns: Option<u64>,
    ) -> Result<(), AlreadyLinked> {
        if self.phase.get(turn) != Phase::Draft {
            return Err(AlreadyLinked);
        }
        self.phase.set(turn, Phase::Open);
        let start = start_time_ns.unwrap_or_else(|| self.trace().now_ns());
        self.start_time_ns.set(turn, start);
        self.with_record(turn, |record| record.set_name(name));
        Ok(())
    }

    /// Ends the span, now unless `end_time_ns` says when. The first end wins: a span may be
    /// finished by its `with` block and again by hand, and the exporter must see one duration.
    /// True if this was the first.
    pub fn finish(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<bool, FinishError> {
        self.finish_with(turn, end_time_ns)
    }

    /// The same, now.
    #[inline]
    pub fn finish_now(&self, turn: Turn<'_>) -> Result<bool, FinishError> {
        self.finish_with(turn, None)
    }

    // Inlined into both, with all below it: the usual end is one piece.
    #[inline(always)]
    fn finish_with(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<bool, FinishError> {
        self.may_finish(turn, end_time_ns)?;
        if self.phase.get(turn) != Phase::Open {
            return Ok(false);
        }
        self.end_at(turn, end_time_ns);
        self.complete(turn, false);
        Ok(true)
    }

    /// What [`Self::finish`] would refuse.
    #[inline]
    pub fn may_finish(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<(), FinishError> {
        let start = self.start_time_ns.get(turn);
        match (self.phase.get(turn), end_time_ns) {
            (Phase::Draft, _) => Err(FinishError::Draft),
            (Phase::Open, Some(end)) if end < start => {
                Err(FinishError::EndBeforeStart(start - end))
            }
            _ => Ok(()),
        }
    }

    /// The first half of [`Self::finish`] for those who tell others of the end: the span has ended,
    /// and what it holds can still be read and changed. Any end is taken. True if this was the first.
    pub fn begin_end(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> bool {
        if self.phase.get(turn) != Phase::Open {
            return false;
        }
        self.end_at(turn, end_time_ns);
        self.phase.set(turn, Phase::Ending);
        true
    }

    /// The second half: what the span holds moves on. With `keeps` it can still be read.
    pub fn complete_end(&self, turn: Turn<'_>, keeps: bool) {
        if self.phase.get(turn) == Phase::Ending {
            self.complete(turn, keeps);
        }
    }

    /// A measured end is never before a start; one given by hand may be, and is refused or taken
    /// before it comes here.
    #[inline(always)]
    fn end_at(&self, turn: Turn<'_>, end_time_ns: Option<u64>) {
        let measured = || self.trace().now_ns().max(self.start_time_ns.get(turn));
        let end = end_time_ns.unwrap_or_else(measured);
        self.end_time_ns.set(turn, end);
        self.ended.set(turn, true);
    }

    #[inline(always)]
    fn complete(&self, turn: Turn<'_>, keeps: bool) {
        self.phase.set(turn, Phase::Finished);
        self.kept.set(turn, keeps);
        if self.is_inherited() {
            return;
        }
        if let Some(slot) = self.slot {
            self.move_to_chunk(turn, slot, keeps);
        }
        if self.is_root {
            self.trace().end(turn);
        }
    }

    /// Says what it is sent as, whatever it was.
    pub fn set_disguise(&self, turn: Turn<'_>, disguise: Disguise) {
        self.words.borrow(turn).disguise = Some(Box::new(disguise));
    }

    /// Ends the handle. A span that has not finished is discarded and counted; one that has is
    /// exported all the same.
    pub fn release(&self, turn: Turn<'_>) {
        if self.leave(turn) == Some(Phase::Open) && self.slot.is_some() {
            self.trace().pipeline().counters().discarded.add(1);
        }
    }

    #[cold]
    fn abandon(&self, turn: Turn<'_>) {
        let name = self.with_record(turn, |record| record.name().to_owned());
        if self.leave(turn) == Some(Phase::Open) {
            if let Some(name) = name {
                self.trace().pipeline().abandon(&name);
            }
        }
    }

    /// The span's attributes, events and links with the rest, as far as they are known.
    pub fn read(&self, turn: Turn<'_>) -> Result<message::Span, Released> {
        let Some(slot) = self.slot.filter(|_| !self.is_inherited()) else {
            return Ok(message::Span::default());
        };
        let store = self.trace().pipeline().store();
        let written = |record: &Record| {
            let mut buffer = Vec::new();
            let words = self.words.borrow(turn);
            record
                .measured(SPANS, &self.facts(turn, &words))
                .write(&mut buffer);
            content(&buffer)
        };
        let bytes = match self.phase.get(turn) {
            Phase::Draft | Phase::Open | Phase::Ending => {
                store.with(turn, slot, |record| written(record))
            }
            Phase::Finished => {
                let kept = store.with(turn, slot, |record| written(record));
                kept.or_else(|| self.trace().chunk().find(self.span_id))
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
    fn with_record<R>(&self, turn: Turn<'_>, work: impl FnOnce(&mut Record) -> R) -> Option<R> {
        let slot = self.slot.filter(|_| !self.is_inherited())?;
        self.trace().pipeline().store().with(turn, slot, work)
    }

    /// Writes to the record. False when the span keeps nothing: not recorded, or ended, which
    /// counts as an ignored write.
    #[inline(always)]
    fn write(&self, turn: Turn<'_>, work: impl FnOnce(&mut Record)) -> bool {
        let Some(slot) = self.slot.filter(|_| !self.is_inherited()) else {
            return false;
        };
        let pipeline = self.trace().pipeline();
        let written = pipeline.store().with_open(turn, slot, work).is_some();
        if !written {
            pipeline.counters().ignored_writes.add(1);
        }
        written
    }

    #[inline]
    fn rules(&self) -> Rules<'_> {
        Rules {
            limits: self.trace().pipeline().limits(),
            surplus: self.tracer.surplus(),
        }
    }

    #[inline(always)]
    fn facts<'a>(&'a self, turn: Turn<'_>, words: &'a Words) -> Facts<'a> {
        if let Some(disguise) = &words.disguise {
            return disguise.facts();
        }
        let start_time_ns = self.start_time_ns.get(turn);
        Facts {
            trace_id: self.trace().trace_id(),
            span_id: self.span_id,
            random: self.trace().random(),
            trace_state: self.trace_state().map(AsRef::as_ref),
            parent_id: self.parent_id,
            parent_is_remote: self.parent_is_remote,
            kind: self.kind,
            start_time_ns,
            // Given by hand through OpenTelemetry's API it may be before the start: no reader knows
            // what to do with that.
            end_time_ns: self.end_time_ns.get(turn).max(start_time_ns),
            status: self.status.get(turn),
            description: words.description(),
        }
    }

    #[inline(always)]
    fn move_to_chunk(&self, turn: Turn<'_>, slot: Slot, keeps: bool) {
        let words = self.words.borrow(turn);
        let facts = self.facts(turn, &words);
        let pipeline = self.trace().pipeline();
        let write = |record: &Record| {
            // Recorded for somebody in this process, and for nobody else.
            if self.own_decision == Some(false) || pipeline.forgets() {
                return pipeline.forget(turn, self.own_decision == Some(false));
            }
            let (scope, follows) = (self.tracer.scope(), self.own_decision.is_none());
            let span = record.measured(SPANS, &facts);
            self.trace().add(turn, scope, follows, self.is_root, &span);
        };
        let store = pipeline.store();
        if keeps {
            store.keep(turn, slot, write);
        } else {
            store.release(turn, slot, write);
        }
        pipeline.record_released();
    }

    /// Ends the handle's life without an end time, unless it has one; says where it stood.
    fn leave(&self, turn: Turn<'_>) -> Option<Phase> {
        let before = self.phase.get(turn);
        self.phase.set(turn, Phase::Released);
        if matches!(before, Phase::Finished | Phase::Released) || self.is_inherited() {
            return None;
        }
        let had_record = self.slot.is_none_or(|slot| {
            let pipeline = self.trace().pipeline();
            let released = pipeline.store().release(turn, slot, |_| ()).is_some();
            pipeline.record_released();
            released
        });
        if self.is_root {
            self.trace().end(turn);
        }
        had_record.then_some(before)
    }
}

impl Disguise {
    #[cold]
    fn facts(&self) -> Facts<'_> {
        Facts {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            random: self.context.random,
            trace_state: self.context.trace_state.as_deref(),
            parent_id: self.parent.map(|(id, _)| id),
            parent_is_remote: self.parent.is_some_and(|(_, is_remote)| is_remote),
            kind: self.kind,
            start_time_ns: self.start_time_ns,
            end_time_ns: self.end_time_ns.max(self.start_time_ns),
            status: self.status.code,
            description: self.status.description.as_deref(),
        }
    }
}

/// The content of the one length-delimited field in `buffer`.
fn content(buffer: &[u8]) -> Vec<u8> {
    match first_field(buffer) {
        Some((_, Field::Bytes(bytes), _)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
