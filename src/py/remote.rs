//! `RemoteContext`: what came with a request, and what goes out with the requests made for it.

mod carry;
mod parent;

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::argument::{self, Given};
use super::context::PySpanContext;
use super::error::{wrong_bytes, wrong_type, wrong_value};
use super::value::text;
use crate::context::SpanContext;
use crate::id::{SpanId, TraceId};
use crate::propagation::{Baggage, Format, RemoteContext, Warning};
use carry::PyCarry;
pub(crate) use parent::{PyTraceId, Unfolded};

/// What a caller sent along: ids, the sampling decision, baggage, and how all that was written.
///
/// It can be given as `parent` of a span: then the caller's trace goes on, or a new one begins
/// where there is none to go on with. A decision that came without ids counts as `should_sample`.
///
/// Made by hand it is what `Propagation.inject` writes. Ids longer than 16 and 8 bytes keep their
/// right-most ones, shorter ones get zeros on the left, as those of headers do; `trace_id_size` is
/// how many bytes of the trace id count, `format` the name of the format to answer in. Raises
/// `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, eq, name = "RemoteContext", module = "nanospan")]
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct PyRemoteContext {
    pub(super) context: RemoteContext,
    /// The caller's span, where its trace does not go on here.
    pub(super) link: Option<SpanContext>,
    pub(super) warnings: Vec<Warning>,
}

#[pymethods]
impl PyRemoteContext {
    #[new]
    #[pyo3(signature = (*, trace_id=None, span_id=None, parent_id=None, sampled=None, baggage=None, trace_state=Given::Missing, format=None, trace_id_size=None, b3_flags=None),
           text_signature = "(*, trace_id=None, span_id=None, parent_id=None, sampled=None, baggage=None, trace_state='', format=None, trace_id_size=None, b3_flags=None)")]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn new(
        trace_id: Option<&Bound<'_, PyAny>>,
        span_id: Option<&Bound<'_, PyAny>>,
        parent_id: Option<&Bound<'_, PyAny>>,
        sampled: Option<&Bound<'_, PyAny>>,
        baggage: Option<&Bound<'_, PyAny>>,
        trace_state: Given<'_>,
        format: Option<&Bound<'_, PyAny>>,
        trace_id_size: Option<&Bound<'_, PyAny>>,
        b3_flags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let size = trace_id_size
            .map(|came| argument::count("trace_id_size", came, 1, 16))
            .transpose()?;
        let mut context = RemoteContext {
            trace_id: trace_id.map(fitted_trace_id).transpose()?,
            span_id: span_id
                .map(|came| fitted_span_id("span_id", came))
                .transpose()?,
            parent_id: parent_id
                .map(|came| fitted_span_id("parent_id", came))
                .transpose()?,
            sampled: argument::optional_bool("sampled", sampled)?,
            trace_state: trace_state.as_ref().map(state).transpose()?.flatten(),
            format: format.map(|came| named("format", came)).transpose()?,
            trace_id_size: size.map(|size| size as u8),
            b3_flags: b3_flags
                .map(|came| Ok::<_, PyErr>(text(string("b3_flags", came)?).into()))
                .transpose()?,
            ..RemoteContext::default()
        };
        if let Some(baggage) = baggage {
            context.baggage = self::baggage(baggage, &Baggage::default())?;
        }
        Ok(Self {
            context,
            ..Self::default()
        })
    }

    /// The caller's sixteen bytes, None where it sent none.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let id = self.context.trace_id?;
        Some(PyBytes::new(py, &id.to_bytes()))
    }

    /// The eight bytes of the span that made the request, None where it sent none.
    #[getter]
    fn span_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let id = self.context.span_id?;
        Some(PyBytes::new(py, &id.to_bytes()))
    }

    /// The parent of that span, in formats that say it (B3, Jaeger).
    #[getter]
    fn parent_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let id = self.context.parent_id?;
        Some(PyBytes::new(py, &id.to_bytes()))
    }

    /// The caller's decision, None where it has taken none.
    #[getter]
    fn sampled(&self) -> Option<bool> {
        self.context.sampled
    }

    /// The caller's span as a parent; None where an id is missing.
    #[getter]
    fn span_context(&self) -> Option<PySpanContext> {
        let context = self.context.span_context()?;
        Some(PySpanContext(Some(context)))
    }

    /// The caller's span, where a new trace was to begin with a link to it; else nothing.
    #[getter]
    fn links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let link = self.link.clone().map(|link| PySpanContext(Some(link)));
        PyTuple::new(py, link.map(|link| Bound::new(py, link)).transpose()?)
    }

    /// Names and values of the application's, as a new dict.
    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let baggage = PyDict::new(py);
        for entry in self.context.baggage.entries() {
            baggage.set_item(&*entry.key, &*entry.value)?;
        }
        Ok(baggage)
    }

    /// The W3C `tracestate` header; empty when there is none.
    #[getter]
    fn trace_state(&self) -> &str {
        self.context.trace_state.as_deref().unwrap_or_default()
    }

    /// The name of the format in which it came, None when nothing was found.
    #[getter]
    fn format(&self) -> Option<&'static str> {
        self.context.format.map(Format::name)
    }

    /// How many bytes of the trace id came: 16, 8, or what a short number needs.
    #[getter]
    fn trace_id_size(&self) -> Option<u8> {
        self.context.trace_id_size
    }

    /// True when the format lets the receiver use the sender's span id for its own span.
    #[getter]
    fn shared_span(&self) -> bool {
        self.context.shared_span()
    }

    /// The W3C trace flags as they came, None in other formats.
    #[getter]
    fn w3c_flags(&self) -> Option<u8> {
        self.context.w3c_flags
    }

    /// What `x-b3-flags` said; "1" asks for debugging.
    #[getter]
    fn b3_flags(&self) -> Option<&str> {
        self.context.b3_flags.as_deref()
    }

    /// What could not be used, as `format.part`, in the order in which it was met.
    #[getter]
    fn warnings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.warnings)
    }

    /// A copy with other ids, another decision or other baggage.
    ///
    /// What is not given stays. Baggage is replaced as a whole; entries that stay keep their
    /// properties. Raises as the class does.
    #[pyo3(signature = (*, trace_id=Given::Missing, span_id=Given::Missing, parent_id=Given::Missing, sampled=Given::Missing, baggage=Given::Missing),
           text_signature = "($self, *, trace_id=..., span_id=..., parent_id=..., sampled=..., baggage=...)")]
    fn replace(
        &self,
        trace_id: Given<'_>,
        span_id: Given<'_>,
        parent_id: Given<'_>,
        sampled: Given<'_>,
        baggage: Given<'_>,
    ) -> PyResult<Self> {
        let mut replaced = self.clone();
        let context = &mut replaced.context;
        if let Some(came) = trace_id.as_ref() {
            *context = context.of_trace(some(came).map(fitted_trace_id).transpose()?);
        }
        let id = |argument, came| some(came).map(|came| fitted_span_id(argument, came));
        if let Some(came) = span_id.as_ref() {
            context.span_id = id("span_id", came).transpose()?;
        }
        if let Some(came) = parent_id.as_ref() {
            context.parent_id = id("parent_id", came).transpose()?;
        }
        if let Some(came) = sampled.as_ref() {
            context.sampled = argument::optional_bool("sampled", some(came))?;
        }
        if let Some(came) = baggage.as_ref() {
            context.baggage = self::baggage(came, &self.context.baggage)?;
        }
        Ok(replaced)
    }

    /// Makes it current for one `with` block: it travels on with every `inject` there.
    ///
    /// It goes where the active span goes: into tasks started inside, and not into plain threads.
    fn carry(slf: &Bound<'_, Self>) -> PyCarry {
        PyCarry::of(slf)
    }

    /// The one that is current, or None.
    #[staticmethod]
    pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Bound<'_, Self>>> {
        carry::current(py)
    }

    fn __repr__(&self) -> String {
        let context = &self.context;
        let shown = |text: Option<String>| text.unwrap_or_else(|| "None".to_owned());
        format!(
            "RemoteContext(trace_id={}, span_id={}, sampled={}, format={})",
            shown(context.trace_id.map(|id| id.to_string())),
            shown(context.span_id.map(|id| id.to_string())),
            match context.sampled {
                Some(true) => "True",
                Some(false) => "False",
                None => "None",
            },
            shown(context.format.map(|format| format!("{:?}", format.name()))),
        )
    }
}

