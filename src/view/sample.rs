//! Spans for the tests of this room.

use crate::otlp::message::any_value::Value;
use crate::otlp::message::{
    AnyValue, KeyValue, Resource, ResourceSpans, ScopeSpans, Span, Status, TracesData,
};

/// 2023-11-14 22:13:20 UTC; the times of sample spans count from here.
pub(super) const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// A span from one nanosecond to another; parent 0 is none.
pub(super) fn span(id: u64, parent: u64, name: &str, start_ns: u64, end_ns: u64) -> Span {
    Span {
        trace_id: vec![0x4b; 16],
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 {
            vec![]
        } else {
            parent.to_be_bytes().to_vec()
        },
        name: name.into(),
        start_time_unix_nano: EPOCH_NS + start_ns,
        end_time_unix_nano: EPOCH_NS + end_ns,
        ..Span::default()
    }
}

pub(super) fn failed(span: Span, message: &str) -> Span {
    Span {
        status: Some(Status {
            message: message.into(),
            code: 2,
        }),
        ..span
    }
}

impl Span {
    pub(super) fn in_trace(self, id: u8) -> Span {
        Span {
            trace_id: vec![id; 16],
            ..self
        }
    }
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

pub(super) fn export(service: &str, spans: Vec<Span>) -> TracesData {
    let name = attribute("service.name", Value::StringValue(service.into()));
    let resource = Resource {
        attributes: vec![name],
        dropped_attributes_count: 0,
    };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            schema_url: String::new(),
        }],
    }
}
