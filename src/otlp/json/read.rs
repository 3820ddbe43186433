//! A line of OTLP/JSON to messages.
//!
//! Takes what protobuf's own JSON readers take: 64-bit numbers as numbers or text, enums by number
//! or name, keys in either case; null and unknown fields are passed over. What has another shape
//! than the field needs is refused, with its place: a span half read would be shown as a whole one.

use serde_json::Value as Json;

use super::leaf::{JsonError, Read, base64, boolean, double, id, integer, named, text};
use super::parse::parse;
use crate::otlp::message::any_value::Value;
use crate::otlp::message::{
    AnyValue, ArrayValue, Event, InstrumentationScope, KeyValue, KeyValueList, Link, Resource,
    ResourceSpans, ScopeSpans, Span, Status, TracesData,
};

/// The export that one line holds.
pub fn read(line: &str) -> Result<TracesData, JsonError> {
    let mut data = TracesData::default();
    fields(&parse(line)?, |key, value| {
        match key {
            "resourceSpans" | "resource_spans" => {
                data.resource_spans = list(value, resource_spans)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(data)
}

fn resource_spans(json: &Json) -> Read<ResourceSpans> {
    let mut spans = ResourceSpans::default();
    fields(json, |key, value| {
        match key {
            "resource" => spans.resource = Some(resource(value)?),
            "scopeSpans" | "scope_spans" => spans.scope_spans = list(value, scope_spans)?,
            "schemaUrl" | "schema_url" => spans.schema_url = text(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(spans)
}

fn resource(json: &Json) -> Read<Resource> {
    let mut resource = Resource::default();
    fields(json, |key, value| {
        match key {
            "attributes" => resource.attributes = list(value, key_value)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                resource.dropped_attributes_count = integer(value)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(resource)
}

fn scope_spans(json: &Json) -> Read<ScopeSpans> {
    let mut spans = ScopeSpans::default();
    fields(json, |key, value| {
        match key {
            "scope" => spans.scope = Some(instrumentation_scope(value)?),
            "spans" => spans.spans = list(value, span)?,
            "schemaUrl" | "schema_url" => spans.schema_url = text(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(spans)
}

fn instrumentation_scope(json: &Json) -> Read<InstrumentationScope> {
    let mut scope = InstrumentationScope::default();
    fields(json, |key, value| {
        match key {
            "name" => scope.name = text(value)?,
            "version" => scope.version = text(value)?,
            "attributes" => scope.attributes = list(value, key_value)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                scope.dropped_attributes_count = integer(value)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(scope)
}

fn span(json: &Json) -> Read<Span> {
    let mut span = Span::default();
    fields(json, |key, value| {
        match key {
            "traceId" | "trace_id" => span.trace_id = id(value, 16)?,
            "spanId" | "span_id" => span.span_id = id(value, 8)?,
            "traceState" | "trace_state" => span.trace_state = text(value)?,
            "parentSpanId" | "parent_span_id" => span.parent_span_id = id(value, 8)?,
            "flags" => span.flags = integer(value)?,
            "name" => span.name = text(value)?,
            "kind" => span.kind = named(value, "SPAN_KIND_", &SPAN_KINDS)?,
            "startTimeUnixNano" | "start_time_unix_nano" => {
                span.start_time_unix_nano = integer(value)?;
            }
            "endTimeUnixNano" | "end_time_unix_nano" => span.end_time_unix_nano = integer(value)?,
            "attributes" => span.attributes = list(value, key_value)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                span.dropped_attributes_count = integer(value)?;
            }
            "events" => span.events = list(value, event)?,
            "droppedEventsCount" | "dropped_events_count" => {
                span.dropped_events_count = integer(value)?;
            }
            "links" => span.links = list(value, link)?,
            "droppedLinksCount" | "dropped_links_count" => {
                span.dropped_links_count = integer(value)?;
            }
            "status" => span.status = Some(status(value)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(span)
}

const SPAN_KINDS: [&str; 6] = [
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
];
const STATUS_CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];

fn event(json: &Json) -> Read<Event> {
    let mut event = Event::default();
    fields(json, |key, value| {
        match key {
            "timeUnixNano" | "time_unix_nano" => event.time_unix_nano = integer(value)?,
            "name" => event.name = text(value)?,
            "attributes" => event.attributes = list(value, key_value)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                event.dropped_attributes_count = integer(value)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(event)
}

fn link(json: &Json) -> Read<Link> {
    let mut link = Link::default();
    fields(json, |key, value| {
        match key {
            "traceId" | "trace_id" => link.trace_id = id(value, 16)?,
            "spanId" | "span_id" => link.span_id = id(value, 8)?,
            "traceState" | "trace_state" => link.trace_state = text(value)?,
            "attributes" => link.attributes = list(value, key_value)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                link.dropped_attributes_count = integer(value)?;
            }
            "flags" => link.flags = integer(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(link)
}

fn status(json: &Json) -> Read<Status> {
    let mut status = Status::default();
    fields(json, |key, value| {
        match key {
            "message" => status.message = text(value)?,
            "code" => status.code = named(value, "STATUS_CODE_", &STATUS_CODES)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(status)
}

fn key_value(json: &Json) -> Read<KeyValue> {
    let mut attribute = KeyValue::default();
    fields(json, |key, value| {
        match key {
            "key" => attribute.key = text(value)?,
            "value" => attribute.value = Some(any_value(value)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(attribute)
}

fn any_value(json: &Json) -> Read<AnyValue> {
    let mut found = None;
    fields(json, |key, value| {
        let value = match key {
            "stringValue" | "string_value" => Value::StringValue(text(value)?),
            "boolValue" | "bool_value" => Value::BoolValue(boolean(value)?),
            "intValue" | "int_value" => Value::IntValue(integer(value)?),
            "doubleValue" | "double_value" => Value::DoubleValue(double(value)?),
            "arrayValue" | "array_value" => Value::ArrayValue(ArrayValue {
                values: values(value, any_value)?,
            }),
            "kvlistValue" | "kvlist_value" => Value::KvlistValue(KeyValueList {
                values: values(value, key_value)?,
            }),
            "bytesValue" | "bytes_value" => Value::BytesValue(base64(value)?),
            _ => return Ok(()),
        };
        if found.replace(value).is_some() {
            return Err(JsonError::new("a second kind of value beside another"));
        }
        Ok(())
    })?;
    Ok(AnyValue { value: found })
}

fn values<T>(json: &Json, read: fn(&Json) -> Read<T>) -> Read<Vec<T>> {
    let mut items = Vec::new();
    fields(json, |key, value| {
        if key == "values" {
            items = list(value, read)?;
        }
        Ok(())
    })?;
    Ok(items)
}

/// Gives `take` each field that is not null, and an error the name of its field.
fn fields(json: &Json, mut take: impl FnMut(&str, &Json) -> Read<()>) -> Read<()> {
    let Json::Object(object) = json else {
        return Err(JsonError::expected("an object", json));
    };
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        take(key, value).map_err(|error| error.inside(key))?;
    }
    Ok(())
}

fn list<T>(json: &Json, read: fn(&Json) -> Read<T>) -> Read<Vec<T>> {
    let Json::Array(items) = json else {
        return Err(JsonError::expected("a list", json));
    };
    let numbered = items.iter().enumerate();
    numbered
        .map(|(n, item)| read(item).map_err(|error| error.inside(&format!("[{n}]"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_span(fields: &str) -> Result<Span, JsonError> {
        let line =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
        read(&line).map(|mut data| {
            data.resource_spans
                .remove(0)
                .scope_spans
                .remove(0)
                .spans
                .remove(0)
        })
    }

    fn read_value(json: &str) -> Result<Option<Value>, JsonError> {
        let span = read_span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#))?;
        Ok(span
            .attributes
            .into_iter()
            .next()
            .unwrap()
            .value
            .unwrap()
            .value)
    }

    #[test]
    fn other_spellings_of_a_field_read_the_same() {
        let expected = Span {
            span_id: vec![0xab; 8],
            kind: 3,
            start_time_unix_nano: 1_700_000_000_000_000_000,
            status: Some(Status {
                message: String::new(),
                code: 2,
            }),
            ..Span::default()
        };
        for fields in [
            r#""spanId":"abababababababab","kind":3,"startTimeUnixNano":"1700000000000000000","status":{"code":2}"#,
            r#""span_id":"ABABABABABABABAB","kind":"SPAN_KIND_CLIENT","start_time_unix_nano":1700000000000000000,"status":{"code":"STATUS_CODE_ERROR"}"#,
            r#""spanId":"abababababababab","kind":"CLIENT","startTimeUnixNano":1.7e18,"status":{"code":"2"},"name":null,"new":[1]"#,
        ] {
            assert_eq!(read_span(fields), Ok(expected.clone()), "{fields}");
        }
    }

    #[test]
    fn values_read_in_every_known_spelling() {
        for (json, expected) in [
            ("{}", None),
            (r#"{"stringValue":null}"#, None),
            (r#"{"futureValue":1}"#, None),
            (
                r#"{"string_value":"a"}"#,
                Some(Value::StringValue("a".into())),
            ),
            (r#"{"intValue":-3}"#, Some(Value::IntValue(-3))),
            (
                r#"{"intValue":"9223372036854775807"}"#,
                Some(Value::IntValue(i64::MAX)),
            ),
            (r#"{"doubleValue":1}"#, Some(Value::DoubleValue(1.0))),
            (
                r#"{"doubleValue":"-Infinity"}"#,
                Some(Value::DoubleValue(f64::NEG_INFINITY)),
            ),
            (
                r#"{"bytesValue":"_-8"}"#,
                Some(Value::BytesValue(vec![255, 239])),
            ),
            (
                r#"{"arrayValue":{}}"#,
                Some(Value::ArrayValue(ArrayValue::default())),
            ),
        ] {
            assert_eq!(read_value(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_odd_is_refused_with_its_place() {
        let span = "resourceSpans[0].scopeSpans[0].spans[0]";
        for (fields, reason) in [
            (
                r#""spanId":"ab""#,
                r#".spanId: expected 16 hex digits, got "ab""#,
            ),
            (
                r#""spanId":"ababababababababab""#,
                r#".spanId: expected 16 hex digits, got "ababababababababab""#,
            ),
            (r#""traceId":7"#, ".traceId: expected 32 hex digits, got 7"),
            (r#""name":["a"]"#, ".name: expected text, got a list"),
            (
                r#""flags":-1"#,
                ".flags: expected a number in the field's range, got -1",
            ),
            (
                r#""startTimeUnixNano":1.5"#,
                ".startTimeUnixNano: expected a whole number, got 1.5",
            ),
            (
                r#""kind":"\u001b[31m""#,
                r#".kind: expected a number or one of its names, got "\u{1b}[31m""#,
            ),
            (
                r#""events":[{},3]"#,
                ".events[1]: expected an object, got 3",
            ),
            (
                r#""attributes":[{"value":{"bytesValue":"A"}}]"#,
                r#".attributes[0].value.bytesValue: expected base64, got "A""#,
            ),
            (
                r#""attributes":[{"value":{"boolValue":true,"intValue":1}}]"#,
                ".attributes[0].value.intValue: a second kind of value beside another",
            ),
        ] {
            assert_eq!(
                read_span(fields).unwrap_err().to_string(),
                format!("{span}{reason}")
            );
        }
    }
}
