//! What is set on a span while it is open.

use super::{AlreadyLinked, Phase, Span};
use crate::context::StatusCode;
use crate::record::{Record, Rules, Target};
use crate::turn::Turn;
use crate::value::{Encode, Value};

impl Span {
    /// Sets an attribute; the last write wins.
    #[inline(always)]
    pub fn set_attribute(&self, turn: Turn<'_>, key: &str, value: Value<'_>) {
        match value {
            Value::Text(text) => self.set(turn, key, text),
            Value::Bool(bool) => self.set(turn, key, bool),
            Value::Int(int) => self.set(turn, key, int),
            Value::Double(double) => self.set(turn, key, double),
            value => self.set(turn, key, value),
        }
    }

    // One function for each type: a value that passes through memory waits there.
    #[inline(never)]
    fn set<V: Encode>(&self, turn: Turn<'_>, key: &str, value: V) {
        let Some(slot) = self.slot else { return };
        let pipeline = self.trace().pipeline();
        if pipeline.is_inherited() {
            return;
        }
        let rules = Rules {
            limits: pipeline.limits(),
            surplus: self.tracer.surplus(),
        };
        match pipeline.store().open(turn, slot) {
            Some(mut record) => record.set(key, value, rules),
            None => pipeline.counters().ignored_writes.add(1),
        }
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss_attributes(&self, turn: Turn<'_>, count: u32) {
        self.write(turn, |record| record.miss_attributes(count));
    }

    /// Removes an attribute.
    pub fn unset_attribute(&self, turn: Turn<'_>, key: &str) {
        self.write(turn, |record| record.unset_attribute(key));
    }

    /// Adds an event, now unless `time_ns` says when.
    pub fn add_event<'a>(
        &self,
        turn: Turn<'_>,
        name: &str,
        time_ns: Option<u64>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        if self.slot.is_none() {
            return;
        }
        let time_ns = time_ns.unwrap_or_else(|| self.trace().now_ns());
        let rules = self.rules();
        self.write(turn, |record| {
            record.add_event(name, time_ns, attributes, 0, rules);
        });
    }

    /// How many attributes an event may have.
    #[inline]
    pub fn max_event_attributes(&self) -> usize {
        self.trace().pipeline().limits().attribute_per_event_count
    }

    /// Adds an event now, with attributes whose keys differ, no more than it may have.
    pub fn add_event_of_distinct(
        &self,
        turn: Turn<'_>,
        name: &str,
        attributes: &[(&str, Value<'_>)],
    ) {
        if self.slot.is_none() {
            return;
        }
        let time_ns = self.trace().now_ns();
        let rules = self.rules();
        self.write(turn, |record| {
            record.add_event_of_distinct(name, time_ns, attributes, rules);
        });
    }

    /// Adds a link.
    pub fn add_link<'a>(
        &self,
        turn: Turn<'_>,
        target: Target<'_>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        let rules = self.rules();
        self.write(turn, |record| record.add_link(target, attributes, 0, rules));
    }

    /// Changes what it holds, by the rules of its tracer. `work` must not call Python.
    pub fn change(&self, turn: Turn<'_>, work: impl FnOnce(&mut Record, Rules<'_>)) {
        let rules = self.rules();
        self.write(turn, |record| work(record, rules));
    }

    /// Sets the status by the rules of [`StatusCode::set`].
    pub fn set_status(&self, turn: Turn<'_>, code: StatusCode, description: Option<&str>) {
        if self.slot.is_none() {
            return;
        }
        // A status has no other limit on its text than an attribute's.
        let description = description
            .map(|text| text.truncated(self.trace().pipeline().limits().attribute_value_length));
        if self.write(turn, |_| ()) {
            let before = self.status.get(turn);
            if let Some(code) = before.set(code) {
                self.status.set(turn, code);
                let description = description.filter(|_| code == StatusCode::Error);
                self.words.borrow(turn).describe(description);
            }
        }
    }

    /// Gives a draft its name and start.
    pub fn link(
        &self,
        turn: Turn<'_>,
        name: &str,
        start_time_ns: Option<u64>,
    ) -> Result<(), AlreadyLinked> {
        if self.phase.get(turn) != Phase::Draft {
            return Err(AlreadyLinked);
        }
        self.phase.set(turn, Phase::Open);
        let start = start_time_ns.unwrap_or_else(|| self.trace().now_ns());
        self.start_time_ns.set(turn, start);
        self.with_record(turn, |record| record.set_name(name));
        Ok(())
    }
}
