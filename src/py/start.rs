//! The arguments with which spans start, checked, and the start itself.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::argument;
use super::context::PySpanContext;
use super::error::wrong_type;
use super::ffi::turn;
use super::span::PySpan;
use super::tracer::PyTracer;
use super::value::{Attributes, Reader, pairs, plain, text};
use crate::context::{SpanContext, SpanKind};
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
    start_time_ns: Option<u64>,
    should_sample: Option<bool>,
    parent: ParentArgument,
    attributes: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
}

enum ParentArgument {
    Active,
    Root,
    Span(Py<PySpan>),
    Context(SpanContext),
}

impl Arguments {
    pub(crate) fn check(
        name: Option<&Bound<'_, PyString>>,
        kind: Option<&Bound<'_, PyAny>>,
        start_time_ns: Option<&Bound<'_, PyAny>>,
        should_sample: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            name: name.map(|name| name.clone().unbind()),
            kind: argument::kind(kind)?,
            start_time_ns: argument::time_ns("start_time_ns", start_time_ns)?,
            should_sample: argument::optional_bool("should_sample", should_sample)?,
            parent: parent.map_or(Ok(ParentArgument::Active), ParentArgument::check)?,
            attributes: attributes.map(|attributes| attributes.clone().unbind()),
            links: links.map(|links| links.clone().unbind()),
        })
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            name: self.name.as_ref().map(|name| name.clone_ref(py)),
            kind: self.kind,
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

    /// Starts the span. Everything that may run Python code, and raise, comes first.
    pub(crate) fn start<'py>(
        &self,
        py: Python<'py>,
        tracer: &PyTracer,
    ) -> PyResult<Bound<'py, PySpan>> {
        let Some(pipeline) = PyTracer::pipeline(py) else {
            return no_op(py);
        };
        let reader = Reader::new(&pipeline);
        let attributes =
            reader.attributes("attributes", self.attributes.as_ref().map(|a| a.bind(py)))?;
        let links = read_links(&reader, self.links.as_ref().map(|links| links.bind(py)))?;
        let parent = match &self.parent {
            ParentArgument::Active => tracer.scope().active(py)?,
            ParentArgument::Span(span) => Some(span.bind(py).clone()),
            ParentArgument::Root | ParentArgument::Context(_) => None,
        };
        let name = self.name.as_ref().map(|name| name.bind(py));
        let name_text = name.map(text);
        let options = SpanOptions {
            name: name_text.as_deref(),
            kind: self.kind,
            start_time_ns: self.start_time_ns,
            should_sample: self.should_sample,
            parent: match (
                &self.parent,
                parent.as_ref().and_then(|parent| parent.get().core()),
            ) {
                (ParentArgument::Context(context), _) => Parent::Context(context),
                (_, Some(parent)) => Parent::Span(parent),
                // Also the no-op span, which gives neither ids nor a decision.
                (_, None) => Parent::Root,
            },
        };
        let turn = turn(py);
        let span = tracer.core().start(turn, &pipeline, &options);
        pairs(&attributes).for_each(|(key, value)| span.set_attribute(turn, key, value));
        for (context, attributes) in &links {
            span.add_link(turn, context, pairs(attributes));
        }
        let name = name.map(plain);
        Bound::new(py, PySpan::new(span, name, tracer.scope(), parent))
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
            "a Span, a SpanContext, nanospan.ROOT or None",
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
