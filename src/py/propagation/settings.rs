//! What a `Propagation` was told: its options, checked.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::propagation::baggage::{self, Limits};
use crate::propagation::{Format, Header, MissingId, RemoteContext, Trust};
use crate::py::carrier::{Gone, Wanted};
use crate::py::error::{wrong_type, wrong_value};
use crate::py::remote::named;
use crate::py::value::text;

pub(super) struct Settings {
    pub(super) extract: Vec<Format>,
    inject: Vec<Outgoing>,
    clear: Vec<String>,
    default_format: Format,
    pub(super) trust: Rule,
    pub(super) reads_baggage: bool,
    writes_baggage: bool,
    pub(super) limits: Limits,
    pub(super) wanted: Wanted,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Outgoing {
    Format(Format),
    Preserve,
}

pub(super) enum Rule {
    Always(Trust),
    Ask(Py<PyAny>),
}

/// The name that stands for the format of the request.
pub(crate) const PRESERVE: &str = "preserve";
const BAGGAGE: &str = "baggage";

#[derive(Default)]
pub(super) struct Written {
    pub(super) headers: Vec<Header>,
    pub(super) formats: Vec<Format>,
    pub(super) missing: Vec<MissingId>,
}

impl Settings {
    pub(super) fn check(
        extract: Option<&Bound<'_, PyAny>>,
        inject: Option<&Bound<'_, PyAny>>,
        clear: Option<&Bound<'_, PyAny>>,
        default_format: Option<&Bound<'_, PyAny>>,
        trust: Option<&Bound<'_, PyAny>>,
        baggage_keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let keys = baggage_keys.map(|came| names("baggage_keys", came));
        let keys = keys.transpose()?;
        let limits = Limits {
            keys: keys.map(|keys| keys.into_iter().map(String::into_boxed_str).collect()),
        };
        let (extract, reads_baggage) = match extract {
            None => (vec![Format::W3c], true),
            Some(came) => incoming(came)?,
        };
        let (inject, writes_baggage) = match inject {
            None => (vec![Outgoing::Format(Format::W3c)], true),
            Some(came) => outgoing(came)?,
        };
        let clear = clear.map(|came| names("clear", came)).transpose()?;
        Ok(Self {
            wanted: Wanted::of(&extract, reads_baggage),
            extract,
            inject,
            clear: clear.unwrap_or_default(),
            default_format: default_format
                .map_or(Ok(Format::W3c), |came| named("default_format", came))?,
            trust: trust.map_or(Ok(Rule::Always(Trust::Continue)), Rule::check)?,
            reads_baggage,
            writes_baggage,
            limits,
        })
    }

    /// What goes out for a context.
    pub(super) fn written(&self, context: &RemoteContext) -> Written {
        let mut written = Written::default();
        // Jaeger's and basictracer's headers have baggage too.
        let mut allowed = None;
        if self.limits.keys.is_some() && !context.baggage.is_empty() {
            let context = allowed.insert(context.clone());
            context.baggage.keep(&self.limits);
        }
        let context = allowed.as_ref().unwrap_or(context);
        for outgoing in &self.inject {
            let format = match outgoing {
                Outgoing::Format(format) => *format,
                Outgoing::Preserve => context.format.unwrap_or(self.default_format),
            };
            match format.write(context, &mut written.headers) {
                Ok(()) => written.formats.push(format),
                Err(missing) => written.missing.push(missing),
            }
        }
        self.write_baggage(context, &mut written.headers);
        written
    }

    pub(super) fn write_baggage(&self, context: &RemoteContext, headers: &mut Vec<Header>) {
        if self.writes_baggage {
            baggage::write(&context.baggage, &self.limits, headers);
        }
    }

    /// The headers that are not to stay beside those that were written.
    pub(super) fn gone(&self, written: &[Format]) -> Gone<'_> {
        let names = written.iter().flat_map(|format| format.written_names());
        let baggage = self.writes_baggage.then_some(&baggage::NAME);
        let cleared = self.clear.iter().map(String::as_str);
        let prefixes = written.iter().filter_map(|format| format.baggage_prefix());
        Gone {
            names: cleared.chain(names.chain(baggage).copied()).collect(),
            prefixes: prefixes.collect(),
        }
    }

    /// True where a span's context is all that goes out, in the one header of the standard.
    pub(super) fn is_standard(&self) -> bool {
        self.inject == [Outgoing::Format(Format::W3c)]
    }
}

impl Rule {
    pub(super) fn check(came: &Bound<'_, PyAny>) -> PyResult<Self> {
        if came.is_callable() {
            return Ok(Self::Ask(came.clone().unbind()));
        }
        trust_named("trust", came).map(Self::Always)
    }

    pub(super) fn ask(&self, headers: &Bound<'_, PyAny>) -> PyResult<Trust> {
        match self {
            Self::Always(trust) => Ok(*trust),
            Self::Ask(function) => {
                let answer = function.bind(headers.py()).call1((headers,))?;
                trust_named("what trust returns", &answer)
            }
        }
    }
}

fn trust_named(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Trust> {
    const ALLOWED: &str = "'continue', 'restart' or 'ignore'";
    let name = came
        .cast::<PyString>()
        .map_err(|_| wrong_type(argument, ALLOWED, came))?;
    Ok(match &*text(name) {
        "continue" => Trust::Continue,
        "restart" => Trust::Restart,
        "ignore" => Trust::Ignore,
        _ => return Err(wrong_value(argument, ALLOWED, came)),
    })
}

fn incoming(came: &Bound<'_, PyAny>) -> PyResult<(Vec<Format>, bool)> {
    const ALLOWED: &str = "names of formats to read: w3c, b3, jaeger, ot, datadog, aws, gcp, \
                           instana and baggage";
    let (mut formats, mut baggage) = (Vec::new(), false);
    for name in names("extract", came)? {
        match Format::named(&name) {
            _ if name == BAGGAGE => baggage = true,
            // It is `b3` that reads both shapes.
            Some(format) if format != Format::B3Single => formats.push(format),
            _ => return Err(wrong_value("extract", ALLOWED, came)),
        }
    }
    Ok((formats, baggage))
}

fn outgoing(came: &Bound<'_, PyAny>) -> PyResult<(Vec<Outgoing>, bool)> {
    const ALLOWED: &str = "names of formats to write: w3c, b3, b3-single, jaeger, ot, datadog, \
                           aws, gcp, instana, baggage and preserve";
    let (mut formats, mut baggage) = (Vec::new(), false);
    for name in names("inject", came)? {
        match Format::named(&name) {
            _ if name == BAGGAGE => baggage = true,
            _ if name == PRESERVE => formats.push(Outgoing::Preserve),
            Some(format) => formats.push(Outgoing::Format(format)),
            None => return Err(wrong_value("inject", ALLOWED, came)),
        }
    }
    Ok((formats, baggage))
}

/// Texts of an iterable that is no text itself.
fn names(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    const ALLOWED: &str = "an iterable of str";
    let wrong = |_| wrong_type(argument, ALLOWED, came);
    if came.is_instance_of::<PyString>() {
        return Err(wrong_type(argument, ALLOWED, came));
    }
    let mut names = Vec::new();
    for name in came.try_iter().map_err(wrong)? {
        let name = name?;
        let name = name.cast::<PyString>();
        let name = name.map_err(|_| wrong_type(argument, ALLOWED, came))?;
        names.push(text(name).into_owned());
    }
    Ok(names)
}
