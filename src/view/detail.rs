//! What there is to read about one span: why it failed, attributes, events, links.

use super::Options;
use super::column::wrap;
use super::ink::{Ink, signs};
use super::time::duration;
use super::trace::{Member, hex};
use crate::otlp::message::any_value::Value;
use crate::otlp::message::{AnyValue, Event, KeyValue, Link};

/// Lines of at most `columns`. Long values go on below, nothing is cut off.
pub(super) fn lines(member: &Member, columns: usize, options: &Options) -> Vec<(Ink, String)> {
    let mut page = Page {
        columns,
        ascii: options.ascii,
        lines: Vec::new(),
    };
    let signs = signs(options.ascii);
    if let Some(status) = member.failed().filter(|status| !status.message.is_empty()) {
        page.write(
            Ink::Failed,
            0,
            &format!("{} {}", signs.failed, status.message),
        );
    }
    page.attributes(0, &member.span.attributes);
    for event in &member.span.events {
        let after = since(member.start_ns(), event, options.ascii);
        page.write(
            Ink::Plain,
            0,
            &format!("{} {} {after}", signs.event, event.name),
        );
        page.attributes(2, &event.attributes);
    }
    for Link {
        trace_id,
        span_id,
        attributes,
        ..
    } in &member.span.links
    {
        page.write(
            Ink::Plain,
            0,
            &format!("{} {} {}", signs.link, hex(trace_id), hex(span_id)),
        );
        page.attributes(2, attributes);
    }
    page.lines
}

fn since(start_ns: u64, event: &Event, ascii: bool) -> String {
    let sign = if event.time_unix_nano < start_ns {
        '-'
    } else {
        '+'
    };
    format!(
        "{sign}{}",
        duration(event.time_unix_nano.abs_diff(start_ns), ascii)
    )
}

struct Page {
    columns: usize,
    ascii: bool,
    lines: Vec<(Ink, String)>,
}

impl Page {
    fn attributes(&mut self, indent: usize, attributes: &[KeyValue]) {
        for attribute in attributes {
            let value = attribute
                .value
                .as_ref()
                .and_then(|value| value.value.as_ref());
            let value = match value {
                Some(Value::StringValue(text)) if !text.is_empty() => text.clone(),
                other => literal(other),
            };
            self.write(Ink::Plain, indent, &format!("{} = {value}", attribute.key));
        }
    }

    /// Text that goes on in a next line stands two columns further in there.
    fn write(&mut self, ink: Ink, indent: usize, text: &str) {
        for (number, line) in wrap(text, self.columns - indent - 2, self.ascii)
            .iter()
            .enumerate()
        {
            let margin = if number == 0 { indent } else { indent + 2 };
            self.lines.push((ink, " ".repeat(margin) + line));
        }
    }
}

/// A value as one reads it in JSON; bytes in hex.
fn literal(value: Option<&Value>) -> String {
    let inner = |value: &AnyValue| literal(value.value.as_ref());
    match value {
        None => "null".into(),
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        Some(Value::IntValue(int)) => int.to_string(),
        Some(Value::DoubleValue(float)) => format!("{float:?}"),
        Some(Value::BytesValue(bytes)) => format!("0x{}", hex(bytes)),
        Some(Value::ArrayValue(array)) => {
            let items: Vec<_> = array.values.iter().map(inner).collect();
            format!("[{}]", items.join(", "))
        }
        Some(Value::KvlistValue(map)) => {
            let item = |item: &KeyValue| {
                format!(
                    "{:?}: {}",
                    item.key,
                    item.value.as_ref().map_or("null".into(), inner)
                )
            };
            let items: Vec<_> = map.values.iter().map(item).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}
