//! What CPython offers and PyO3 does not wrap: context variables, and which interpreter this is.
#![allow(unsafe_code, reason = "calls of CPython's C API")]

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;

/// A `contextvars.ContextVar` without a default.
pub(crate) struct ContextVar(Py<PyAny>);

/// What [`ContextVar::set`] gives and [`ContextVar::reset`] takes.
pub(crate) struct Token(Py<PyAny>);

impl ContextVar {
    pub(crate) fn new(py: Python<'_>, name: &CStr) -> PyResult<Self> {
        // SAFETY: the name is a C string that outlives the call; the result is a new reference or
        // null with an exception set (CPython C API, PyContextVar_New).
        let variable = unsafe {
            let variable = ffi::PyContextVar_New(name.as_ptr(), ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, variable)?
        };
        Ok(Self(variable.unbind()))
    }

    /// The value in the current context, if there is one.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut value = ptr::null_mut();
        // SAFETY: the variable is a ContextVar and `value` outlives the call, which leaves a new
        // reference or null in it (CPython C API, PyContextVar_Get).
        unsafe {
            if ffi::PyContextVar_Get(self.0.as_ptr(), ptr::null_mut(), &raw mut value) < 0 {
                return Err(PyErr::fetch(py));
            }
            Ok(Bound::from_owned_ptr_or_opt(py, value))
        }
    }

    /// Sets the value in the current context.
    pub(crate) fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Token> {
        let _pinned = pin_context(py)?;
        // SAFETY: the variable is a ContextVar and the value a live reference that the call
        // borrows; the result is a new reference to a Token, or null with an exception set
        // (CPython C API, PyContextVar_Set).
        let token = unsafe {
            let token = ffi::PyContextVar_Set(self.0.as_ptr(), value.as_ptr());
            Bound::from_owned_ptr_or_err(py, token)?
        };
        Ok(Token(token.unbind()))
    }

    /// Restores the value from before [`Self::set`]. `ValueError` if that was in another context.
    pub(crate) fn reset(&self, py: Python<'_>, token: Token) -> PyResult<()> {
        let _pinned = pin_context(py)?;
        // SAFETY: both are live references to the types that the call expects; it borrows them and
        // gives 0, or -1 with an exception set (CPython C API, PyContextVar_Reset).
        let result = unsafe { ffi::PyContextVar_Reset(self.0.as_ptr(), token.0.as_ptr()) };
        if result == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }
}

/// Keeps the present mapping of the current context alive while it is replaced. Before 3.12 a
/// garbage collection in the middle of a set could run code that sets again, and free what the
/// first was working on.
fn pin_context(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    // Asked once: PyO3 parses the version's text each time, 4,000 instructions of it.
    static IS_SAFE: OnceLock<bool> = OnceLock::new();
    if *IS_SAFE.get_or_init(|| py.version_info() >= (3, 12)) {
        return Ok(None);
    }
    // SAFETY: the result is a new reference or null with an exception set (CPython C API,
    // PyContext_CopyCurrent).
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()).map(Some) }
}

/// Which interpreter of the process this is: 0 for the main one.
pub(crate) fn interpreter_id(_py: Python<'_>) -> i64 {
    // SAFETY: a thread attached to an interpreter, as `_py` shows, has a current one, which lives
    // as long as the thread is attached (CPython C API, PyInterpreterState_Get).
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) }
}

/// Has the main thread call `work` as soon as it runs Python code again. False when it cannot: too
/// many others want the same.
pub(crate) fn call_soon(_py: Python<'_>, work: fn()) -> bool {
    extern "C" fn call(work: *mut c_void) -> c_int {
        // SAFETY: `call_soon` made this pointer of a `fn()`.
        let work = unsafe { std::mem::transmute::<*mut c_void, fn()>(work) };
        // A panic must not reach C. What it would have done is lost, and nothing else.
        let _ = std::panic::catch_unwind(work);
        0
    }
    // SAFETY: function pointers and data pointers are of one size where CPython runs, and `call`
    // turns this one back before it is used (CPython C API, Py_AddPendingCall).
    unsafe { ffi::Py_AddPendingCall(Some(call), work as *mut c_void) == 0 }
}
