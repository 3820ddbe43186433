//! What the application's own id generator and sampler are asked when a span starts.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::api::api;
use super::parent::ParentSpan;
use super::provider::{span_id, trace_id};
use super::read::header_of;
use crate::context::SpanKind;
use crate::pipeline::Pipeline;
use crate::py::ffi::turn;
use crate::tracer::Chosen;

/// What the application's id generator and sampler said.
pub(super) struct Asked<'py> {
    pub(super) chosen: Chosen,
    /// The sampler's, which go in the place of those that were given.
    pub(super) attributes: Option<Bound<'py, PyAny>>,
}

impl<'py> Asked<'py> {
    /// Asks both; a span of this name and kind is about to start.
    #[allow(clippy::too_many_arguments, reason = "all that a sampler is told")]
    pub(super) fn of(
        py: Python<'py>,
        pipeline: &Pipeline,
        name: &Py<PyString>,
        kind: SpanKind,
        parent: &ParentSpan<'py>,
        sampler: Option<&Bound<'py, PyAny>>,
        ids: Option<&Bound<'py, PyAny>>,
        context: Option<&Bound<'py, PyAny>>,
        attributes: Option<&Bound<'py, PyAny>>,
        links: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let api = api(py)?;
        let mut chosen = Chosen {
            random: true,
            ..Chosen::default()
        };
        let parent_trace_id = parent.trace_id();
        if parent_trace_id.is_none() {
            chosen.trace_id = if let Some(ids) = ids {
                trace_id(&ids.call_method0("generate_trace_id")?)
            } else {
                let (_, now_ns) = pipeline.clock().anchor(turn(py));
                Some(pipeline.ids().trace_id(turn(py), now_ns))
            };
        }
        let mut given = None;
        if let Some(sampler) = sampler {
            let id = parent_trace_id.or(chosen.trace_id);
            let id = id.map_or(0, |id| u128::from_be_bytes(id.to_bytes()));
            let none = PyTuple::empty(py).into_any();
            let result = sampler.call_method1(
                "should_sample",
                (
                    context,
                    id,
                    name,
                    api.kind(py, kind),
                    attributes,
                    links.unwrap_or(&none),
                ),
            )?;
            let decision = result.getattr("decision")?;
            let sampled = decision.call_method0("is_sampled")?.is_truthy()?;
            chosen.sampled = Some(sampled);
            chosen.record_only = !sampled && decision.call_method0("is_recording")?.is_truthy()?;
            let state = result.getattr("trace_state")?;
            chosen.trace_state = Some(header_of(api, &state)?);
            given = Some(result.getattr("attributes")?);
        }
        if let Some(ids) = ids {
            if parent_trace_id.is_none() {
                // Generators older than the method make random ids.
                let random = ids.call_method0("is_trace_id_random");
                chosen.random = random.map_or(Ok(true), |random| random.is_truthy())?;
            }
            chosen.span_id = span_id(&ids.call_method0("generate_span_id")?);
        }
        Ok(Self {
            chosen,
            attributes: given,
        })
    }
}
