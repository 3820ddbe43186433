//! A `RemoteContext` as the parent of a span.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::PyRemoteContext;
use crate::id::TraceId;
use crate::py::start::PyRoot;

/// A trace that goes on without a parent, among the arguments of a start.
#[pyclass(frozen, name = "_TraceId", module = "nanospan")]
pub(crate) struct PyTraceId(pub(crate) TraceId);

/// The arguments of a start with a `RemoteContext` for a parent, in terms of the others.
pub(crate) struct Unfolded<'py>(Option<[Option<Bound<'py, PyAny>>; 3]>);

impl<'py> Unfolded<'py> {
    pub(crate) fn of(
        parent: Option<&Bound<'py, PyAny>>,
        should_sample: Option<&Bound<'py, PyAny>>,
        links: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let Some(remote) = parent.and_then(|parent| parent.cast::<PyRemoteContext>().ok()) else {
            return Ok(Self(None));
        };
        let (py, remote) = (remote.py(), remote.get());
        let parent = match remote.span_context() {
            Some(context) => Bound::new(py, context)?.into_any(),
            // A trace id alone: the trace goes on, without a parent.
            None => match remote.context.trace_id {
                Some(trace_id) => Bound::new(py, PyTraceId(trace_id))?.into_any(),
                None => Bound::new(py, PyRoot)?.into_any(),
            },
        };
        let decision = remote
            .context
            .sampled
            .filter(|_| remote.span_context().is_none());
        let decision = decision
            .map(|sampled| {
                sampled
                    .into_pyobject(py)
                    .map(|sampled| sampled.to_owned().into_any())
            })
            .transpose()?;
        let links = match (&remote.link, links) {
            (None, links) => links.cloned(),
            (Some(_), None) => Some(remote.links(py)?.into_any()),
            (Some(_), Some(links)) => {
                let all = PyList::new(py, remote.links(py)?.iter())?;
                all.call_method1("extend", (links,))?;
                Some(all.into_any())
            }
        };
        let should_sample = should_sample.cloned().or(decision);
        Ok(Self(Some([Some(parent), should_sample, links])))
    }

    pub(crate) fn or<'a>(
        &'a self,
        given: [Option<&'a Bound<'py, PyAny>>; 3],
    ) -> [Option<&'a Bound<'py, PyAny>>; 3] {
        match &self.0 {
            None => given,
            Some(unfolded) => unfolded.each_ref().map(Option::as_ref),
        }
    }
}
