//! What CPython offers and PyO3 does not wrap: context variables, which interpreter this is, and the
//! interpreter's lock as the core's turn.
#![allow(unsafe_code, reason = "calls of CPython's C API")]

mod dead;
mod manager;
mod method;
mod peek;
mod recycle;

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicUsize;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};
use pyo3::{Borrowed, PyClass, PyTypeInfo};

use crate::turn::Turn;
pub(crate) use manager::{Kind, Manager};
pub(crate) use method::{Answer, Arguments, Method, install, none, slow};
pub(crate) use peek::{Layout, current_context, probe};
pub(crate) use recycle::{Bin, Place, Recycled};

/// The turn of a thread that is attached to the interpreter.
#[inline]
pub(crate) fn turn(_py: Python<'_>) -> Turn<'_> {
    // SAFETY: a `Python` token says that this thread is attached to the interpreter. The module is
    // `gil_used`, so at most one thread is, and subinterpreters are refused; nothing in an extension
    // calls `turn::take`, the other source of turns.
    unsafe { Turn::assume() }
}

/// The token of a thread that drops what a Python object held, or shows it to the collector.
#[inline]
pub(crate) fn dropping<'py>() -> Python<'py> {
    // SAFETY: PyO3 drops the content of its classes in `tp_dealloc`, and shows it in `tp_traverse`,
    // which CPython calls from a thread that is attached to the interpreter; elsewhere neither happens.
    unsafe { Python::assume_attached() }
}

/// True when nobody else holds a reference to the object.
#[inline]
pub(crate) fn is_last<T>(object: &Bound<'_, T>) -> bool {
    references(object) == 1
}

/// How many hold a reference to the object.
#[inline]
pub(crate) fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the object lives, and the thread is attached (CPython C API, Py_REFCNT).
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// True for an object that somebody has a weak reference to.
#[inline]
pub(crate) fn has_weak_references(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object lives, and its type says where in it the list of its weak references begins,
    // if it has one; before it where CPython manages the list (`PyTypeObject.tp_weaklistoffset`,
    // `_PyObject_GET_WEAKREFS_LISTPTR` in CPython's pycore_object.h).
    unsafe {
        let offset = (*object.get_type_ptr()).tp_weaklistoffset;
        let list = object.as_ptr().byte_offset(offset);
        offset != 0 && !(*list.cast::<*mut ffi::PyObject>()).is_null()
    }
}

/// A dict's key and value, which it holds.
pub(crate) type Item<'a, 'py> = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>);

/// The items of a dict. They are there for as long as nobody changes it: nothing that may run Python code
/// may happen before they are done with.
#[inline(always)]
pub(crate) fn items<'a, 'py>(dict: &'a Bound<'py, PyDict>) -> impl Iterator<Item = Item<'a, 'py>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the dict lives, the thread is attached, and the pointers outlive the call, which leaves
        // references in them that the dict holds, or 0 for none left (CPython C API, PyDict_Next).
        unsafe {
            (ffi::PyDict_Next(
                dict.as_ptr(),
                &raw mut position,
                &raw mut key,
                &raw mut value,
            ) != 0)
                .then(|| {
                    let py = dict.py();
                    (Borrowed::from_ptr(py, key), Borrowed::from_ptr(py, value))
                })
        }
    })
}

/// The value of an int, if it has 64 bits. It raises nothing, and so runs no code.
#[inline(always)]
pub(crate) fn exact_int(int: &Bound<'_, PyInt>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is an int and the thread is attached; `overflow` outlives the call, which raises
    // nothing for an int (CPython C API, PyLong_AsLongLongAndOverflow).
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// The type of the objects of a class that has no subclasses, to tell them by one comparison.
pub(crate) struct Exact<T>(*mut ffi::PyTypeObject, PhantomData<fn() -> T>);

// SAFETY: the type is only compared.
unsafe impl<T> Send for Exact<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Exact<T> {}

impl<T: PyTypeInfo> Exact<T> {
    pub(crate) fn new(py: Python<'_>) -> Self {
        Self(T::type_object_raw(py), PhantomData)
    }

    /// The object, if it is one of the class.
    #[inline(always)]
    pub(crate) fn cast<'a, 'py>(
        &self,
        object: Borrowed<'a, 'py, PyAny>,
    ) -> Option<Borrowed<'a, 'py, T>> {
        // SAFETY: it has the very type of `T`'s objects, which PyO3 holds for ever.
        (object.get_type_ptr() == self.0).then(|| unsafe { object.cast_unchecked() })
    }
}

/// The text of a str, if it is plain ASCII, as names and keys are: it lies in the object itself.
#[inline(always)]
pub(crate) fn ascii<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a str> {
    // SAFETY: the object is a str that lives as long as the reference, and a compact ASCII one has its
    // characters, each below 128, behind its head (CPython, `PyASCIIObject`: "the data immediately
    // follow the base structure"); a str never changes.
    unsafe {
        let object = text.as_ptr();
        if ffi::PyUnicode_IS_COMPACT_ASCII(object) == 0 {
            return None;
        }
        let head = object.cast::<ffi::PyASCIIObject>();
        let length = (*head).length as usize;
        let bytes = std::slice::from_raw_parts(head.add(1).cast::<u8>(), length);
        Some(std::str::from_utf8_unchecked(bytes))
    }
}

/// A `contextvars.ContextVar`.
pub(crate) struct ContextVar {
    object: Py<PyAny>,
    /// As contexts find it by.
    hash: u32,
    /// Where in the root of a context's map it was found last.
    slot: AtomicUsize,
}

/// What [`ContextVar::set`] gives and [`ContextVar::reset`] takes.
pub(crate) struct Token(Py<PyAny>);

impl Token {
    /// The `contextvars.Token`.
    pub(crate) fn into_bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        self.0.into_bound(py)
    }

    /// Lets go of it; see [`Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        drop(self.0.into_bound(py));
    }
}

