//! The OTLP trace messages, as far as we read them back: `opentelemetry/proto`, v1.
//!
//! Only readers use these (`MemoryExporter`, OTLP/JSON, the waterfall). What is sent is written
//! straight from the wire bytes of the records: building these first costs 130 times the copy.

use prost::Message;

/// What one export carries: spans grouped by resource.
#[derive(Clone, PartialEq, Message)]
pub struct TracesData {
    /// One entry for each resource.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// The spans of one resource.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// What made the spans.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One entry for each instrumentation scope.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
    /// The schema of the resource's attribute names.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// The process that made the spans.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Its attributes, `service.name` among them.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes a limit left out.
    #[prost(uint32, tag = "2")]
    pub dropped_attributes_count: u32,
}

/// The spans of one tracer.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// The tracer's name and version.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// The spans, in the order in which they finished.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
    /// The schema of the spans' attribute names.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// A tracer's name and version.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// The tracer's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The tracer's version; empty when it has none.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Attributes of the scope.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes a limit left out.
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// One finished span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// Sixteen bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// Eight bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// W3C `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// Eight bytes, or none for the root of a trace.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// Bits 0 to 7 are the W3C trace flags, 8 says that bit 9 is known, 9 that the parent is remote.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
    /// What the span is about.
    #[prost(string, tag = "5")]
    pub name: String,
    /// 0 to 5, see [`crate::SpanKind`].
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// Keys are unique.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes a limit left out.
    #[prost(uint32, tag = "10")]
    pub dropped_attributes_count: u32,
    /// In the order in which they were added.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// How many events a limit left out.
    #[prost(uint32, tag = "12")]
    pub dropped_events_count: u32,
    /// In the order in which they were added.
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    /// How many links a limit left out.
    #[prost(uint32, tag = "14")]
    pub dropped_links_count: u32,
    /// None is the same as a status with code 0.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// Something that happened at one moment of a span.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What happened.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Keys are unique.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes a limit left out.
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// A span that has to do with this one without being its parent.
#[derive(Clone, PartialEq, Message)]
pub struct Link {
    /// Sixteen bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// Eight bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// W3C `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// Keys are unique.
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes a limit left out.
    #[prost(uint32, tag = "5")]
    pub dropped_attributes_count: u32,
    /// As [`Span::flags`], of the linked span.
    #[prost(fixed32, tag = "6")]
    pub flags: u32,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// The description of an error.
    #[prost(string, tag = "2")]
    pub message: String,
    /// 0 unset, 1 ok, 2 error.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// One attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// The attribute's name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// None where the value is absent altogether.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value; none of the kinds is the empty value, Python's `None` inside a list.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value itself.
    #[prost(oneof = "any_value::Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<any_value::Value>,
}

/// The kinds of [`AnyValue`].
pub mod any_value {
    use super::{ArrayValue, KeyValueList};

    /// What an attribute can hold.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// Text.
        #[prost(string, tag = "1")]
        StringValue(String),
        /// True or false.
        #[prost(bool, tag = "2")]
        BoolValue(bool),
        /// A whole number.
        #[prost(int64, tag = "3")]
        IntValue(i64),
        /// A number.
        #[prost(double, tag = "4")]
        DoubleValue(f64),
        /// Values in order, of any kinds.
        #[prost(message, tag = "5")]
        ArrayValue(ArrayValue),
        /// Values by name.
        #[prost(message, tag = "6")]
        KvlistValue(KeyValueList),
        /// Bytes.
        #[prost(bytes, tag = "7")]
        BytesValue(Vec<u8>),
    }
}

/// Values in order.
#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// Values by name.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    /// Keys are unique.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}
