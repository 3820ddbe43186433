//! What a collector says of what it got.

use prost::Message;

const PROTOBUF: &str = "application/x-protobuf";

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// What a collector did not take of a request that it answered well, or a warning of its.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    /// Not below nought, says the specification.
    #[prost(int64, tag = "1")]
    pub(crate) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

/// `google.rpc.Status`, the body of an answer that refuses.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// What an answer to a request says beside "taken". A collector that says nothing has taken all.
pub(crate) fn partial_success(content_type: &str, body: &[u8]) -> Option<PartialSuccess> {
    if !matches!(content_type, PROTOBUF | "") {
        return None;
    }
    let said = Response::decode(body).ok()?.partial_success?;
    (said != PartialSuccess::default()).then_some(said)
}

/// The reason that an answer gives for refusing; empty where it gives none.
pub(crate) fn reason(content_type: &str, body: &[u8]) -> String {
    match content_type {
        PROTOBUF => Status::decode(body).map_or(String::new(), |status| line(&status.message)),
        "text/plain" | "application/json" => line(&String::from_utf8_lossy(body)),
        _ => String::new(),
    }
}

/// A text from elsewhere as one short line of a log.
pub(crate) fn line(text: &str) -> String {
    const LONGEST: usize = 200;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text
        .trim()
        .chars()
        .map(printable)
        .take(LONGEST + 1)
        .collect();
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.replace_range(end.., "…");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(rejected_spans: i64, error_message: &str) -> Vec<u8> {
        let partial_success = Some(PartialSuccess {
            rejected_spans,
            error_message: error_message.into(),
        });
        Response { partial_success }.encode_to_vec()
    }

    #[test]
    fn a_partial_success_is_read_and_an_empty_one_says_nothing() {
        let said = |body: &[u8]| {
            partial_success(PROTOBUF, body).map(|p| (p.rejected_spans, p.error_message))
        };
        assert_eq!(said(&response(3, "too old")), Some((3, "too old".into())));
        assert_eq!(
            said(&response(0, "slow down")),
            Some((0, "slow down".into()))
        );
        assert_eq!(said(&response(2, "")), Some((2, String::new())));
        for body in [response(0, ""), vec![], vec![0xff], b"<html>".to_vec()] {
            assert_eq!(said(&body), None);
        }
        assert_eq!(partial_success("text/html", &response(3, "")), None);
    }

    #[test]
    fn the_reason_of_a_refusal_is_one_short_line() {
        let status = Status {
            message: "no\r\nkey".into(),
        }
        .encode_to_vec();
        assert_eq!(reason(PROTOBUF, &status), "no  key");
        assert_eq!(reason(PROTOBUF, b"\xff"), "");
        assert_eq!(reason("text/plain", b" bad \x1b[31m\n"), "bad  [31m");
        assert_eq!(reason("text/html", b"<html>"), "");
        assert_eq!(
            reason("text/plain", "ä".repeat(300).as_bytes()),
            "ä".repeat(200) + "…"
        );
    }
}
