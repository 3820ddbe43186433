//! Handles that hold one another are let go of one by one: a chain of a million, each the last
//! reference to the next, would overflow the stack otherwise.

use std::cell::RefCell;

use pyo3::prelude::*;

use super::ffi::is_last;

thread_local! {
    /// Handles that wait to be let go of while another one is.
    static WAITING: RefCell<Option<Vec<Py<PyAny>>>> = const { RefCell::new(None) };
}

/// Lets go of a handle that a dying one held. If somebody else holds it too it lives on.
#[inline(always)]
pub(super) fn let_go<T>(handle: Bound<'_, T>) {
    if is_last(&handle) {
        let_go_last(handle.into_any());
    }
}

#[cold]
fn let_go_last(handle: Bound<'_, PyAny>) {
    let py = handle.py();
    let mut last = Some(handle.unbind());
    // A thread that is ending has no such list any more; its chains are as long as they are.
    let _ = WAITING.try_with(|waiting| {
        if let Some(waiting) = waiting.borrow_mut().as_mut() {
            waiting.extend(last.take());
            return;
        }
        *waiting.borrow_mut() = Some(last.take().into_iter().collect());
        loop {
            // Not borrowed while a handle goes: what it held comes to the list.
            let next = waiting.borrow_mut().as_mut().and_then(Vec::pop);
            let Some(handle) = next else { break };
            drop(handle.into_bound(py));
        }
        *waiting.borrow_mut() = None;
    });
    drop(last.map(|handle| handle.into_bound(py)));
}
