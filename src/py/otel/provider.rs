//! What a `nanospan.otel.TracerProvider` has in the core: its pipeline, and the parts of the
//! application's that its spans meet.

use std::cell::RefMut;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use prost::Message as _;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::id::{SpanId, TraceId};
use crate::otlp::message;
use crate::pipeline::{self, Pipeline};
use crate::py::config::{REPLACED_TIMEOUT, pipeline_of_provider, resource_of_provider};
use crate::py::error::cannot_open;
use crate::py::ffi::{dropping, turn};
use crate::py::lifecycle;
use crate::py::value::to_dict;
use crate::span::Span;
use crate::turn::Guarded;

/// The core of a provider.
#[pyclass(frozen, weakref, name = "_Provider", module = "nanospan")]
pub(crate) struct PyProvider {
    /// None follows the pipeline of `configure`.
    own: Guarded<Option<Arc<Pipeline>>>,
    /// Characters of a text value of a span; None keeps all.
    pub(super) max_length: Option<usize>,
    /// The same for events and links.
    pub(super) max_nested_length: Option<usize>,
    parts: Guarded<Parts>,
}

/// The provider over the pipeline of `configure`, once there is one.
static SHARED: PyOnceLock<Py<PyProvider>> = PyOnceLock::new();

/// The provider over the pipeline of `configure`, if there is one.
#[inline(always)]
pub(super) fn shared() -> Option<&'static PyProvider> {
    SHARED.get(dropping()).map(Py::get)
}

/// Makes a provider the one over the pipeline of `configure`. The first stays.
#[pyfunction]
#[pyo3(name = "_share")]
pub(crate) fn share(py: Python<'_>, provider: Py<PyProvider>) {
    let _ = SHARED.set(py, provider);
}

/// Python's parts, None where the core has its own.
#[derive(Default)]
struct Parts {
    /// The `TracerProvider`.
    owner: Option<Py<PyAny>>,
    /// Told of starts and ends.
    processor: Option<Py<PyAny>>,
    /// Asked for each span.
    sampler: Option<Py<PyAny>>,
    /// Makes the ids.
    id_generator: Option<Py<PyAny>>,
    /// The resources of pipelines that were replaced, for their spans; where it follows the pipeline of
    /// `configure`, of that too.
    resources: Vec<(Weak<Pipeline>, Py<PyAny>)>,
}

