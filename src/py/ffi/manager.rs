//! A context manager that costs no more than the calls it takes. CPython up to 3.13 makes two bound
//! methods for each `with` block; here `__enter__` and `__exit__` are descriptors that give the
//! object itself, which is then called: without arguments to enter, with three to leave. With one
//! argument it decorates. Called without arguments where nobody asked for `__enter__` before, it
//! raises: templates and lazy loggers call whatever can be called.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::Borrowed;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::dead::{Dead, revive};
use super::method::guarded;
use super::turn;

/// What a context manager does.
pub(crate) trait Manager: Sized + Send + 'static {
    /// The name of the type, with its module.
    const NAME: &'static CStr;
    /// The type's kind, once [`Kind::get`] has made it.
    fn kind() -> Option<&'static Kind<Self>>;
    /// What `with` calls first.
    fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
    /// What `with` calls last; `error` is None where there is none.
    fn exit(&self, py: Python<'_>, error: Borrowed<'_, '_, PyAny>) -> PyResult<()>;
    /// What the object makes of a function.
    fn decorate<'py>(
        &self,
        py: Python<'py>,
        function: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>>;
    /// The content of a new object, before it begins.
    fn blank() -> Self;
    /// The object dies: its content lets go of all that it holds, and rests until another begins in it:
    /// to move one there would cost as much as to make it. PyO3 does not know that the thread is
    /// attached: see [`super::Method`].
    fn rest(&mut self, py: Python<'_>);
}

#[repr(C)]
struct Object<T> {
    base: ffi::PyObject,
    vectorcall: Option<ffi::vectorcallfunc>,
    /// Somebody asked for `__enter__`.
    asked: Cell<bool>,
    content: ManuallyDrop<T>,
}

/// The type, and the memory of objects that died.
pub(crate) struct Kind<T> {
    class: Py<PyType>,
    dead: Dead,
    of: PhantomData<fn() -> T>,
}

/// Memory of more objects than these is given back.
const MOST_DEAD: usize = 64;

impl<T: Manager> Kind<T> {
    const FLAGS: c_ulong = ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | ffi::Py_TPFLAGS_HAVE_VECTORCALL;

    /// The type that is kept in `made`, made when it is first asked for.
    #[inline(always)]
    pub(crate) fn get<'a>(py: Python<'_>, made: &'a PyOnceLock<Self>) -> PyResult<&'a Self> {
        match made.get(py) {
            Some(kind) => Ok(kind),
            None => made.get_or_try_init(py, || Self::new(py)),
        }
    }

    fn new(py: Python<'_>) -> PyResult<Self> {
        let mut members = [
            ffi::PyMemberDef {
                name: c"__vectorcalloffset__".as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: offset_of!(Object<T>, vectorcall) as ffi::Py_ssize_t,
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            },
            ffi::PyMemberDef::default(),
        ];
        let slot = |slot: c_int, function: *mut c_void| ffi::PyType_Slot {
            slot,
            pfunc: function,
        };
        let mut slots = [
            slot(ffi::Py_tp_dealloc, dealloc::<T> as *mut c_void),
            slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
            slot(0, ptr::null_mut()),
        ];
        let class = make_type(py, T::NAME, size_of::<Object<T>>(), Self::FLAGS, &mut slots)?;
        let mut slots = [
            slot(ffi::Py_tp_descr_get, get::<T> as *mut c_void),
            slot(ffi::Py_tp_call, call_unbound as *mut c_void),
            slot(0, ptr::null_mut()),
        ];
        let descriptor = make_type(
            py,
            c"nanospan._Entrance",
            size_of::<ffi::PyObject>(),
            0,
            &mut slots,
        )?;
        let descriptor = descriptor.call0()?;
        class.setattr("__enter__", &descriptor)?;
        class.setattr("__exit__", &descriptor)?;
        Ok(Self {
            class: class.unbind(),
            dead: Dead::new(),
            of: PhantomData,
        })
    }

    /// The type.
    pub(crate) fn class<'py>(&self, py: Python<'py>) -> &Bound<'py, PyType> {
        self.class.bind(py)
    }

    /// An object whose content `begin` begins, where it is. It must not call Python.
    #[inline(always)]
    pub(crate) fn make<'py>(
        &self,
        py: Python<'py>,
        begin: impl FnOnce(&mut T),
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: what died is an object of the type, whole, with its content at rest (`dealloc`), or a
        // new one (`allocate`), and holds the type. Nobody has it before its content has begun; should
        // `begin` panic, nobody ever has.
        unsafe {
            let object = match self.dead.pop(turn(py)) {
                Some(object) => object,
                None => self.allocate(py)?,
            };
            begin(&mut (*object.cast::<Object<T>>()).content);
            revive(object, class);
            Ok(Bound::from_owned_ptr(py, object))
        }
    }

    #[cold]
    fn allocate(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: `class` is the heap type that `new` made for `Object<T>`, without garbage collection:
        // memory of it, zeroed, with a reference to it, which nobody else has (CPython C API,
        // PyType_GenericAlloc; null with an exception set).
        unsafe {
            let object = ffi::PyType_GenericAlloc(class, 0);
            if object.is_null() {
                return Err(PyErr::fetch(py));
            }
            let made = object.cast::<Object<T>>();
            ptr::write(&raw mut (*made).content, ManuallyDrop::new(T::blank()));
            ptr::write(&raw mut (*made).vectorcall, Some(call::<T>));
            ptr::write(&raw mut (*made).asked, Cell::new(false));
            Ok(object)
        }
    }
}

