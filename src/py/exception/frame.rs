//! What a traceback says of one frame: its place, its source line, and carets below it. The standard
//! library's `traceback` writes that once for each instruction that exceptions come through, and it is
//! kept: next time it costs a look-up. A source file that changes afterwards is not read again; the
//! code that runs is the old one too.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::super::value::text;

/// File, line and function: frames that agree in all three are repetitions. The line is None for an
/// instruction that has none, which repeats nothing.
type Place = (String, Option<i64>, String);

/// A frame as it is told.
pub(super) struct Frame {
    place: Place,
    pub(super) text: String,
    /// While it lives no other code object has its address.
    _code: Py<PyAny>,
}

impl Frame {
    /// True where `traceback` takes this frame for the same as the one before it.
    pub(super) fn repeats(&self, before: &Self) -> bool {
        self.place.1.is_some() && self.place == before.place
    }
}

/// The frame that an entry of a traceback is about.
pub(super) fn of(entry: &Bound<'_, PyAny>) -> PyResult<Arc<Frame>> {
    let py = entry.py();
    let code = entry
        .getattr(intern!(py, "tb_frame"))?
        .getattr(intern!(py, "f_code"))?;
    let instruction = entry.getattr(intern!(py, "tb_lasti"))?.extract()?;
    let line = entry.getattr(intern!(py, "tb_lineno"))?.extract()?;
    let key = (code.as_ptr().addr(), instruction, line);
    // The lock is free while Python runs, and when code objects die.
    let found = known().find(key);
    if let Some(frame) = found {
        return Ok(frame);
    }
    let frame = Arc::new(told(entry, code.unbind())?);
    if frame.text.len() <= MAX_KEPT_TEXT {
        let old = known().keep(key, Arc::clone(&frame));
        drop(old);
    }
    Ok(frame)
}

fn told(entry: &Bound<'_, PyAny>, code: Py<PyAny>) -> PyResult<Frame> {
    let py = entry.py();
    let stack = py
        .import(intern!(py, "traceback"))?
        .call_method1(intern!(py, "extract_tb"), (entry, 1))?;
    let summary = stack.get_item(0)?;
    let string = |value: Bound<'_, PyAny>| -> PyResult<String> {
        Ok(text(value.cast::<PyString>()?).into_owned())
    };
    let mut told = String::new();
    for lines in stack.call_method0(intern!(py, "format"))?.try_iter()? {
        told += &string(lines?)?;
    }
    Ok(Frame {
        place: (
            string(summary.getattr(intern!(py, "filename"))?)?,
            summary.getattr(intern!(py, "lineno"))?.extract()?,
            string(summary.getattr(intern!(py, "name"))?)?,
        ),
        text: told,
        _code: code,
    })
}

/// Together with `MAX_KEPT_TEXT` a bound for memory; each may keep a code object alive.
const MAX_KEPT: usize = 1_024;
/// Longer ones are machine-made source, or told by somebody who changed `traceback`.
const MAX_KEPT_TEXT: usize = 2_000;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address of a code object, an instruction in it, and its line as the traceback has it.
type Key = (usize, i32, Option<i32>);
type Frames = HashMap<Key, (Arc<Frame>, u64)>;

/// Frames, each with the number of the look-up that asked for it last.
#[derive(Default)]
struct Known {
    frames: Frames,
    look_ups: u64,
}

impl Known {
    fn find(&mut self, key: Key) -> Option<Arc<Frame>> {
        self.look_ups += 1;
        let (frame, last) = self.frames.get_mut(&key)?;
        *last = self.look_ups;
        Some(Arc::clone(frame))
    }

    /// What had to go for it: of a full cache the half that was not asked for longest.
    fn keep(&mut self, key: Key, frame: Arc<Frame>) -> Frames {
        let mut gone = Frames::new();
        if self.frames.len() >= MAX_KEPT {
            let mut uses: Vec<u64> = self.frames.values().map(|(_, last)| *last).collect();
            let (_, median, _) = uses.select_nth_unstable(MAX_KEPT / 2);
            let median = *median;
            (self.frames, gone) = take(&mut self.frames)
                .into_iter()
                .partition(|(_, (_, last))| *last > median);
        }
        self.frames.insert(key, (frame, self.look_ups));
        gone
    }
}
