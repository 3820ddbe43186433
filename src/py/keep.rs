//! What a late decision keeps, as `configure` takes it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::argument::{self, Given};
use super::error::{misuse, wrong_type, wrong_value};
use super::value::{Change, Reader, text};
use crate::keep::{Keep, KeepRule};
use crate::sampler::RateLimit;

/// Which traces that the sampler turned down are kept, decided when their root finishes.
///
/// With `errors` those in which the status of a span is ERROR; with `slower_than` those whose root
/// took more seconds; with `rules`, a list or tuple of `KeepRule`, those in which a span matches
/// one. No more than `max_traces_per_second` are, where it is given. Raises `TypeError` or
/// `ValueError` naming the argument.
#[pyclass(frozen, name = "Keep", module = "nanospan")]
pub(crate) struct PyKeep {
    errors: bool,
    slower_than: Option<Duration>,
    rules: Vec<Py<PyKeepRule>>,
    max_traces_per_second: Option<f64>,
}

#[pymethods]
impl PyKeep {
    #[new]
    #[pyo3(signature = (*, errors=Given::Missing, slower_than=None, rules=Given::Missing, max_traces_per_second=None),
           text_signature = "(*, errors=True, slower_than=None, rules=(), max_traces_per_second=None)")]
    fn new(
        errors: Given<'_>,
        slower_than: Option<&Bound<'_, PyAny>>,
        rules: Given<'_>,
        max_traces_per_second: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let errors = errors
            .as_ref()
            .map(|came| argument::boolean("errors", came));
        let slower_than = slower_than.map(|came| argument::seconds("slower_than", came));
        let most =
            max_traces_per_second.map(|came| argument::per_second("max_traces_per_second", came));
        Ok(Self {
            errors: errors.transpose()?.unwrap_or(true),
            slower_than: slower_than.transpose()?,
            rules: rules.as_ref().map_or(Ok(Vec::new()), rules_of)?,
            max_traces_per_second: most.transpose()?,
        })
    }

    fn __repr__(&self) -> String {
        let shown = |number: Option<f64>| number.map_or("None".to_owned(), |n| format!("{n:?}"));
        let rules: Vec<_> = self
            .rules
            .iter()
            .map(|rule| rule.get().__repr__())
            .collect();
        format!(
            "Keep(errors={}, slower_than={}, rules=[{}], max_traces_per_second={})",
            if self.errors { "True" } else { "False" },
            shown(self.slower_than.map(|most| most.as_secs_f64())),
            rules.join(", "),
            shown(self.max_traces_per_second),
        )
    }
}

fn rules_of(came: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyKeepRule>>> {
    const ALLOWED: &str = "a list or tuple of KeepRule";
    if !came.is_instance_of::<PyList>() && !came.is_instance_of::<PyTuple>() {
        return Err(wrong_type("rules", ALLOWED, came));
    }
    let rule = |came: PyResult<Bound<'_, PyAny>>| {
        let came = came?;
        let rule = came.cast::<PyKeepRule>();
        rule.map(|rule| rule.clone().unbind())
            .map_err(|_| wrong_type("rules", ALLOWED, &came))
    };
    came.try_iter()?.map(rule).collect()
}

/// Which spans have their trace kept: those that match all that is given.
///
/// `name` is a pattern of the span's name, in which `*` stands for any text and `?` for any
/// character. `attributes` is a mapping: the span has each of them when it finishes, with this
/// value, or with any where that is None. At least one of both is given. Raises `TypeError` or
/// `ValueError` naming the argument.
#[pyclass(frozen, name = "KeepRule", module = "nanospan")]
pub(crate) struct PyKeepRule {
    name: Option<String>,
    attributes: Vec<(String, Change)>,
}

#[pymethods]
impl PyKeepRule {
    #[new]
    #[pyo3(signature = (*, name=None, attributes=None))]
    fn new(
        name: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let name = name
            .map(|came| argument::name("name", came).map(|name| text(name).into_owned()))
            .transpose()?;
        let changes = Reader::unlimited().changes("attributes", attributes)?;
        if let (Some(came), true) = (
            attributes,
            changes
                .iter()
                .any(|(_, change)| matches!(change, Change::Nothing)),
        ) {
            return Err(wrong_value(
                "attributes",
                "values that attributes can have",
                came,
            ));
        }
        if name.is_none() && changes.is_empty() {
            return Err(misuse("a KeepRule needs name or attributes".to_owned()));
        }
        Ok(Self {
            name,
            attributes: changes,
        })
    }

    fn __repr__(&self) -> String {
        let keys: Vec<_> = self.attributes.iter().map(|(key, _)| key).collect();
        match &self.name {
            Some(name) => format!("KeepRule(name={name:?}, attributes={keys:?})"),
            None => format!("KeepRule(attributes={keys:?})"),
        }
    }
}

impl PyKeepRule {
    fn rule(&self) -> KeepRule {
        let mut rule = KeepRule {
            name: self.name.as_deref().map(Box::from),
            ..KeepRule::default()
        };
        for (key, change) in &self.attributes {
            let value = match change {
                Change::Set(value) => Some(value.as_value()),
                Change::Unset | Change::Nothing => None,
            };
            rule = rule.with_attribute(key, value);
        }
        rule
    }
}

/// What `configure` gives as `keep`.
pub(super) fn keep_of(came: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Arc<Keep>>> {
    let Some(came) = came else { return Ok(None) };
    let keep = came
        .cast::<PyKeep>()
        .map_err(|_| wrong_type("keep", "a Keep or None", came))?
        .get();
    Ok(Some(Arc::new(Keep {
        errors: keep.errors,
        slower_than_ns: keep.slower_than.map(|most| most.as_nanos() as u64),
        rules: keep.rules.iter().map(|rule| rule.get().rule()).collect(),
        // Checked when it was given.
        budget: keep.max_traces_per_second.and_then(RateLimit::new),
    })))
}
