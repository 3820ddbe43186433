//! AWS X-Ray's `x-amzn-trace-id` (AWS X-Ray, "Tracing header").

use super::digit::{hex, span_id, trace_id};
use super::header::is_printable;
use super::{Format, Header, Headers, RemoteContext, Warning};

pub(super) const NAMES: &[&str] = &[NAME];
const NAME: &str = "x-amzn-trace-id";
/// What is passed on of parts that are not ours, in characters.
const MAX_EXTRA: usize = 512;

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let text = headers.one(NAME).once()?;
    let read = read_parts(text);
    read.map_err(|warning| warnings.push(warning)).ok()
}

/// `name=value` parts, in any order; of one name the last counts.
fn read_parts(text: &str) -> Result<RemoteContext, Warning> {
    let mut context = RemoteContext::of(Format::Aws);
    let mut extra = String::new();
    for (name, value) in text.split(';').filter_map(|part| part.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        match name {
            "Root" => context.trace_id = Some(root(value).ok_or("aws.trace_id")?),
            "Parent" => {
                let digits = Some(value).filter(|value| value.len() == 16);
                context.span_id = span_id(digits.and_then(hex).ok_or("aws.parent_id")?);
            }
            "Sampled" => {
                context.sampled = match value {
                    "1" => Some(true),
                    "0" => Some(false),
                    // The receiver is asked to decide.
                    "?" => None,
                    _ => return Err("aws.sampled"),
                }
            }
            _ => {
                let part = format!(";{name}={value}");
                if is_printable(&part) && extra.len() + part.len() <= MAX_EXTRA {
                    extra.push_str(&part);
                }
            }
        }
    }
    Ok(RemoteContext {
        trace_id_size: context.trace_id.map(|_| 16),
        aws_extra: (!extra.is_empty()).then(|| extra.into()),
        ..context
    })
}

/// `1-<8 digits>-<24 digits>`
fn root(text: &str) -> Option<crate::id::TraceId> {
    let (first, second) = text.strip_prefix("1-")?.split_once('-')?;
    let fits = first.len() == 8 && second.len() == 24;
    let digits = fits.then(|| hex(&format!("{first}{second}")));
    trace_id(digits.flatten()?)
}

pub(super) fn write(
    context: &RemoteContext,
    headers: &mut Vec<Header>,
) -> Result<(), &'static str> {
    let (trace_id, span_id) = context.ids()?;
    let digits = trace_id.to_string();
    let (time, rest) = digits.split_at(8);
    let sampled = u8::from(context.sampled == Some(true));
    let extra = context.aws_extra.as_deref().unwrap_or_default();
    let value = format!("Root=1-{time}-{rest};Parent={span_id};Sampled={sampled}{extra}");
    headers.push((NAME.into(), value));
    Ok(())
}
