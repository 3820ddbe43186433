//! `SpanContext`: ids and flags that travel.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::argument::{self, Given};
use super::error::{wrong_bytes, wrong_type};
use super::value::text;
use crate::context::SpanContext;
use crate::id::{SpanId, TraceId};
use crate::sampler::adjusted_count;

/// The ids and flags of a span, all that another process knows of it.
///
/// Made by hand it stands for a remote parent: `trace_id` is 16 bytes and `span_id` 8, neither all
/// zero; `sampled` is the parent's decision, None where it has taken none; `trace_state` is the
/// W3C `tracestate` header. Raises `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, eq, hash, name = "SpanContext", module = "nanospan")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PySpanContext(
    /// None in the context of the no-op span.
    pub(crate) Option<SpanContext>,
);

#[pymethods]
impl PySpanContext {
    #[new]
    #[pyo3(signature = (trace_id, span_id, *, sampled=None, trace_state=Given::Missing),
           text_signature = "(trace_id, span_id, *, sampled=None, trace_state='')")]
    fn new(
        trace_id: &Bound<'_, PyAny>,
        span_id: &Bound<'_, PyAny>,
        sampled: Option<&Bound<'_, PyAny>>,
        trace_state: Given<'_>,
    ) -> PyResult<Self> {
        const TRACE_ID: &str = "16 bytes, not all zero";
        const SPAN_ID: &str = "8 bytes, not all zero";
        let trace = id("trace_id", TRACE_ID, trace_id)?;
        let span = id("span_id", SPAN_ID, span_id)?;
        Ok(Self(Some(SpanContext {
            trace_id: trace
                .as_bytes()
                .try_into()
                .ok()
                .and_then(TraceId::new)
                .ok_or_else(|| wrong_bytes("trace_id", TRACE_ID, trace))?,
            span_id: span
                .as_bytes()
                .try_into()
                .ok()
                .and_then(SpanId::new)
                .ok_or_else(|| wrong_bytes("span_id", SPAN_ID, span))?,
            sampled: argument::optional_bool("sampled", sampled)?,
            random: false,
            is_remote: true,
            trace_state: trace_state.as_ref().map(state).transpose()?.flatten(),
        })))
    }

    /// Sixteen bytes; all zero for the no-op span.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let context = self.0.as_ref();
        let id = context.map_or([0; 16], |context| context.trace_id.to_bytes());
        PyBytes::new(py, &id)
    }

    /// Eight bytes; all zero for the no-op span.
    #[getter]
    fn span_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let context = self.0.as_ref();
        let id = context.map_or([0; 8], |context| context.span_id.to_bytes());
        PyBytes::new(py, &id)
    }

    /// The trace id as 32 lowercase hexadecimal digits.
    #[getter]
    pub(crate) fn trace_id_hex(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(|| "0".repeat(32), |context| context.trace_id.to_string())
    }

    /// The span id as 16 lowercase hexadecimal digits.
    #[getter]
    pub(crate) fn span_id_hex(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(|| "0".repeat(16), |context| context.span_id.to_string())
    }

    /// The sampling decision when this was read; None where none was taken.
    #[getter]
    fn sampled(&self) -> Option<bool> {
        self.0.as_ref().and_then(|context| context.sampled)
    }

    /// True when the span is another process's.
    #[getter]
    fn is_remote(&self) -> bool {
        self.0.as_ref().is_some_and(|context| context.is_remote)
    }

    /// The W3C `tracestate` header; empty when there is none.
    #[getter]
    fn trace_state(&self) -> &str {
        self.0
            .as_ref()
            .and_then(|context| context.trace_state.as_deref())
            .unwrap_or_default()
    }

    /// How many spans a sampled one with this `tracestate` stands for; None where nobody knows.
    ///
    /// That is the inverse of the probability by which it was sampled, as `ConsistentProbability`
    /// leaves it there (OpenTelemetry specification, "TraceState: Probability Sampling", "Adjusted
    /// count").
    #[getter]
    fn adjusted_count(&self) -> Option<f64> {
        adjusted_count(self.trace_state())
    }

    // Contexts can be copied and pickled: what a program passes to its other processes.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Flat)> {
        let context = &slf.get().0;
        let facts = context.as_ref().map(|c| {
            let (trace_id, span_id) = (c.trace_id.to_bytes(), c.span_id.to_bytes());
            (
                trace_id,
                span_id,
                c.sampled,
                c.random,
                c.is_remote,
                slf.get().trace_state().to_owned(),
            )
        });
        Ok((slf.get_type().getattr("_from_facts")?, (facts,)))
    }

    #[staticmethod]
    fn _from_facts(facts: Option<Facts>) -> Self {
        Self(facts.and_then(
            |(trace_id, span_id, sampled, random, is_remote, trace_state)| {
                Some(SpanContext {
                    trace_id: TraceId::new(trace_id)?,
                    span_id: SpanId::new(span_id)?,
                    sampled,
                    random,
                    is_remote,
                    trace_state: (!trace_state.is_empty()).then(|| trace_state.as_str().into()),
                })
            },
        ))
    }

    fn __repr__(&self) -> String {
        let (trace, span) = (self.trace_id_hex(), self.span_id_hex());
        let sampled = match self.sampled() {
            Some(true) => "True",
            Some(false) => "False",
            None => "None",
        };
        format!("SpanContext(trace_id={trace}, span_id={span}, sampled={sampled})")
    }
}

/// All that a context holds, as pickle takes it.
type Facts = ([u8; 16], [u8; 8], Option<bool>, bool, bool, String);
type Flat = (Option<Facts>,);

fn id<'a, 'py>(
    argument: &str,
    allowed: &str,
    came: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyBytes>> {
    came.cast::<PyBytes>()
        .map_err(|_| wrong_type(argument, allowed, came))
}

fn state(came: &Bound<'_, PyAny>) -> PyResult<Option<std::sync::Arc<str>>> {
    let state = came
        .cast::<PyString>()
        .map_err(|_| wrong_type("trace_state", "a str", came))?;
    let state = text(state);
    Ok((!state.is_empty()).then(|| state.as_ref().into()))
}
