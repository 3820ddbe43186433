//! The arguments with which spans start, checked, and the start itself.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::argument;
use super::context::PySpanContext;
use super::error::wrong_type;
use super::ffi::{Place, Recycled, turn};
use super::otel;
use super::remote::{PyTraceId, Unfolded};
use super::scope::{Above, InCell, Present};
use super::span::PySpan;
use super::tracer::PyTracer;
use super::value::{Attributes, Reader, exact_text, pairs, plain, text};
use crate::context::{SpanContext, SpanKind};
use crate::id::TraceId;
use crate::pipeline;
use crate::sampler;
use crate::tracer::{Chosen, Parent, SpanOptions};

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
    /// A new span of this trace, without a parent.
    Trace(TraceId),
}

impl Arguments {
    /// None at all, until a block begins with some.
    pub(crate) fn none() -> Self {
        Self {
            name: None,
            kind: SpanKind::default(),
            more: None,
        }
    }

    /// A name and a kind, where there were none.
    #[inline(always)]
    pub(crate) fn begin(&mut self, name: &Bound<'_, PyString>, kind: SpanKind) {
        self.name = Some(name.clone().unbind());
        self.kind = kind;
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
        if let Some((name, text, kind)) = self.simple(py).filter(|_| !sampler::may_call_out()) {
            if let Some(span) = start_simply(tracer, name, text, kind)? {
                return Ok(span);
            }
        }
        let nothing = More::default();
        let more = self.more.as_deref().unwrap_or(&nothing);
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
            ParentArgument::Root | ParentArgument::Trace(_) => Above::Span(None),
            ParentArgument::Context(context) => Above::Context(Box::new(context.clone())),
        };
        let chosen = match more.parent {
            ParentArgument::Trace(trace_id) => Some(Chosen {
                trace_id: Some(trace_id),
                ..Chosen::default()
            }),
            _ => None,
        };
        let name = self.name.as_ref().map(|name| text(name.bind(py)));
        let options = SpanOptions {
            name: name.as_deref(),
            kind: self.kind,
            start_time_ns: more.start_time_ns,
            should_sample: more.should_sample,
            parent: above.as_parent(),
            chosen: chosen.as_ref(),
        };
        let place = PySpan::bin().place(py)?;
        let turn = turn(py);
        let span = tracer.core().start(turn, &pipeline, &options);
        pairs(&attributes).for_each(|(key, value)| span.set_attribute(turn, key, value));
        for (context, attributes) in &links {
            span.add_link(turn, context.into(), pairs(attributes));
        }
        let name = self.name.as_ref().map(|name| plain(name.bind(py)));
        let parent = above.into_parent();
        let mut place = place;
        place.value().handle().take_over(turn, span);
        place.value().begin(name, tracer.scope(), parent);
        tell(place.live(py))
    }

    /// A name of no subclass, its text and a kind, if there is nothing else.
    #[inline]
    pub(crate) fn simple<'a, 'py>(
        &'a self,
        py: Python<'py>,
    ) -> Option<(&'a Bound<'py, PyString>, &'a str, SpanKind)> {
        let name = self.name.as_ref().filter(|_| self.more.is_none())?.bind(py);
        let text = exact_text(name).filter(|_| name.is_exact_instance_of::<PyString>())?;
        Some((name, text, self.kind))
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
    #[inline(always)]
    pub(crate) fn let_go(&mut self, py: Python<'_>) {
        drop(self.name.take().map(|name| name.into_bound(py)));
        if let Some(more) = self.more.take() {
            more.let_go(py);
        }
    }
}

impl More {
    #[cold]
    fn let_go(self, py: Python<'_>) {
        let more = self;
        drop(more.attributes.map(|attributes| attributes.into_bound(py)));
        drop(more.links.map(|links| links.into_bound(py)));
        if let ParentArgument::Span(span) = more.parent {
            drop(span.into_bound(py));
        }
    }
}

