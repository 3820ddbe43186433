//! How a span starts through OpenTelemetry's API.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::api::api;
use super::ask::Asked;
use super::attribute::{self, Bounds, Whose};
use super::context::{InPlace, Present, current, entrance, present};
use super::link::Link;
use super::parent::ParentSpan;
use super::provider::PyProvider;
use super::span::{Ancestor, PyOtelSpan};
use super::tracer::PyOtelTracer;
use crate::context::SpanKind;
use crate::pipeline::Pipeline;
use crate::py::ffi::{Place, Recycled, is_tracked, track, turn};
use crate::py::lifecycle;
use crate::py::value::{exact_text, pairs, text};
use crate::sampler;
use crate::span::Span;
use crate::tracer::{Parent, SpanOptions};

/// An argument that is true or false in the way of Python: the API does not check.
pub(super) struct Truth(pub(super) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(came: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        came.is_truthy().map(Self)
    }
}

/// Arguments of a start. They hold no converted value: a block may start later, and a decorated
/// function many times.
pub(super) struct Arguments {
    name: Py<PyString>,
    kind: SpanKind,
    pub(super) record_exception: bool,
    pub(super) set_status_on_exception: bool,
    /// None where all of them are left out, as most are.
    more: Option<Box<More>>,
}

/// The arguments that are seldom given.
#[derive(Default)]
struct More {
    context: Option<Py<PyAny>>,
    attributes: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
    start_time: Option<u64>,
}

/// A time of OpenTelemetry's API, which does not check: a number of nanoseconds since 1970.
pub(super) fn time(argument: &str, came: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(came) = came.filter(|came| !came.is_none()) else {
        return Ok(None);
    };
    if let Ok(time) = came.extract::<u64>() {
        return Ok(Some(time));
    }
    match came.extract::<f64>() {
        Ok(time) if time.is_finite() => Ok(Some(time.max(0.0) as u64)),
        _ => Err(PyTypeError::new_err(format!(
            "{argument} must be nanoseconds since 1970 as an int, or None, got {}",
            came.get_type().name()?
        ))),
    }
}

/// The arguments of most starts, borrowed.
pub(super) struct Brief<'a, 'py> {
    pub(super) name: Borrowed<'a, 'py, PyString>,
    pub(super) kind: SpanKind,
    pub(super) attributes: Option<Borrowed<'a, 'py, PyAny>>,
    pub(super) context: Option<Borrowed<'a, 'py, PyAny>>,
}

impl Brief<'_, '_> {
    /// The same, held.
    #[inline(always)]
    pub(super) fn keep(&self) -> Arguments {
        let more = self.attributes.is_some() || self.context.is_some();
        Arguments {
            name: self.name.to_owned().unbind(),
            kind: self.kind,
            record_exception: true,
            set_status_on_exception: true,
            more: more.then(|| self.keep_more()),
        }
    }

    #[cold]
    fn keep_more(&self) -> Box<More> {
        let keep =
            |part: Option<Borrowed<'_, '_, PyAny>>| part.map(|part| part.to_owned().unbind());
        Box::new(More {
            attributes: keep(self.attributes),
            context: keep(self.context),
            ..More::default()
        })
    }
}

/// The pipeline, if it may be used as it is: not inside a log handler that a notice of ours called, nor where
/// a fork has left it to the parent.
#[inline(always)]
fn usable(pipeline: Option<&Arc<Pipeline>>) -> Option<&Arc<Pipeline>> {
    pipeline.filter(|pipeline| !pipeline.is_inherited() && !lifecycle::is_delivering())
}

