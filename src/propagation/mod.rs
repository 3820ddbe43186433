//! What travels with a request beside its content: read from the headers of one, written into those
//! of the next. Each header format has a file, with what it reads and writes and whose rule that is.
//!
//! No HTTP library is known here. A format looks names up in [`Headers`] and gives back pairs of name
//! and value; what a header says is never an error, and what cannot be used is a [`Warning`].

mod aws;
mod b3;
pub mod baggage;
mod datadog;
mod digit;
mod gcp;
mod header;
mod instana;
mod jaeger;
mod ot;
mod percent;
mod remote;
pub mod w3c;

pub use baggage::{Baggage, Entry};
pub use datadog::Extra as DatadogExtra;
pub use header::{Header, Headers};
pub use remote::RemoteContext;

/// A way to write the ids and the decision into headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `traceparent` and `tracestate` (W3C Trace Context level 2).
    W3c,
    /// Zipkin's B3 in several headers; reads the single header too.
    B3,
    /// Zipkin's B3 in the one header `b3`; reads the several too.
    B3Single,
    /// Jaeger's `uber-trace-id`.
    Jaeger,
    /// `ot-tracer-*` of OpenTracing's basictracer.
    Ot,
    /// Datadog's `x-datadog-*`.
    Datadog,
    /// AWS X-Ray's `x-amzn-trace-id`.
    Aws,
    /// Google Cloud's `x-cloud-trace-context`.
    Gcp,
    /// Instana's `x-instana-*`.
    Instana,
}

/// A part of a header that could not be used, as `format.part`.
pub type Warning = &'static str;

/// An id that a format cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingId {
    /// The format that was not written.
    pub format: Format,
    /// `trace_id` or `span_id`.
    pub field: &'static str,
}

/// What a caller's context is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Its trace goes on here.
    #[default]
    Continue,
    /// A new trace begins, with a link to it.
    Restart,
    /// It was never there.
    Ignore,
}

impl Format {
    /// All formats that can be read, in the order in which they are tried: the standard first.
    pub const READ: [Self; 8] = [
        Self::W3c,
        Self::B3,
        Self::Jaeger,
        Self::Ot,
        Self::Datadog,
        Self::Aws,
        Self::Gcp,
        Self::Instana,
    ];

    /// The format's name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::B3 => "b3",
            Self::B3Single => "b3-single",
            Self::Jaeger => "jaeger",
            Self::Ot => "ot",
            Self::Datadog => "datadog",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Instana => "instana",
        }
    }

    /// The format of a name; None for any other.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::READ.into_iter().chain([Self::B3Single]);
        all.find(|format| format.name() == name)
    }

    /// The headers that it reads, in lowercase.
    pub fn header_names(self) -> &'static [&'static str] {
        match self {
            Self::W3c => w3c::NAMES,
            Self::B3 | Self::B3Single => b3::NAMES,
            Self::Jaeger => jaeger::NAMES,
            Self::Ot => ot::NAMES,
            Self::Datadog => datadog::NAMES,
            Self::Aws => aws::NAMES,
            Self::Gcp => gcp::NAMES,
            Self::Instana => instana::NAMES,
        }
    }

    /// The headers that it may write. What another sender wrote of them says nothing beside ours.
    pub fn written_names(self) -> &'static [&'static str] {
        match self {
            Self::B3 => b3::WRITTEN,
            Self::B3Single => b3::WRITTEN_SINGLE,
            other => other.header_names(),
        }
    }

    /// What the names of its baggage headers begin with.
    pub fn baggage_prefix(self) -> Option<&'static str> {
        match self {
            Self::Jaeger => Some(jaeger::BAGGAGE_PREFIX),
            Self::Ot => Some(ot::BAGGAGE_PREFIX),
            _ => None,
        }
    }

    /// What the headers say in this format. None where they say neither a trace id nor a decision:
    /// then another format is tried.
    pub fn read(self, headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
        let context = match self {
            Self::W3c => w3c::read(headers, warnings),
            Self::B3 | Self::B3Single => Some(b3::read(headers, warnings)),
            Self::Jaeger => jaeger::read(headers, warnings),
            Self::Ot => Some(ot::read(headers, warnings)),
            Self::Datadog => datadog::read(headers, warnings),
            Self::Aws => aws::read(headers, warnings),
            Self::Gcp => gcp::read(headers, warnings),
            Self::Instana => instana::read(headers, warnings),
        };
        context.filter(|context| context.trace_id.is_some() || context.sampled.is_some())
    }

    /// Writes the context in this format.
    pub fn write(
        self,
        context: &RemoteContext,
        headers: &mut Vec<Header>,
    ) -> Result<(), MissingId> {
        let written = match self {
            Self::W3c => w3c::write(context, headers),
            Self::Jaeger => jaeger::write(context, headers),
            Self::Ot => ot::write(context, headers),
            Self::Aws => aws::write(context, headers),
            Self::Gcp => gcp::write(context, headers),
            // These write what there is.
            Self::B3 => {
                b3::write(context, headers);
                Ok(())
            }
            Self::B3Single => {
                b3::write_single(context, headers);
                Ok(())
            }
            Self::Datadog => {
                datadog::write(context, headers);
                Ok(())
            }
            Self::Instana => {
                instana::write(context, headers);
                Ok(())
            }
        };
        written.map_err(|field| MissingId {
            format: self,
            field,
        })
    }
}

/// What the headers say: the first of `formats` that finds something counts, and `baggage`, where
/// it is given, is read beside it.
pub fn extract(
    headers: &Headers<'_>,
    formats: &[Format],
    limits: Option<&baggage::Limits>,
    warnings: &mut Vec<Warning>,
) -> RemoteContext {
    let mut found = formats
        .iter()
        .find_map(|format| format.read(headers, warnings));
    let context = found.get_or_insert_default();
    if let Some(limits) = limits {
        let lines = headers.all(baggage::NAME);
        baggage::read(lines, limits, &mut context.baggage, warnings);
    }
    found.unwrap_or_default()
}
