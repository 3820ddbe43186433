//! Objects of a PyO3 class that are used again at once, with what their values have made for
//! themselves. Making and freeing one through PyO3 and CPython's allocator costs some 60 ns more.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyDict;

use super::dead::{Dead, revive};
use super::{NoCollection, dropping, turn};

/// A class whose dead objects are kept, with their values.
pub(crate) trait Recycled: PyClass<Frozen = True> + Sync {
    /// Where they are kept.
    fn bin() -> &'static Bin<Self>;
    /// The value of a new object, before it begins.
    fn blank() -> Self;
    /// The object dies: the value lets go of all that it holds, but for what the next one can use.
    fn rest(&mut self, py: Python<'_>);
}

/// Dead objects of a class, with values at rest.
pub(crate) struct Bin<T> {
    facts: OnceLock<Facts>,
    dead: Dead,
    of: PhantomData<fn() -> T>,
}

/// What is the same for all objects of the class.
struct Facts {
    class: *mut ffi::PyTypeObject,
    /// Where in an object PyO3 keeps the value.
    offset: usize,
    /// Where it keeps the `__dict__`, if the class has one; null as long as nobody has used it.
    dict: Option<usize>,
    /// Each object has a `__dict__` from the beginning, and keeps it while it is empty. CPython 3.11 has
    /// a specialized way to a method of such an object, and none where the dict is still to be made
    /// (3.12 has `LOAD_ATTR_METHOD_LAZY_DICT`): 3 ns a call.
    has_empty_dict: bool,
    /// Where it keeps its weak references, null as long as there are none; 0 if it has none ever.
    weak: isize,
    /// The collector knows of its objects, unless it is told otherwise.
    is_collected: bool,
    /// What PyO3 does with a dead object.
    dealloc: ffi::destructor,
}

// SAFETY: the class lives for ever, since nothing takes `Facts` out again, and is only compared.
unsafe impl Send for Facts {}
// SAFETY: as above.
unsafe impl Sync for Facts {}

/// Memory of more objects than these is given back.
const MOST_DEAD: usize = 256;

impl<T: Recycled> Bin<T> {
    pub(crate) const fn new() -> Self {
        Self {
            facts: OnceLock::new(),
            dead: Dead::new(),
            of: PhantomData,
        }
    }

    /// Makes the class keep its dead objects: before the first.
    pub(crate) fn install(&self, py: Python<'_>) -> PyResult<()>
    where
        T: Into<PyClassInitializer<T>>,
    {
        // CPython 3.11 makes the `__dict__` while the object, which its collector knows already, has
        // no value yet.
        let none = NoCollection::begin(py);
        let sample = Bound::new(py, T::blank())?;
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
                let dict = usize::try_from((*class).tp_dictoffset)
                    .ok()
                    .filter(|offset| *offset > 0);
                let version = py.version_info();
                let facts = Facts {
                    class,
                    offset,
                    dict,
                    has_empty_dict: dict.is_some() && (version.major, version.minor) == (3, 11),
                    weak: (*class).tp_weaklistoffset,
                    is_collected: ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HAVE_GC) != 0,
                    dealloc: own,
                };
                if self.facts.set(facts).is_ok() {
                    (*class).tp_dealloc = Some(dealloc::<T>);
                }
            }
        }
        Ok(())
    }

    /// An object of the class, whose value `begin` begins. It must not run Python code.
    #[inline]
    pub(crate) fn make<'py>(
        &'static self,
        py: Python<'py>,
        begin: impl FnOnce(&mut T),
    ) -> PyResult<Bound<'py, T>> {
        let mut place = self.place(py)?;
        begin(place.value());
        Ok(place.live(py))
    }

    /// An object to be. This may run the collector, and so any code.
    #[inline(always)]
    pub(crate) fn place(&'static self, py: Python<'_>) -> PyResult<Place<T>> {
        let (object, facts) = match (self.dead.pop(turn(py)), self.facts.get()) {
            (Some(object), Some(facts)) => (object, facts),
            (_, facts) => Self::allocate(py, facts)?,
        };
        Ok(Place {
            object,
            facts,
            bin: self,
        })
    }

    #[cold]
    fn allocate(
        py: Python<'_>,
        facts: Option<&'static Facts>,
    ) -> PyResult<(*mut ffi::PyObject, &'static Facts)> {
        let facts = facts.expect("the class keeps its dead objects");
        let object = facts.allocate(py)?;
        // SAFETY: a new object of the class has room for its value where PyO3 keeps it.
        unsafe { ptr::write(object.byte_add(facts.offset).cast::<T>(), T::blank()) };
        Ok((object, facts))
    }
}