fn some<'a, 'py>(came: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyAny>> {
    (!came.is_none()).then_some(came)
}

/// The right-most `N` bytes, with zeros on the left if there are fewer.
fn fitted<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut fitted = [0; N];
    let taken = bytes.len().min(N);
    fitted[N - taken..].copy_from_slice(&bytes[bytes.len() - taken..]);
    fitted
}

const ID: &str = "bytes, not all zero, or None";

fn fitted_trace_id(came: &Bound<'_, PyAny>) -> PyResult<TraceId> {
    let bytes = came
        .cast::<PyBytes>()
        .map_err(|_| wrong_type("trace_id", ID, came))?;
    TraceId::new(fitted(bytes.as_bytes())).ok_or_else(|| wrong_bytes("trace_id", ID, bytes))
}

fn fitted_span_id(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<SpanId> {
    let bytes = came
        .cast::<PyBytes>()
        .map_err(|_| wrong_type(argument, ID, came))?;
    SpanId::new(fitted(bytes.as_bytes())).ok_or_else(|| wrong_bytes(argument, ID, bytes))
}

fn string<'a, 'py>(
    argument: &str,
    came: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyString>> {
    came.cast().map_err(|_| wrong_type(argument, "a str", came))
}

fn state(came: &Bound<'_, PyAny>) -> PyResult<Option<Arc<str>>> {
    let state = text(string("trace_state", came)?);
    Ok((!state.is_empty()).then(|| state.as_ref().into()))
}

/// A format by its name.
pub(super) fn named(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Format> {
    const ALLOWED: &str = "the name of a format: w3c, b3, b3-single, jaeger, ot, datadog, aws, \
                           gcp or instana";
    let name = came
        .cast::<PyString>()
        .map_err(|_| wrong_type(argument, ALLOWED, came))?;
    Format::named(&text(name)).ok_or_else(|| wrong_value(argument, ALLOWED, came))
}

/// Entries of a mapping; those that are in `before` keep their properties.
fn baggage(came: &Bound<'_, PyAny>, before: &Baggage) -> PyResult<Baggage> {
    const ALLOWED: &str = "a mapping of str to str, of 180 entries and 8192 bytes at most";
    let wrong = || wrong_type("baggage", ALLOWED, came);
    let items = came.call_method0("items").map_err(|_| wrong())?;
    let mut baggage = Baggage::default();
    for item in items.try_iter().map_err(|_| wrong())? {
        let (key, value) = item?
            .extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()
            .map_err(|_| wrong())?;
        if !baggage.set_like(&text(&key), &text(&value), before) {
            return Err(wrong_value("baggage", ALLOWED, came));
        }
    }
    Ok(baggage)
}
