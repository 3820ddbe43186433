//! Messages to a line of OTLP/JSON.

use std::fmt::Write as _;

use crate::otlp::message::any_value::Value;
use crate::otlp::message::{
    AnyValue, Event, InstrumentationScope, KeyValue, Link, Resource, ResourceSpans, ScopeSpans,
    Span, Status, TracesData,
};

/// One export as one line without its newline.
///
/// Fields that hold their default are left out, except those without which readers stumble: lists
/// that readers loop over, ids, names and times.
pub fn write(data: &TracesData) -> String {
    let mut line = String::new();
    Object::write(&mut line, |export| {
        export.list("resourceSpans", &data.resource_spans, resource_spans);
    });
    line
}

fn resource_spans(object: &mut Object, spans: &ResourceSpans) {
    object.message("resource", spans.resource.as_ref(), resource);
    object.list("scopeSpans", &spans.scope_spans, scope_spans);
    object.text_if_any("schemaUrl", &spans.schema_url);
}

fn resource(object: &mut Object, resource: &Resource) {
    object.list_if_any("attributes", &resource.attributes, key_value);
    object.number_if_any("droppedAttributesCount", resource.dropped_attributes_count);
}

fn scope_spans(object: &mut Object, spans: &ScopeSpans) {
    object.message("scope", spans.scope.as_ref(), instrumentation_scope);
    object.list("spans", &spans.spans, span);
    object.text_if_any("schemaUrl", &spans.schema_url);
}

fn instrumentation_scope(object: &mut Object, scope: &InstrumentationScope) {
    object.text_if_any("name", &scope.name);
    object.text_if_any("version", &scope.version);
    object.list_if_any("attributes", &scope.attributes, key_value);
    object.number_if_any("droppedAttributesCount", scope.dropped_attributes_count);
}

fn span(object: &mut Object, span: &Span) {
    object.id("traceId", &span.trace_id);
    object.id("spanId", &span.span_id);
    object.text_if_any("traceState", &span.trace_state);
    if !span.parent_span_id.is_empty() {
        object.id("parentSpanId", &span.parent_span_id);
    }
    object.number_if_any("flags", span.flags);
    object.text("name", &span.name);
    object.number_if_any("kind", span.kind);
    object.long("startTimeUnixNano", span.start_time_unix_nano);
    object.long("endTimeUnixNano", span.end_time_unix_nano);
    object.list_if_any("attributes", &span.attributes, key_value);
    object.number_if_any("droppedAttributesCount", span.dropped_attributes_count);
    object.list_if_any("events", &span.events, event);
    object.number_if_any("droppedEventsCount", span.dropped_events_count);
    object.list_if_any("links", &span.links, link);
    object.number_if_any("droppedLinksCount", span.dropped_links_count);
    object.message("status", span.status.as_ref(), status);
}

fn event(object: &mut Object, event: &Event) {
    object.long("timeUnixNano", event.time_unix_nano);
    object.text("name", &event.name);
    object.list_if_any("attributes", &event.attributes, key_value);
    object.number_if_any("droppedAttributesCount", event.dropped_attributes_count);
}

fn link(object: &mut Object, link: &Link) {
    object.id("traceId", &link.trace_id);
    object.id("spanId", &link.span_id);
    object.text_if_any("traceState", &link.trace_state);
    object.list_if_any("attributes", &link.attributes, key_value);
    object.number_if_any("droppedAttributesCount", link.dropped_attributes_count);
    object.number_if_any("flags", link.flags);
}

fn status(object: &mut Object, status: &Status) {
    object.text_if_any("message", &status.message);
    object.number_if_any("code", status.code);
}

fn key_value(object: &mut Object, attribute: &KeyValue) {
    object.text("key", &attribute.key);
    object.message("value", attribute.value.as_ref(), any_value);
}

fn any_value(object: &mut Object, value: &AnyValue) {
    match &value.value {
        None => {}
        Some(Value::StringValue(text)) => object.text("stringValue", text),
        Some(Value::BoolValue(yes)) => object.plain("boolValue", yes),
        Some(Value::IntValue(int)) => object.long("intValue", *int),
        Some(Value::DoubleValue(float)) => double(object, *float),
        Some(Value::ArrayValue(array)) => {
            object.message("arrayValue", Some(array), |object, array| {
                object.list("values", &array.values, any_value);
            });
        }
        Some(Value::KvlistValue(map)) => object.message("kvlistValue", Some(map), |object, map| {
            object.list("values", &map.values, key_value);
        }),
        Some(Value::BytesValue(bytes)) => {
            object.quoted("bytesValue", |line| base64(line, bytes));
        }
    }
}

fn double(object: &mut Object, float: f64) {
    if float.is_nan() {
        object.text("doubleValue", "NaN");
    } else if float.is_infinite() {
        object.text(
            "doubleValue",
            if float > 0.0 { "Infinity" } else { "-Infinity" },
        );
    } else {
        // `{:?}` is the shortest text that reads back to the same bits, and keeps 1.0 a float.
        object.plain("doubleValue", format_args!("{float:?}"));
    }
}

/// One JSON object under way.
struct Object<'a> {
    line: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    fn write(line: &mut String, fill: impl FnOnce(&mut Object)) {
        line.push('{');
        fill(&mut Object {
            line,
            is_empty: true,
        });
        line.push('}');
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !self.is_empty {
            self.line.push(',');
        }
        self.is_empty = false;
        self.line.push('"');
        self.line.push_str(key);
        self.line.push_str("\":");
        self.line
    }

    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        write!(self.key(key), "{value}").expect("a String takes all text");
    }

    /// 64-bit numbers are text in protobuf's JSON: a JavaScript number would round them.
    fn long(&mut self, key: &str, value: impl std::fmt::Display) {
        self.plain(key, format_args!("\"{value}\""));
    }

    fn number_if_any<N: std::fmt::Display + Default + PartialEq>(&mut self, key: &str, value: N) {
        if value != N::default() {
            self.plain(key, value);
        }
    }

    fn quoted(&mut self, key: &str, fill: impl FnOnce(&mut String)) {
        let line = self.key(key);
        line.push('"');
        fill(line);
        line.push('"');
    }

    fn id(&mut self, key: &str, id: &[u8]) {
        self.quoted(key, |line| {
            for byte in id {
                write!(line, "{byte:02x}").expect("a String takes all text");
            }
        });
    }

    fn text(&mut self, key: &str, text: &str) {
        self.quoted(key, |line| escape(line, text));
    }

    fn text_if_any(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.text(key, text);
        }
    }

    fn message<T>(&mut self, key: &str, message: Option<&T>, fill: impl FnOnce(&mut Object, &T)) {
        if let Some(message) = message {
            Object::write(self.key(key), |object| fill(object, message));
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], fill: fn(&mut Object, &T)) {
        let line = self.key(key);
        line.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            Object::write(line, |object| fill(object, item));
        }
        line.push(']');
    }

    fn list_if_any<T>(&mut self, key: &str, items: &[T], fill: fn(&mut Object, &T)) {
        if !items.is_empty() {
            self.list(key, items, fill);
        }
    }
}

/// Text as the inside of a JSON string. Only quotes, backslashes and C0 controls must be escaped.
fn escape(line: &mut String, text: &str) {
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        line.push_str(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            _ => write!(line, "\\u{byte:04x}").expect("a String takes all text"),
        }
    }
    line.push_str(&text[plain_from..]);
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(line: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            line.push(if digit <= three.len() {
                DIGITS[value as usize].into()
            } else {
                '='
            });
        }
    }
}
