//! `Tracer`: makes spans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::argument::{self, Given};
use super::block::Block;
use super::data::{PySpanData, in_start_order, read};
use super::error::{wrong_type, wrong_value};
use super::ffi::turn;
use super::hint;
use super::lifecycle;
use super::scope::{self, Scope};
use super::span::{PySpan, change};
use super::start::{Arguments, no_op};
use super::value::{Reader, text};
use crate::pipeline::Pipeline;
use crate::sampler::{Ratio, Sampler, Strategy};
use crate::trace::Trace;
use crate::tracer::{DEFAULT_NAMESPACE, Tracer};

/// Makes spans under one name, in one namespace. Until `configure` all it does is nothing.
#[pyclass(frozen, weakref, name = "Tracer", module = "nanospan")]
pub(crate) struct PyTracer {
    core: &'static Tracer,
    scope: &'static Scope,
    sampling_rate: Option<Ratio>,
}

/// Tracers by namespace and name.
type Known = HashMap<(String, String), Py<PyTracer>>;
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

impl PyTracer {
    /// The global tracer, named `nanospan`.
    pub(crate) fn global(py: Python<'_>) -> PyResult<Py<Self>> {
        Self::known_or_new(py, "nanospan", DEFAULT_NAMESPACE, None, None)
    }

    pub(crate) fn core(&self) -> &'static Tracer {
        self.core
    }

    pub(crate) fn scope(&self) -> &'static Scope {
        self.scope
    }

    /// The pipeline that new spans go to; None when there is none, and inside a log handler that
    /// a notice of ours called.
    pub(crate) fn pipeline(py: Python<'_>) -> Option<Arc<Pipeline>> {
        lifecycle::current(py).filter(|_| !lifecycle::is_delivering())
    }

    /// True when there is one.
    #[inline]
    pub(crate) fn is_configured(py: Python<'_>) -> bool {
        lifecycle::is_configured(py) && !lifecycle::is_delivering()
    }

    fn known_or_new(
        py: Python<'_>,
        name: &str,
        namespace: &str,
        sampling_rate: Option<Ratio>,
        version: Option<&str>,
    ) -> PyResult<Py<Self>> {
        let sampler = sampling_rate.map(Sampler::parent_based_ratio);
        let made = Py::new(
            py,
            Self {
                core: Tracer::new(name, namespace, version, sampler),
                scope: scope::of_namespace(py, namespace)?,
                sampling_rate,
            },
        )?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        Ok(known
            .get_or_insert_default()
            .entry(key)
            .or_insert(made)
            .clone_ref(py))
    }

    pub(crate) fn active<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        if !Self::is_configured(py) {
            return Ok(None);
        }
        self.scope.active(py)
    }

    /// What `work` finds at the active span's local trace, if there is one.
    fn in_active_trace<R>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Trace) -> R,
    ) -> PyResult<Option<R>> {
        let active = self.active(py)?;
        let core = active.as_ref().and_then(|span| span.get().core());
        let core = core.filter(|core| !core.is_inherited());
        Ok(core.map(|core| work(core.trace())))
    }
}

#[pymethods]
#[allow(
    clippy::wrong_self_convention,
    reason = "Python's `new` is a method of every tracer"
)]
impl PyTracer {
    /// The name of the tracer.
    #[getter]
    fn name(&self) -> &str {
        self.core.name()
    }

    /// The namespace: tracers that share it share the active span.
    #[getter]
    fn namespace(&self) -> &str {
        self.core.namespace()
    }

    /// The version of what the tracer traces, None when it was not given.
    #[getter]
    fn version(&self) -> Option<&str> {
        self.core.version()
    }

