//! What CPython knows and does not say: which context is current, and whether a value in it can be
//! seen from any other. It is read from the private layouts of CPython 3.10 to 3.13, and only after
//! [`probe`] found them to be what they are taken for; elsewhere the answer is that nobody knows.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use pyo3::Borrowed;
use pyo3::ffi;
use pyo3::prelude::*;

use super::ContextVar;

/// Where things lie, for whoever may change in place what nobody else can see. All structs are arrays of words here: a head of two, then the fields.
pub(crate) struct Layout {
    /// Of the thread state: its current context.
    context: usize,
    /// The type of the map's nodes that hold up to 16 variables.
    bitmap_node: *mut ffi::PyTypeObject,
}

// SAFETY: the type is CPython's own, lives for ever, and is only compared.
unsafe impl Send for Layout {}
// SAFETY: as above.
unsafe impl Sync for Layout {}

/// None inside: the layouts are not known here.
static LAYOUT: OnceLock<Option<Layout>> = OnceLock::new();

/// Of a `Context`: its map from variables to values.
const MAP: usize = 3;
/// Of the map: the root of its nodes.
const ROOT: usize = 2;
/// Of a bitmap node: how many slots it has.
const LENGTH: usize = 2;
/// Of a bitmap node, after its head and length: which of 32 slots are taken, in the low half.
const TAKEN: usize = 3;
/// Of a bitmap node: pairs of a variable and its value, or of nothing and the node below.
const SLOTS: usize = 4;

/// Looks whether the layouts are as they are taken to be: None if not. `value` makes an object that
/// nobody else has.
pub(crate) fn probe<'py>(
    py: Python<'py>,
    value: impl Fn() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<&'static Layout>> {
    static USABLE: OnceLock<Option<&Layout>> = OnceLock::new();
    if let Some(usable) = USABLE.get() {
        return Ok(*usable);
    }
    let found = find(py, &value)?;
    let layout = LAYOUT.get_or_init(|| found).as_ref();
    let usable = match layout {
        Some(layout) if behaves(py, layout, &value)? => Some(layout),
        _ => None,
    };
    Ok(*USABLE.get_or_init(|| usable))
}

/// The current context. None where nobody knows, or the thread has none yet.
#[inline]
pub(crate) fn current_context(py: Python<'_>) -> Option<Borrowed<'_, '_, PyAny>> {
    LAYOUT.get()?.as_ref()?.current_context(py)
}

impl Layout {
    /// The current context. None where the thread has none yet.
    #[inline(always)]
    fn current_context<'py>(&self, py: Python<'py>) -> Option<Borrowed<'py, 'py, PyAny>> {
        // SAFETY: the thread is attached, so it has a state, and `find` has seen that its word
        // `self.context` is the current context or null. The state holds a reference to it; the caller
        // takes its own before anything else runs.
        unsafe {
            let state = ffi::PyThreadState_Get().cast::<ffi::PyObject>();
            let context = word(state, self.context);
            (!context.is_null()).then(|| Borrowed::from_ptr(py, context))
        }
    }

    /// The value of a variable in the current context, if no copy of the context, and nobody else, can
    /// see it: then it may be changed in place; and that context. None also where that cannot be told.
    #[inline]
    pub(crate) fn sole_value<'py>(
        &self,
        py: Python<'py>,
        variable: &ContextVar,
    ) -> Option<(Borrowed<'py, 'py, PyAny>, Borrowed<'py, 'py, PyAny>)> {
        let current = self.current_context(py)?;
        let context = current.as_ptr();
        // SAFETY: `find` has seen that a context, its map and its bitmap nodes have these layouts. The
        // interpreter's lock is held, nothing here runs code, and all objects on the way are held by the
        // one before. A copy of a context shares its map, a changed map shares nodes, and a token holds
        // the old value, so counts of one all the way say that nobody else has a way to the value.
        unsafe {
            let map = word(context, MAP);
            let mut node = word(map, ROOT);
            if ffi::Py_REFCNT(map) != 1 {
                return None;
            }
            let mut hash = variable.hash;
            // Where it was the last time: nearly always it still is.
            if ffi::Py_TYPE(node) == self.bitmap_node && ffi::Py_REFCNT(node) == 1 {
                let slot = variable.slot.load(Ordering::Relaxed);
                if slot < word(node, LENGTH) as usize
                    && word(node, SLOTS + slot) == variable.object.as_ptr()
                {
                    let value = word(node, SLOTS + slot + 1);
                    return (ffi::Py_REFCNT(value) == 1)
                        .then(|| (Borrowed::from_ptr(py, value), current));
                }
            }
            loop {
                if ffi::Py_TYPE(node) != self.bitmap_node || ffi::Py_REFCNT(node) != 1 {
                    return None;
                }
                let taken = word(node, TAKEN) as usize as u32;
                let bit = 1u32 << (hash & 31);
                if taken & bit == 0 {
                    return None;
                }
                let slot = SLOTS + 2 * (taken & (bit - 1)).count_ones() as usize;
                let (key, value) = (word(node, slot), word(node, slot + 1));
                if key == variable.object.as_ptr() {
                    variable.slot.store(slot - SLOTS, Ordering::Relaxed);
                    return (ffi::Py_REFCNT(value) == 1)
                        .then(|| (Borrowed::from_ptr(py, value), current));
                }
                if !key.is_null() {
                    return None;
                }
                node = value;
                hash >>= 5;
            }
        }
    }
}

