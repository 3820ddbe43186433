//! What spans cost in the core, without Python in front of it.

mod harness;
mod request;

use std::time::Duration;

use harness::{Case, measure};
use nanospan::sampler::Sampler;
use nanospan::turn::{self, Turn};
use nanospan::{Memory, Pipeline, Span, Tracer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use request::{ATTRIBUTES, add_event, finish, pipeline, serve, start};
use std::sync::Arc;

const SPANS_PER_ROUND: usize = 400;

fn main() {
    let tracer = Tracer::new("bench", "default", None, None);
    let (sampled, memory) = pipeline(Sampler::AlwaysOn);
    let (unsampled, _) = pipeline(Sampler::AlwaysOff);
    check(tracer, &sampled, &memory);

    let spans = |on: Arc<Pipeline>, fill: fn(Turn<'_>, &Span)| {
        move || {
            let taken = turn::take();
            for _ in 0..SPANS_PER_ROUND {
                let span = start(taken.turn(), tracer, &on, "GET /users", None);
                fill(taken.turn(), &span);
                finish(taken.turn(), span);
            }
        }
    };
    let requests = |on: Arc<Pipeline>| {
        move || {
            let taken = turn::take();
            for _ in 0..SPANS_PER_ROUND / 4 {
                serve(taken.turn(), tracer, &on);
            }
        }
    };
    let flush = || {
        assert!(sampled.flush(Duration::from_secs(30)));
        memory.clear();
    };
    let on = || Arc::clone(&sampled);
    let off = || Arc::clone(&unsampled);
    let bare = spans(on(), |_, _| ());
    let with_attributes = spans(on(), |turn, span| {
        for (key, value) in ATTRIBUTES {
            span.set_attribute(turn, key, value);
        }
    });
    let with_event = spans(on(), add_event);
    let of_request = SPANS_PER_ROUND / 4;
    let before = sampled.counters().sent.get();
    measure(&mut [
        Case::new("start + finish, root", SPANS_PER_ROUND, bare).after(flush),
        Case::new("  + 8 attributes", SPANS_PER_ROUND, with_attributes).after(flush),
        Case::new("  + event", SPANS_PER_ROUND, with_event).after(flush),
        Case::new("request of 4 full spans", of_request, requests(on())).after(flush),
        Case::new("not sampled: request", of_request, requests(off())),
    ]);
    let counters = sampled.counters();
    assert_eq!(counters.sent.get(), counters.finished.get(), "all arrived");
    assert!(counters.sent.get() > before);
}

/// One request arrives whole, as another decoder reads it.
fn check(tracer: &'static Tracer, pipeline: &Arc<Pipeline>, memory: &Memory) {
    serve(turn::take().turn(), tracer, pipeline);
    assert!(pipeline.flush(Duration::from_secs(30)));
    let batches = memory.batches();
    let read = ExportTraceServiceRequest::decode(batches[0].as_slice()).expect("it is protobuf");
    let spans = &read.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 4);
    for span in spans {
        assert_eq!((span.attributes.len(), span.events.len()), (8, 1));
        assert_eq!(
            span.status.as_ref().map(|status| &*status.message),
            Some("upstream timeout")
        );
    }
    memory.clear();
}