fn make_type<'py>(
    py: Python<'py>,
    name: &'static CStr,
    size: usize,
    flags: c_ulong,
    slots: &mut [ffi::PyType_Slot],
) -> PyResult<Bound<'py, PyType>> {
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: size as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | flags) as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification and its slots live through the call, which copies them; the slots end
    // with a zero and hold functions of the signatures that they ask for; the result is a new
    // reference or null with an exception set (CPython C API, PyType_FromSpec).
    unsafe {
        let class = ffi::PyType_FromSpec(&raw mut spec);
        Ok(Bound::from_owned_ptr_or_err(py, class)?.cast_into_unchecked())
    }
}

unsafe extern "C" fn dealloc<T: Manager>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once for an object of the type, from a thread that is attached,
    // when the last reference is gone: the content is nobody else's. A heap type is held by each of its
    // objects, dead or alive, until the memory is freed.
    unsafe {
        let py = Python::assume_attached();
        let dead = &mut *object.cast::<Object<T>>();
        let rests = catch_unwind(AssertUnwindSafe(|| dead.content.rest(py)));
        dead.asked.set(false);
        match T::kind() {
            Some(kind) if rests.is_ok() && kind.dead.count(turn(py)) < MOST_DEAD => {
                kind.dead.push(turn(py), object);
            }
            _ => {
                let class = ffi::Py_TYPE(object);
                ManuallyDrop::drop(&mut dead.content);
                ffi::PyObject_Free(object.cast());
                ffi::Py_DECREF(class.cast());
            }
        }
    }
}

/// `object.__enter__` and `object.__exit__`: the object itself; of the type: the descriptor.
unsafe extern "C" fn get<T: Manager>(
    descriptor: *mut ffi::PyObject,
    object: *mut ffi::PyObject,
    _class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes live references, or null for no object, from a thread that is attached.
    // An object of the one type, which is final, is an `Object<T>`; any other was passed by hand.
    unsafe {
        let class = T::kind().map(|kind| kind.class.as_ptr().cast());
        if object.is_null() || class != Some(ffi::Py_TYPE(object)) {
            return ffi::Py_NewRef(descriptor);
        }
        (*object.cast::<Object<T>>()).asked.set(true);
        ffi::Py_NewRef(object)
    }
}

/// `type(object).__enter__(object)`, as `contextlib.ExitStack` calls it.
unsafe extern "C" fn call_unbound(
    _descriptor: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    _names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this from a thread that is attached, with a tuple.
    let (py, arguments) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, arguments))
    };
    guarded(py, || {
        let arguments = arguments.cast::<PyTuple>().map_err(PyErr::from)?;
        let object = arguments.get_item(0)?;
        let enter = object.getattr("__enter__")?;
        Ok(enter.call1(arguments.get_slice(1, arguments.len()))?)
    })
}

#[cold]
fn misused() -> PyErr {
    PyTypeError::new_err(
        "a block is entered with `with`, or called with the function that it decorates",
    )
}

unsafe extern "C" fn call<T: Manager>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this from a thread that is attached, with an object of the type.
    let (py, this) = unsafe { (Python::assume_attached(), &*object.cast::<Object<T>>()) };
    let count = if names.is_null() {
        // SAFETY: the function reads a number.
        unsafe { ffi::PyVectorcall_NARGS(count) }
    } else {
        -1
    };
    // SAFETY: only for an index below the count; the arguments are borrowed for the call.
    let argument = |index| unsafe { Borrowed::from_ptr(py, *arguments.add(index)) };
    guarded(py, || match count {
        0 if this.asked.get() => Ok(this.content.enter(py)?),
        1 => Ok(this.content.decorate(py, argument(0))?),
        3 => {
            this.content.exit(py, argument(1))?;
            Ok(py.None().into_bound(py))
        }
        _ => Err(misused().into()),
    })
}
