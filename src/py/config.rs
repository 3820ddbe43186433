//! The core of `configure` and what it is given; `flush`, `shutdown`, `stats`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::argument::{self, Given};
use super::clock::{PyManualClock, PyScriptedIds};
use super::error::{cannot_open, misuse, wrong_type};
use super::exporter::{PyConsoleExporter, PyFileExporter, PyMemoryExporter, PyOtlpExporter};
use super::flush::timeout_of;
use super::keep;
use super::lifecycle;
use super::otel;
use super::sampler;
use super::value::{Change, Reader, text};
use crate::clock::Clock;
use crate::counter::Reason;
use crate::limits::SpanLimits;
use crate::pipeline::{Config, Exporter, Pipeline, QueueConfig, Settings};
use crate::resource::Resource;
use crate::sampler::{Ratio, Sampler};
use crate::value::Value;

/// How much one span may hold. What is beyond is left out and counted on the span.
///
/// `attribute_value_length` counts characters of text and bytes of bytes; None keeps all. Raises
/// `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, eq, name = "SpanLimits", module = "nanospan")]
#[derive(PartialEq, Eq)]
pub(crate) struct PySpanLimits(SpanLimits);

#[pymethods]
impl PySpanLimits {
    #[new]
    #[pyo3(signature = (*, attribute_count=Given::Missing, attribute_value_length=None, event_count=Given::Missing, link_count=Given::Missing, attribute_per_event_count=Given::Missing, attribute_per_link_count=Given::Missing),
           text_signature = "(*, attribute_count=128, attribute_value_length=None, event_count=128, link_count=128, attribute_per_event_count=128, attribute_per_link_count=128)")]
    fn new(
        attribute_count: Given<'_>,
        attribute_value_length: Option<&Bound<'_, PyAny>>,
        event_count: Given<'_>,
        link_count: Given<'_>,
        attribute_per_event_count: Given<'_>,
        attribute_per_link_count: Given<'_>,
    ) -> PyResult<Self> {
        const MOST: usize = u32::MAX as usize;
        let mut limits = SpanLimits::default();
        for (field, argument, came) in [
            (
                &mut limits.attribute_count,
                "attribute_count",
                attribute_count.as_ref(),
            ),
            (&mut limits.event_count, "event_count", event_count.as_ref()),
            (&mut limits.link_count, "link_count", link_count.as_ref()),
            (
                &mut limits.attribute_per_event_count,
                "attribute_per_event_count",
                attribute_per_event_count.as_ref(),
            ),
            (
                &mut limits.attribute_per_link_count,
                "attribute_per_link_count",
                attribute_per_link_count.as_ref(),
            ),
        ] {
            if let Some(came) = came {
                *field = argument::count(argument, came, 0, MOST)?;
            }
        }
        limits.attribute_value_length = attribute_value_length
            .map(|came| argument::count("attribute_value_length", came, 0, MOST))
            .transpose()?;
        Ok(Self(limits))
    }

    fn __repr__(&self) -> String {
        let limits = &self.0;
        let length = limits.attribute_value_length;
        format!(
            "SpanLimits(attribute_count={}, attribute_value_length={}, event_count={}, \
             link_count={}, attribute_per_event_count={}, attribute_per_link_count={})",
            limits.attribute_count,
            length.map_or_else(|| "None".to_owned(), |length| length.to_string()),
            limits.event_count,
            limits.link_count,
            limits.attribute_per_event_count,
            limits.attribute_per_link_count,
        )
    }
}

/// How many spans may wait, and how long.
///
/// `max_batch_size` spans go into one export; a span waits `max_coalescing_delay` seconds for
/// others; `max_entries` spans and `max_bytes` bytes may be finished and unsent, then whole traces
/// are dropped and counted; `max_live_spans` may be open, then new ones are not recorded. Raises
/// `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, eq, name = "QueueConfig", module = "nanospan")]
#[derive(PartialEq, Eq)]
pub(crate) struct PyQueueConfig(QueueConfig);

