//! The classes and constants of `opentelemetry-api`, looked up once.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::span::PyOtelSpan;
use crate::context::{SpanKind, StatusCode};
use crate::py::ffi::{ContextVar, Exact, Layout};
use crate::py::scope::may_change_in_place;

/// What calls need of the API.
pub(super) struct Api {
    /// Under which a Context has its span.
    pub(super) span_key: Py<PyString>,
    pub(super) context_class: Py<PyType>,
    /// Where the API has its current Context; None if it was given a runtime context of another
    /// kind.
    pub(super) variable: Option<ContextVar>,
    /// Where a Context that nobody else can see may be changed in place.
    pub(super) in_place: Option<&'static Layout>,
    pub(super) span_class: Py<PyType>,
    /// Our own spans.
    pub(super) own_span: Exact<PyOtelSpan>,
    pub(super) non_recording: Py<PyType>,
    pub(super) span_context: Py<PyType>,
    trace_flags_class: Py<PyType>,
    /// Those of our own spans: sampled and random, or not.
    own_flags: [Py<PyAny>; 4],
    pub(super) trace_state_class: Py<PyType>,
    pub(super) default_trace_state: Py<PyAny>,
    pub(super) status_class: Py<PyType>,
    /// By OpenTelemetry's numbers in Python, which are not OTLP's.
    kinds: [Py<PyAny>; 5],
    codes: [Py<PyAny>; 3],
}

static API: PyOnceLock<Api> = PyOnceLock::new();

pub(super) fn is_ready(py: Python<'_>) -> bool {
    API.get(py).is_some()
}

/// Looks everything up.
pub(super) fn get_ready(py: Python<'_>) -> PyResult<()> {
    API.get_or_try_init(py, || Api::find(py)).map(drop)
}

/// What was found.
#[inline]
pub(super) fn api(py: Python<'_>) -> PyResult<&Api> {
    API.get(py)
        .ok_or_else(|| PyRuntimeError::new_err("nanospan.otel is not imported"))
}

impl Api {
    fn find(py: Python<'_>) -> PyResult<Self> {
        let trace = py.import("opentelemetry.trace")?;
        let context = py.import("opentelemetry.context")?;
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(trace.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        let flags = trace.getattr("TraceFlags")?;
        let flag = |number: u8| flags.call1((number,)).map(Bound::unbind);
        let members = |enumeration: &str, names: &[&str]| -> PyResult<Vec<Py<PyAny>>> {
            let class = trace.getattr(enumeration)?;
            let member = |name: &&str| class.getattr(*name).map(Bound::unbind);
            names.iter().map(member).collect()
        };
        let kinds = members("SpanKind", &KINDS.map(|(name, _)| name))?;
        let codes = members("StatusCode", &CODES)?;
        let runtime = context.getattr("_RUNTIME_CONTEXT")?;
        let own = py
            .import("opentelemetry.context.contextvars_context")?
            .getattr("ContextVarsRuntimeContext")?;
        let variable = runtime
            .is_instance(&own)?
            .then(|| ContextVar::of(runtime.getattr("_current_context")?))
            .transpose()?;
        let span_key = py
            .import("opentelemetry.trace.propagation")?
            .getattr("_SPAN_KEY")?;
        Ok(Self {
            span_key: span_key.cast_into()?.unbind(),
            context_class: context.getattr("Context")?.cast_into()?.unbind(),
            in_place: may_change_in_place(py)?.filter(|_| variable.is_some()),
            variable,
            span_class: class("Span")?,
            own_span: Exact::new(py),
            non_recording: class("NonRecordingSpan")?,
            span_context: class("SpanContext")?,
            own_flags: [flag(0)?, flag(1)?, flag(2)?, flag(3)?],
            trace_flags_class: class("TraceFlags")?,
            trace_state_class: class("TraceState")?,
            default_trace_state: trace.getattr("DEFAULT_TRACE_STATE")?.unbind(),
            status_class: class("Status")?,
            kinds: kinds.try_into().expect("as many as were asked for"),
            codes: codes.try_into().expect("as many as were asked for"),
        })
    }

    /// The kind of an `opentelemetry.trace.SpanKind`; internal for what is none.
    #[inline]
    pub(super) fn kind_of(&self, came: &Bound<'_, PyAny>) -> SpanKind {
        let index = self.kinds.iter().position(|kind| came.is(kind));
        index.map_or(SpanKind::Internal, |index| KINDS[index].1)
    }

    /// The `SpanKind` of a kind.
    pub(super) fn kind<'py>(&self, py: Python<'py>, kind: SpanKind) -> Bound<'py, PyAny> {
        let index = KINDS.iter().position(|(_, known)| *known == kind);
        self.kinds[index.unwrap_or(0)].bind(py).clone()
    }

    /// The `TraceFlags` of a number.
    pub(super) fn trace_flags<'py>(
        &self,
        py: Python<'py>,
        flags: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.own_flags.get(flags as usize) {
            Some(known) => Ok(known.bind(py).clone()),
            None => self.trace_flags_class.bind(py).call1((flags,)),
        }
    }

    /// The code of an `opentelemetry.trace.StatusCode`; None for what is none.
    #[inline]
    pub(super) fn code_of(&self, came: &Bound<'_, PyAny>) -> Option<StatusCode> {
        let index = self.codes.iter().position(|code| came.is(code))?;
        StatusCode::from_number(index as i64)
    }

    /// A `Status`.
    pub(super) fn status<'py>(
        &self,
        py: Python<'py>,
        code: StatusCode,
        description: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let code = self.codes[code as usize].bind(py);
        self.status_class.bind(py).call1((code, description))
    }
}

const KINDS: [(&str, SpanKind); 5] = [
    ("INTERNAL", SpanKind::Internal),
    ("SERVER", SpanKind::Server),
    ("CLIENT", SpanKind::Client),
    ("PRODUCER", SpanKind::Producer),
    ("CONSUMER", SpanKind::Consumer),
];

/// In the order of their numbers.
const CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];
