//! OTLP/JSON: one export as one line of text, as the Collector's `otlpjsonfile` receiver reads it.
//!
//! The mapping is protobuf's, but for ids in hex (OTLP specification, "JSON Protobuf Encoding").
//! The writer makes exactly that form; the reader also takes what other writers are known to make.

mod leaf;
mod parse;
mod read;
mod write;

pub use leaf::JsonError;
pub use read::read;
pub use write::write;

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::otlp::message::any_value::Value;
    use crate::otlp::message::{
        AnyValue, ArrayValue, Event, InstrumentationScope, KeyValue, KeyValueList, Link, Resource,
        ResourceSpans, ScopeSpans, Span, Status, TracesData,
    };

    fn attribute(key: &str, value: Option<Value>) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue { value }),
        }
    }

    fn export(spans: Vec<Span>) -> TracesData {
        let scope_spans = vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }];
        TracesData {
            resource_spans: vec![ResourceSpans {
                scope_spans,
                ..ResourceSpans::default()
            }],
        }
    }

    fn with_value(value: Option<Value>) -> TracesData {
        export(vec![Span {
            attributes: vec![attribute("k", value)],
            ..Span::default()
        }])
    }

    fn value_of(data: &TracesData) -> Option<&Value> {
        let span = &data.resource_spans[0].scope_spans[0].spans[0];
        span.attributes[0].value.as_ref()?.value.as_ref()
    }

    fn full() -> TracesData {
        let span = Span {
            trace_id: (0..16).collect(),
            span_id: vec![0xb7; 8],
            trace_state: "a=1".into(),
            parent_span_id: vec![0x0f; 8],
            flags: 0x301,
            name: "GET \"/cart\"\n".into(),
            kind: 2,
            start_time_unix_nano: 1_700_000_000_000_000_001,
            end_time_unix_nano: u64::MAX,
            attributes: vec![
                attribute("text", Some(Value::StringValue("naïve \u{1b}".into()))),
                attribute("yes", Some(Value::BoolValue(false))),
                attribute("int", Some(Value::IntValue(i64::MIN))),
                attribute("float", Some(Value::DoubleValue(1.0))),
                attribute("bytes", Some(Value::BytesValue(vec![0, 255, 62, 63]))),
                attribute("none", None),
                KeyValue {
                    key: "absent".into(),
                    value: None,
                },
            ],
            dropped_attributes_count: 1,
            events: vec![Event {
                time_unix_nano: 5,
                name: "miss".into(),
                attributes: vec![attribute(
                    "list",
                    Some(Value::ArrayValue(ArrayValue {
                        values: vec![
                            AnyValue { value: None },
                            AnyValue {
                                value: Some(Value::IntValue(0)),
                            },
                        ],
                    })),
                )],
                dropped_attributes_count: 2,
            }],
            dropped_events_count: 3,
            links: vec![Link {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                trace_state: "b=2".into(),
                attributes: vec![attribute(
                    "map",
                    Some(Value::KvlistValue(KeyValueList {
                        values: vec![attribute("x", None)],
                    })),
                )],
                dropped_attributes_count: 4,
                flags: 1,
            }],
            dropped_links_count: 5,
            status: Some(Status {
                message: "why".into(),
                code: 2,
            }),
        };
        let mut data = export(vec![span, Span::default()]);
        let resource_spans = &mut data.resource_spans[0];
        resource_spans.schema_url = "https://r".into();
        resource_spans.resource = Some(Resource {
            attributes: vec![attribute(
                "service.name",
                Some(Value::StringValue("shop".into())),
            )],
            dropped_attributes_count: 6,
        });
        resource_spans.scope_spans[0].schema_url = "https://s".into();
        resource_spans.scope_spans[0].scope = Some(InstrumentationScope {
            name: "nanospan".into(),
            version: "1".into(),
            attributes: vec![],
            dropped_attributes_count: 7,
        });
        data
    }

    #[test]
    fn every_field_has_its_place_in_the_line() {
        let expected = concat!(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}],"#,
            r#""droppedAttributesCount":6},"scopeSpans":[{"scope":{"name":"nanospan","version":"1","droppedAttributesCount":7},"#,
            r#""spans":[{"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"b7b7b7b7b7b7b7b7","traceState":"a=1","#,
            r#""parentSpanId":"0f0f0f0f0f0f0f0f","flags":769,"name":"GET \"/cart\"\n","kind":2,"#,
            r#""startTimeUnixNano":"1700000000000000001","endTimeUnixNano":"18446744073709551615","attributes":["#,
            r#"{"key":"text","value":{"stringValue":"naïve \u001b"}},{"key":"yes","value":{"boolValue":false}},"#,
            r#"{"key":"int","value":{"intValue":"-9223372036854775808"}},{"key":"float","value":{"doubleValue":1.0}},"#,
            r#"{"key":"bytes","value":{"bytesValue":"AP8+Pw=="}},{"key":"none","value":{}},{"key":"absent"}],"#,
            r#""droppedAttributesCount":1,"events":[{"timeUnixNano":"5","name":"miss","attributes":["#,
            r#"{"key":"list","value":{"arrayValue":{"values":[{},{"intValue":"0"}]}}}],"droppedAttributesCount":2}],"#,
            r#""droppedEventsCount":3,"links":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","#,
            r#""traceState":"b=2","attributes":[{"key":"map","value":{"kvlistValue":{"values":[{"key":"x","value":{}}]}}}],"#,
            r#""droppedAttributesCount":4,"flags":1}],"droppedLinksCount":5,"status":{"message":"why","code":2}},"#,
            r#"{"traceId":"","spanId":"","name":"","startTimeUnixNano":"0","endTimeUnixNano":"0"}],"#,
            r#""schemaUrl":"https://s"}],"schemaUrl":"https://r"}]}"#,
        );
        assert_eq!(write(&full()), expected);
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        assert_eq!(read(&write(&full())), Ok(full()));
        assert_eq!(
            read(&write(&TracesData::default())),
            Ok(TracesData::default())
        );
    }

    #[test]
    fn floats_come_back_to_the_last_bit() {
        // Every bit pattern is as likely; without serde_json's `float_roundtrip` some are one off.
        let scattered =
            (1..=2_000_u64).map(|n| f64::from_bits(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let special = [0.1 + 0.2, -0.0, 1.0, 5e-324, f64::MAX, 1e16];
        for float in scattered.filter(|float| float.is_finite()).chain(special) {
            let line = write(&with_value(Some(Value::DoubleValue(float))));
            let back = read(&line).unwrap();
            let Some(Value::DoubleValue(got)) = value_of(&back) else {
                panic!("{line}")
            };
            assert_eq!(got.to_bits(), float.to_bits(), "{line}");
        }
    }

    #[test]
    fn floats_that_json_has_no_number_for_are_words() {
        for (float, word) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let line = write(&with_value(Some(Value::DoubleValue(float))));
            assert!(
                line.contains(&format!(r#"{{"doubleValue":"{word}"}}"#)),
                "{line}"
            );
            let back = read(&line).unwrap();
            let Some(Value::DoubleValue(got)) = value_of(&back) else {
                panic!("{line}")
            };
            assert_eq!(got.to_string(), float.to_string());
        }
    }

    #[test]
    fn base64_of_every_length_comes_back() {
        for length in 0..20 {
            let bytes: Vec<u8> = (0..length).map(|byte| 255 - byte * 13).collect();
            let data = with_value(Some(Value::BytesValue(bytes)));
            assert_eq!(read(&write(&data)), Ok(data));
        }
    }

    #[test]
    fn values_as_deep_as_an_attribute_may_hold_come_back() {
        let mut value = Value::IntValue(1);
        for _ in 0..33 {
            value = Value::KvlistValue(KeyValueList {
                values: vec![attribute("k", Some(value))],
            });
        }
        let data = with_value(Some(value));
        assert_eq!(read(&write(&data)), Ok(data));
    }
}