#[pymethods]
impl PyProvider {
    /// A provider with a pipeline of its own, or with `shares` the core of one that follows the
    /// pipeline of `configure`.
    #[new]
    #[pyo3(signature = (*, shares=false, exporter=None, resource=None, schema_url="", limits=None, queue=None, sampler=None, max_length=None, max_nested_length=None))]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn new(
        py: Python<'_>,
        shares: bool,
        exporter: Option<&Bound<'_, PyAny>>,
        resource: Option<&Bound<'_, PyAny>>,
        schema_url: &str,
        limits: Option<&Bound<'_, PyAny>>,
        queue: Option<&Bound<'_, PyAny>>,
        sampler: Option<&Bound<'_, PyAny>>,
        max_length: Option<usize>,
        max_nested_length: Option<usize>,
    ) -> PyResult<Self> {
        let own = if shares {
            None
        } else {
            let resource = resource_of_provider(resource, schema_url)?;
            let pipeline = pipeline_of_provider(exporter, resource, limits, queue, sampler)?;
            lifecycle::adopt(py, &pipeline)?;
            Some(pipeline)
        };
        Ok(Self {
            own: Guarded::new(own),
            max_length,
            max_nested_length,
            parts: Guarded::default(),
        })
    }

    /// The `TracerProvider` whose core this is.
    #[setter(_owner)]
    fn set_owner(&self, py: Python<'_>, owner: Option<Py<PyAny>>) {
        self.put(py, |parts| std::mem::replace(&mut parts.owner, owner));
    }

    /// Who is told of starts and ends; None while there is nobody to tell.
    #[setter(_processor)]
    fn set_processor(&self, py: Python<'_>, processor: Option<Py<PyAny>>) {
        self.put(py, |parts| {
            std::mem::replace(&mut parts.processor, processor)
        });
    }

    /// Who is asked for each span; None asks the pipeline's sampler.
    #[setter(_sampler)]
    fn set_sampler(&self, py: Python<'_>, sampler: Option<Py<PyAny>>) {
        self.put(py, |parts| std::mem::replace(&mut parts.sampler, sampler));
    }

    /// Who makes the ids; None is the core.
    #[setter(_id_generator)]
    fn set_id_generator(&self, py: Python<'_>, generator: Option<Py<PyAny>>) {
        self.put(py, |parts| {
            std::mem::replace(&mut parts.id_generator, generator)
        });
    }

    /// The resource of the pipeline of `configure`; None while there is none.
    #[getter(_shared_resource)]
    fn shared_resource<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        lifecycle::current(py)
            .map(|pipeline| self.resource_of(py, &pipeline))
            .transpose()
    }

    /// Has Python see another resource of the pipeline of `configure`. What ours send stays.
    #[setter(_shared_resource)]
    fn replace_shared_resource(&self, py: Python<'_>, resource: Py<PyAny>) {
        if let Some(pipeline) = lifecycle::current(py) {
            self.keep_resource(py, &pipeline, resource);
        }
    }

    /// Gives the spans that start from now on another resource, if the pipeline is the provider's
    /// own. Those that have started keep the earlier one, in Python too.
    fn _set_resource(
        &self,
        py: Python<'_>,
        earlier: Py<PyAny>,
        attributes: &Bound<'_, PyAny>,
        schema_url: &str,
    ) -> PyResult<()> {
        let resource = resource_of_provider(Some(attributes), schema_url)?;
        let own = self.own.borrow(turn(py)).clone();
        let follows = own.is_none();
        let Some(old) = own.or_else(|| lifecycle::current(py)) else {
            return Ok(());
        };
        let new = old.with_resource(resource).map_err(cannot_open)?;
        if old.is_closed() {
            let now = Instant::now();
            new.end_shutdown(new.begin_close(turn(py), now), now);
        }
        {
            let mut parts = self.parts.borrow(turn(py));
            parts.resources.push((Arc::downgrade(&old), earlier));
        }
        if follows {
            return lifecycle::install(py, new, REPLACED_TIMEOUT);
        }
        lifecycle::adopt(py, &new)?;
        let replaced = self.own.borrow(turn(py)).replace(new);
        drop(replaced);
        if !old.is_inherited() {
            lifecycle::retire(py, &old, REPLACED_TIMEOUT);
            lifecycle::deliver(py, &old);
        }
        Ok(())
    }

    /// Makes the provider's own pipeline the one that `configure` makes, and follows that from now on:
    /// so both faces record into one.
    fn _make_current(&self, py: Python<'_>) -> PyResult<()> {
        let own = self.own.borrow(turn(py)).take();
        own.map_or(Ok(()), |own| lifecycle::install(py, own, REPLACED_TIMEOUT))
    }

    /// A new trace id from the core, as `IdGenerator` gives it.
    fn _new_trace_id(&self, py: Python<'_>) -> u128 {
        let id = self.pipeline(py).map(|pipeline| {
            let (_, now_ns) = pipeline.clock().anchor(turn(py));
            pipeline.ids().trace_id(turn(py), now_ns)
        });
        id.map_or(0, |id| u128::from_be_bytes(id.to_bytes()))
    }

    /// A new span id from the core, as `IdGenerator` gives it.
    fn _new_span_id(&self, py: Python<'_>) -> u64 {
        let id = self
            .pipeline(py)
            .map(|pipeline| pipeline.ids().span_id(turn(py)));
        id.map_or(0, |id| u64::from_be_bytes(id.to_bytes()))
    }

    /// Sends what has finished. True only if all of it was taken within `timeout` seconds.
    fn _flush(&self, py: Python<'_>, timeout: f64) -> bool {
        let Some(pipeline) = self.pipeline(py) else {
            return true;
        };
        let timeout = Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0));
        let deadline = Instant::now() + timeout;
        let flush = pipeline.begin_flush(turn(py));
        let sent = py.detach(|| pipeline.end_flush(flush, deadline));
        lifecycle::deliver(py, &pipeline);
        sent
    }

    /// Ends the pipeline: what has finished is sent within `timeout` seconds.
    fn _shutdown(&self, py: Python<'_>, timeout: f64) -> bool {
        let timeout = Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0));
        if self.shares(py) {
            return lifecycle::shutdown(py, timeout);
        }
        let mut ending: Vec<_> = self.pipeline(py).into_iter().collect();
        {
            // Spans that started before the resource changed are still open in these.
            let parts = self.parts.borrow(turn(py));
            let earlier = parts.resources.iter().filter_map(|(of, _)| of.upgrade());
            ending.extend(earlier.filter(|pipeline| !pipeline.is_inherited()));
        }
        let deadline = Instant::now() + timeout;
        let begin = |pipeline: &Arc<Pipeline>| pipeline.begin_close(turn(py), deadline);
        let begun: Vec<_> = ending.iter().map(begin).collect();
        let mut sent = true;
        for (pipeline, flush) in ending.iter().zip(begun) {
            sent &= py.detach(|| pipeline.end_shutdown(flush, deadline));
            lifecycle::deliver(py, pipeline);
        }
        sent
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What is borrowed just now lives.
        let Some(parts) = self.parts.peek(turn(dropping())) else {
            return Ok(());
        };
        visit.call(&parts.owner)?;
        visit.call(&parts.processor)?;
        visit.call(&parts.sampler)?;
        for (_, resource) in &parts.resources {
            visit.call(resource)?;
        }
        visit.call(&parts.id_generator)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(std::mem::take(&mut *self.parts.borrow(turn(py))));
    }
}

