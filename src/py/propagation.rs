//! `Propagation`: which formats are read and written, and who is trusted.

mod fast;
mod settings;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::argument::{self, Given};
use super::carrier::{self, Style};
use super::context::PySpanContext;
use super::error::wrong_type;
use super::ffi::dropping;
use super::lifecycle;
use super::remote::PyRemoteContext;
use super::scope::{self, Above, Scope};
use super::span::PySpan;
use super::tracer::PyTracer;
use crate::context::SpanContext;
use crate::id::SpanId;
use crate::propagation::{self, MissingId, RemoteContext, Trust, Warning};
use crate::span::Span;
use crate::tracer::DEFAULT_NAMESPACE;
pub(super) use fast::{Extract, Inject};
pub(super) use settings::PRESERVE;
use settings::{Rule, Settings, Written};

/// Reads what came with a request, and writes what goes out with the next.
///
/// `extract` names the formats to read: `w3c`, `b3` (both shapes), `jaeger`, `ot`, `datadog`,
/// `aws`, `gcp`, `instana`. They are tried in this order, and the first that finds a trace id or a
/// decision counts; `baggage` is read beside them. `inject` names those to write; it may have
/// `b3-single` and `PRESERVE` too, which is the format in which the request came, else
/// `default_format`. `clear` names headers that `propagate` removes.
///
/// `trust` is "continue", "restart" or "ignore": the caller's trace goes on, or a new one begins
/// with a link to it, or nothing of it is read; or a function that is given the headers and returns
/// one of these. A trace that begins anew takes over no baggage and no decision.
///
/// `baggage_keys` are the baggage entries that may come in and go out; None for all. No more than
/// 180 entries and 8,192 bytes of baggage travel (W3C Baggage, "Limits"). Raises `TypeError` or
/// `ValueError` naming the argument.
#[pyclass(frozen, name = "Propagation", module = "nanospan")]
pub(crate) struct PyPropagation {
    /// The shared one is set up at its first use.
    settings: PyOnceLock<Settings>,
}

impl PyPropagation {
    /// The one that everybody shares, `nanospan.propagation`. `OTEL_PROPAGATORS` says what it does.
    pub(crate) fn global() -> Self {
        Self {
            settings: PyOnceLock::new(),
        }
    }

    fn settings(&self, py: Python<'_>) -> PyResult<&Settings> {
        self.settings.get_or_try_init(py, || {
            let formats = py
                .import("nanospan._environment")?
                .getattr("propagators")?
                .call1((py.import("os")?.getattr("environ")?,))?;
            let (extract, inject): (Bound<'_, PyAny>, Bound<'_, PyAny>) = formats.extract()?;
            Settings::check(Some(&extract), Some(&inject), None, None, None, None)
        })
    }

    fn read(
        settings: &Settings,
        headers: &Bound<'_, PyAny>,
        trust: Trust,
    ) -> PyResult<PyRemoteContext> {
        if trust == Trust::Ignore {
            return Ok(PyRemoteContext::default());
        }
        let headers = carrier::read(headers, &settings.wanted)?;
        let mut warnings = Vec::new();
        let limits = settings.reads_baggage.then_some(&settings.limits);
        let mut context = propagation::extract(&headers, &settings.extract, limits, &mut warnings);
        if settings.limits.keys.is_some() {
            context.baggage.keep(&settings.limits);
        }
        let link = (trust == Trust::Restart).then(|| context.span_context());
        if trust == Trust::Restart {
            context = context.restarted();
        }
        Ok(PyRemoteContext {
            context,
            link: link.flatten(),
            warnings,
        })
    }
}

