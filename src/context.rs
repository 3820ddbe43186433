//! What identifies a span to others, and what travels with it.

use std::sync::Arc;

use crate::id::{SpanId, TraceId};

/// A span's ids and flags: all that a child in another process knows of its parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The sampling decision, None where nobody has taken one yet.
    pub sampled: Option<bool>,
    /// True when the right-most seven bytes of the trace id are random (W3C Trace Context level 2).
    pub random: bool,
    /// True when the span is another process's.
    pub is_remote: bool,
    /// W3C `tracestate`, None when empty.
    pub trace_state: Option<Arc<str>>,
}

impl SpanContext {
    /// The low byte of OTLP's `flags`: the W3C trace flags.
    pub fn trace_flags(&self) -> u32 {
        u32::from(self.sampled == Some(true)) | u32::from(self.random) << 1
    }
}

/// OTLP's `flags`: bit 8 says that bit 9 is known, bit 9 that the span (a link) or its parent (a
/// span) is another process's.
pub(crate) fn otlp_flags(trace_flags: u32, is_remote: bool) -> u32 {
    trace_flags | 1 << 8 | u32::from(is_remote) << 9
}

/// What a span is to the one who asked for its work (OpenTelemetry trace API, "SpanKind").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum SpanKind {
    /// Not said.
    Unspecified = 0,
    /// Inside one process.
    #[default]
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Makes a request and waits.
    Client = 3,
    /// Leaves a message for later.
    Producer = 4,
    /// Takes a message left earlier.
    Consumer = 5,
}

impl SpanKind {
    /// The kind with OTLP's number.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Unspecified,
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => return None,
        })
    }
}

/// How a span's work ended (OpenTelemetry trace API, "Set Status").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusCode {
    /// Nobody said.
    #[default]
    Unset = 0,
    /// Somebody said that it went well. Final.
    Ok = 1,
    /// It failed.
    Error = 2,
}

impl StatusCode {
    /// The code with OTLP's number.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Unset,
            1 => Self::Ok,
            2 => Self::Error,
            _ => return None,
        })
    }
}

/// A status and, with an error, why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: StatusCode,
    /// Only ever with [`StatusCode::Error`].
    pub description: Option<Box<str>>,
}

impl StatusCode {
    /// What a later code makes of this one: OK is final, unset changes nothing (OpenTelemetry trace
    /// API, "Set Status"). None where it stays.
    pub fn set(self, later: Self) -> Option<Self> {
        (self != Self::Ok && later != Self::Unset).then_some(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_is_final_and_unset_changes_nothing() {
        use StatusCode::{Error, Ok, Unset};
        assert_eq!(Unset.set(Error), Some(Error));
        assert_eq!(Error.set(Unset), None);
        assert_eq!(Error.set(Ok), Some(Ok));
        assert_eq!(Ok.set(Error), None);
    }
}
