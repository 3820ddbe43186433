//! The samplers, as `configure` takes them.

mod custom;
mod shown;

use std::sync::Arc;

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

use super::argument;
use super::error::{misuse, wrong_type};
use super::tracer::strategy_of;
use crate::sampler::{
    ParentBased, Probability, RateLimit, Rule, RuleBased, Sampler, SettableRatio,
};
pub(crate) use custom::PySamplingInput;
use shown::{shown, shown_rule};

/// A sampler of ours: it decides without calling Python.
#[pyclass(frozen, eq, subclass, name = "_BuiltIn", module = "nanospan")]
#[derive(PartialEq)]
pub(crate) struct PySampler(Sampler);

impl PySampler {
    /// What makes an object of a class below this one.
    fn under<T: PyClass<BaseType = Self>>(own: T, sampler: Sampler) -> PyClassInitializer<T> {
        PyClassInitializer::from(Self(sampler)).add_subclass(own)
    }
}

#[pymethods]
impl PySampler {
    fn __repr__(&self) -> String {
        shown(&self.0)
    }
}

/// Samples every span.
#[pyclass(frozen, extends = PySampler, name = "AlwaysOn", module = "nanospan")]
pub(crate) struct PyAlwaysOn;

#[pymethods]
impl PyAlwaysOn {
    #[new]
    fn new() -> PyClassInitializer<Self> {
        PySampler::under(Self, Sampler::AlwaysOn)
    }
}

/// Samples no span.
#[pyclass(frozen, extends = PySampler, name = "AlwaysOff", module = "nanospan")]
pub(crate) struct PyAlwaysOff;

#[pymethods]
impl PyAlwaysOff {
    #[new]
    fn new() -> PyClassInitializer<Self> {
        PySampler::under(Self, Sampler::AlwaysOff)
    }
}

/// Samples a share of the traces, by trace id: all services give the same answer for one trace.
///
/// `rate` is a number from 0 to 1; others raise `ValueError` (OpenTelemetry SDK specification,
/// "TraceIdRatioBased").
#[pyclass(frozen, extends = PySampler, name = "TraceIdRatio", module = "nanospan")]
pub(crate) struct PyTraceIdRatio(Arc<SettableRatio>);

#[pymethods]
impl PyTraceIdRatio {
    #[new]
    fn new(rate: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let ratio = Arc::new(SettableRatio::new(argument::rate("rate", rate)?));
        let sampler = Sampler::TraceIdRatio(Arc::clone(&ratio));
        Ok(PySampler::under(Self(ratio), sampler))
    }

    /// The rate, from 0 to 1. Set, it counts at once wherever this sampler is used.
    #[getter]
    fn rate(&self) -> f64 {
        self.0.get().rate()
    }

    #[setter]
    fn set_rate(&self, rate: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set(argument::rate("rate", rate)?);
        Ok(())
    }
}

/// Samples a share of the traces by a threshold that travels with them in the `tracestate`.
///
/// `rate` is a number from 0 to 1; others raise `ValueError`. Services with different rates sample
/// the same traces as far as the lower rate goes, and `SpanContext.adjusted_count` says how many
/// traces a sampled one stands for (OpenTelemetry specification, "TraceState: Probability
/// Sampling"). In `ParentBased(ConsistentProbability(rate))` no trace lacks a parent.
#[pyclass(frozen, extends = PySampler, name = "ConsistentProbability", module = "nanospan")]
pub(crate) struct PyConsistentProbability(Arc<Probability>);

#[pymethods]
impl PyConsistentProbability {
    #[new]
    fn new(rate: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let probability = Arc::new(Probability::new(argument::rate("rate", rate)?));
        let sampler = Sampler::ConsistentProbability(Arc::clone(&probability));
        Ok(PySampler::under(Self(probability), sampler))
    }

    /// The rate, from 0 to 1. Set, it counts at once wherever this sampler is used.
    #[getter]
    fn rate(&self) -> f64 {
        self.0.get().rate()
    }

