//! `opentelemetry.context.attach` and `detach`, which may come in another context than the first.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::api::{Api, api};
use super::context::now;
use super::pending::{Attached, Detachment, Undo, catch_up, context_of, span_in, undo};
use crate::py::ffi::{ContextVar, has_weak_references};

/// What `attach` gives: a token that `detach` understands in whatever context it is called.
#[pyclass(frozen, name = "_ContextToken", module = "nanospan")]
pub(crate) struct PyContextToken {
    token: Py<PyAny>,
    attached: Attached,
    /// The span in it.
    span: Option<Py<PyAny>>,
}

#[pymethods]
impl PyContextToken {
    /// What a `contextvars.Token` has.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.token.bind(py).getattr(name)
    }
}

fn variable(api: &Api) -> PyResult<&ContextVar> {
    let variable = api.variable.as_ref();
    variable.ok_or_else(|| PyRuntimeError::new_err("the API has no context variable"))
}

/// `opentelemetry.context.get_current`, while a detachment waits for its context.
#[pyfunction]
#[pyo3(name = "_get_current")]
pub(crate) fn get_current(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    now(py, api(py)?)
}

/// `opentelemetry.context.attach`.
#[pyfunction]
#[pyo3(name = "_attach")]
pub(crate) fn attach(py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<PyContextToken> {
    let api = api(py)?;
    let variable = variable(api)?;
    catch_up(py, api)?;
    // A token knows what it attached by its identity. What is attached twice is two.
    let class = api.context_class.bind(py);
    let is_attached = has_weak_references(context) && context.get_type().is(class);
    let copy = is_attached.then(|| class.call1((context,))).transpose()?;
    let context = copy.as_ref().unwrap_or(context);
    Ok(PyContextToken {
        attached: Attached::new(api, context)?,
        span: span_in(api, context)?.map(Bound::unbind),
        token: variable.set(py, context)?.into_bound(py).unbind(),
    })
}

/// `opentelemetry.context.detach`. In another context than that of `attach` nothing changes there;
/// that of `attach` is restored as soon as no code runs in it, or by the next code in it that asks
/// what is current. What was attached there later stays until it is detached itself.
#[pyfunction]
#[pyo3(name = "_detach")]
pub(crate) fn detach(py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    let api = api(py)?;
    let variable = variable(api)?;
    let Ok(ours) = token.cast::<PyContextToken>() else {
        return variable.reset(py, token);
    };
    let ours = ours.get();
    let token = ours.token.bind(py);
    match variable.reset(py, token) {
        Ok(()) => catch_up(py, api),
        // "was created in a different Context"
        Err(error) if error.is_instance_of::<PyValueError>(py) => {
            let Some(context) = context_of(token)? else {
                return Err(error);
            };
            let span = ours.span.as_ref().map(|span| span.bind(py).clone());
            let reset = Undo::Reset {
                token: token.clone().unbind(),
                attached: Some(ours.attached.clone_ref(py)),
            };
            undo(py, api, Detachment::new(&context, span, reset)).map(drop)
        }
        Err(error) => Err(error),
    }
}
