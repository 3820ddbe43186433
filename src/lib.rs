//! nanospan: OpenTelemetry tracing whose spans cost next to nothing.
//!
//! The way of a span, and the rooms it passes:
//!
//! - [`Tracer::start`] asks the [`sampler`](Sampler), claims a record from the [`store`], and gives
//!   back a [`Span`], the handle.
//! - What is set on the span is written into its [`record`] at once, in OTLP wire form.
//! - [`Span::finish`] moves the bytes to the chunk of the local [`trace`]; the record goes back.
//! - When the local root ends, the chunk goes to the queue in one push ([`trace`] says what happens
//!   when it does not end).
//! - The worker of the [`pipeline`] makes batches, `otlp` gives them their envelope, and the ways
//!   out in `export` write them. Nothing on that side holds a Python object.
//!
//! Python appears only under `py`; without the feature `python` the crate is the core alone.

pub mod attribute;
pub mod chunk;
pub mod clock;
pub mod context;
pub mod counter;
mod export;
pub mod id;
pub mod limits;
pub mod notice;
pub mod otlp;
pub mod pipeline;
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
pub use span::Span;
pub use tracer::{Parent, SpanOptions, Tracer};
