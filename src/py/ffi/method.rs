//! Methods in CPython's fast calling convention, put on PyO3's classes. PyO3's own methods check and
//! convert any call, at some 40 ns each; a fast one takes the calls that hot code makes, and leaves
//! every other to the method that it took the place of.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};
use pyo3::{Borrowed, PyClass};

/// A fast method. While it runs PyO3 does not know that the thread is attached, so it must let go of
/// no `Py<T>`, which would be put off: `Bound<T>` is let go of at once.
pub(crate) trait Method {
    /// The class whose method it is.
    type Class: PyClass;
    /// Its name.
    const NAME: &'static CStr;
    /// Where the method it takes the place of is kept.
    fn slow() -> &'static PyOnceLock<Py<PyAny>>;
    /// Does what the slow method would. None leaves the call to that, before anything was done.
    fn call<'py>(this: &Bound<'py, Self::Class>, arguments: &Arguments<'_, 'py>) -> Answer<'py>;
}

/// What a fast method answers. It fits two registers, where a `PyResult` goes through memory.
pub(crate) type Answer<'py> = Result<Option<Bound<'py, PyAny>>, Raised>;

/// An exception is set, as CPython wants it of whoever gives no result.
pub(crate) struct Raised(());

impl From<PyErr> for Raised {
    #[cold]
    fn from(error: PyErr) -> Self {
        // Only the functions of this room that CPython calls turn an error into this.
        error.restore(super::dropping());
        Self(())
    }
}

/// `None`, as methods answer that have nothing to say.
#[inline]
#[allow(clippy::unnecessary_wraps, reason = "it is what a method answers")]
pub(crate) fn none(py: Python<'_>) -> Answer<'_> {
    Ok(Some(py.None().into_bound(py)))
}

/// Declares where the slow method of a fast one is kept.
macro_rules! slow {
    () => {
        fn slow() -> &'static pyo3::sync::PyOnceLock<pyo3::Py<pyo3::PyAny>> {
            static SLOW: pyo3::sync::PyOnceLock<pyo3::Py<pyo3::PyAny>> =
                pyo3::sync::PyOnceLock::new();
            &SLOW
        }
    };
}
pub(crate) use slow;

/// The arguments of a call, as CPython hands them over.
pub(crate) struct Arguments<'a, 'py> {
    values: *const *mut ffi::PyObject,
    positional: usize,
    names: *mut ffi::PyObject,
    py: Python<'py>,
    lifetime: PhantomData<&'a ()>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// The arguments, if there are `N` and none by name.
    #[inline]
    pub(crate) fn only<const N: usize>(&self) -> Option<[Borrowed<'a, 'py, PyAny>; N]> {
        (self.positional == N && self.names.is_null())
            .then(|| std::array::from_fn(|index| self.value(index)))
    }

    /// The first argument and those by name, if there is one positional.
    #[inline]
    pub(crate) fn one_and_named(
        &self,
    ) -> Option<(
        Borrowed<'a, 'py, PyAny>,
        impl Iterator<Item = Named<'a, 'py>>,
    )> {
        if self.positional != 1 {
            return None;
        }
        let count = if self.names.is_null() {
            0
        } else {
            // SAFETY: `names` is a tuple, by the calling convention.
            unsafe { ffi::PyTuple_GET_SIZE(self.names) as usize }
        };
        let named = (0..count).map(|index| {
            // SAFETY: `names` has `count` items, which live as long as the call (CPython C API,
            // "METH_FASTCALL | METH_KEYWORDS": a tuple of str).
            let name = unsafe {
                let name = ffi::PyTuple_GET_ITEM(self.names, index as isize);
                Borrowed::from_ptr(self.py, name).cast_unchecked()
            };
            (name, self.value(1 + index))
        });
        Some((self.value(0), named))
    }

    #[inline]
    fn value(&self, index: usize) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: every caller has checked the index against the count that CPython gave, and the
        // arguments live as long as the call (CPython C API, "METH_FASTCALL | METH_KEYWORDS").
        unsafe { Borrowed::from_ptr(self.py, *self.values.add(index)) }
    }
}

/// An argument given by name.
pub(crate) type Named<'a, 'py> = (Borrowed<'a, 'py, PyString>, Borrowed<'a, 'py, PyAny>);

/// Puts a fast method in the place of the slow one of its class.
pub(crate) fn install<M: Method>(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let name = PyString::new(py, &M::NAME.to_string_lossy());
    let slow = class.getattr(&name)?;
    let part = |attribute: &str| {
        slow.getattr(attribute)
            .and_then(|part| part.extract::<String>())
    };
    let doc = format!(
        "{name}{}\n--\n\n{}",
        part("__text_signature__")?,
        part("__doc__")?
    );
    M::slow().get_or_init(py, || slow.unbind());
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: fast::<M>,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: CString::new(doc)?.into_raw(),
    }));
    // SAFETY: the class is a type and the definition lives for ever; the result is a new reference
    // or null with an exception set (CPython C API, PyDescr_NewMethod). The descriptor checks that
    // `self` is of the class before it calls.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    class.setattr(name, descriptor)
}

unsafe extern "C" fn fast<M: Method>(
    this: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls methods from threads that are attached.
    let py = unsafe { Python::assume_attached() };
    guarded(py, || {
        let arguments = Arguments {
            values,
            positional: positional as usize,
            names,
            py,
            lifetime: PhantomData,
        };
        // SAFETY: the method's descriptor has checked the class of `this`, which is borrowed for
        // the call.
        let this = unsafe { Borrowed::from_ptr(py, this).cast_unchecked::<M::Class>() };
        if let Some(result) = M::call(&this, &arguments)? {
            return Ok(result);
        }
        Ok(call_slow::<M>(this.as_any(), &arguments)?)
    })
}

/// Runs `work`; what it raises, or its panic, becomes CPython's exception.
#[inline(always)]
pub(super) fn guarded<'py>(
    py: Python<'py>,
    work: impl FnOnce() -> Result<Bound<'py, PyAny>, Raised>,
) -> *mut ffi::PyObject {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => result.into_ptr(),
        Ok(Err(Raised(()))) => ptr::null_mut(),
        Err(_) => {
            PanicException::new_err("a defect of nanospan").restore(py);
            ptr::null_mut()
        }
    }
}

#[cold]
fn call_slow<'py, M: Method>(
    this: &Bound<'py, PyAny>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let slow = M::slow()
        .get(py)
        .expect("kept when the method was installed");
    let named = if arguments.names.is_null() {
        0
    } else {
        // SAFETY: `names` is a tuple, by the calling convention.
        unsafe { ffi::PyTuple_GET_SIZE(arguments.names) as usize }
    };
    let mut values = vec![this.as_ptr()];
    values.extend((0..arguments.positional + named).map(|index| arguments.value(index).as_ptr()));
    // SAFETY: `values` holds `this`, the positional arguments, and one for each of `names`, all
    // borrowed for the call; the result is a new reference or null with an exception set (CPython C
    // API, PyObject_Vectorcall).
    unsafe {
        let count = 1 + arguments.positional;
        let result =
            ffi::PyObject_Vectorcall(slow.as_ptr(), values.as_ptr(), count, arguments.names);
        Bound::from_owned_ptr_or_err(py, result)
    }
}