impl Arguments {
    #[allow(clippy::too_many_arguments, reason = "those of the API")]
    pub(super) fn read(
        name: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> PyResult<Self> {
        let py = name.py();
        // The API says that it is a str and leaves it at that.
        let name = match name.cast::<PyString>() {
            Ok(name) => name.clone(),
            Err(_) => name.str()?,
        };
        let kind = match kind {
            Some(kind) => api(py)?.kind_of(kind),
            None => SpanKind::Internal,
        };
        let given = |came: Option<&Bound<'_, PyAny>>| {
            came.filter(|came| !came.is_none())
                .map(|came| came.clone().unbind())
        };
        let more = More {
            context: given(context),
            attributes: given(attributes),
            links: given(links),
            start_time: time("start_time", start_time)?,
        };
        let is_more = more.context.is_some()
            || more.attributes.is_some()
            || more.links.is_some()
            || more.start_time.is_some();
        Ok(Self {
            name: name.unbind(),
            kind,
            record_exception,
            set_status_on_exception,
            more: is_more.then(|| Box::new(more)),
        })
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            name: self.name.clone_ref(py),
            more: self.more.as_ref().map(|more| {
                let clone = |part: &Option<Py<PyAny>>| part.as_ref().map(|p| p.clone_ref(py));
                Box::new(More {
                    context: clone(&more.context),
                    attributes: clone(&more.attributes),
                    links: clone(&more.links),
                    start_time: more.start_time,
                })
            }),
            ..*self
        }
    }

    /// Lets go of what they hold; see [`crate::py::ffi::Method`].
    pub(super) fn let_go(self, py: Python<'_>) {
        drop(self.name.into_bound(py));
        let Some(more) = self.more else { return };
        for part in [more.context, more.attributes, more.links] {
            drop(part.map(|part| part.into_bound(py)));
        }
    }

    /// Starts the span.
    pub(super) fn start<'py>(
        &self,
        tracer: &Bound<'py, PyOtelTracer>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.are_simple(tracer) {
            if let Some(span) = self.start_simply(tracer)? {
                return Ok(span.into_any());
            }
        }
        self.start_fully(tracer)
    }

    /// True for a name and a kind, and nobody of Python's to ask or tell.
    #[inline]
    fn are_simple(&self, tracer: &Bound<'_, PyOtelTracer>) -> bool {
        let py = tracer.py();
        let is_plain = tracer.get().provider.get().is_plain(py) && !sampler::may_call_out();
        self.more.is_none() && is_plain && tracer.get().is_enabled()
    }

    /// The name, where they are simple and it is of no subclass.
    #[inline(always)]
    fn simple_name<'a>(&'a self, tracer: &Bound<'a, PyOtelTracer>) -> Option<&'a str> {
        if !self.are_simple(tracer) {
            return None;
        }
        exact_text(self.name.bind(tracer.py()))
    }

    /// Starts most spans: with a name and a kind, under the current span, and nobody of Python's to ask
    /// or tell. None where that is not so.
    fn start_simply<'py>(
        &self,
        tracer: &Bound<'py, PyOtelTracer>,
    ) -> PyResult<Option<Bound<'py, PyOtelSpan>>> {
        let py = tracer.py();
        let parent = current(py, None)?;
        let parent = match &parent {
            None => None,
            Some(parent) => match parent.cast_exact::<PyOtelSpan>() {
                Ok(parent) => Some(parent),
                Err(_) => return Ok(None),
            },
        };
        let Some(name) = exact_text(self.name.bind(py)) else {
            return Ok(None);
        };
        let provider = tracer.get().provider.get();
        // Before the pipeline is taken: this may run any code.
        let place = PyOtelSpan::bin().place(py)?;
        {
            let pipeline = provider.borrow_pipeline(py);
            if let Some(pipeline) = usable(pipeline.as_ref()) {
                return Ok(Some(self.start_in(place, tracer, pipeline, name, parent)));
            }
        }
        match provider.pipeline(py) {
            Some(pipeline) => Ok(Some(self.start_in(place, tracer, &pipeline, name, parent))),
            None => Ok(None),
        }
    }

    /// The same for a block that makes it current, if that takes one look at the Context; else None, and
    /// nothing is done.
    #[inline(always)]
    pub(super) fn start_and_enter<'py>(
        &self,
        tracer: &Bound<'py, PyOtelTracer>,
    ) -> PyResult<Option<(Bound<'py, PyOtelSpan>, InPlace)>> {
        let py = tracer.py();
        let Some(name) = self.simple_name(tracer) else {
            return Ok(None);
        };
        // First: this may run any code, and the Context is looked at once.
        let place = PyOtelSpan::bin().place(py)?;
        let Some(entrance) = entrance(py)? else {
            return Ok(None);
        };
        let span = {
            let pipeline = tracer.get().provider.get().borrow_pipeline(py);
            let Some(pipeline) = usable(pipeline.as_ref()) else {
                return Ok(None);
            };
            self.start_in(place, tracer, pipeline, name, entrance.above().as_deref())
        };
        let entered = entrance.enter(&span)?;
        Ok(Some((span, entered)))
    }

    /// Starts one that is to become current with another Context, which the caller sets: for the first block
    /// of a task, and where Contexts are not changed in place. And what was current. None where that takes
    /// more than one look, and nothing is done.
    #[inline(never)]
    pub(super) fn start_to_enter<'py>(
        &self,
        tracer: &Bound<'py, PyOtelTracer>,
    ) -> PyResult<Option<(Bound<'py, PyOtelSpan>, Present<'py>)>> {
        let py = tracer.py();
        let Some(name) = self.simple_name(tracer) else {
            return Ok(None);
        };
        // As above.
        let place = PyOtelSpan::bin().place(py)?;
        let Some(present) = present(py)? else {
            return Ok(None);
        };
        let pipeline = tracer.get().provider.get().borrow_pipeline(py);
        let Some(pipeline) = usable(pipeline.as_ref()) else {
            return Ok(None);
        };
        let span = self.start_in(place, tracer, pipeline, name, present.above().as_deref());
        Ok(Some((span, present)))
    }

    /// Runs no Python code.
    #[inline(always)]
    fn start_in<'py>(
        &self,
        place: Place<PyOtelSpan>,
        tracer: &Bound<'py, PyOtelTracer>,
        pipeline: &Arc<Pipeline>,
        name: &str,
        parent: Option<&Bound<'py, PyOtelSpan>>,
    ) -> Bound<'py, PyOtelSpan> {
        let turn = turn(tracer.py());
        let ancestor = parent.map_or(Ancestor::None, |parent| {
            Ancestor::Span(parent.clone().unbind())
        });
        let from = parent.map(|parent| parent.get().core());
        let mut place = place;
        let handle = place.value().handle(tracer.clone().unbind());
        let core = tracer.get().core();
        core.start_simply(turn, pipeline, name, self.kind, from, handle);
        self.live(place, tracer.py(), ancestor)
    }

    fn start_fully<'py>(&self, tracer: &Bound<'py, PyOtelTracer>) -> PyResult<Bound<'py, PyAny>> {
        let py = tracer.py();
        let api = api(py)?;
        let nothing = More::default();
        let more = self.more.as_deref().unwrap_or(&nothing);
        let given_context = more.context.as_ref().map(|context| context.bind(py));
        let parent = ParentSpan::find(py, api, given_context)?;
        let provider = tracer.get().provider.get();
        let pipeline = provider.pipeline(py).filter(|_| tracer.get().is_enabled());
        let Some(pipeline) = pipeline else {
            // As the API does where there is no SDK: the parent's ids travel on.
            let context = parent.python(py)?;
            let context = match context {
                Some(context) => context,
                None => py
                    .import("opentelemetry.trace")?
                    .getattr("INVALID_SPAN_CONTEXT")?,
            };
            return api.non_recording.bind(py).call1((context,));
        };
        let mut chosen = None;
        let mut attributes = more.attributes.as_ref().map(|given| given.bind(py).clone());
        let links = more.links.as_ref().map(|links| links.bind(py));
        let (sampler, ids) = (provider.sampler(py), provider.id_generator(py));
        if sampler.is_some() || ids.is_some() {
            let asked = Asked::of(
                py,
                &pipeline,
                &self.name,
                self.kind,
                &parent,
                sampler.as_ref(),
                ids.as_ref(),
                given_context,
                attributes.as_ref(),
                links,
            )?;
            attributes = asked.attributes.or(attributes);
            if sampler.is_some() && attributes.as_ref().is_some_and(Bound::is_none) {
                attributes = None;
            }
            chosen = Some(asked.chosen);
        }
        let name = text(self.name.bind(py));
        let from_context;
        let from = match &parent {
            ParentSpan::None | ParentSpan::Invalid(_) => Parent::Root,
            ParentSpan::Ours(span) => Parent::Span(span.get().core()),
            ParentSpan::Known { context, .. } => {
                from_context = context;
                Parent::Context(from_context)
            }
        };
        let options = SpanOptions {
            name: Some(Cow::as_ref(&name)),
            kind: self.kind,
            start_time_ns: more.start_time,
            should_sample: None,
            parent: from,
            chosen: chosen.as_ref(),
        };
        let place = PyOtelSpan::bin().place(py)?;
        let span = tracer.get().core().start(turn(py), &pipeline, &options);
        let recorded = span.is_recorded();
        if recorded {
            let attributes = attributes.as_ref();
            if let Err(error) = fill(py, &span, &pipeline, provider, attributes, links) {
                span.release(turn(py));
                return Err(error);
            }
        }
        let ancestor = match parent {
            ParentSpan::None | ParentSpan::Invalid(_) => Ancestor::None,
            ParentSpan::Ours(span) => Ancestor::Span(span.unbind()),
            ParentSpan::Known { python, .. } => Ancestor::Context(python.unbind()),
        };
        let mut place = place;
        let handle = place.value().handle(tracer.clone().unbind());
        handle.take_over(turn(py), span);
        let span = self.live(place, py, ancestor);
        if recorded {
            if let Some(processor) = provider.processor(py) {
                let named = PyDict::new(py);
                named.set_item("parent_context", given_context)?;
                let told = processor.call_method("on_start", (&span,), Some(&named));
                super::end::hear(py, "on_start", told.map(drop))?;
            }
        }
        Ok(span.into_any())
    }

    /// The handle, whose span has begun.
    #[inline(always)]
    fn live<'py>(
        &self,
        place: Place<PyOtelSpan>,
        py: Python<'py>,
        ancestor: Ancestor,
    ) -> Bound<'py, PyOtelSpan> {
        let is_below_tracked =
            matches!(&ancestor, Ancestor::Span(parent) if is_tracked(parent.bind(py)));
        let mut place = place;
        place.value().begin(
            self.name.clone_ref(py),
            ancestor,
            self.record_exception,
            self.set_status_on_exception,
        );
        let handle = place.live(py);
        if is_below_tracked {
            track(&handle);
        }
        handle
    }
}

/// Reads what a span starts with, which may run any code, and then writes it.
fn fill(
    py: Python<'_>,
    span: &Span,
    pipeline: &Pipeline,
    provider: &PyProvider,
    attributes: Option<&Bound<'_, PyAny>>,
    links: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let bounds = |whose| Bounds::new(pipeline, Some(provider), whose);
    let read = attribute::all(bounds(Whose::Span), attributes)?;
    let links = Link::all(bounds(Whose::Link), links)?;
    let turn = turn(py);
    pairs(&read.attributes).for_each(|(key, value)| span.set_attribute(turn, key, value));
    if read.dropped > 0 {
        span.miss_attributes(turn, read.dropped);
    }
    for link in &links {
        link.add(turn, span);
    }
    Ok(())
}