    #[setter]
    fn set_rate(&self, rate: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set(argument::rate("rate", rate)?);
        Ok(())
    }
}

/// Samples so many spans a second, by the clock of the trace, whatever comes.
///
/// `rate` is a finite number, 0 or more; others raise `ValueError`. What was not used is kept for a
/// second, or for as long as one takes. `ParentBased(RateLimited(rate))` samples so many traces a
/// second, and those whole.
#[pyclass(frozen, extends = PySampler, name = "RateLimited", module = "nanospan")]
pub(crate) struct PyRateLimited(Arc<RateLimit>);

#[pymethods]
impl PyRateLimited {
    #[new]
    fn new(rate: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let limit = RateLimit::new(argument::per_second("rate", rate)?);
        let limit = Arc::new(limit.expect("a rate was asked for"));
        let sampler = Sampler::RateLimited(Arc::clone(&limit));
        Ok(PySampler::under(Self(limit), sampler))
    }

    /// How many a second. Set, it counts at once wherever this sampler is used.
    #[getter]
    fn rate(&self) -> f64 {
        self.0.rate()
    }

    #[setter]
    fn set_rate(&self, rate: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set_rate(argument::per_second("rate", rate)?);
        Ok(())
    }
}

/// Does what the parent did; asks `root` for spans without a parent.
///
/// The others are asked about children, and may do something else than follow: by what the parent
/// decided, and by whether it is another process's. Where the parent has decided nothing, `root` is
/// asked. None is what follows (OpenTelemetry SDK specification, "ParentBased").
#[pyclass(frozen, extends = PySampler, name = "ParentBased", module = "nanospan")]
pub(crate) struct PyParentBased;

#[pymethods]
impl PyParentBased {
    #[new]
    #[pyo3(signature = (root, *, remote_parent_sampled=None, remote_parent_not_sampled=None, local_parent_sampled=None, local_parent_not_sampled=None))]
    fn new(
        root: &Bound<'_, PyAny>,
        remote_parent_sampled: Option<&Bound<'_, PyAny>>,
        remote_parent_not_sampled: Option<&Bound<'_, PyAny>>,
        local_parent_sampled: Option<&Bound<'_, PyAny>>,
        local_parent_not_sampled: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let branch = |argument, came: Option<&Bound<'_, PyAny>>, usual| {
            came.map_or(Ok(usual), |came| read(argument, came))
        };
        let (on, off) = (Sampler::AlwaysOn, Sampler::AlwaysOff);
        let made = ParentBased {
            root: read("root", root)?,
            remote_parent_sampled: branch(
                "remote_parent_sampled",
                remote_parent_sampled,
                on.clone(),
            )?,
            remote_parent_not_sampled: branch(
                "remote_parent_not_sampled",
                remote_parent_not_sampled,
                off.clone(),
            )?,
            local_parent_sampled: branch("local_parent_sampled", local_parent_sampled, on)?,
            local_parent_not_sampled: branch(
                "local_parent_not_sampled",
                local_parent_not_sampled,
                off,
            )?,
        };
        let sampler = Sampler::ParentBased(Arc::new(made));
        Ok(PySampler::under(Self, sampler))
    }

    /// The sampler of a strategy for another process's decision.
    ///
    /// A parent's no is always honoured. Its yes is honoured by the strategy
    /// `parent_probability_fallback`; by `parent_drop_probability_fallback` `root` is asked again,
    /// which can only drop. Within this process children follow.
    #[staticmethod]
    fn by_strategy<'py>(
        strategy: &Bound<'py, PyAny>,
        root: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let strategy = strategy_of(strategy)?;
        let made = ParentBased::by_strategy(strategy, read("root", root)?);
        let sampler = Sampler::ParentBased(Arc::new(made));
        Bound::new(root.py(), PySampler::under(Self, sampler))
    }
}

