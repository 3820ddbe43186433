//! What the worker does with a batch before it is sent, against a copy of the same bytes: the spans
//! are in wire form already, so little more than a copy should be left.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark's results are what it prints"
)]

mod harness;
mod request;

use std::hint::black_box;
use std::time::Duration;

use harness::{Case, measure};
use nanospan::chunk::{Chunk, InstrumentationScope};
use nanospan::otlp::encode;
use nanospan::sampler::Sampler;
use nanospan::{Tracer, turn};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use prost::Message as _;

const REQUESTS: usize = 128;
const SPANS: usize = 4 * REQUESTS;

fn main() {
    let chunks = batch();
    let resource = b"";
    let encoded = encode::request(resource, &chunks);
    let read = ExportTraceServiceRequest::decode(encoded.as_slice()).expect("it is protobuf");
    assert_eq!(read.resource_spans[0].scope_spans[0].spans.len(), SPANS);

    let mut warm = encoded.clone();
    let ns = measure(&mut [
        Case::new("encode, a span", SPANS, || {
            drop(black_box(encode::request(resource, black_box(&chunks))));
        }),
        Case::new("copy to new memory", SPANS, || {
            drop(black_box(black_box(&encoded).clone()));
        }),
        Case::new("copy to the same memory", SPANS, || {
            black_box(&mut warm).copy_from_slice(black_box(&encoded));
        }),
    ]);
    println!("{} bytes a span", encoded.len() / SPANS);
    println!("encode / copy to new memory {:.2}", ns[0] / ns[1]);
}

/// What a worker takes at once: the spans of many requests, a chunk each.
fn batch() -> Vec<Box<Chunk>> {
    let tracer = Tracer::new("bench", "default", None, None);
    let (pipeline, memory) = request::pipeline(Sampler::AlwaysOn);
    for _ in 0..REQUESTS {
        request::serve(turn::take().turn(), tracer, &pipeline);
    }
    assert!(pipeline.flush(Duration::from_secs(30)));
    let batches = memory.batches();
    let read = ExportTraceServiceRequest::decode(batches[0].as_slice()).expect("it is protobuf");
    let scope = InstrumentationScope::new("bench", None);
    let mut traces = read.resource_spans[0].scope_spans[0].spans.chunks(4);
    let chunk = |spans: &[_]| {
        let mut chunk = Chunk::with_room(0);
        chunk.begin(scope, true);
        for span in spans {
            let field = ScopeSpans {
                spans: vec![Clone::clone(span)],
                ..ScopeSpans::default()
            };
            chunk.add_to_first().extend(field.encode_to_vec());
        }
        chunk
    };
    traces.by_ref().map(chunk).collect()
}
