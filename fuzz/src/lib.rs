//! What the fuzzers ask of every reader: it ends, nothing panics, what is written of what was read
//! can be sent, and is read and written again as it is.

use nanospan::propagation::baggage::Limits;
use nanospan::propagation::{Format, Header, Headers, RemoteContext, extract};

/// Reads headers of a format. Each line of the input is one: its first byte chooses the name.
pub fn read(format: Format, data: &[u8]) {
    let mut names = format.header_names().to_vec();
    // `uberctx-` and `ot-baggage-` as a whole name, which is that of an empty key.
    names.extend(format.baggage_prefix());
    check(&[format], &headers(&names, data));
}

/// Reads baggage.
pub fn read_baggage(data: &[u8]) {
    check(&[], &headers(&["baggage"], data));
}

fn headers(names: &[&'static str], data: &[u8]) -> Headers<'static> {
    let lines = data.split(|&byte| byte == b'\n');
    let headers = lines.filter_map(|line| {
        let (&first, value) = line.split_first()?;
        let name = names[usize::from(first) % names.len()];
        Some((name, String::from_utf8_lossy(value).into_owned()))
    });
    headers.collect()
}

fn check(formats: &[Format], headers: &Headers<'_>) {
    let limits = Limits::default();
    let read = |headers: &Headers<'_>| extract(headers, formats, Some(&limits), &mut Vec::new());
    let context = read(headers);
    let first = written(formats, &context);
    for (name, value) in &first {
        let can_be_sent = |byte: u8| (b' '..=b'~').contains(&byte);
        assert!(
            name.bytes().chain(value.bytes()).all(can_be_sent),
            "{name}: {value}"
        );
    }
    let again = first
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    assert_eq!(written(formats, &read(&again.collect())), first);
}

fn written(formats: &[Format], context: &RemoteContext) -> Vec<Header> {
    let mut headers = Vec::new();
    for format in formats {
        // A missing id is no defect; the others go out.
        let _ = format.write(context, &mut headers);
    }
    nanospan::propagation::baggage::write(&context.baggage, &Limits::default(), &mut headers);
    headers
}