impl ContextVar {
    /// A new one, without a default.
    pub(crate) fn new(py: Python<'_>, name: &CStr) -> PyResult<Self> {
        // SAFETY: the name is a C string that outlives the call; the result is a new reference or
        // null with an exception set (CPython C API, PyContextVar_New).
        let variable = unsafe {
            let variable = ffi::PyContextVar_New(name.as_ptr(), ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, variable)?
        };
        Self::of(variable)
    }

    /// Somebody else's `contextvars.ContextVar`, which may have a default.
    pub(crate) fn of(variable: Bound<'_, PyAny>) -> PyResult<Self> {
        // Folded as CPython's hamt.c does.
        let hash = variable.hash()? as u64;
        let hash = hash as u32 ^ (hash >> 32) as u32;
        Ok(Self {
            object: variable.unbind(),
            hash: if hash == u32::MAX { u32::MAX - 1 } else { hash },
            slot: AtomicUsize::new(0),
        })
    }

    /// The value in the current context, else the variable's default, if there is one.
    #[inline(always)]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut value = ptr::null_mut();
        // SAFETY: the variable is a ContextVar and `value` outlives the call, which leaves a new
        // reference or null in it (CPython C API, PyContextVar_Get).
        unsafe {
            if ffi::PyContextVar_Get(self.object.as_ptr(), ptr::null_mut(), &raw mut value) < 0 {
                return Err(PyErr::fetch(py));
            }
            Ok(Bound::from_owned_ptr_or_opt(py, value))
        }
    }

    /// Sets the value in the current context.
    pub(crate) fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Token> {
        let _whole = NoCollection::begin(py);
        // SAFETY: the variable is a ContextVar and the value a live reference that the call
        // borrows; the result is a new reference to a Token, or null with an exception set
        // (CPython C API, PyContextVar_Set).
        let token = unsafe {
            let token = ffi::PyContextVar_Set(self.object.as_ptr(), value.as_ptr());
            Bound::from_owned_ptr_or_err(py, token)?
        };
        Ok(Token(token.unbind()))
    }

    /// Restores the value from before [`Self::set`]. `ValueError` if that was in another context.
    pub(crate) fn reset(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<()> {
        let _whole = NoCollection::begin(py);
        // SAFETY: both are live references to the types that the call expects; it borrows them and
        // gives 0, or -1 with an exception set (CPython C API, PyContextVar_Reset).
        let result = unsafe { ffi::PyContextVar_Reset(self.object.as_ptr(), token.as_ptr()) };
        if result == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(py))
        }
    }
}

/// Runs `work` in another context than the current one. None if that cannot be entered: some code is
/// running in it, perhaps further up on this thread's stack.
pub(crate) fn run_in<R>(
    py: Python<'_>,
    context: &Bound<'_, PyAny>,
    work: impl FnOnce() -> R,
) -> Option<R> {
    // SAFETY: the context is a live `contextvars.Context`; the calls give 0, or -1 with an exception
    // set, which is let go of (CPython C API, PyContext_Enter and PyContext_Exit). What was entered
    // is left again, whatever `work` does, which must not panic.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            drop(PyErr::fetch(py));
            return None;
        }
        let result = work();
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            drop(PyErr::fetch(py));
        }
        Some(result)
    }
}

/// Sets an attribute of an object as objects without a `__setattr__` of their own do, or deletes it.
pub(crate) fn set_own_attribute<T: PyClass>(
    object: &Bound<'_, T>,
    name: &Bound<'_, PyString>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: object, name and value live, and null stands for deletion; the call gives 0, or -1 with
    // an exception set (CPython C API, PyObject_GenericSetAttr).
    let result = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) };
    if result == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(object.py()))
    }
}

/// Has the garbage collector look at an object of a class of ours that it did not know of: most
/// cannot be part of a cycle until somebody puts an object of his own into them.
pub(crate) fn track<T: PyClass>(object: &Bound<'_, T>) {
    // SAFETY: PyO3's classes have the collector's head before each object; the object lives, and is
    // tracked only where it is not yet (CPython C API, PyObject_GC_IsTracked, PyObject_GC_Track).
    unsafe {
        if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// True for an object that the garbage collector looks at.
#[inline]
pub(crate) fn is_tracked<T: PyClass>(object: &Bound<'_, T>) -> bool {
    // SAFETY: as above.
    unsafe { ffi::PyObject_GC_IsTracked(object.as_ptr()) != 0 }
}

/// No garbage collection starts while this is held. Before 3.12 one in the middle of a set could run
/// code that sets again, and free the mapping that the first was working on.
struct NoCollection {
    was_enabled: bool,
}

impl NoCollection {
    #[inline]
    fn begin(_py: Python<'_>) -> Self {
        // SAFETY: the thread is attached; the call sets a flag and gives the old (CPython C API,
        // PyGC_Disable).
        let was_enabled = unsafe { ffi::PyGC_Disable() } != 0;
        Self { was_enabled }
    }
}

impl Drop for NoCollection {
    #[inline]
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: made and dropped inside a function of this room that is attached throughout.
            unsafe { ffi::PyGC_Enable() };
        }
    }
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

/// Has the main thread raise `KeyboardInterrupt` as soon as it runs Python code again.
pub(crate) fn interrupt(_py: Python<'_>) {
    // SAFETY: the thread is attached; the call sets a flag (CPython C API, PyErr_SetInterrupt).
    unsafe { ffi::PyErr_SetInterrupt() }
}
