//! What the user must know, kept until a thread of the application passes it to its log: the
//! worker and the destructors never call Python.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line for the log. One line stands for all of the same cause since the last was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What the line is about; one cause fills one place of the table.
    pub cause: String,
    /// The line.
    pub text: String,
    /// How many times it happened.
    pub count: u64,
}

/// A bounded table of notices.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: Vec<Notice>,
    /// Causes that were passed on already, and how often they came back since.
    told: HashMap<String, Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    since: u64,
}

/// Causes told once beyond this many are only counted where they happen: they carry names that the
/// application makes up. The others are a handful, and must always get through.
const MAX_CAUSES: usize = 1_000;

/// A cause that comes back is told again after this long.
const REPEAT: Duration = Duration::from_secs(60);

impl Notices {
    /// Leaves a notice. The first of its cause keeps its text; a cause that was passed on before
    /// is told again after a minute.
    pub fn leave(&self, cause: &str, text: impl FnOnce() -> String) {
        self.leave_unless_told_within(REPEAT, cause, text);
    }

    /// Leaves a notice that is told once in the life of the pipeline.
    pub fn leave_once(&self, cause: &str, text: impl FnOnce() -> String) {
        self.leave_unless_told_within(Duration::MAX, cause, text);
    }

    fn leave_unless_told_within(
        &self,
        pause: Duration,
        cause: &str,
        text: impl FnOnce() -> String,
    ) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table
            .waiting
            .iter_mut()
            .find(|notice| notice.cause == cause)
        {
            known.count += 1;
            return;
        }
        let mut count = 1;
        if let Some(told) = table.told.get_mut(cause) {
            told.since += 1;
            if told.at.elapsed() < pause {
                return;
            }
            count = told.since;
        } else if pause == Duration::MAX && table.waiting.len() + table.told.len() >= MAX_CAUSES {
            return;
        }
        table.waiting.push(Notice {
            cause: cause.to_owned(),
            text: text(),
            count,
        });
        self.waiting.store(true, Ordering::Release);
    }

    /// The notices left since the last call. Costs one load when there are none.
    pub fn take(&self) -> Vec<Notice> {
        if !self.waiting.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(false, Ordering::Relaxed);
        let notices = std::mem::take(&mut table.waiting);
        let at = Instant::now();
        table.told.extend(
            notices
                .iter()
                .map(|n| (n.cause.clone(), Told { at, since: 0 })),
        );
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_with_its_count() {
        let notices = Notices::default();
        for text in ["first", "second"] {
            notices.leave("full", || text.to_owned());
        }
        let told = notices.take();
        assert_eq!(
            told,
            [Notice {
                cause: "full".into(),
                text: "first".into(),
                count: 2
            }]
        );
        notices.leave("full", || "third".to_owned());
        assert_eq!(notices.take(), []);
    }

    #[test]
    fn the_table_is_bounded() {
        let notices = Notices::default();
        for cause in 0..2 * MAX_CAUSES {
            notices.leave_once(&cause.to_string(), String::new);
        }
        assert_eq!(notices.take().len(), MAX_CAUSES);
        notices.leave("queue full", String::new);
        assert_eq!(notices.take().len(), 1, "a full table silences no failure");
    }
}