#[pymethods]
impl PyQueueConfig {
    #[new]
    #[pyo3(signature = (*, max_batch_size=Given::Missing, max_coalescing_delay=Given::Missing, max_entries=Given::Missing, max_bytes=Given::Missing, max_live_spans=Given::Missing),
           text_signature = "(*, max_batch_size=512, max_coalescing_delay=1.0, max_entries=10000, max_bytes=16777216, max_live_spans=100000)")]
    fn new(
        max_batch_size: Given<'_>,
        max_coalescing_delay: Given<'_>,
        max_entries: Given<'_>,
        max_bytes: Given<'_>,
        max_live_spans: Given<'_>,
    ) -> PyResult<Self> {
        const MILLION: usize = 1_000_000;
        let mut queue = QueueConfig::default();
        for (field, argument, came, most) in [
            (
                &mut queue.max_batch_size,
                "max_batch_size",
                max_batch_size.as_ref(),
                MILLION,
            ),
            (
                &mut queue.max_entries,
                "max_entries",
                max_entries.as_ref(),
                MILLION,
            ),
            (
                &mut queue.max_bytes,
                "max_bytes",
                max_bytes.as_ref(),
                1 << 40,
            ),
            (
                &mut queue.max_live_spans,
                "max_live_spans",
                max_live_spans.as_ref(),
                100 * MILLION,
            ),
        ] {
            if let Some(came) = came {
                *field = argument::count(argument, came, 1, most)?;
            }
        }
        if let Some(came) = max_coalescing_delay.as_ref() {
            queue.max_coalescing_delay = argument::seconds("max_coalescing_delay", came)?;
        }
        Ok(Self(queue))
    }

    fn __repr__(&self) -> String {
        let queue = &self.0;
        format!(
            "QueueConfig(max_batch_size={}, max_coalescing_delay={:?}, max_entries={}, \
             max_bytes={}, max_live_spans={})",
            queue.max_batch_size,
            queue.max_coalescing_delay.as_secs_f64(),
            queue.max_entries,
            queue.max_bytes,
            queue.max_live_spans,
        )
    }
}

/// `nanospan.configure`, with everything said and nothing read from the environment.
///
/// `detected` are resource attributes that `resource` overrides; given, the process's own are added
/// to them. Tests choose the clock and the ids.
#[pyfunction]
#[pyo3(name = "_configure", signature = (*, service_name=None, resource=None, detected=None, exporter=None, sampling_rate=None, sampler=None, limits=None, queue=None, late_sampling=Given::Missing, keep=None, clock=None, ids=None))]
#[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
pub(crate) fn configure(
    py: Python<'_>,
    service_name: Option<&Bound<'_, PyAny>>,
    resource: Option<&Bound<'_, PyAny>>,
    detected: Option<&Bound<'_, PyAny>>,
    exporter: Option<&Bound<'_, PyAny>>,
    sampling_rate: Option<&Bound<'_, PyAny>>,
    sampler: Option<&Bound<'_, PyAny>>,
    limits: Option<&Bound<'_, PyAny>>,
    queue: Option<&Bound<'_, PyAny>>,
    late_sampling: Given<'_>,
    keep: Option<&Bound<'_, PyAny>>,
    clock: Option<&Bound<'_, PyManualClock>>,
    ids: Option<&Bound<'_, PyScriptedIds>>,
) -> PyResult<()> {
    let late_sampling = late_sampling
        .as_ref()
        .map_or(Ok(false), |c| argument::boolean("late_sampling", c))?;
    let (sampler, sampling_rate) = sampler_of(sampling_rate, sampler)?;
    let keep = keep::keep_of(keep)?;
    let settings = Settings {
        exporters: exporters_of(exporter)?,
        resource: resource_of(service_name, resource, detected)?,
        limits: limits_of(limits)?,
        queue: queue_of(queue)?,
        sampler,
        sampling_rate,
        late_sampling: late_sampling || keep.is_some(),
        keep,
        forgets: false,
        clock: clock.map_or(Clock::System, |clock| clock.get().clock()),
    };
    let pipeline = Pipeline::new(Config {
        settings: Arc::new(settings),
        ids: ids.map(|ids| ids.get().script()),
    })
    .map_err(cannot_open)?;
    lifecycle::install(py, pipeline, REPLACED_TIMEOUT)
}

