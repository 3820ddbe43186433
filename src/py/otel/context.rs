//! The current span in OpenTelemetry's own Context: the one truth of the default namespace once this
//! face is there, so that whatever library sets or reads it, both faces agree.
//!
//! A Context is an immutable dict in a context variable. Making a span current sets the variable to a
//! copy; where nobody else can see the present one, it is changed in place.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::api::{Api, api};
use crate::py::ffi::{Token, current_context, run_in, sole_value};

/// A span that was made current.
pub(crate) enum Entered {
    /// In which context, where contexts can be told apart, and what was current there before.
    In {
        context: Py<PyAny>,
        before: Option<Py<PyAny>>,
    },
    /// By setting the variable.
    Set(Token),
    /// By the API, which was given a runtime context of another kind.
    Attached(Py<PyAny>),
}

impl Entered {
    /// Lets go of what it holds; see [`crate::py::ffi::Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        match self {
            Self::In { context, before } => {
                drop(context.into_bound(py));
                drop(before.map(|before| before.into_bound(py)));
            }
            Self::Set(token) => token.let_go(py),
            Self::Attached(token) => drop(token.into_bound(py)),
        }
    }
}

/// Where what was entered was left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Where it was entered.
    Here,
    /// In another context; that in which it was entered is as it was before.
    Elsewhere,
    /// In another context, and that in which it was entered cannot be reached: some code runs in it.
    Stuck,
}

/// What is under the span's key in a Context, or in the current one.
#[inline]
pub(crate) fn current<'py>(
    py: Python<'py>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let api = api(py)?;
    let found = match context {
        Some(context) => in_context(py, api, context)?,
        None => match now(py, api)? {
            Some(context) => in_context(py, api, &context)?,
            None => None,
        },
    };
    Ok(found.filter(|span| !span.is_none()))
}

fn in_context<'py>(
    py: Python<'py>,
    api: &Api,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let key = api.span_key.bind(py);
    if let Ok(context) = context.cast::<PyDict>() {
        return context.get_item(key);
    }
    context.call_method1("get", (key,)).map(Some)
}

/// The current Context.
fn now<'py>(py: Python<'py>, api: &Api) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Some(variable) = &api.variable {
        return variable.get(py);
    }
    let context = py.import("opentelemetry.context")?;
    context.call_method0("get_current").map(Some)
}

/// Makes a span current until [`leave`].
pub(crate) fn enter(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<Entered> {
    let api = api(py)?;
    let Some(variable) = &api.variable else {
        let context = with_span(py, api, Some(span))?;
        let module = py.import("opentelemetry.context")?;
        let token = module.call_method1("attach", (context,))?;
        return Ok(Entered::Attached(token.unbind()));
    };
    if !api.in_place {
        let value = with_span(py, api, Some(span))?;
        return variable.set(py, &value).map(Entered::Set);
    }
    let before = if let Some(context) = sole_context(py, api) {
        let key = api.span_key.bind(py);
        let before = context.get_item(key)?;
        context.set_item(key, span)?;
        before
    } else {
        let before = current(py, None)?;
        let value = with_span(py, api, Some(span))?;
        variable.set(py, &value)?.let_go(py);
        before
    };
    // There is a context since something was put into it.
    let context = current_context(py).map(|context| context.to_owned().unbind());
    Ok(Entered::In {
        context: context.unwrap_or_else(|| py.None()),
        before: before.map(Bound::unbind),
    })
}

/// Makes current what was before [`enter`].
pub(crate) fn leave(py: Python<'_>, entered: Entered) -> PyResult<Left> {
    match entered {
        Entered::In { context, before } => {
            let context = context.into_bound(py);
            let before = before.map(|before| before.into_bound(py));
            if current_context(py).is_some_and(|current| current.is(&context)) {
                set(py, before.as_ref())?;
                return Ok(Left::Here);
            }
            let restored = run_in(py, &context, || set(py, before.as_ref()));
            Ok(match restored.transpose()? {
                Some(()) => Left::Elsewhere,
                None => Left::Stuck,
            })
        }
        Entered::Set(token) => {
            let token = token.into_bound(py);
            let variable = api(py)?.variable.as_ref();
            let reset = variable.map_or(Ok(()), |variable| variable.reset(py, &token));
            match reset {
                Ok(()) => Ok(Left::Here),
                // "was created in a different Context"
                Err(error) if error.is_instance_of::<PyValueError>(py) => {
                    // PyO3 learns that the thread is attached, and lets go of the error at once.
                    Python::try_attach(|_| drop(error));
                    Ok(Left::Stuck)
                }
                Err(error) => Err(error),
            }
        }
        Entered::Attached(token) => {
            let module = py.import("opentelemetry.context")?;
            module.call_method1("detach", (token.into_bound(py),))?;
            Ok(Left::Here)
        }
    }
}

/// Makes a span current, or none, until another is.
pub(crate) fn set(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let api = api(py)?;
    if let Some(context) = sole_context(py, api) {
        let key = api.span_key.bind(py);
        return match span {
            Some(span) => context.set_item(key, span),
            None => context.set_item(key, py.None()),
        };
    }
    let value = with_span(py, api, span)?;
    if let Some(variable) = &api.variable {
        return variable.set(py, &value).map(|token| token.let_go(py));
    }
    let module = py.import("opentelemetry.context")?;
    module.call_method1("attach", (value,)).map(drop)
}

/// The current Context, if nobody else can see it.
#[inline]
fn sole_context<'py>(py: Python<'py>, api: &Api) -> Option<Borrowed<'py, 'py, PyDict>> {
    if !api.in_place {
        return None;
    }
    let value = sole_value(py, api.variable.as_ref()?)?;
    let is_context = value.get_type_ptr() == api.context_class.as_ptr().cast();
    // A Context is a dict, and writes past its methods, which refuse all.
    is_context.then(|| value.cast::<PyDict>().ok()).flatten()
}

