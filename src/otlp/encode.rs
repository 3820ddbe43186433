//! A batch as an `ExportTraceServiceRequest`: the spans are wire bytes already, so this groups and
//! copies. Lengths first, then one pass.

use crate::chunk::{Chunk, InstrumentationScope, Run};
use crate::wire::{field_len, optional_len, put_bytes, put_length, put_optional};

const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SCOPE: u32 = 1;
const SCHEMA_URL: u32 = 3;

/// The request that carries `chunks`. The resource comes as the fields of `ResourceSpans`.
pub fn request(resource: &[u8], chunks: &[Box<Chunk>]) -> Vec<u8> {
    let runs = chunks.iter().flat_map(|chunk| chunk.runs());
    let runs = runs.filter(|run: &&Run| run.spans > 0);
    envelope(
        resource,
        &by_scope(runs.map(|run| (run.scope, run.bytes.as_slice()))),
    )
}

/// The request that carries a trace's waiting spans.
pub(crate) fn waiting(
    resource: &[u8],
    runs: &[(&'static InstrumentationScope, Vec<u8>)],
) -> Vec<u8> {
    envelope(
        resource,
        &by_scope(runs.iter().map(|(scope, bytes)| (*scope, bytes.as_slice()))),
    )
}

/// The spans of one scope, and how long their message is.
struct ScopeSpans<'a> {
    scope: &'static InstrumentationScope,
    runs: Vec<&'a [u8]>,
    length: usize,
}

fn by_scope<'a>(
    runs: impl Iterator<Item = (&'static InstrumentationScope, &'a [u8])>,
) -> Vec<ScopeSpans<'a>> {
    let mut scopes: Vec<ScopeSpans<'a>> = Vec::new();
    for (scope, bytes) in runs {
        // A program has a handful of tracers: a search beats a map.
        let index = scopes
            .iter()
            .position(|s| std::ptr::eq(s.scope, scope))
            .unwrap_or_else(|| {
                let length = field_len(SCOPE, scope.as_bytes().len())
                    + optional_len(SCHEMA_URL, scope.schema_url().len());
                scopes.push(ScopeSpans {
                    scope,
                    runs: Vec::new(),
                    length,
                });
                scopes.len() - 1
            });
        scopes[index].runs.push(bytes);
        scopes[index].length += bytes.len();
    }
    scopes
}

fn envelope(resource: &[u8], scopes: &[ScopeSpans<'_>]) -> Vec<u8> {
    let scopes_length: usize = scopes
        .iter()
        .map(|s| field_len(SCOPE_SPANS, s.length))
        .sum();
    let length = resource.len() + scopes_length;
    let mut request = Vec::with_capacity(field_len(RESOURCE_SPANS, length));
    put_length(&mut request, RESOURCE_SPANS, length);
    request.extend_from_slice(resource);
    for scope in scopes {
        put_length(&mut request, SCOPE_SPANS, scope.length);
        put_bytes(&mut request, SCOPE, scope.scope.as_bytes());
        scope
            .runs
            .iter()
            .for_each(|run| request.extend_from_slice(run));
        put_optional(
            &mut request,
            SCHEMA_URL,
            scope.scope.schema_url().as_bytes(),
        );
    }
    debug_assert_eq!(
        request.len(),
        request.capacity(),
        "lengths are known before the copy"
    );
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::{self, TracesData};
    use prost::Message;

    fn span(id: u8) -> message::Span {
        message::Span {
            span_id: vec![id; 8],
            name: "x".repeat(id.into()),
            ..Default::default()
        }
    }

    fn run(
        scope: &'static InstrumentationScope,
        ids: &[u8],
    ) -> (&'static InstrumentationScope, Vec<u8>) {
        let spans = ids.iter().map(|id| span(*id)).collect();
        let bytes = message::ScopeSpans {
            spans,
            ..Default::default()
        }
        .encode_to_vec();
        (scope, bytes)
    }

    #[test]
    fn spans_are_grouped_by_scope_and_read_back_in_order() {
        let [a, b] = [("a", None), ("b", Some("2"))]
            .map(|(name, version)| InstrumentationScope::new(name, version));
        let resource = message::Resource {
            dropped_attributes_count: 3,
            ..Default::default()
        };
        let fields = message::ResourceSpans {
            resource: Some(resource.clone()),
            schema_url: "https://r".into(),
            ..Default::default()
        };
        let bytes = waiting(
            &fields.encode_to_vec(),
            &[run(a, &[1, 200]), run(b, &[3]), run(a, &[4])],
        );
        let scope = |name: &str, version: &str, ids: &[u8]| message::ScopeSpans {
            scope: Some(message::InstrumentationScope {
                name: name.into(),
                version: version.into(),
                ..Default::default()
            }),
            spans: ids.iter().map(|id| span(*id)).collect(),
            ..Default::default()
        };
        let expected = message::ResourceSpans {
            resource: Some(resource),
            schema_url: "https://r".into(),
            scope_spans: vec![scope("a", "", &[1, 200, 4]), scope("b", "2", &[3])],
        };
        let read = TracesData::decode(bytes.as_slice()).unwrap();
        assert_eq!(
            read,
            TracesData {
                resource_spans: vec![expected]
            }
        );
    }
}
