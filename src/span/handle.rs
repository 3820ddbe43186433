//! Who owns a span, and the boxes that spans are in.

use super::{Phase, Span, Words};
use crate::context::{SpanKind, StatusCode};
use crate::id::SpanId;
use crate::trace::Trace;
use crate::tracer::Tracer;
use crate::turn::{Guarded, Turn, TurnCell};

/// A span as its owner holds it. It stays in its box, which is used again: to move it would cost as
/// much as to begin it. Its owner calls [`Handle::discard`] when it dies.
#[derive(Debug)]
pub struct Handle(Option<Box<Span>>);

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
}