#[pymethods]
impl PyPropagation {
    #[new]
    #[pyo3(signature = (*, extract=Given::Missing, inject=Given::Missing, clear=Given::Missing, default_format=Given::Missing, trust=Given::Missing, baggage_keys=None),
           text_signature = "(*, extract=('w3c', 'baggage'), inject=('w3c', 'baggage'), clear=(), default_format='w3c', trust='continue', baggage_keys=None)")]
    fn new(
        py: Python<'_>,
        extract: Given<'_>,
        inject: Given<'_>,
        clear: Given<'_>,
        default_format: Given<'_>,
        trust: Given<'_>,
        baggage_keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let given = [&extract, &inject, &clear, &default_format, &trust].map(Given::as_ref);
        let [extract, inject, clear, default_format, trust] = given;
        let settings =
            Settings::check(extract, inject, clear, default_format, trust, baggage_keys)?;
        let made = Self::global();
        let _ = made.settings.set(py, settings);
        Ok(made)
    }

    /// What came with a request.
    ///
    /// `headers` is a mapping of names to text, bytes or a list of them; an iterable of pairs, as
    /// ASGI and gRPC have it; any container of an HTTP library; a WSGI environ; or `os.environ`.
    /// Names are compared without regard to case. What the headers say never raises: what cannot be
    /// used is left out, named in `warnings` of the answer, and logged at most once a minute.
    ///
    /// `trust` is as for the class, for this call; None is the instance's. Raises `TypeError` or
    /// `ValueError` naming the argument.
    #[pyo3(signature = (headers, *, trust=None))]
    fn extract(
        &self,
        py: Python<'_>,
        headers: &Bound<'_, PyAny>,
        trust: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyRemoteContext> {
        let settings = self.settings(py)?;
        let trust = match trust {
            None => settings.trust.ask(headers)?,
            Some(trust) => Rule::check(trust)?.ask(headers)?,
        };
        let remote = Self::read(settings, headers, trust)?;
        log_unread(py, &remote.warnings);
        Ok(remote)
    }

    /// Writes the context of a span into headers, and returns them.
    ///
    /// `headers` is a dict or another mapping, or a list of pairs, which are changed; a tuple of
    /// pairs, which is not; or None for a new dict. With `environ` names are those of environment
    /// variables. `span` is a `Span` or a `SpanContext`; None is the active span, and where none is
    /// active `remote` goes on as it came. `remote` is what travels beside the ids; None is the
    /// `RemoteContext` that is current. Where there is nothing to send nothing is written. A format
    /// that cannot do without an id that is missing is left out and logged. Raises `TypeError`
    /// naming the argument.
    #[pyo3(signature = (headers=None, *, span=None, remote=None, environ=Given::Missing),
           text_signature = "($self, headers=None, *, span=None, remote=None, environ=False)")]
    fn inject<'py>(
        &self,
        py: Python<'py>,
        headers: Option<&Bound<'py, PyAny>>,
        span: Option<&Bound<'py, PyAny>>,
        remote: Option<&Bound<'py, PyAny>>,
        environ: Given<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let environ = environ
            .as_ref()
            .map(|came| argument::boolean("environ", came));
        let style = match environ.transpose()? {
            Some(true) => Style::Variable,
            Some(false) | None => Style::Header,
        };
        let sender = match span {
            None => Sender::active(py)?,
            Some(span) => Sender::of(span)?,
        };
        let current = match remote {
            None => PyRemoteContext::current(py)?,
            Some(came) => Some(
                came.cast::<PyRemoteContext>()
                    .map_err(|_| wrong_type("remote", "a RemoteContext or None", came))?
                    .clone(),
            ),
        };
        let context = sender.context(current.as_ref().map(Bound::get));
        let settings = self.settings(py)?;
        let written = match &context {
            None => Written::default(),
            // What is carried may have no more than baggage: of ids nothing was to be said.
            Some(context) if remote.is_none() && context.is_silent() => {
                let mut written = Written::default();
                settings.write_baggage(context, &mut written.headers);
                written
            }
            Some(context) => settings.written(context),
        };
        log_unwritten(py, &written.missing);
        let new = headers.is_none().then(|| PyDict::new(py).into_any());
        let headers = headers.or(new.as_ref()).expect("given, or made just now");
        carrier::write(headers, &written.headers, style)
    }

    /// Passes a request on: what came with it, what `callback` makes of that, what goes out.
    ///
    /// `callback` is given the `RemoteContext` and returns what to send: a `RemoteContext`, a
    /// `Span`, a `SpanContext`, or None for what came. The answer has all the headers but those of
    /// `clear`, and those of `inject` in the place of what came under their names: a dict for a
    /// dict, else a list of pairs. What `callback` raises goes to the caller.
    #[pyo3(signature = (headers, callback, *, trust=None))]
    fn propagate<'py>(
        &self,
        py: Python<'py>,
        headers: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        trust: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let settings = self.settings(py)?;
        let remote = Bound::new(py, self.extract(py, headers, trust)?)?;
        let answer = callback.call1((&remote,))?;
        let context = if answer.is_none() {
            Some(remote.get().context.clone()).filter(|context| !context.is_silent())
        } else if let Ok(answer) = answer.cast::<PyRemoteContext>() {
            Some(answer.get().context.clone())
        } else {
            Sender::of(&answer)?.context(Some(remote.get()))
        };
        let written = context.map(|context| settings.written(&context));
        let written = written.unwrap_or_default();
        log_unwritten(py, &written.missing);
        let gone = settings.gone(&written.formats);
        carrier::rewritten(headers, &written.headers, &gone)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self
            .settings
            .get(dropping())
            .map(|settings| &settings.trust)
        {
            Some(Rule::Ask(function)) => visit.call(function),
            _ => Ok(()),
        }
    }
}