/// Which word of the thread state is the current context, where that is known.
fn context_word(py: Python<'_>) -> Option<usize> {
    if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
        return None;
    }
    let version = py.version_info();
    KNOWN
        .iter()
        .find(|(minor, _)| (version.major, version.minor) == (3, *minor))
        .map(|(_, word)| *word)
}

/// By minor version.
const KNOWN: [(u8, usize); 4] = [(10, 30), (11, 28), (12, 26), (13, 26)];

/// Finds the layouts by a context made for it, or finds that they are others.
fn find<'py>(
    py: Python<'py>,
    value: &impl Fn() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Layout>> {
    let Some(context_word) = context_word(py) else {
        return Ok(None);
    };
    let variable = ContextVar::new(py, c"nanospan:probe")?;
    // SAFETY: calls of CPython's C API by their contracts. The word of the thread state lies within
    // it in every build of these versions. What is read of an object lies within its type's size,
    // which is looked at first, and is used as an object only once it can be nothing else: the map
    // of a context in which a variable was set.
    unsafe {
        let context = Bound::from_owned_ptr_or_err(py, ffi::PyContext_New())?;
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        let set = value().and_then(|value| variable.set(py, &value));
        let state = ffi::PyThreadState_Get().cast::<ffi::PyObject>();
        let is_current = word(state, context_word) == context.as_ptr();
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        set?;
        let is_left = word(state, context_word) != context.as_ptr();
        if !is_current || !is_left || !has_words(context.as_ptr(), MAP) {
            return Ok(None);
        }
        let map = word(context.as_ptr(), MAP);
        if !is_named(map, c"hamt") || !has_words(map, ROOT) {
            return Ok(None);
        }
        let root = word(map, ROOT);
        Ok(is_named(root, c"hamt_bitmap_node").then(|| Layout {
            context: context_word,
            bitmap_node: ffi::Py_TYPE(root),
        }))
    }
}

/// Tries the rule of [`Layout::sole_value`] on what it must tell apart.
fn behaves<'py>(
    py: Python<'py>,
    layout: &Layout,
    value: &impl Fn() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let variable = ContextVar::new(py, c"nanospan:behaves")?;
    let contextvars = py.import("contextvars")?;
    let mut seen = Vec::new();
    // SAFETY: calls of CPython's C API by their contracts.
    unsafe {
        let context = Bound::from_owned_ptr_or_err(py, ffi::PyContext_New())?;
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        let tried = (|| {
            let is_sole = || layout.sole_value(py, &variable).is_some();
            seen.push(!is_sole());
            drop(variable.set(py, &value()?)?);
            seen.push(is_sole());
            let copy = contextvars.call_method0("copy_context")?;
            seen.push(!is_sole());
            drop(copy);
            seen.push(is_sole());
            let held = variable.get(py)?;
            seen.push(!is_sole());
            drop(held);
            let token = variable.set(py, &value()?)?;
            seen.push(is_sole());
            drop(token);
            let current = layout.current_context(py);
            seen.push(current.is_some_and(|current| current.is(&context)));
            Ok::<_, PyErr>(())
        })();
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        tried?;
    }
    Ok(seen.iter().all(|is_so| *is_so))
}

/// # Safety
///
/// The object, or struct, has more than `index` words.
#[inline]
unsafe fn word(object: *mut ffi::PyObject, index: usize) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe { *object.cast::<*mut ffi::PyObject>().add(index) }
}

/// # Safety
///
/// `object` is an object that lives.
unsafe fn has_words(object: *mut ffi::PyObject, last: usize) -> bool {
    // SAFETY: the caller's promise.
    let size = unsafe { (*ffi::Py_TYPE(object)).tp_basicsize };
    size as usize >= (last + 1) * size_of::<usize>()
}

/// # Safety
///
/// `object` is null or an object that lives.
unsafe fn is_named(object: *mut ffi::PyObject, name: &CStr) -> bool {
    // SAFETY: the caller's promise; a type's name is a C string.
    !object.is_null() && unsafe { CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name) } == name
}
