//! Handles that hold one another are let go of one by one: a chain of a million, each the last
//! reference to the next, would overflow the stack otherwise.

use std::cell::RefCell;

use pyo3::prelude::*;

use super::ffi::is_last;

thread_local! {
    /// Handles that wait to be let go of while another one is.
    static WAITING: RefCell<Option<Vec<Py<PyAny>>>> = const { RefCell::new(None) };
}

/// Lets go of handles that a dying one held. Those that somebody else holds too live on.
pub(super) fn let_go<'py, T>(py: Python<'py>, handles: impl IntoIterator<Item = Bound<'py, T>>) {
    let last = handles.into_iter().filter(is_last);
    let mut last = last.map(|handle| handle.into_any().unbind()).peekable();
    if last.peek().is_none() {
        return;
    }
    // A thread that is ending has no such list any more; its chains are as long as they are.
    let _ = WAITING.try_with(|waiting| {
        if let Some(waiting) = waiting.borrow_mut().as_mut() {
            waiting.extend(last);
            return;
        }
        *waiting.borrow_mut() = Some(last.collect());
        loop {
            // Not borrowed while a handle goes: what it held comes to the list.
            let next = waiting.borrow_mut().as_mut().and_then(Vec::pop);
            let Some(handle) = next else { break };
            drop(handle.into_bound(py));
        }
        *waiting.borrow_mut() = None;
    });
}
