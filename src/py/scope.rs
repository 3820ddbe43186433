//! Who is active: one `ContextVar` for each namespace. A context variable follows asyncio tasks,
//! threads and copied contexts by itself; nothing else would.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::ffi::{ContextVar, Token};
use super::span::PySpan;

/// The active-span scope of one namespace. It lives as long as the program.
pub(crate) struct Scope {
    variable: ContextVar,
}

type Scopes = Option<HashMap<String, &'static Scope>>;
static SCOPES: Mutex<Scopes> = Mutex::new(None);

/// The scope of a namespace, the same for all its tracers.
pub(crate) fn of_namespace(py: Python<'_>, namespace: &str) -> PyResult<&'static Scope> {
    let known = |scopes: &Scopes| {
        scopes
            .as_ref()
            .and_then(|scopes| scopes.get(namespace).copied())
    };
    if let Some(scope) = known(&SCOPES.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(scope);
    }
    // Made without the lock: an allocation may run the garbage collector, and so any code.
    let made = Box::leak(Box::new(Scope::new(py, namespace)?));
    let mut scopes = SCOPES.lock().unwrap_or_else(PoisonError::into_inner);
    let scopes = scopes.get_or_insert_default();
    Ok(scopes.entry(namespace.to_owned()).or_insert(made))
}

impl Scope {
    fn new(py: Python<'_>, namespace: &str) -> PyResult<Self> {
        let name = CString::new(format!("nanospan:{namespace}").replace('\0', "?"))?;
        let variable = ContextVar::new(py, &name)?;
        Ok(Self { variable })
    }

    /// The active span of the current context. A span whose block was left in another context is
    /// not active any more: the one before it is.
    pub(crate) fn active<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        let mut span = self.get(py)?;
        let mut stepped = false;
        while let Some(left) = span.take_if(|span| span.get().is_left(py)) {
            span = left.get().before(py);
            stepped = true;
        }
        if stepped {
            self.set(py, span.as_ref())?;
        }
        Ok(span)
    }

    /// Makes a span active in the current context, or none.
    pub(crate) fn set(&self, py: Python<'_>, span: Option<&Bound<'_, PySpan>>) -> PyResult<()> {
        self.enter(py, span).map(drop)
    }

    /// Makes a span active, or none, until [`Self::leave`]. The token belongs to a block, never to
    /// a span: contexts hold spans and a token holds its context, so the two would keep each other
    /// alive.
    pub(crate) fn enter(
        &self,
        py: Python<'_>,
        span: Option<&Bound<'_, PySpan>>,
    ) -> PyResult<Token> {
        match span {
            Some(span) => self.variable.set(py, span.as_any()),
            None => self.variable.set(py, &py.None().into_bound(py)),
        }
    }

    /// Restores what was active before [`Self::enter`], unless that was in another context: then
    /// nothing changes here.
    pub(crate) fn leave<'py>(&self, py: Python<'py>, token: Token) -> PyResult<Left<'py>> {
        let token = token.into_bound(py);
        match self.variable.reset(py, &token) {
            Ok(()) => Ok(Left::Here),
            // "was created in a different Context"
            Err(error) if error.is_instance_of::<PyValueError>(py) => {
                let before = token.getattr("old_value")?;
                Ok(Left::Elsewhere(before.cast_into_exact().ok()))
            }
            Err(error) => Err(error),
        }
    }

    fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        let value = self.variable.get(py)?;
        // Only spans and None are ever stored, unless somebody else found the variable.
        Ok(value.and_then(|value| value.cast_into_exact::<PySpan>().ok()))
    }
}

/// Where a block was left.
pub(crate) enum Left<'py> {
    /// In the context in which it was entered.
    Here,
    /// In another; with what was active there before it was entered.
    Elsewhere(Option<Bound<'py, PySpan>>),
}