/// The pipeline of a provider of its own. Without an exporter it keeps nothing.
pub(super) fn pipeline_of_provider(
    exporter: Option<&Bound<'_, PyAny>>,
    resource: Resource,
    limits: Option<&Bound<'_, PyAny>>,
    queue: Option<&Bound<'_, PyAny>>,
    sampler: Option<&Bound<'_, PyAny>>,
) -> PyResult<Arc<Pipeline>> {
    let (sampler, sampling_rate) = sampler_of(None, sampler)?;
    let exporters = exporters_of(exporter)?;
    let settings = Settings {
        forgets: exporters.is_empty(),
        exporters,
        resource,
        limits: limits_of(limits)?,
        queue: queue_of(queue)?,
        sampler,
        sampling_rate,
        late_sampling: false,
        keep: None,
        clock: Clock::System,
    };
    let settings = Arc::new(settings);
    Pipeline::new(Config {
        settings,
        ids: None,
    })
    .map_err(cannot_open)
}

/// The resource of a provider of its own: what it says and nothing else.
pub(super) fn resource_of_provider(
    attributes: Option<&Bound<'_, PyAny>>,
    schema_url: &str,
) -> PyResult<Resource> {
    let mut resource = Resource::empty(schema_url);
    for (key, value) in Reader::unlimited().attributes("resource", attributes)? {
        resource.set(&key, value.as_value());
    }
    Ok(resource)
}

fn limits_of(came: Option<&Bound<'_, PyAny>>) -> PyResult<SpanLimits> {
    let Some(came) = came else {
        return Ok(SpanLimits::default());
    };
    let limits = came.cast::<PySpanLimits>();
    let limits = limits.map_err(|_| wrong_type("limits", "a SpanLimits or None", came))?;
    Ok(limits.get().0.clone())
}

fn queue_of(came: Option<&Bound<'_, PyAny>>) -> PyResult<QueueConfig> {
    let Some(came) = came else {
        return Ok(QueueConfig::default());
    };
    let queue = came.cast::<PyQueueConfig>();
    let queue = queue.map_err(|_| wrong_type("queue", "a QueueConfig or None", came))?;
    Ok(queue.get().0.clone())
}

/// How long a replaced pipeline may take for what it has not sent yet.
pub(super) const REPLACED_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends everything that has finished and ends tracing.
///
/// Until the next `configure` every tracer is a no-op. Spans that are still open are counted as
/// abandoned. Waits for at most `timeout` seconds; True only if everything was taken. Raises
/// `TypeError` or `ValueError` for a timeout that is no number of seconds from 0 to 3600.
#[pyfunction]
#[pyo3(signature = (timeout=Given::Missing), text_signature = "(timeout=2.0)")]
pub(crate) fn shutdown(py: Python<'_>, timeout: Given<'_>) -> PyResult<bool> {
    let timeout = timeout_of(&timeout)?;
    Ok(lifecycle::shutdown(py, timeout))
}