/// A copy of the current Context with another span, or none.
fn with_span<'py>(
    py: Python<'py>,
    api: &Api,
    span: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let class: &Bound<'py, PyType> = api.context_class.bind(py);
    let made = match now(py, api)? {
        Some(now) if !now.cast::<PyDict>().is_ok_and(PyDictMethods::is_empty) => {
            class.call1((now,))?
        }
        _ => class.call0()?,
    };
    let values = made.cast::<PyDict>()?;
    let key = api.span_key.bind(py);
    match span {
        Some(span) => values.set_item(key, span)?,
        None if values.contains(key)? => values.del_item(key)?,
        None => (),
    }
    Ok(made)
}

/// What `attach` gives: a token that `detach` understands in whatever context it is called.
#[pyclass(frozen, name = "_ContextToken", module = "nanospan")]
pub(crate) struct PyContextToken {
    token: Py<PyAny>,
    context: Option<Py<PyAny>>,
    /// Where the Context lies that was attached. Held, it could not be changed in place.
    address: usize,
}

#[pymethods]
impl PyContextToken {
    /// What a `contextvars.Token` has.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.token.bind(py).getattr(name)
    }
}

/// `opentelemetry.context.attach`.
#[pyfunction]
#[pyo3(name = "_attach")]
pub(crate) fn attach(py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<PyContextToken> {
    let variable = api(py)?.variable.as_ref();
    let variable = variable.ok_or_else(|| PyValueError::new_err("no context variable"))?;
    Ok(PyContextToken {
        token: variable.set(py, context)?.into_bound(py).unbind(),
        context: current_context(py).map(|context| context.to_owned().unbind()),
        address: context.as_ptr() as usize,
    })
}

/// `opentelemetry.context.detach`. In another context than that of `attach` nothing changes there, and
/// that of `attach` is restored if no code is running in it. True if it was the same one.
#[pyfunction]
#[pyo3(name = "_detach")]
pub(crate) fn detach(py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<bool> {
    let variable = api(py)?.variable.as_ref();
    let variable = variable.ok_or_else(|| PyValueError::new_err("no context variable"))?;
    let Ok(ours) = token.cast::<PyContextToken>() else {
        return variable.reset(py, token).map(|()| true);
    };
    let ours = ours.get();
    let token = ours.token.bind(py);
    match variable.reset(py, token) {
        Ok(()) => Ok(true),
        Err(error) if error.is_instance_of::<PyValueError>(py) => {
            let Some(context) = &ours.context else {
                return Ok(false);
            };
            let restored = run_in(py, context.bind(py), || {
                // Whoever has attached another Context meanwhile still needs it.
                let now = now(py, api(py)?)?;
                if now.is_some_and(|now| now.as_ptr() as usize == ours.address) {
                    variable.reset(py, token)?;
                }
                PyResult::Ok(())
            });
            restored.transpose().map(|_| false)
        }
        Err(error) => Err(error),
    }
}
