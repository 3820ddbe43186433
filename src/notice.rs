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

/// Causes beyond this many are told without the name they carry, or not at all: the application
/// makes those names up. The causes without one are a handful, and always get through.
const MAX_CAUSES: usize = 1_000;

/// A cause that comes back is told again after this long.
const REPEAT: Duration = Duration::from_secs(60);

impl Notices {
    /// Leaves a notice. The first of its cause keeps its text; a cause that was passed on before
    /// is told again after a minute.
    pub fn leave(&self, cause: &str, text: impl FnOnce() -> String) {
        self.put(cause, Some(cause), REPEAT, text);
    }

    /// The same for a cause that is told apart by a name of the application's. When there are too
    /// many names, all others are one cause.
    pub fn leave_named(&self, cause: &str, name: &str, text: impl FnOnce() -> String) {
        self.put(&format!("{cause} {name}"), Some(cause), REPEAT, text);
    }

    /// Leaves a notice that is told once in the life of the pipeline.
    pub fn leave_once(&self, cause: &str, text: impl FnOnce() -> String) {
        self.put(cause, None, Duration::MAX, text);
    }

    /// `or` is the cause to take when the table is full.
    fn put(&self, cause: &str, or: Option<&str>, pause: Duration, text: impl FnOnce() -> String) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cause) = Some(cause).filter(|cause| table.admits(cause)).or(or) else {
            return;
        };
        let mut waiting = table.waiting.iter_mut();
        if let Some(known) = waiting.find(|notice| notice.cause == cause) {
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
        }
        table.waiting.push(Notice {
            cause: cause.to_owned(),
            text: text(),
            count,
        });
        self.waiting.store(true, Ordering::Release);
    }

    /// True when there is something to take.
    #[inline]
    pub fn are_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// The notices left since the last call. Costs one load when there are none.
    pub fn take(&self) -> Vec<Notice> {
        if !self.are_waiting() {
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

impl Table {
    fn admits(&self, cause: &str) -> bool {
        self.waiting.len() + self.told.len() < MAX_CAUSES
            || self.told.contains_key(cause)
            || self.waiting.iter().any(|notice| notice.cause == cause)
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

    #[test]
    fn names_are_told_apart_until_they_are_too_many_and_then_together() {
        let notices = Notices::default();
        for name in 0..MAX_CAUSES + 5 {
            for _ in 0..2 {
                notices.leave_named("abandoned", &name.to_string(), || format!("span {name}"));
            }
        }
        let told = notices.take();
        assert_eq!(told.len(), MAX_CAUSES + 1);
        let (named, together) = told.split_at(MAX_CAUSES);
        assert!(named.iter().all(|notice| notice.count == 2));
        assert_eq!(
            (together[0].cause.as_str(), together[0].count),
            ("abandoned", 10)
        );
    }
}
