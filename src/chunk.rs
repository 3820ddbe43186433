//! The finished spans of a local trace, in wire form one after the other.

mod slot;

use crate::attribute::Attributes;
use crate::id::SpanId;
use crate::keep;
use crate::limits::Surplus;
use crate::value::Value;
use crate::wire::{Field, first_field, put_bytes};
pub(crate) use slot::{ChunkSlot, Seen};

/// Field of `ScopeSpans` that holds a span.
pub(crate) const SPANS: u32 = 2;

/// What a tracer's spans tell of it.
#[derive(Debug)]
pub struct InstrumentationScope {
    bytes: Vec<u8>,
    schema_url: String,
}

impl InstrumentationScope {
    /// The scope of a tracer. Tracers live as long as the program, and so do their scopes.
    pub fn new(name: &str, version: Option<&str>) -> &'static Self {
        Self::with(name, version, "", std::iter::empty()).leak()
    }

    /// The scope for as long as the program lives.
    pub fn leak(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// The same with the schema of its attribute names, and attributes of its own.
    pub fn with<'a>(
        name: &str,
        version: Option<&str>,
        schema_url: &str,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) -> Self {
        const ATTRIBUTES: u32 = 3;
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 1, name.as_bytes());
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            put_bytes(&mut bytes, 2, version.as_bytes());
        }
        let mut own = Attributes::default();
        for (key, value) in attributes {
            own.set(ATTRIBUTES, key, value, usize::MAX, Surplus::Newest);
        }
        bytes.extend_from_slice(own.as_bytes());
        let schema_url = schema_url.to_owned();
        Self { bytes, schema_url }
    }

    /// The `InstrumentationScope` message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The schema of the spans' attribute names; empty when none is known.
    pub fn schema_url(&self) -> &str {
        &self.schema_url
    }
}

/// Finished spans of one local trace. It stays in its box, which is used again: to move it would cost
/// as much as to fill it.
#[derive(Debug)]
pub struct Chunk {
    /// Most traces have one run, which then takes no allocation.
    first: Run,
    more: Vec<Run>,
    /// When its first span finished, in nanoseconds since 1970; 0 where none had to wait.
    pub(crate) since_ns: u64,
    /// Why its trace was kept, though the sampler turned it down.
    pub(crate) kept: Option<keep::Reason>,
    /// How many of its bytes say that: they came after it was accounted.
    marks: usize,
}

/// Spans of one scope that share a decision.
#[derive(Debug)]
pub struct Run {
    /// Whose spans these are.
    pub scope: &'static InstrumentationScope,
    /// True when the trace's decision is theirs; false when they were sampled on their own.
    pub follows: bool,
    /// `ScopeSpans.spans` fields, one after the other.
    pub bytes: Vec<u8>,
    /// How many.
    pub spans: u32,
}

impl Chunk {
    /// An empty chunk with room for `length` bytes.
    pub fn with_room(length: usize) -> Box<Self> {
        Box::new(Self {
            first: Run::new(&NOBODY, true, Vec::with_capacity(length)),
            more: Vec::new(),
            since_ns: 0,
            kept: None,
            marks: 0,
        })
    }

    /// The room in it, also where it is filled.
    pub(crate) fn room(&self) -> usize {
        self.first.bytes.capacity()
    }

    /// Gives up what is not used again. What is, whoever takes it clears: what another processor wrote
    /// last is far away.
    pub(crate) fn shed(&mut self) {
        if !self.more.is_empty() {
            self.more = Vec::new();
        }
    }

