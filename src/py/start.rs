//! The arguments with which spans start, checked, and the start itself.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::argument;
use super::context::PySpanContext;
use super::error::wrong_type;
use super::ffi::{Recycled, turn};
use super::otel;
use super::remote::Unfolded;
use super::scope::Above;
use super::span::PySpan;
use super::tracer::PyTracer;
use super::value::{Attributes, Reader, pairs, plain, text};
use crate::context::{SpanContext, SpanKind};
use crate::pipeline::{self, Pipeline};
use crate::span::Span;
use crate::tracer::{Parent, SpanOptions};

/// What `nanospan.ROOT` is: the parent of a span that has none, whatever is active.
#[pyclass(frozen, name = "_Root", module = "nanospan")]
pub(crate) struct PyRoot;

#[pymethods]
impl PyRoot {
    #[allow(clippy::unused_self, reason = "what repr calls")]
    fn __repr__(&self) -> &'static str {
        "nanospan.ROOT"
    }
}

/// Arguments of a start. They hold no converted value: a block may start later, and a decorated
/// function many times.
pub(crate) struct Arguments {
    name: Option<Py<PyString>>,
    kind: SpanKind,
    /// None where all of them are left out, as most are.
    more: Option<Box<More>>,
}

/// The arguments that are seldom given.
#[derive(Default)]
struct More {
    start_time_ns: Option<u64>,
    should_sample: Option<bool>,
    parent: ParentArgument,
    attributes: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
}

#[derive(Default)]
enum ParentArgument {
    #[default]
    Active,
    Root,
    Span(Py<PySpan>),
    Context(SpanContext),
}

impl Arguments {
    /// A name and a kind, and nothing else.
    #[inline]
    pub(crate) fn of(name: &Bound<'_, PyString>, kind: SpanKind) -> Self {
        Self {
            name: Some(name.clone().unbind()),
            kind,
            more: None,
        }
    }

    pub(crate) fn check(
        name: Option<&Bound<'_, PyString>>,
        kind: Option<&Bound<'_, PyAny>>,
        start_time_ns: Option<&Bound<'_, PyAny>>,
        should_sample: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let kind = argument::kind(kind)?;
        let unfolded = Unfolded::of(parent, should_sample, links)?;
        let [parent, should_sample, links] = unfolded.or([parent, should_sample, links]);
        let given = [start_time_ns, should_sample, parent, attributes, links];
        let more = given.iter().any(Option::is_some).then(|| {
            Ok::<_, PyErr>(Box::new(More {
                start_time_ns: argument::time_ns("start_time_ns", start_time_ns)?,
                should_sample: argument::optional_bool("should_sample", should_sample)?,
                parent: parent.map_or(Ok(ParentArgument::Active), ParentArgument::check)?,
                attributes: attributes.map(|attributes| attributes.clone().unbind()),
                links: links.map(|links| links.clone().unbind()),
            }))
        });
        Ok(Self {
            name: name.map(|name| name.clone().unbind()),
            kind,
            more: more.transpose()?,
        })
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            name: self.name.as_ref().map(|name| name.clone_ref(py)),
            kind: self.kind,
            more: self.more.as_ref().map(|more| Box::new(more.clone_ref(py))),
        }
    }

    /// Starts the span. Everything that may run Python code, and raise, comes first.
    pub(crate) fn start<'py>(
        &self,
        py: Python<'py>,
        tracer: &PyTracer,
    ) -> PyResult<Bound<'py, PySpan>> {
        let Some(more) = &self.more else {
            return self.start_simply(py, tracer);
        };
        let Some(pipeline) = PyTracer::pipeline(py) else {
            return no_op(py);
        };
        let reader = Reader::new(&pipeline);
        let attributes =
            reader.attributes("attributes", more.attributes.as_ref().map(|a| a.bind(py)))?;
        let links = read_links(&reader, more.links.as_ref().map(|links| links.bind(py)))?;
        let above = match &more.parent {
            ParentArgument::Active => tracer.scope().above(py)?,
            ParentArgument::Span(span) => Above::Span(Some(span.bind(py).clone())),
            ParentArgument::Root => Above::Span(None),
            ParentArgument::Context(context) => Above::Context(Box::new(context.clone())),
        };
        let name = self.name_text(py);
        let from = above.as_parent();
        let span = self.start_core(py, tracer, &pipeline, from, name.as_deref(), Some(more));
        let turn = turn(py);
        pairs(&attributes).for_each(|(key, value)| span.set_attribute(turn, key, value));
        for (context, attributes) in &links {
            span.add_link(turn, context.into(), pairs(attributes));
        }
        self.handle(py, tracer, span, above)
    }

    /// The same for most spans: with a name, perhaps a kind, under the active span.
    fn start_simply<'py>(
        &self,
        py: Python<'py>,
        tracer: &PyTracer,
    ) -> PyResult<Bound<'py, PySpan>> {
        if !PyTracer::is_configured(py) {
            return no_op(py);
        }
        let above = tracer.scope().above(py)?;
        let from = above.as_parent();
        // Before the pipeline is borrowed: for a name that is not UTF-8 this may run any code.
        let name = self.name_text(py);
        let span = pipeline::with_current(turn(py), |pipeline| {
            self.start_core(py, tracer, pipeline, from, name.as_deref(), None)
        });
        span.map_or_else(|| no_op(py), |span| self.handle(py, tracer, span, above))
    }

    fn name_text<'a>(&'a self, py: Python<'a>) -> Option<Cow<'a, str>> {
        self.name.as_ref().map(|name| text(name.bind(py)))
    }

    // Inlined so that the simple start has no trace of `more`: compiled for both, LLVM took the start
    // time apart into its bits, at 20 ns a span.
    #[inline(always)]
    fn start_core(
        &self,
        py: Python<'_>,
        tracer: &PyTracer,
        pipeline: &Arc<Pipeline>,
        parent: Parent<'_>,
        name: Option<&str>,
        more: Option<&More>,
    ) -> Span {
        let options = SpanOptions {
            name,
            kind: self.kind,
            start_time_ns: more.and_then(|more| more.start_time_ns),
            should_sample: more.and_then(|more| more.should_sample),
            parent,
            chosen: None,
        };
        tracer.core().start(turn(py), pipeline, &options)
    }

    fn handle<'py>(
        &self,
        py: Python<'py>,
        tracer: &PyTracer,
        span: Span,
        above: Above<'py>,
    ) -> PyResult<Bound<'py, PySpan>> {
        let name = self.name.as_ref().map(|name| plain(name.bind(py)));
        let told = otel::processor_of_native(py, &span);
        let parent = match above {
            Above::Span(parent) => parent,
            Above::Context(_) => None,
        };
        let span = PySpan::bin().make(py, PySpan::new(span, name, tracer.scope(), parent))?;
        if let Some(processor) = told {
            otel::start_native(&span, &processor)?;
        }
        Ok(span)
    }

    /// A copy with the active span as parent, if one is active and no other parent was given.
    pub(crate) fn called(&self, py: Python<'_>, tracer: &PyTracer) -> PyResult<Self> {
        let mut called = self.clone_ref(py);
        let more = called.more.get_or_insert_default();
        if matches!(more.parent, ParentArgument::Active) {
            if let Some(active) = tracer.active(py)? {
                more.parent = ParentArgument::Span(active.unbind());
            }
        }
        Ok(called)
    }

    /// Lets go of what they hold; see [`super::ffi::Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        drop(self.name.map(|name| name.into_bound(py)));
        let Some(more) = self.more else { return };
        drop(more.attributes.map(|attributes| attributes.into_bound(py)));
        drop(more.links.map(|links| links.into_bound(py)));
        if let ParentArgument::Span(span) = more.parent {
            drop(span.into_bound(py));
        }
    }
}

