//! What came with a request, in the terms of no format.

use std::sync::Arc;

use super::datadog;
use super::{Baggage, Format};
use crate::context::SpanContext;
use crate::id::{SpanId, TraceId};

/// What one process tells the next: which span asked, what was decided, and what is to travel on.
///
/// Any part may be missing: some formats can send a decision without ids, or a trace id alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteContext {
    /// The trace.
    pub trace_id: Option<TraceId>,
    /// The sender's span.
    pub span_id: Option<SpanId>,
    /// The parent of that span, in formats that say it.
    pub parent_id: Option<SpanId>,
    /// The sender's decision; None where it has taken none.
    pub sampled: Option<bool>,
    /// The format that it came in.
    pub format: Option<Format>,
    /// The bytes of the trace id as it came: 16, 8, or what a short number needs.
    pub trace_id_size: Option<u8>,
    /// W3C's flags as they came.
    pub w3c_flags: Option<u8>,
    /// The value of `x-b3-flags` as it came; `1` is B3's debug flag.
    pub b3_flags: Option<Box<str>>,
    /// W3C `tracestate`, None when empty.
    pub trace_state: Option<Arc<str>>,
    /// Names and values of the application's.
    pub baggage: Baggage,
    /// What Datadog's headers say beyond this.
    pub datadog: Option<Box<datadog::Extra>>,
    /// The parts of X-Ray's header that are not ours, as they came.
    pub aws_extra: Option<Box<str>>,
}

impl RemoteContext {
    /// One that came in a format.
    pub(super) fn of(format: Format) -> Self {
        Self {
            format: Some(format),
            ..Self::default()
        }
    }

    /// The parent that it stands for; None without both ids.
    pub fn span_context(&self) -> Option<SpanContext> {
        Some(SpanContext {
            trace_id: self.trace_id?,
            span_id: self.span_id?,
            sampled: self.sampled,
            random: self.is_random(),
            is_remote: true,
            trace_state: self.trace_state.clone(),
        })
    }

    /// True when it says neither which trace it is of nor what was decided.
    pub fn is_silent(&self) -> bool {
        self.trace_id.is_none() && self.sampled.is_none()
    }

    /// True when the right-most seven bytes of the trace id are random (W3C Trace Context level 2).
    pub fn is_random(&self) -> bool {
        self.w3c_flags.is_some_and(|flags| flags & 2 != 0)
    }

    /// True when the format lets the receiver use the sender's span id for its own span.
    pub fn shared_span(&self) -> bool {
        matches!(
            self.format,
            Some(Format::B3 | Format::B3Single | Format::Jaeger)
        )
    }

    /// The same for a span of this process: what came with its request travels on, its ids and its
    /// decision take the place of the sender's.
    #[must_use]
    pub fn with_span(&self, span: &SpanContext, parent_id: Option<SpanId>) -> Self {
        Self {
            span_id: Some(span.span_id),
            parent_id,
            sampled: span.sampled,
            w3c_flags: Some(span.trace_flags() as u8),
            trace_state: span.trace_state.clone(),
            ..self.of_trace(Some(span.trace_id))
        }
    }

    /// The same for a trace. What was said of another one, the size of its id, debugging, what
    /// vendors add, is not said of it.
    #[must_use]
    pub fn of_trace(&self, trace_id: Option<TraceId>) -> Self {
        let same = self.trace_id.is_none() || self.trace_id == trace_id;
        Self {
            trace_id,
            trace_id_size: self.trace_id_size.filter(|_| same),
            b3_flags: self.b3_flags.clone().filter(|_| same),
            datadog: self.datadog.clone().filter(|_| same),
            aws_extra: self.aws_extra.clone().filter(|_| same),
            ..self.clone()
        }
    }

    /// What is left for a trace that begins here: how to write, and nothing that the caller says.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self {
            format: self.format,
            ..Self::default()
        }
    }

    /// The digits of the trace id, in the size in which it came if the format allows that.
    pub(super) fn sized_trace_id(&self, default: u8) -> Option<String> {
        let size = self.trace_id_size.filter(|size| [8, 16].contains(size));
        Some(super::digit::sized(self.trace_id?, size.unwrap_or(default)))
    }

    /// Both ids, or the name of the one that is missing.
    pub(super) fn ids(&self) -> Result<(TraceId, SpanId), &'static str> {
        let trace_id = self.trace_id.ok_or("trace_id")?;
        Ok((trace_id, self.span_id.ok_or("span_id")?))
    }
}
