//! How much one span may hold (OpenTelemetry SDK specification, "Span Limits").

/// The limits of a pipeline's spans; what is beyond them is left out and counted on the span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanLimits {
    /// Attributes of a span.
    pub attribute_count: usize,
    /// Characters of a text value, bytes of a bytes value; None keeps all.
    pub attribute_value_length: Option<usize>,
    /// Events of a span.
    pub event_count: usize,
    /// Links of a span.
    pub link_count: usize,
    /// Attributes of an event.
    pub attribute_per_event_count: usize,
    /// Attributes of a link.
    pub attribute_per_link_count: usize,
}

/// Which attribute, event or link goes when a limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surplus {
    /// The one that came last (OpenTelemetry SDK specification, "Span Limits").
    #[default]
    Newest,
    /// The one that came first, and a key that is set again is the newest: what programs see of
    /// OpenTelemetry's SDK for Python.
    Oldest,
}

impl SpanLimits {
    /// None.
    pub const UNLIMITED: Self = Self {
        attribute_count: usize::MAX,
        attribute_value_length: None,
        event_count: usize::MAX,
        link_count: usize::MAX,
        attribute_per_event_count: usize::MAX,
        attribute_per_link_count: usize::MAX,
    };
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self {
            attribute_count: 128,
            attribute_value_length: None,
            event_count: 128,
            link_count: 128,
            attribute_per_event_count: 128,
            attribute_per_link_count: 128,
        }
    }
}