impl PyProvider {
    /// The old part dies after the new one is in its place: that may run any code.
    fn put(&self, py: Python<'_>, replace: impl FnOnce(&mut Parts) -> Option<Py<PyAny>>) {
        let old = replace(&mut self.parts.borrow(turn(py)));
        drop(old);
    }

    /// The pipeline that new spans go to; None when there is none, and inside a log handler that a
    /// notice of ours called.
    pub(super) fn pipeline(&self, py: Python<'_>) -> Option<Arc<Pipeline>> {
        if lifecycle::is_delivering() {
            return None;
        }
        let Some(pipeline) = self.own.borrow(turn(py)).clone() else {
            return lifecycle::current(py);
        };
        if !pipeline.is_inherited() {
            return Some(pipeline);
        }
        // In a forked child, for the first time. The parent's stays where its spans are.
        let reborn = pipeline.reborn().ok()?;
        lifecycle::adopt(py, &reborn).ok()?;
        let inherited = self.own.borrow(turn(py)).replace(Arc::clone(&reborn));
        drop(inherited);
        Some(reborn)
    }

    /// The same as it is, for those who spare the count of its users. Nothing that may run Python code may
    /// happen while it is borrowed.
    #[inline(always)]
    pub(super) fn borrow_pipeline<'a>(
        &'a self,
        py: Python<'a>,
    ) -> RefMut<'a, Option<Arc<Pipeline>>> {
        let own = self.own.borrow(turn(py));
        if own.is_some() {
            own
        } else {
            pipeline::borrow_current(turn(py))
        }
    }

    /// True when it follows the pipeline of `configure`.
    #[inline]
    pub(super) fn shares(&self, py: Python<'_>) -> bool {
        self.own.borrow(turn(py)).is_none()
    }

    /// The `TracerProvider`.
    pub(super) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let parts = self.parts.borrow(turn(py));
        parts.owner.as_ref().map(|owner| owner.bind(py).clone())
    }

    /// The resource of a span.
    pub(super) fn resource<'py>(
        &self,
        py: Python<'py>,
        span: &Span,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let pipeline = span.trace().pipeline();
        if self.shares(py) {
            return self.resource_of(py, pipeline).map(Some);
        }
        if let Some(earlier) = self.known_resource(py, pipeline) {
            return Ok(Some(earlier));
        }
        self.owner(py)
            .map(|owner| owner.getattr("resource"))
            .transpose()
    }

    fn known_resource<'py>(
        &self,
        py: Python<'py>,
        pipeline: &Arc<Pipeline>,
    ) -> Option<Bound<'py, PyAny>> {
        let parts = self.parts.borrow(turn(py));
        let mut known = parts.resources.iter();
        known
            .find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(pipeline)))
            .map(|(_, resource)| resource.bind(py).clone())
    }

    /// The resource of a pipeline of `configure`, the same object each time.
    fn resource_of<'py>(
        &self,
        py: Python<'py>,
        pipeline: &Arc<Pipeline>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(known) = self.known_resource(py, pipeline) {
            return Ok(known);
        }
        // We wrote it.
        let written = message::ResourceSpans::decode(pipeline.resource()).unwrap_or_default();
        let attributes = to_dict(py, &written.resource.unwrap_or_default().attributes)?;
        let made = py
            .import("nanospan.otel._sdk")?
            .call_method1("resource", (attributes,))?;
        // Somebody may have made one meanwhile: the first stays.
        if let Some(known) = self.known_resource(py, pipeline) {
            return Ok(known);
        }
        self.keep_resource(py, pipeline, made.clone().unbind());
        Ok(made)
    }

    /// Keeps the resource of a pipeline, and none of pipelines that are gone.
    fn keep_resource(&self, py: Python<'_>, pipeline: &Arc<Pipeline>, resource: Py<PyAny>) {
        let is_kept = |(of, _): &(Weak<Pipeline>, Py<PyAny>)| {
            of.strong_count() > 0 && !std::ptr::eq(of.as_ptr(), Arc::as_ptr(pipeline))
        };
        let gone: Vec<_> = {
            let resources = &mut self.parts.borrow(turn(py)).resources;
            let (kept, gone) = std::mem::take(resources).into_iter().partition(is_kept);
            *resources = kept;
            resources.push((Arc::downgrade(pipeline), resource));
            gone
        };
        drop(gone);
    }

    /// Who is told of starts and ends.
    #[inline]
    pub(super) fn processor<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let parts = self.parts.borrow(turn(py));
        let processor = parts.processor.as_ref();
        processor.map(|processor| processor.bind(py).clone())
    }

    /// True when somebody is told.
    #[inline(always)]
    pub(super) fn has_processor(&self, py: Python<'_>) -> bool {
        self.parts.borrow(turn(py)).processor.is_some()
    }

    /// Who is asked for each span.
    #[inline]
    pub(super) fn sampler<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let parts = self.parts.borrow(turn(py));
        parts
            .sampler
            .as_ref()
            .map(|sampler| sampler.bind(py).clone())
    }

    /// Who makes the ids.
    #[inline]
    pub(super) fn id_generator<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let parts = self.parts.borrow(turn(py));
        let generator = parts.id_generator.as_ref();
        generator.map(|generator| generator.bind(py).clone())
    }

    /// True when nothing of Python's is asked or told.
    #[inline]
    pub(super) fn is_plain(&self, py: Python<'_>) -> bool {
        let parts = self.parts.borrow(turn(py));
        parts.processor.is_none() && parts.sampler.is_none() && parts.id_generator.is_none()
    }
}

/// A trace id as OpenTelemetry's API has it; None for 0 and what is too large.
pub(super) fn trace_id(number: &Bound<'_, PyAny>) -> Option<TraceId> {
    let number: u128 = number.extract().ok()?;
    TraceId::new(number.to_be_bytes())
}

/// A span id as OpenTelemetry's API has it; None for 0 and what is too large.
pub(super) fn span_id(number: &Bound<'_, PyAny>) -> Option<SpanId> {
    let number: u64 = number.extract().ok()?;
    SpanId::new(number.to_be_bytes())
}
