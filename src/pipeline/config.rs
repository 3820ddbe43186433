//! What a pipeline is made from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use crate::clock::Clock;
use crate::export::WayOut;
use crate::export::compress::gzip;
use crate::export::console::ConsoleOut;
use crate::export::file::FileOut;
use crate::export::http::{HttpConfig, HttpOut};
use crate::export::memory::Memory;
use crate::id::Script;
use crate::keep::Keep;
use crate::limits::SpanLimits;
use crate::otlp::json;
use crate::otlp::message::TracesData;
use crate::resource::Resource;
use crate::sampler::{Ratio, Sampler};
use crate::view;

/// A whole configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// What stays as it is, also over a fork.
    pub settings: Arc<Settings>,
    /// Ids given by hand, for tests.
    pub ids: Option<Script>,
}

/// What the spans of a pipeline have in common.
#[derive(Debug)]
pub struct Settings {
    /// The ways out.
    pub exporters: Vec<Exporter>,
    /// What makes the spans.
    pub resource: Resource,
    /// How much one span may hold.
    pub limits: SpanLimits,
    /// How much may wait, and how long.
    pub queue: QueueConfig,
    /// The sampler of tracers without one of their own.
    pub sampler: Sampler,
    /// The rate that the sampler was made from.
    pub sampling_rate: Option<Ratio>,
    /// Records also what the sampler drops, until the trace ends.
    pub late_sampling: bool,
    /// What of that is kept though nobody asks for it by hand.
    pub keep: Option<Arc<Keep>>,
    /// True where finished spans are kept for nobody: not sent, and not read.
    pub forgets: bool,
    /// What time it is.
    pub clock: Clock,
}

/// The bounds of what waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Spans in one export.
    pub max_batch_size: usize,
    /// How long a span waits for others to be sent with.
    pub max_coalescing_delay: Duration,
    /// Spans finished and unsent.
    pub max_entries: usize,
    /// Their bytes.
    pub max_bytes: usize,
    /// Spans open at once.
    pub max_live_spans: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_batch_size: 512,
            max_coalescing_delay: Duration::from_secs(1),
            max_entries: 10_000,
            max_bytes: 16 << 20,
            max_live_spans: 100_000,
        }
    }
}

/// A way out, before it is opened.
#[derive(Clone, Debug)]
pub enum Exporter {
    /// OTLP in protobuf over HTTP.
    Http(HttpConfig),
    /// OTLP/JSON, a line for each export, at the end of a file.
    File(PathBuf),
    /// A drawing of each trace on the standard error stream.
    Console,
    /// Kept in memory.
    Memory(Memory),
}

/// A way out and the function that makes its bytes from a request.
pub(super) struct Out {
    pub(super) name: String,
    pub(super) bytes: Box<dyn Fn(Bytes) -> Bytes + Send>,
    pub(super) way: Box<dyn WayOut>,
}

/// A way out that cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    /// What was to be opened.
    pub path: PathBuf,
    /// Why it was not.
    pub error: io::Error,
}

impl Exporter {
    pub(super) fn open(&self) -> Result<Out, OpenError> {
        Ok(match self {
            Self::Http(config) => Out {
                name: format!("OTLP {}", config.endpoint),
                bytes: if config.gzip {
                    Box::new(gzip)
                } else {
                    Box::new(|request| request)
                },
                way: Box::new(HttpOut::new(config.clone())),
            },
            Self::File(path) => Out {
                name: format!("file {}", path.display()),
                bytes: Box::new(|request| json::write(&decode(&request)).into()),
                way: Box::new(FileOut::open(path).map_err(|error| OpenError {
                    path: path.clone(),
                    error,
                })?),
            },
            Self::Console => {
                let colours = view::Colours::from_environment();
                let draw = move |request: Bytes| {
                    let options = view::Options {
                        colour: colours.on(&io::stderr()),
                        ..view::Options::default()
                    };
                    view::draw(&[decode(&request)], &options).into()
                };
                Out {
                    name: "console".to_owned(),
                    bytes: Box::new(draw),
                    way: Box::new(ConsoleOut),
                }
            }
            Self::Memory(memory) => Out {
                name: "memory".to_owned(),
                bytes: Box::new(|request| request),
                way: Box::new(memory.clone()),
            },
        })
    }
}

fn decode(request: &[u8]) -> TracesData {
    TracesData::decode(request).expect("we wrote these bytes ourselves")
}