    /// The tracer of this name and namespace, made if there is none yet.
    ///
    /// `sampling_rate` is a number from 0 to 1: 0.1 samples 1 of every 10 requests, 1 all; None
    /// asks the sampler of `configure`. For a tracer that is there already the first options stay,
    /// and others are logged. Raises `TypeError` or `ValueError` naming the argument.
    #[pyo3(name = "new", signature = (name=Given::Missing, *, sampling_rate=None, namespace=Given::Missing, version=None),
           text_signature = "($self, name='default', *, sampling_rate=None, namespace='default', version=None)")]
    #[allow(
        clippy::unused_self,
        reason = "every tracer can make another, as in the reference"
    )]
    fn new(
        &self,
        py: Python<'_>,
        name: Given<'_>,
        sampling_rate: Option<&Bound<'_, PyAny>>,
        namespace: Given<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyTracer>> {
        let name_of = |argument, came: Option<&Bound<'_, PyAny>>| -> PyResult<String> {
            let Some(came) = came else {
                return Ok("default".to_owned());
            };
            Ok(text(argument::name(argument, came)?).into_owned())
        };
        let name = name_of("name", name.as_ref())?;
        let namespace = name_of("namespace", namespace.as_ref())?;
        let rate = sampling_rate
            .map(|came| argument::rate("sampling_rate", came))
            .transpose()?;
        let version = version
            .map(|came| {
                let version = came.cast::<PyString>();
                let version = version.map_err(|_| wrong_type("version", "a str or None", came))?;
                Ok::<_, PyErr>(text(version).into_owned())
            })
            .transpose()?
            .filter(|version| !version.is_empty());
        let tracer = Self::known_or_new(py, &name, &namespace, rate, version.as_deref())?;
        let known = tracer.get();
        let differs = (rate.is_some() && rate != known.sampling_rate)
            || (version.is_some() && version.as_deref() != known.core.version());
        if differs {
            if let Some(pipeline) = Self::pipeline(py) {
                pipeline
                    .notices()
                    .leave_once(&format!("tracer {namespace} {name}"), || {
                        format!(
                            "tracer {name:?} in namespace {namespace:?} was made before with other \
                         options, which it keeps"
                        )
                    });
                lifecycle::deliver(py, &pipeline);
            }
        }
        Ok(tracer)
    }

    /// Starts a span. It does not become active.
    ///
    /// `kind` is a `SpanKind`; `start_time_ns` is nanoseconds since 1970, None is now;
    /// `should_sample` decides whatever sampler and parent say; `parent` is None for the active
    /// span, `ROOT` for a new trace, a `Span`, a `SpanContext`, or a `RemoteContext`; `links` are
    /// contexts or `Link`s. Raises `TypeError` or `ValueError` naming the argument, and then
    /// nothing was started.
    #[pyo3(signature = (name, *, kind=Given::Missing, start_time_ns=None, should_sample=None, parent=None, attributes=None, links=Given::Missing),
           text_signature = "($self, name, *, kind=1, start_time_ns=None, should_sample=None, parent=None, attributes=None, links=())")]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn start_span<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'_, PyAny>,
        kind: Given<'_>,
        start_time_ns: Option<&Bound<'_, PyAny>>,
        should_sample: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Given<'_>,
    ) -> PyResult<Bound<'py, PySpan>> {
        if !Self::is_configured(py) {
            return no_op(py);
        }
        let name = argument::name("name", name)?;
        let arguments = Arguments::check(
            Some(name),
            kind.as_ref(),
            start_time_ns,
            should_sample,
            parent,
            attributes,
            links.as_ref(),
        )?;
        arguments.start(py, self)
    }

    /// Prepares a span for one `with` block, or for each call of a function that it decorates.
    ///
    /// The span starts and becomes active when the block is entered, and finishes when it is left;
    /// then what was active before is active again. An exception that escapes is recorded and sets
    /// the status to ERROR, unless a status is set. The arguments are those of `start_span`; wrong
    /// ones raise at once, except for `attributes` and `links`, which are read when the span
    /// starts.
    #[pyo3(signature = (name, *, kind=Given::Missing, start_time_ns=None, should_sample=None, parent=None, attributes=None, links=Given::Missing),
           text_signature = "($self, name, *, kind=1, start_time_ns=None, should_sample=None, parent=None, attributes=None, links=())")]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn start_as_current_span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'_, PyAny>,
        kind: Given<'_>,
        start_time_ns: Option<&Bound<'_, PyAny>>,
        should_sample: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Given<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = hint::block_name(name)?;
        let arguments = Arguments::check(
            Some(name),
            kind.as_ref(),
            start_time_ns,
            should_sample,
            parent,
            attributes,
            links.as_ref(),
        )?;
        Block::new(slf.clone().unbind(), arguments).into_object(slf.py())
    }

    /// Makes a draft: a span with ids, to be named by `link_span` when its facts are known.
    ///
    /// The arguments are those of `start_span`. A draft that dies is not counted.
    #[pyo3(signature = (*, kind=Given::Missing, parent=None, should_sample=None, links=Given::Missing),
           text_signature = "($self, *, kind=1, parent=None, should_sample=None, links=())")]
    fn create_span<'py>(
        &self,
        py: Python<'py>,
        kind: Given<'_>,
        parent: Option<&Bound<'_, PyAny>>,
        should_sample: Option<&Bound<'_, PyAny>>,
        links: Given<'_>,
    ) -> PyResult<Bound<'py, PySpan>> {
        if !Self::is_configured(py) {
            return no_op(py);
        }
        Arguments::check(
            None,
            kind.as_ref(),
            None,
            should_sample,
            parent,
            None,
            links.as_ref(),
        )?
        .start(py, self)
    }

    /// Names a draft and starts it, now unless `start_time_ns` says when.
    ///
    /// `attributes` are set as `set_attributes` does. Raises `ValueError` for a span that is no
    /// draft any more.
    #[pyo3(signature = (span, name, *, start_time_ns=None, attributes=None))]
    #[allow(
        clippy::unused_self,
        reason = "the reference makes it a call of the tracer"
    )]
    fn link_span(
        &self,
        py: Python<'_>,
        span: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        start_time_ns: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !Self::is_configured(py) {
            return Ok(());
        }
        let span = span
            .cast::<PySpan>()
            .map_err(|_| wrong_type("span", "a Span", span))?
            .get();
        let name = argument::name("name", name)?;
        let start_time_ns = argument::time_ns("start_time_ns", start_time_ns)?;
        let Some(core) = span.core() else {
            return Ok(());
        };
        let reader = Reader::new(core.trace().pipeline());
        let changes = reader.changes("attributes", attributes)?;
        span.link(py, name, start_time_ns)?;
        change(turn(py), core, changes);
        Ok(())
    }

    /// The active span of the tracer's namespace in the current context, or None.
    fn active_span<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        self.active(py)
    }

    /// Makes a span active in the current context until another is, or it finishes; None clears.
    ///
    /// Raises `ValueError` for a span of another namespace.
    #[pyo3(signature = (span))]
    fn set_active_span(&self, py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if !Self::is_configured(py) {
            return Ok(());
        }
        let Some(came) = span else {
            return self.scope.set(py, None);
        };
        let span = came
            .cast::<PySpan>()
            .map_err(|_| wrong_type("span", "a Span or None", came))?;
        if span.get().core().is_none() {
            return self.scope.set(py, None);
        }
        if !span.get().is_in(self.scope) {
            let allowed = format!("a span of the namespace {:?}", self.core.namespace());
            return Err(wrong_value("span", &allowed, came));
        }
        self.scope.set(py, Some(span))
    }

    /// The root of the active span's local trace while it is open, else None.
    fn root_span<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        let active = self.active(py)?;
        Ok(active.as_ref().and_then(PySpan::open_root))
    }

    /// The finished spans of the active span's local trace that are not handed over yet.
    ///
    /// They come in start order, whatever their tracer.
    fn spans<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.finished(py)?)
    }

    /// Calls `processor` with each span of `spans()`. What it raises goes to the caller.
    fn process_spans(&self, py: Python<'_>, processor: &Bound<'_, PyAny>) -> PyResult<()> {
        if !Self::is_configured(py) {
            return Ok(());
        }
        if !processor.is_callable() {
            return Err(wrong_type(
                "processor",
                "a callable that takes a SpanData",
                processor,
            ));
        }
        let Some(_below) = lifecycle::Below::enter() else {
            return Ok(());
        };
        self.finished(py)?
            .into_iter()
            .try_for_each(|span| processor.call1((span,)).map(drop))
    }

    /// Decides on the active span's local trace by hand, until it is handed over.
    ///
    /// True when the decision holds for every span of the trace that does not decide for itself
    /// (`should_sample=`). A trace that is not recorded cannot be brought back: then True acts on
    /// spans started afterwards only, and False is returned. So it is when nothing is active.
    fn set_should_sample(
        &self,
        py: Python<'_>,
        should_sample: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if !Self::is_configured(py) {
            return Ok(false);
        }
        let should_sample = argument::boolean("should_sample", should_sample)?;
        let decide = |trace: &Trace| trace.set_should_sample(should_sample);
        Ok(self.in_active_trace(py, decide)?.unwrap_or(false))
    }

    /// Judges the active span's trace id at `rate`; None is the `sampling_rate` of `configure`.
    ///
    /// A parent's no is always honoured. Its yes is honoured by the strategy
    /// `parent_probability_fallback`, and judged again by `parent_drop_probability_fallback`. False
    /// when nothing is active, and where neither a rate nor the parent decides.
    #[pyo3(signature = (parent_sampled=None, rate=None, *, strategy=Given::Missing),
           text_signature = "($self, parent_sampled=None, rate=None, *, strategy='parent_probability_fallback')")]
    fn get_sampling_decision(
        &self,
        py: Python<'_>,
        parent_sampled: Option<&Bound<'_, PyAny>>,
        rate: Option<&Bound<'_, PyAny>>,
        strategy: Given<'_>,
    ) -> PyResult<bool> {
        let Some(pipeline) = Self::pipeline(py) else {
            return Ok(false);
        };
        let parent = argument::optional_bool("parent_sampled", parent_sampled)?;
        let rate = rate.map(|came| argument::rate("rate", came)).transpose()?;
        let strategy = strategy
            .as_ref()
            .map_or(Ok(Strategy::ParentProbabilityFallback), strategy_of)?;
        let rate = rate.or_else(|| pipeline.sampling_rate());
        let decide = |trace: &Trace| strategy.decide(parent, rate, &trace.trace_id());
        Ok(self.in_active_trace(py, decide)?.unwrap_or(false))
    }

    fn __repr__(&self) -> String {
        format!(
            "Tracer(name={:?}, namespace={:?})",
            self.core.name(),
            self.core.namespace()
        )
    }
}

impl PyTracer {
    fn finished(&self, py: Python<'_>) -> PyResult<Vec<PySpanData>> {
        let request = |trace: &Trace| trace.pipeline().waiting_request(turn(py), trace);
        let waiting = self.in_active_trace(py, request)?;
        Ok(waiting.map_or_else(Vec::new, |request| in_start_order(read(&request))))
    }
}

pub(crate) fn strategy_of(came: &Bound<'_, PyAny>) -> PyResult<Strategy> {
    const ALLOWED: &str = "'parent_probability_fallback' or 'parent_drop_probability_fallback'";
    let name = came
        .cast::<PyString>()
        .map_err(|_| wrong_type("strategy", ALLOWED, came))?;
    match text(name).as_ref() {
        "parent_probability_fallback" => Ok(Strategy::ParentProbabilityFallback),
        "parent_drop_probability_fallback" => Ok(Strategy::ParentDropProbabilityFallback),
        _ => Err(wrong_value("strategy", ALLOWED, came)),
    }
}
