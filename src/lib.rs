//! nanospan: OpenTelemetry tracing for Python, recorded in Rust.
//!
//! The way of a span, and the modules it passes:
//!
//! - [`Tracer::start`] asks the [`sampler`](Sampler), claims a record from the [`store`], and gives
//!   back the [`Handle`] of a [`Span`].
//! - What is set on the span is written into its [`record`] at once, in OTLP wire form.
//! - [`Span::finish`] moves the bytes to the chunk of the local [`trace`]; the record goes back.
//! - When the local root ends, the chunk goes to the queue in one push ([`trace`] says what happens
//!   when it does not end).
//! - The worker of the [`pipeline`] makes batches, `otlp` gives them their envelope, and the ways
//!   out in `export` write them. Nothing on that side holds a Python object.
//!
//! All modules:
//!
//! | module | what is there |
//! |---|---|
//! | [`id`], [`context`] | ids and their generator; what identifies a span to others |
//! | [`clock`] | times that never run backwards within one local trace |
//! | [`sampler`], [`keep`], [`limits`], [`resource`] | who is recorded; what is kept all the same; how much a span may hold; whose spans these are |
//! | [`value`], [`attribute`] | attributes in OTLP wire form, written when they are set |
//! | `wire` | protobuf's tags, varints and lengths |
//! | [`record`], [`store`] | the working memory of an open span, and the pool of it |
//! | [`span`], [`tracer`], [`trace`], [`chunk`], `chunk_pool` | handles, their starts, the trace they belong to, its finished spans, and the memory of these |
//! | [`pipeline`], `export`, [`otlp`] | from there to the exporters |
//! | [`turn`] | the proof that one thread at a time is at the application's side of all this |
//! | [`counter`], [`notice`] | what is counted, and what waits for the application's log |
//! | [`sys`], [`thread`], `sync` | what only the operating system or the processor knows; our threads; locks and atomics, Loom's in its tests |
//! | [`propagation`] | what travels with requests, a file for each header format |
//! | [`view`] | traces as text, for the console exporter and `nanospan view` |
//! | `py` | the Python module; without the feature `python` the crate is the core alone |
//!
//! Unsafe code is in [`turn`], [`sys`] and `py::ffi`, in three files that are each about one such thing
//! (`wire::room`: bytes past the end of a `Vec`; `chunk::slot`, `export::ring`: boxes in atomic
//! pointers), and nowhere else; each block says whose promise it relies on.
//!
//! Words that are not OpenTelemetry's:
//!
//! - *local trace*: the spans of one request in this process, whatever their tracer: what is decided,
//!   waits and is handed over together. Its *verdict* is the decision that they share.
//! - *turn*: the interpreter's lock as the core sees it. Whoever has it touches open spans without a
//!   lock or a locked instruction; the worker never has it.
//! - *record*: what an open span holds. It lives in a *slot* of the store, and a handle finds it by
//!   the slot's number and its generation.
//! - *chunk*: finished spans of a local trace, in wire form. It waits in the trace's `ChunkSlot`, from
//!   which one owner at a time takes it. The slot and the verdict are the trace's *handover*: all that
//!   the worker sees of it.
//! - *at rest*: a handle, or a block, between two lives. It holds nothing of anybody's, and keeps its
//!   memory for the next.
//! - *hand over*: give a chunk to the queue. *Release*, of a span: give its record back.
//! - *way out*: an exporter at work; `Exporter` is its description.
//! - *remote context*: what a caller sent along, and what goes out with the requests made for it. A
//!   *carrier* is what has the headers.
//! - *scope*: in `py` what is active in a namespace; OpenTelemetry's is `InstrumentationScope`.

pub mod attribute;
pub mod chunk;
mod chunk_pool;
pub mod clock;
pub mod context;
pub mod counter;
mod export;
pub mod id;
pub mod keep;
pub mod limits;
pub mod notice;
pub mod otlp;
pub mod pipeline;
pub mod propagation;
#[cfg(feature = "python")]
mod py;
pub mod record;
pub mod resource;
pub mod sampler;
pub mod span;
pub mod store;
mod sync;
pub mod sys;
pub mod thread;
pub mod trace;
pub mod tracer;
pub mod turn;
pub mod value;
pub mod view;
mod wire;

pub use context::{SpanContext, SpanKind, Status, StatusCode};
pub use export::endpoint::{Endpoint, Refused, redacted};
pub use export::http::HttpConfig;
pub use export::memory::Memory;
pub use limits::SpanLimits;
pub use pipeline::{Config, Exporter, Pipeline, QueueConfig};
pub use sampler::Sampler;
pub use span::{Handle, Span};
pub use tracer::{Parent, SpanOptions, Tracer};