impl Above<'_> {
    /// As the core takes it.
    #[inline]
    fn as_parent(&self) -> Parent<'_> {
        match self {
            Self::Span(parent) => parent
                .as_ref()
                .and_then(|parent| parent.get().core())
                .into(),
            Self::Context(context) => Parent::Context(context),
        }
    }
}

impl More {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            start_time_ns: self.start_time_ns,
            should_sample: self.should_sample,
            parent: match &self.parent {
                ParentArgument::Active => ParentArgument::Active,
                ParentArgument::Root => ParentArgument::Root,
                ParentArgument::Span(span) => ParentArgument::Span(span.clone_ref(py)),
                ParentArgument::Context(context) => ParentArgument::Context(context.clone()),
            },
            attributes: self
                .attributes
                .as_ref()
                .map(|attributes| attributes.clone_ref(py)),
            links: self.links.as_ref().map(|links| links.clone_ref(py)),
        }
    }
}

impl ParentArgument {
    fn check(came: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(span) = came.cast::<PySpan>() {
            return Ok(Self::Span(span.clone().unbind()));
        }
        if let Ok(context) = came.cast::<PySpanContext>() {
            // The context of the no-op span has no ids: a new trace.
            return Ok(context.get().0.clone().map_or(Self::Root, Self::Context));
        }
        if came.is_instance_of::<PyRoot>() {
            return Ok(Self::Root);
        }
        Err(wrong_type(
            "parent",
            "a Span, a SpanContext, a RemoteContext, nanospan.ROOT or None",
            came,
        ))
    }
}

/// The one span of everybody who traces without configuration.
pub(crate) fn no_op(py: Python<'_>) -> PyResult<Bound<'_, PySpan>> {
    static SPAN: PyOnceLock<Py<PySpan>> = PyOnceLock::new();
    SPAN.get_or_try_init(py, || Py::new(py, PySpan::no_op()))
        .map(|span| span.bind(py).clone())
}

fn read_links(
    reader: &Reader<'_>,
    came: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<(SpanContext, Attributes)>> {
    static LINK: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    const ALLOWED: &str = "an iterable of SpanContext and Link";
    let Some(came) = came else {
        return Ok(Vec::new());
    };
    let wrong = |came: &Bound<'_, PyAny>| wrong_type("links", ALLOWED, came);
    let mut links = Vec::new();
    for item in came.try_iter().map_err(|_| wrong(came))? {
        let item = item?;
        let is_link = item.is_instance(LINK.import(came.py(), "nanospan._data", "Link")?)?;
        let (context, attributes) = if is_link {
            let attributes = item.getattr("attributes")?;
            (
                item.getattr("context")?,
                (!attributes.is_none()).then_some(attributes),
            )
        } else {
            (item, None)
        };
        let Ok(context) = context.cast::<PySpanContext>() else {
            return Err(wrong(&context));
        };
        let context = context.get().0.clone();
        let attributes = reader.attributes("attributes in links", attributes.as_ref())?;
        links.extend(context.map(|context| (context, attributes)));
    }
    Ok(links)
}