/// Which spans a sampler is for: those that match all that is given.
///
/// `name` and `tracer` are patterns of the span's name and of its tracer's, in which `*` stands for
/// any text and `?` for any character; `kind` is a `SpanKind`. At least one is given. Raises
/// `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, eq, name = "Rule", module = "nanospan")]
#[derive(PartialEq)]
pub(crate) struct PyRule(Rule);

#[pymethods]
impl PyRule {
    #[new]
    #[pyo3(signature = (sampler, *, name=None, tracer=None, kind=None))]
    fn new(
        sampler: &Bound<'_, PyAny>,
        name: Option<&Bound<'_, PyAny>>,
        tracer: Option<&Bound<'_, PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if name.is_none() && tracer.is_none() && kind.is_none() {
            let text = "a Rule needs name, tracer or kind: what is for all spans is otherwise= of RuleBased";
            return Err(misuse(text.to_owned()));
        }
        let pattern = |argument, came: Option<&Bound<'_, PyAny>>| -> PyResult<_> {
            let Some(came) = came else { return Ok(None) };
            let pattern = argument::name(argument, came)?;
            Ok(Some(Box::from(&*super::value::text(pattern))))
        };
        Ok(Self(Rule {
            name: pattern("name", name)?,
            tracer: pattern("tracer", tracer)?,
            kind: kind.map(|kind| argument::kind(Some(kind))).transpose()?,
            sampler: read("sampler", sampler)?,
        }))
    }

    fn __repr__(&self) -> String {
        shown_rule(&self.0)
    }
}

/// Asks the sampler of the first rule that the span matches; `otherwise` where none does.
///
/// `rules` is a list or tuple of `Rule`. In `ParentBased(RuleBased(...))` the rules are for spans
/// without a parent, and their children follow. Raises `TypeError` naming the argument.
#[pyclass(frozen, extends = PySampler, name = "RuleBased", module = "nanospan")]
pub(crate) struct PyRuleBased;

#[pymethods]
impl PyRuleBased {
    #[new]
    #[pyo3(signature = (rules, *, otherwise))]
    fn new(
        rules: &Bound<'_, PyAny>,
        otherwise: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        const ALLOWED: &str = "a list or tuple of Rule";
        if !rules.is_instance_of::<PyList>() && !rules.is_instance_of::<PyTuple>() {
            return Err(wrong_type("rules", ALLOWED, rules));
        }
        let rule = |came: PyResult<Bound<'_, PyAny>>| {
            let came = came?;
            let rule = came.cast::<PyRule>();
            rule.map(|rule| rule.get().0.clone())
                .map_err(|_| wrong_type("rules", ALLOWED, &came))
        };
        let made = RuleBased {
            rules: rules.try_iter()?.map(rule).collect::<PyResult<_>>()?,
            otherwise: read("otherwise", otherwise)?,
        };
        let sampler = Sampler::RuleBased(Arc::new(made));
        Ok(PySampler::under(Self, sampler))
    }
}

/// Records what `sampler` drops, for span processors of this process; it is not sent.
///
/// OpenTelemetry SDK specification, "AlwaysRecord".
#[pyclass(frozen, extends = PySampler, name = "AlwaysRecord", module = "nanospan")]
pub(crate) struct PyAlwaysRecord;

#[pymethods]
impl PyAlwaysRecord {
    #[new]
    fn new(sampler: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let made = Sampler::AlwaysRecord(Arc::new(read("sampler", sampler)?));
        Ok(PySampler::under(Self, made))
    }
}

/// The core's sampler of one of ours, or of a callable.
pub(crate) fn read(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Sampler> {
    if let Ok(sampler) = came.cast::<PySampler>() {
        return Ok(sampler.get().0.clone());
    }
    // A class instead of its object would be called, and decide nothing.
    if came.is_callable() && !came.is_instance_of::<PyType>() {
        return Ok(custom::sampler(came));
    }
    let allowed = "a sampler, as AlwaysOn() or TraceIdRatio(0.1), or a callable";
    Err(wrong_type(argument, allowed, came))
}