/// Whose context goes out.
enum Sender {
    /// Nobody's: what came goes on.
    None,
    Span(SpanContext, Option<SpanId>),
}

impl Sender {
    /// The active span of the default namespace.
    fn active(py: Python<'_>) -> PyResult<Self> {
        Ok(match Self::above(py)? {
            Above::Span(span) => Self::of_span(span.as_ref().and_then(|span| span.get().core())),
            Above::Context(context) => Self::Span(*context, None),
        })
    }

    fn above(py: Python<'_>) -> PyResult<Above<'_>> {
        static SCOPE: PyOnceLock<&'static Scope> = PyOnceLock::new();
        if !PyTracer::is_configured(py) {
            return Ok(Above::Span(None));
        }
        let scope = SCOPE.get_or_try_init(py, || scope::of_namespace(py, DEFAULT_NAMESPACE))?;
        scope.above(py)
    }

    fn of_span(span: Option<&Span>) -> Self {
        span.map_or(Self::None, |span| {
            span.announce();
            Self::Span(span.context(), span.parent_id())
        })
    }

    fn of(came: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(span) = came.cast::<PySpan>() {
            return Ok(Self::of_span(span.get().core()));
        }
        if let Ok(context) = came.cast::<PySpanContext>() {
            let context = context.get().0.clone();
            return Ok(context.map_or(Self::None, |context| Self::Span(context, None)));
        }
        Err(wrong_type("span", "a Span, a SpanContext or None", came))
    }

    fn context(&self, remote: Option<&PyRemoteContext>) -> Option<RemoteContext> {
        let remote = remote.map(|remote| &remote.context);
        match self {
            Self::None => remote.cloned(),
            Self::Span(span, parent_id) => Some(match remote {
                Some(remote) => remote.with_span(span, *parent_id),
                None => RemoteContext::default().with_span(span, *parent_id),
            }),
        }
    }
}

fn log_unread(py: Python<'_>, warnings: &[Warning]) {
    log(py, warnings, |warning| {
        (
            format!("header {warning}"),
            format!("a request's headers could not be used as they came: {warning}"),
        )
    });
}

fn log_unwritten(py: Python<'_>, missing: &[MissingId]) {
    log(py, missing, |MissingId { format, field }| {
        let name = format.name();
        (
            format!("inject {name} {field}"),
            format!("headers of the format {name} were not written: there is no {field}"),
        )
    });
}

/// Leaves a notice for each: its cause and its text.
fn log<T>(py: Python<'_>, causes: &[T], notice: impl Fn(&T) -> (String, String)) {
    if causes.is_empty() {
        return;
    }
    let Some(pipeline) = PyTracer::pipeline(py) else {
        return;
    };
    for cause in causes {
        let (cause, text) = notice(cause);
        pipeline.notices().leave(&cause, || text);
    }
    lifecycle::deliver(py, &pipeline);
}
