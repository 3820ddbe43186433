//! The `RemoteContext` that is current: one `ContextVar`, set for a block.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::PyRemoteContext;
use crate::py::ffi::{ContextVar, Token, turn};
use crate::turn::Guarded;

fn variable(py: Python<'_>) -> PyResult<&'static ContextVar> {
    static CURRENT: PyOnceLock<ContextVar> = PyOnceLock::new();
    CURRENT.get_or_try_init(py, || ContextVar::new(py, c"nanospan_remote_context"))
}

pub(super) fn current(py: Python<'_>) -> PyResult<Option<Bound<'_, PyRemoteContext>>> {
    let current = variable(py)?.get(py)?;
    Ok(current.and_then(|current| current.cast_into().ok()))
}

/// What `RemoteContext.carry` gives: enter it once.
#[pyclass(frozen, name = "_Carry", module = "nanospan")]
pub(crate) struct PyCarry {
    remote: Py<PyRemoteContext>,
    token: Guarded<Option<Token>>,
}

impl PyCarry {
    pub(super) fn of(remote: &Bound<'_, PyRemoteContext>) -> Self {
        Self {
            remote: remote.clone().unbind(),
            token: Guarded::default(),
        }
    }
}

#[pymethods]
impl PyCarry {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyRemoteContext>> {
        if self.token.borrow(turn(py)).is_some() {
            return Err(PyRuntimeError::new_err(
                "carry: the block was entered already",
            ));
        }
        let remote = self.remote.bind(py).clone();
        let token = variable(py)?.set(py, remote.as_any())?;
        *self.token.borrow(turn(py)) = Some(token);
        Ok(remote)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc_value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let token = self.token.borrow(turn(py)).take();
        if let Some(token) = token {
            // Left in another context than it was entered in: then it changes nothing there.
            let _ = variable(py)?.reset(py, &token.into_bound(py));
        }
        Ok(())
    }
}