/// What the current pipeline, or the last one, has counted since `configure`.
///
/// Counts of spans: `started`, `sampled`, `recorded`, `finished`, `sent`, `dropped` by reason,
/// `abandoned` (never finished), `discarded` (released before they finished), `open_spans`, and
/// `queued_spans` with `queued_bytes` and `queue_high_water` for what has finished and is not sent.
/// Also `ignored_writes` to ended spans, `dropped_values` of attributes, `left_blocks`,
/// `lost_detachments`, the traces that a late decision kept (`kept_traces`) or would have
/// (`over_budget`), the state of the `worker`, and `last_error` of an exporter. Keys may be added.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let pipeline = lifecycle::current_or_last(py);
    if let Some(pipeline) = &pipeline {
        lifecycle::deliver(py, pipeline);
    }
    let nothing = crate::counter::Counters::default();
    let counters = pipeline
        .as_ref()
        .map_or(&nothing, |pipeline| pipeline.counters());
    let stats = PyDict::new(py);
    for (key, count) in [
        ("started", counters.started.get()),
        ("sampled", counters.sampled.get()),
        ("recorded", counters.recorded.get()),
        ("finished", counters.finished.get()),
        ("sent", counters.sent.get()),
        ("abandoned", counters.abandoned.get()),
        ("discarded", counters.discarded.get()),
        ("ignored_writes", counters.ignored_writes.get()),
        ("dropped_values", counters.dropped_values.get()),
        ("left_blocks", counters.left_blocks.get()),
        ("kept_traces", counters.kept_traces.get()),
        ("over_budget", counters.over_budget.get()),
        ("lost_detachments", otel::lost()),
    ] {
        stats.set_item(key, count)?;
    }
    let dropped = PyDict::new(py);
    for reason in Reason::ALL {
        dropped.set_item(reason.name(), counters.dropped.get(reason))?;
    }
    stats.set_item("dropped", dropped)?;
    let (open, spans, bytes, high_water) = pipeline
        .as_ref()
        .map_or_else(Default::default, |pipeline| pipeline.gauges());
    stats.set_item("open_spans", open)?;
    stats.set_item("queued_spans", spans)?;
    stats.set_item("queued_bytes", bytes)?;
    stats.set_item("queue_high_water", high_water)?;
    stats.set_item(
        "worker",
        pipeline
            .as_ref()
            .map_or("not_started", |p| p.worker_state()),
    )?;
    stats.set_item(
        "last_error",
        pipeline.as_ref().and_then(|pipeline| pipeline.last_error()),
    )?;
    Ok(stats)
}

fn sampler_of(
    rate: Option<&Bound<'_, PyAny>>,
    came: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Sampler, Option<Ratio>)> {
    match (rate, came) {
        (Some(_), Some(_)) => Err(misuse(
            "sampling_rate and sampler exclude each other, got both".to_owned(),
        )),
        (None, Some(came)) => Ok((sampler::read("sampler", came)?, None)),
        (Some(came), None) => {
            let rate = argument::rate("sampling_rate", came)?;
            Ok((Sampler::parent_based_ratio(rate), Some(rate)))
        }
        (None, None) => Ok((Sampler::parent_based(Sampler::AlwaysOn), None)),
    }
}

fn exporters_of(came: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Exporter>> {
    const ALLOWED: &str =
        "an OtlpExporter, FileExporter, ConsoleExporter, MemoryExporter or a sequence of them";
    let Some(came) = came else {
        return Ok(Vec::new());
    };
    let one = |came: &Bound<'_, PyAny>| {
        if let Ok(otlp) = came.cast::<PyOtlpExporter>() {
            Ok(Exporter::Http(otlp.get().config()))
        } else if let Ok(file) = came.cast::<PyFileExporter>() {
            // A forked child opens it again, and may have another working directory.
            let path = file.get().path();
            Ok(Exporter::File(
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            ))
        } else if came.is_instance_of::<PyConsoleExporter>() {
            Ok(Exporter::Console)
        } else if let Ok(memory) = came.cast::<PyMemoryExporter>() {
            Ok(Exporter::Memory(memory.get().memory()))
        } else {
            Err(wrong_type("exporter", ALLOWED, came))
        }
    };
    if !came.is_instance_of::<PyList>() && !came.is_instance_of::<PyTuple>() {
        return one(came).map(|exporter| vec![exporter]);
    }
    came.try_iter()?.map(|item| one(&item?)).collect()
}

fn resource_of(
    service_name: Option<&Bound<'_, PyAny>>,
    attributes: Option<&Bound<'_, PyAny>>,
    detected: Option<&Bound<'_, PyAny>>,
) -> PyResult<Resource> {
    let mut resource = match detected {
        None => Resource::default(),
        Some(_) => Resource::of_each_process(),
    };
    let reader = Reader::unlimited();
    for (key, value) in reader.attributes("detected", detected)? {
        resource.set(&key, value.as_value());
    }
    for (key, change) in reader.changes("resource", attributes)? {
        match change {
            Change::Set(value) => resource.set(&key, value.as_value()),
            Change::Unset => resource.unset(&key),
            Change::Nothing => (),
        }
    }
    if let Some(came) = service_name {
        let name: &Bound<'_, PyString> = argument::name("service_name", came)?;
        resource.set("service.name", Value::Text(&text(name)));
    }
    Ok(resource)
}
