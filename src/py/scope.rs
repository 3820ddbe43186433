//! Who is active: one `ContextVar` for each namespace. A context variable follows asyncio tasks,
//! threads and copied contexts by itself; nothing else would.
#![allow(
    unsafe_code,
    reason = "CPython's context variables have no safe binding"
)]

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::span::PySpan;

/// The active-span scope of one namespace.
pub(crate) struct Scope {
    variable: Py<PyAny>,
}

/// What [`Scope::enter`] gives and [`Scope::leave`] takes. Held by a block, never by a span: a span
/// is held by contexts, and a token holds its context, so the two would keep each other alive.
pub(crate) struct Token(Py<PyAny>);

static SCOPES: Mutex<Option<HashMap<String, Arc<Scope>>>> = Mutex::new(None);

/// The scope of a namespace, the same for all its tracers.
pub(crate) fn of_namespace(py: Python<'_>, namespace: &str) -> PyResult<Arc<Scope>> {
    let known = |scopes: &Option<HashMap<String, Arc<Scope>>>| {
        scopes
            .as_ref()
            .and_then(|scopes| scopes.get(namespace).cloned())
    };
    if let Some(scope) = known(&SCOPES.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(scope);
    }
    // Made without the lock: an allocation may run the garbage collector, and so any code.
    let made = Arc::new(Scope::new(py, namespace)?);
    let mut scopes = SCOPES.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::clone(
        scopes
            .get_or_insert_default()
            .entry(namespace.to_owned())
            .or_insert(made),
    ))
}

impl Scope {
    fn new(py: Python<'_>, namespace: &str) -> PyResult<Self> {
        let name = std::ffi::CString::new(format!("nanospan:{namespace}").replace('\0', "?"))?;
        // SAFETY: the name is a C string that outlives the call; the result is a new reference or
        // null with an exception set (CPython C API, PyContextVar_New).
        let variable = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_New(name.as_ptr(), ptr::null_mut()))?
        };
        Ok(Self {
            variable: variable.unbind(),
        })
    }

    /// The active span of the current context. A span whose block was left in another context is
    /// not active any more: the one before it is.
    pub(crate) fn active(&self, py: Python<'_>) -> PyResult<Option<Py<PySpan>>> {
        let found = self.get(py)?;
        let mut span = found.as_ref().map(|span| span.clone_ref(py));
        while let Some(left) = span.take_if(|span| span.get().is_left()) {
            span = left.get().before(py);
        }
        let same = match (&found, &span) {
            (Some(found), Some(span)) => found.is(span),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.set(py, span.as_ref())?;
        }
        Ok(span)
    }

    /// Makes a span active in the current context, or none.
    pub(crate) fn set(&self, py: Python<'_>, span: Option<&Py<PySpan>>) -> PyResult<()> {
        self.write(py, span).map(drop)
    }

    /// Makes a span active, or none, until [`Self::leave`].
    pub(crate) fn enter(&self, py: Python<'_>, span: Option<&Py<PySpan>>) -> PyResult<Token> {
        self.write(py, span).map(Token)
    }

    /// Restores what was active before [`Self::enter`]. False when that was in another context:
    /// then nothing changes here.
    pub(crate) fn leave(&self, py: Python<'_>, token: Token) -> PyResult<bool> {
        let _pinned = Pin::context(py)?;
        // SAFETY: both are live references to the types that the call expects; it borrows them and
        // gives 0, or -1 with an exception set (CPython C API, PyContextVar_Reset).
        let result = unsafe { ffi::PyContextVar_Reset(self.variable.as_ptr(), token.0.as_ptr()) };
        if result == 0 {
            return Ok(true);
        }
        let error = PyErr::fetch(py);
        // "was created in a different Context"
        if error.is_instance_of::<PyValueError>(py) {
            Ok(false)
        } else {
            Err(error)
        }
    }

    fn get(&self, py: Python<'_>) -> PyResult<Option<Py<PySpan>>> {
        let mut value = ptr::null_mut();
        // SAFETY: the variable is a ContextVar and `value` outlives the call, which leaves a new
        // reference or null in it (CPython C API, PyContextVar_Get).
        let value = unsafe {
            if ffi::PyContextVar_Get(self.variable.as_ptr(), ptr::null_mut(), &raw mut value) < 0 {
                return Err(PyErr::fetch(py));
            }
            Bound::from_owned_ptr_or_opt(py, value)
        };
        // Only spans and None are ever stored, unless somebody else found the variable.
        Ok(value
            .and_then(|value| value.cast_into::<PySpan>().ok())
            .map(Bound::unbind))
    }

    fn write(&self, py: Python<'_>, span: Option<&Py<PySpan>>) -> PyResult<Py<PyAny>> {
        let _pinned = Pin::context(py)?;
        let none = py.None();
        let value = span.map_or(none.as_ptr(), Py::as_ptr);
        // SAFETY: the variable is a ContextVar, the value is a live reference that the call
        // borrows; the result is a new reference to a Token, or null with an exception set
        // (CPython C API, PyContextVar_Set).
        let token = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(self.variable.as_ptr(), value))?
        };
        Ok(token.unbind())
    }
}

/// Keeps a context's present mapping alive while it is replaced. Before 3.12 a garbage collection
/// in the middle of a set could run code that sets again, and free what the first was working on.
#[must_use]
struct Pin {
    _copy: Option<Py<PyAny>>,
}

impl Pin {
    fn context(py: Python<'_>) -> PyResult<Self> {
        // Asked once: PyO3 parses the version's text each time, 4,000 instructions of it.
        static IS_SAFE: OnceLock<bool> = OnceLock::new();
        if *IS_SAFE.get_or_init(|| py.version_info() >= (3, 12)) {
            return Ok(Self { _copy: None });
        }
        // SAFETY: the result is a new reference or null with an exception set (CPython C API,
        // PyContext_CopyCurrent).
        let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        Ok(Self {
            _copy: Some(copy.unbind()),
        })
    }
}