/// An object to be: dead, with a value that is at rest.
pub(crate) struct Place<T: Recycled> {
    object: *mut ffi::PyObject,
    facts: &'static Facts,
    bin: &'static Bin<T>,
}

impl<T: Recycled> Place<T> {
    /// The value, at rest, to be begun where it is. Whoever begins it must not run Python code before
    /// [`Self::live`].
    #[inline(always)]
    pub(crate) fn value(&mut self) -> &mut T {
        // SAFETY: the object is whole, of the class, and nobody has it: neither a reference nor the
        // collector. The value is where PyO3 keeps it.
        unsafe { &mut *self.object.byte_add(self.facts.offset).cast::<T>() }
    }

    /// The object, whose value has begun.
    #[inline(always)]
    pub(crate) fn live(self, py: Python<'_>) -> Bound<'_, T> {
        let place = ManuallyDrop::new(self);
        // SAFETY: the object is whole, of the class, which it holds, and nobody has it. Everything in it
        // but the value is zero, or an empty `__dict__`, and means that there is no weak reference.
        unsafe {
            revive(place.object, place.facts.class);
            Bound::from_owned_ptr(py, place.object).cast_into_unchecked()
        }
    }
}

/// What was not needed is kept: it is at rest still, since nobody begins one without need.
impl<T: Recycled> Drop for Place<T> {
    fn drop(&mut self) {
        // SAFETY: it is as `Bin::place` took it, from the bin or new.
        unsafe { self.bin.dead.push(turn(dropping()), self.object) };
    }
}

impl Facts {
    /// A new object, zeroed, of which the collector does not know.
    #[cold]
    fn allocate(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        // SAFETY: the class is PyO3's, and the thread is attached (CPython C API,
        // PyType_GenericAlloc: null with an exception set, or an object, tracked if the type has it so).
        unsafe {
            let object = ffi::PyType_GenericAlloc(self.class, 0);
            if object.is_null() {
                return Err(PyErr::fetch(py));
            }
            if self.is_collected {
                ffi::PyObject_GC_UnTrack(object.cast());
            }
            if let Some(dict) = self.dict.filter(|_| self.has_empty_dict) {
                *place(object, dict) = Bound::into_ptr(PyDict::new(py).into_any());
            }
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
    unsafe { (*place(object, offset)).is_null() }
}

/// Where in an object there is a pointer.
#[inline(always)]
fn place(object: *mut ffi::PyObject, offset: usize) -> *mut *mut ffi::PyObject {
    object.wrapping_byte_add(offset).cast()
}

/// True for a `__dict__` that the next object can have: nobody else's, and empty.
///
/// # Safety
///
/// It is an object that lives.
#[inline(always)]
unsafe fn is_good_as_new(dict: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's promise, and what is exactly a dict has its layout.
    unsafe {
        ffi::Py_REFCNT(dict) == 1
            && ffi::PyDict_CheckExact(dict) != 0
            && (*dict.cast::<ffi::PyDictObject>()).ma_used == 0
    }
}

unsafe extern "C" fn dealloc<T: Recycled>(object: *mut ffi::PyObject) {
    let bin = T::bin();
    let Some(facts) = bin.facts.get() else { return };
    // SAFETY: CPython calls this once for an object of the class, from a thread that is attached,
    // when the last reference is gone. The object leaves the collector and its weak references are
    // cleared, as tp_dealloc must; then nobody can reach the value, which is put to rest. What does
    // not fit the bin PyO3 drops. The class is final, and held by each of its objects, dead or alive.
    unsafe {
        let py = Python::assume_attached();
        if let Some(dict) = facts.dict {
            let dict = *place(object, dict);
            let fits = dict.is_null() || facts.has_empty_dict && is_good_as_new(dict);
            if !fits {
                return (facts.dealloc)(object);
            }
            // Only classes with a `__dict__` have anything for the collector.
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        // Below 0: CPython keeps them, and knows where.
        if facts.weak < 0 || facts.weak > 0 && !is_null(object, facts.weak as usize) {
            ffi::PyObject_ClearWeakRefs(object);
        }
        let value = &mut *object.byte_add(facts.offset).cast::<T>();
        // A panic must not reach CPython. What is left of the object is nobody's then.
        if catch_unwind(AssertUnwindSafe(|| value.rest(py))).is_err() {
            return;
        }
        if bin.dead.count(turn(py)) < MOST_DEAD {
            bin.dead.push(turn(py), object);
        } else {
            (facts.dealloc)(object);
        }
    }
}
