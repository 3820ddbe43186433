//! Who owns a span, and the boxes that spans are in.

use super::{Phase, Span, Words};
use crate::context::{SpanKind, StatusCode};
use crate::id::SpanId;
use crate::trace::Trace;
use crate::tracer::Tracer;
use crate::turn::{Guarded, Shared, Spares, Turn, TurnCell};

/// A span as its owner holds it. It stays in its box, which is used again: to move it would cost as
/// much as to begin it. Its owner calls [`Handle::rest`] or [`Handle::discard`] when it dies.
#[derive(Debug, Default)]
pub struct Handle(Option<Box<Span>>);

/// Boxes of spans whose handles have died.
static SPARE: Guarded<Spares<Box<Span>, 256>> = Guarded::new(Spares::new());

impl std::ops::Deref for Handle {
    type Target = Span;

    #[inline(always)]
    fn deref(&self) -> &Span {
        self.0.as_deref().expect("the handle lives")
    }
}

impl Handle {
    /// A span to be begun: all but the fields for its end.
    #[inline(always)]
    pub(crate) fn begin(&mut self, turn: Turn<'_>, tracer: &'static Tracer) -> &mut Span {
        if self.0.is_none() {
            self.0 = Some(Self::spare(turn, tracer));
        }
        let span = self.0.as_deref_mut().expect("it was given a box");
        span.tracer = tracer;
        span.ended = TurnCell::new(false);
        span.kept = TurnCell::new(false);
        span.status = TurnCell::new(StatusCode::Unset);
        span
    }

    #[cold]
    fn spare(turn: Turn<'_>, tracer: &'static Tracer) -> Box<Span> {
        let spare = SPARE.borrow(turn).pop();
        spare.unwrap_or_else(|| Span::blank(tracer))
    }

    /// The handle dies, and keeps the box for the next span that begins in it. If it is unfinished it
    /// takes its span along, which is counted and named; the finished children go on.
    #[inline(always)]
    pub fn rest(&mut self, turn: Turn<'_>) {
        let Some(span) = &mut self.0 else {
            return;
        };
        // None: it is at rest already.
        let Some(trace) = &span.trace else {
            return;
        };
        // In a forked child the trace and all that belongs to it is the parent's.
        if trace.pipeline().is_inherited() {
            self.0 = None;
            return;
        }
        if span.is_unfinished(turn) {
            span.abandon(turn);
        } else if span.kept.get(turn) {
            span.stop_keeping(turn);
        }
        if let Some(trace) = span.trace.take() {
            Trace::let_go(trace, turn);
        }
        span.words.get_mut().clear();
        if span.own_trace_state.is_some() {
            span.own_trace_state = None;
        }
    }

    /// Takes over another handle's span. The box that it kept is for anybody.
    pub fn take_over(&mut self, turn: Turn<'_>, other: Self) {
        let mut kept = std::mem::replace(self, other);
        kept.discard(turn);
    }

    /// The same as [`Self::rest`], and the box is for anybody.
    pub fn discard(&mut self, turn: Turn<'_>) {
        self.rest(turn);
        if let Some(span) = self.0.take() {
            SPARE.borrow(turn).push(span);
        }
    }
}

impl Span {
    /// A span that begins has a trace from now on.
    #[inline(always)]
    pub(crate) fn belong_to(&mut self, trace: Shared<Trace>) {
        debug_assert!(self.trace.is_none(), "it was at rest");
        self.trace = Some(trace);
    }

    /// Its record was kept to be read, and now nobody can.
    #[cold]
    fn stop_keeping(&self, turn: Turn<'_>) {
        if let Some(slot) = self.slot {
            self.trace().pipeline().store().release(turn, slot);
        }
    }

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
}
