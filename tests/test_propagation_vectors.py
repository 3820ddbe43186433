"""The facts of `tests/vectors` about headers: what each format reads and writes, and the frame.

Reason codes of warnings and `log_trace_id` belong to the program that the facts were taken from;
codes are compared where its answer is ours, printed ids are its log's affair.
"""

from typing import Any

from nanospan import Propagation, RemoteContext
from support.recording import recording
from support.vectors import Entry, applying, official, ours

FORMATS = ("w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana")
FILES = [f"{name}.json" for name in FORMATS]


def _format_of(entry: Entry) -> str:
    prefix, _, _ = entry["id"].partition("-x-" if entry["kind"] == "extract" else "-i-")
    return prefix


def _hex(value: bytes | None) -> str | None:
    return value and value.hex()


def _read(remote: RemoteContext) -> Entry:
    """A context in the words of the vectors; fields without a value are left out there or null."""
    found = remote.trace_id is not None or remote.sampled is not None
    return {
        "outcome": "context" if found else "none",
        "trace_id": _hex(remote.trace_id),
        "span_id": _hex(remote.span_id),
        "parent_id": _hex(remote.parent_id),
        "sampled": remote.sampled,
        "baggage": remote.baggage or None,
        "tracestate": remote.trace_state,
        "trace_id_size": remote.trace_id_size,
        "shared_span": remote.shared_span,
        "single_header": remote.format == "b3-single",
        "b3_flags": remote.b3_flags,
        "w3c_flags": remote.w3c_flags,
        "warnings": list(remote.warnings),
    }


def _expected(answer: Entry) -> Entry:
    """What nanospan is to read: a context without a trace id and a decision counts as nothing."""
    found = answer["outcome"] == "context"
    if found and answer.get("trace_id") is None and answer.get("sampled") is None:
        found = False
    if not found:
        only = {"outcome": "none"}
        return only | ({"warnings": answer["warnings"]} if "warnings" in answer else {})
    return answer


@applying(*FILES, kind="extract")
def test_a_format_reads_what_its_owner_says(entry):
    name = _format_of(entry).removesuffix("-single")
    read = _read(Propagation(extract=[name]).extract(entry["headers_in"]))
    expected = _expected(official(entry) or entry["expect"])
    assert {key: read[key] for key in expected} == expected


def _id(text: str | None) -> bytes | None:
    return bytes.fromhex(text) if text else None


def _context(facts: Entry) -> RemoteContext:
    ids: Any = {key: _id(facts.get(key)) for key in ("trace_id", "span_id", "parent_id")}
    rest = {key: facts.get(key) for key in ("sampled", "baggage", "trace_id_size", "b3_flags")}
    return RemoteContext(**ids, **rest)


def _missing(entries: list[str]) -> set[str]:
    """The log's lines for ids that were missing, from `format:missing:field`."""
    lines = set()
    for entry in entries:
        name, _, field = entry.split(":")
        lines.add(f"headers of the format {name} were not written: there is no {field}")
    return lines


@applying(*FILES, kind="inject")
def test_a_format_writes_what_its_owner_says(entry, caplog):
    name, expected = _format_of(entry), ours(entry)
    error = expected["error"] if "headers_out" not in official(entry) else None
    with recording():
        written = Propagation(inject=[name]).inject(remote=_context(entry["context"]))
    assert written == expected["headers_out"]
    assert set(caplog.messages) == _missing([f"{name}:{error}"] if error else [])


@applying("propagate.json")
def test_a_request_is_passed_on_as_the_frame_says(entry, caplog):
    settings, expected = entry["config"]["propagation"], ours(entry)
    propagation = Propagation(**{"extract": [], "inject": [], **settings})
    override = {
        key: value if key == "sampled" else _id(value) for key, value in entry["override"].items()
    }
    seen: list[RemoteContext] = []

    def change(remote: RemoteContext) -> RemoteContext:
        seen.append(remote)
        return remote.replace(**override)

    with recording():
        written = propagation.propagate(entry["headers_in"], change)
    (remote,) = seen
    assert (remote.format or "").removesuffix("-single") == (expected["extracted_from"] or "")
    read, wanted = _read(remote), expected["seen"]
    if wanted["outcome"] == "empty":
        assert read["outcome"] == "none"
    else:
        assert {key: read[key] for key in wanted} == wanted
    assert list(remote.warnings) == expected["warnings"]
    assert written == expected["headers_out"]
    lines = {line for line in caplog.messages if line.startswith("headers of the format")}
    assert lines == _missing(expected["errors"])