    /// Empties it, once it has shed what it does not keep; the room stays.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.more.is_empty(), "it has shed that");
        self.first.bytes.clear();
        self.first.spans = 0;
        self.since_ns = 0;
        self.kept = None;
        self.marks = 0;
    }

    /// Says on the spans of a trace that was kept late why that was.
    pub(crate) fn mark(&mut self) {
        let Some(reason) = self.kept.take() else {
            return;
        };
        let before = self.bytes();
        for run in self.runs_mut().filter(|run| run.follows) {
            run.bytes = keep::mark(&run.bytes, reason);
        }
        self.marks = self.bytes() - before;
    }

    /// Begins an empty chunk.
    #[inline]
    pub fn begin(&mut self, scope: &'static InstrumentationScope, follows: bool) {
        self.first.scope = scope;
        self.first.follows = follows;
    }

    /// Adds a span to the first run: to be written to what this gives.
    #[inline(always)]
    pub fn add_to_first(&mut self) -> &mut Vec<u8> {
        self.first.spans += 1;
        &mut self.first.bytes
    }

    /// The runs, in the order of their first spans; some may be empty.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn runs_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        std::iter::once(&mut self.first).chain(&mut self.more)
    }

    /// How many spans.
    pub fn spans(&self) -> usize {
        (self.first.spans + self.more.iter().map(|run| run.spans).sum::<u32>()) as usize
    }

    /// How many bytes its spans took when they were accounted.
    pub fn bytes(&self) -> usize {
        self.runs().map(|run| run.bytes.len()).sum::<usize>() - self.marks
    }

    #[inline(always)]
    fn run(&mut self, scope: &'static InstrumentationScope, follows: bool) -> &mut Run {
        if self.first.is_of(scope, follows) {
            return &mut self.first;
        }
        self.another_run(scope, follows)
    }

    #[cold]
    fn another_run(&mut self, scope: &'static InstrumentationScope, follows: bool) -> &mut Run {
        let is_it = |run: &Run| run.is_of(scope, follows);
        let index = self.more.iter().position(is_it).unwrap_or_else(|| {
            self.more.push(Run::new(scope, follows, Vec::new()));
            self.more.len() - 1
        });
        &mut self.more[index]
    }

    /// Adds a span of this scope: to be written as a [`SPANS`] field to what this gives.
    #[inline(always)]
    pub(crate) fn add(
        &mut self,
        scope: &'static InstrumentationScope,
        follows: bool,
    ) -> &mut Vec<u8> {
        let run = self.run(scope, follows);
        run.spans += 1;
        &mut run.bytes
    }

    /// A copy of its spans, scope by scope: `(scope, spans)` as [`SPANS`] fields.
    pub(crate) fn copy(&self) -> Vec<(&'static InstrumentationScope, Vec<u8>)> {
        let runs = self.runs();
        runs.map(|run| (run.scope, run.bytes.clone())).collect()
    }

    /// A copy of one of its `Span` messages.
    pub(crate) fn find(&self, span_id: SpanId) -> Option<Vec<u8>> {
        self.runs()
            .flat_map(|run| Spans(&run.bytes))
            .find(|span| is_span(span, span_id))
            .map(<[u8]>::to_vec)
    }

    /// Takes out the spans that follow the trace's decision; returns how many, and their bytes.
    pub(crate) fn drop_followers(&mut self) -> (usize, usize) {
        let (spans, bytes) = (self.spans(), self.bytes());
        for run in self.runs_mut().filter(|run| run.follows) {
            run.bytes.clear();
            run.spans = 0;
        }
        (spans - self.spans(), bytes - self.bytes())
    }

    /// How many bytes are in its first run.
    pub(crate) fn first_len(&self) -> usize {
        self.first.bytes.len()
    }

    /// True when its first run takes much less than its room. A quarter of slack costs less than the
    /// copy that would remove it.
    pub(crate) fn is_roomy(&self) -> bool {
        self.room() - self.first_len() > self.first_len() / 4
    }

    /// Takes over what is in another chunk, into room of its own. Gives the other back.
    pub(crate) fn take_over(&mut self, mut other: Box<Self>) -> Box<Self> {
        self.first.scope = other.first.scope;
        self.first.follows = other.first.follows;
        self.first.spans = other.first.spans;
        self.first.bytes.extend_from_slice(&other.first.bytes);
        std::mem::swap(&mut self.more, &mut other.more);
        for run in &mut self.more {
            run.bytes.shrink_to_fit();
        }
        self.since_ns = other.since_ns;
        other
    }
}

/// Whose spans an empty chunk has.
static NOBODY: InstrumentationScope = InstrumentationScope {
    bytes: Vec::new(),
    schema_url: String::new(),
};

impl Run {
    #[inline(always)]
    fn is_of(&self, scope: &'static InstrumentationScope, follows: bool) -> bool {
        self.follows == follows && std::ptr::eq(self.scope, scope)
    }

    fn new(scope: &'static InstrumentationScope, follows: bool, bytes: Vec<u8>) -> Self {
        Self {
            scope,
            follows,
            bytes,
            spans: 0,
        }
    }
}

/// The `Span` messages of a run.
struct Spans<'a>(&'a [u8]);

impl<'a> Iterator for Spans<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (_, field, length) = first_field(self.0)?;
        self.0 = &self.0[length..];
        match field {
            Field::Bytes(span) => Some(span),
            _ => None,
        }
    }
}

/// Our spans begin with the trace id and the span id, in this order.
fn is_span(span: &[u8], span_id: SpanId) -> bool {
    let Some((_, _, trace_id)) = first_field(span) else {
        return false;
    };
    matches!(first_field(&span[trace_id..]), Some((2, Field::Bytes(id), _)) if id == span_id.to_bytes())
}