/// Starts most spans: with a name of no subclass, which has this text, and a kind, under the active span,
/// if that is one of ours; else None. Not where the sampler may be the application's.
#[inline(always)]
pub(crate) fn start_simply<'py>(
    tracer: &PyTracer,
    name: &Bound<'py, PyString>,
    text: &str,
    kind: SpanKind,
) -> PyResult<Option<Bound<'py, PySpan>>> {
    let py = name.py();
    if !PyTracer::is_configured(py) {
        return no_op(py).map(Some);
    }
    let Above::Span(above) = tracer.scope().above(py)? else {
        return Ok(None);
    };
    // Before the pipeline is borrowed: this may run any code.
    let place = PySpan::bin().place(py)?;
    match start_in(place, tracer, name, text, kind, above.as_ref()) {
        Some(span) => tell(span).map(Some),
        None => no_op(py).map(Some),
    }
}

/// The same for a block that makes it active, if that takes one look at the scope; else None, and
/// nothing is done.
#[inline(always)]
pub(crate) fn start_and_enter<'py>(
    tracer: &PyTracer,
    name: &Bound<'py, PyString>,
    text: &str,
    kind: SpanKind,
) -> PyResult<Option<(Bound<'py, PySpan>, InCell)>> {
    let py = name.py();
    if !PyTracer::is_configured(py) || otel::hears_of_natives(py) || sampler::may_call_out() {
        return Ok(None);
    }
    // First: this may run any code, and the scope is looked at once.
    let place = PySpan::bin().place(py)?;
    let Some(entrance) = tracer.scope().entrance(py) else {
        return Ok(None);
    };
    let Some(span) = start_in(place, tracer, name, text, kind, entrance.above()) else {
        entrance.forgo();
        return Ok(None);
    };
    let entered = entrance.enter(&span);
    Ok(Some((span, entered)))
}

/// Starts one that is to become active by what comes with it: for the first block of a context, and where
/// there are no cells. None where that takes more than one look, and nothing is done.
#[inline(always)]
pub(crate) fn start_to_enter<'py>(
    tracer: &PyTracer,
    name: &Bound<'py, PyString>,
    text: &str,
    kind: SpanKind,
) -> PyResult<Option<(Bound<'py, PySpan>, Present<'py>)>> {
    let py = name.py();
    if !PyTracer::is_configured(py) || otel::hears_of_natives(py) || sampler::may_call_out() {
        return Ok(None);
    }
    // As above.
    let place = PySpan::bin().place(py)?;
    let Some(present) = tracer.scope().present(py)? else {
        return Ok(None);
    };
    let span = start_in(place, tracer, name, text, kind, present.above());
    Ok(span.map(|span| (span, present)))
}

/// Runs no Python code. None when there is no pipeline any more.
#[inline(always)]
fn start_in<'py>(
    place: Place<PySpan>,
    tracer: &PyTracer,
    name: &Bound<'py, PyString>,
    text: &str,
    kind: SpanKind,
    above: Option<&Bound<'py, PySpan>>,
) -> Option<Bound<'py, PySpan>> {
    let py = name.py();
    let turn = turn(py);
    let current = pipeline::borrow_current(turn);
    let pipeline = current.as_ref()?;
    let mut place = place;
    let span = place.value();
    let parent = match above {
        Some(above) => above.get().core(),
        None => None,
    };
    let (core, handle) = (tracer.core(), span.handle());
    core.start_simply(turn, pipeline, text, kind, parent, handle);
    let name = Some(name.clone().unbind());
    span.begin(name, tracer.scope(), above.cloned());
    Some(place.live(py))
}

/// Tells processors in Python of a span that has started, where there are any.
#[inline(always)]
fn tell(span: Bound<'_, PySpan>) -> PyResult<Bound<'_, PySpan>> {
    if let Some(processor) = otel::processor_of_native(&span) {
        otel::start_native(&span, &processor)?;
    }
    Ok(span)
}

impl<'py> Above<'py> {
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

    /// As the handle keeps it.
    #[inline]
    fn into_parent(self) -> Option<Bound<'py, PySpan>> {
        match self {
            Self::Span(parent) => parent,
            Self::Context(_) => None,
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
                ParentArgument::Trace(trace_id) => ParentArgument::Trace(*trace_id),
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
        if let Ok(trace) = came.cast::<PyTraceId>() {
            return Ok(Self::Trace(trace.get().0));
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
