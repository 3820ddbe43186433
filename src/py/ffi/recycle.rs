//! Objects of a PyO3 class whose memory is used again at once. Making and freeing one through PyO3
//! and CPython's allocator costs some 60 ns more.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;

use super::{NoCollection, dropping, turn};
use crate::turn::Guarded;

/// A class whose dead objects are kept.
pub(crate) trait Recycled: PyClass<Frozen = True> + Sync {
    /// Where they are kept.
    fn bin() -> &'static Bin<Self>;
}

/// Dead objects of a class.
pub(crate) struct Bin<T> {
    facts: OnceLock<Facts>,
    free: Guarded<Vec<Memory<T>>>,
}

struct Memory<T>(*mut ffi::PyObject, std::marker::PhantomData<T>);

// SAFETY: memory that belongs to nobody may be used by any thread, one at a time: it is guarded.
unsafe impl<T> Send for Memory<T> {}

/// What is the same for all objects of the class.
struct Facts {
    class: *mut ffi::PyTypeObject,
    /// Where in an object PyO3 keeps the value.
    offset: usize,
    /// Where it keeps the `__dict__`, if the class has one; null as long as nobody has used it.
    dict: Option<usize>,
    /// Where it keeps its weak references; null as long as there are none.
    weak: usize,
    /// What PyO3 does with a dead object.
    dealloc: ffi::destructor,
}

// SAFETY: the class lives for ever, since nothing takes `Facts` out again, and is only compared.
unsafe impl Send for Facts {}
// SAFETY: as above.
unsafe impl Sync for Facts {}

/// Memory of more objects than these is given back.
const MOST_FREE: usize = 256;

impl<T: Recycled> Bin<T> {
    pub(crate) const fn new() -> Self {
        Self {
            facts: OnceLock::new(),
            free: Guarded::new(Vec::new()),
        }
    }

    /// Makes the class keep its dead objects: before the first, but for a `sample` that is no use.
    pub(crate) fn install(&self, py: Python<'_>, sample: T) -> PyResult<()>
    where
        T: Into<PyClassInitializer<T>>,
    {
        // CPython 3.11 makes the `__dict__` while the object, which its collector knows already, has
        // no value yet.
        let none = NoCollection::begin(py);
        let sample = Bound::new(py, sample)?;
        drop(none);
        let class = sample
            .as_any()
            .get_type()
            .into_ptr()
            .cast::<ffi::PyTypeObject>();
        let offset = ptr::from_ref(sample.get()) as usize - sample.as_ptr() as usize;
        // SAFETY: the class is PyO3's, ready, and we are attached; a type's destructor may be any
        // function that does with an object what `dealloc` below does (CPython C API, tp_dealloc).
        unsafe {
            if let Some(own) = (*class).tp_dealloc {
                let facts = Facts {
                    class,
                    offset,
                    dict: usize::try_from((*class).tp_dictoffset)
                        .ok()
                        .filter(|offset| *offset > 0),
                    weak: usize::try_from((*class).tp_weaklistoffset).unwrap_or(0),
                    dealloc: own,
                };
                if self.facts.set(facts).is_ok() {
                    (*class).tp_dealloc = Some(dealloc::<T>);
                }
            }
        }
        Ok(())
    }

    /// An object of the class.
    #[inline]
    pub(crate) fn make<'py>(&'static self, py: Python<'py>, value: T) -> PyResult<Bound<'py, T>> {
        Ok(self.place(py)?.fill(py, value))
    }

    /// Memory for an object. This may run the collector, and so any code.
    #[inline]
    pub(crate) fn place(&'static self, py: Python<'_>) -> PyResult<Place<T>> {
        let memory = self.free.borrow(turn(py)).pop();
        let facts = self.facts.get().expect("the class keeps its dead objects");
        let (object, is_dead) = match memory {
            Some(Memory(object, _)) => (object, true),
            None => (facts.allocate(py)?, false),
        };
        Ok(Place {
            object,
            is_dead,
            facts,
            bin: self,
        })
    }
}

/// Memory for an object of a class.
pub(crate) struct Place<T: Recycled> {
    object: *mut ffi::PyObject,
    /// It has been an object before.
    is_dead: bool,
    facts: &'static Facts,
    bin: &'static Bin<T>,
}

impl<T: Recycled> Place<T> {
    /// The object with its value, which the compiler makes where it belongs.
    #[inline(always)]
    pub(crate) fn fill(self, py: Python<'_>, value: T) -> Bound<'_, T> {
        let place = ManuallyDrop::new(self);
        // SAFETY: the memory is a whole object of the class, dead and without a value (`dealloc`),
        // which PyObject_Init gives one reference that nobody else has, or a new one, zeroed; the
        // collector knows of neither. The value goes where PyO3 keeps it. Everything else in the
        // object is zero, and means that there is no `__dict__` and no weak reference.
        unsafe {
            if place.is_dead {
                ffi::PyObject_Init(place.object, place.facts.class);
            }
            ptr::write(place.object.byte_add(place.facts.offset).cast::<T>(), value);
            Bound::from_owned_ptr(py, place.object).cast_into_unchecked()
        }
    }
}

/// What was not needed is kept.
impl<T: Recycled> Drop for Place<T> {
    fn drop(&mut self) {
        let py = dropping();
        if !self.is_dead {
            // SAFETY: the object, which nobody else has, is one of the class, which it holds.
            unsafe { ffi::Py_DECREF(self.facts.class.cast()) };
        }
        let memory = Memory(self.object, std::marker::PhantomData);
        self.bin.free.borrow(turn(py)).push(memory);
    }
}

impl Facts {
    /// A new object, zeroed, of which the collector does not know.
    #[cold]
    fn allocate(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        // SAFETY: the class is PyO3's, and the thread is attached (CPython C API,
        // PyType_GenericAlloc: null with an exception set, or a tracked object).
        unsafe {
            let object = ffi::PyType_GenericAlloc(self.class, 0);
            if object.is_null() {
                return Err(PyErr::fetch(py));
            }
            ffi::PyObject_GC_UnTrack(object.cast());
            Ok(object)
        }
    }
}

/// # Safety
///
/// There is a pointer at `offset` in the object.
#[inline]
unsafe fn is_null(object: *mut ffi::PyObject, offset: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*object.byte_add(offset).cast::<*mut ffi::PyObject>()).is_null() }
}

unsafe extern "C" fn dealloc<T: Recycled>(object: *mut ffi::PyObject) {
    let bin = T::bin();
    let Some(facts) = bin.facts.get() else { return };
    // SAFETY: CPython calls this once for an object of the class, from a thread that is attached,
    // when the last reference is gone. The object leaves the collector and its weak references are
    // cleared, as tp_dealloc must; the value is moved out and dropped, as PyO3 would, once. What
    // does not fit the bin PyO3 does itself. The class is final, and held by each of its objects.
    unsafe {
        let py = Python::assume_attached();
        let has_dict = facts.dict.is_some_and(|offset| !is_null(object, offset));
        if has_dict || bin.free.borrow(turn(py)).len() >= MOST_FREE {
            return (facts.dealloc)(object);
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        if facts.weak == 0 || !is_null(object, facts.weak) {
            ffi::PyObject_ClearWeakRefs(object);
        }
        let value = object.byte_add(facts.offset).cast::<T>();
        let _ = catch_unwind(AssertUnwindSafe(|| ptr::drop_in_place(value)));
        bin.free
            .borrow(turn(py))
            .push(Memory(object, std::marker::PhantomData));
        ffi::Py_DECREF(facts.class.cast());
    }
}
