"""`OtlpExporter(...)`: what it takes, what it refuses, and what it keeps to itself."""

import pytest

import nanospan
from nanospan import OtlpExporter, tracing


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (
            OtlpExporter(),
            "OtlpExporter('http://localhost:4318/v1/traces', headers=[], timeout=10.0, "
            'compression="none")',
        ),
        (
            OtlpExporter(
                "https://collector.example:4318/otlp?key=secret",
                headers={"Authorization": "secret", "x-b": "secret"},
                timeout=2.5,
            ),
            "OtlpExporter('https://collector.example:4318/otlp?…', "
            'headers=["authorization", "x-b"], timeout=2.5, compression="gzip")',
        ),
    ],
    ids=["default", "with secrets"],
)
def test_the_repr_says_where_and_how_but_no_secret(made, shown):
    assert repr(made) == shown


@pytest.mark.parametrize(
    ("endpoint", "compression", "used"),
    [
        ("http://localhost", None, "none"),
        ("http://127.0.0.1:4318", None, "none"),
        ("http://[::1]:4318", None, "none"),
        ("http://collector", None, "gzip"),
        ("https://10.0.0.1", None, "gzip"),
        ("http://localhost", "gzip", "gzip"),
        ("http://collector", "none", "none"),
    ],
)
def test_it_compresses_for_all_hosts_but_this_machine_unless_told_otherwise(
    endpoint, compression, used
):
    assert f'compression="{used}"' in repr(OtlpExporter(endpoint, compression=compression))


_BAD = {
    "no url": (("collector",), {}, ValueError, "endpoint must be an http:// or https:// URL"),
    "no scheme": (("localhost:4318",), {}, ValueError, 'endpoint .* got "localhost:4318"'),
    "another scheme": (("grpc://a:4317",), {}, ValueError, "endpoint must be an http"),
    "no port": (("http://a:99999",), {}, ValueError, "endpoint must be .*:99999"),
    "empty": (("",), {}, ValueError, "endpoint"),
    "not ASCII": (("http://käse",), {}, ValueError, "endpoint .*käse"),
    "surrogates": (("http://a\udc80",), {}, ValueError, "endpoint"),
    "user": (("http://user:secret@a",), {}, ValueError, 'without user name .* got "http://…@a'),
    "bytes": ((b"http://a",), {}, TypeError, "endpoint must be a str or None, got .*bytes"),
    "headers list": ((), {"headers": ["secret"]}, TypeError, "headers must be .* got list"),
    "headers text": ((), {"headers": "a=secret"}, TypeError, "headers must be .* got str"),
    "header name": ((), {"headers": {"a b": "secret"}}, ValueError, 'headers .* "a b"'),
    "header name empty": ((), {"headers": {"": "secret"}}, ValueError, 'headers .* ""'),
    "header name number": ((), {"headers": {5: "secret"}}, TypeError, "headers .* 5 "),
    "header value number": (
        (),
        {"headers": {"a": 5}},
        TypeError,
        r"headers\[\"a\"\] must be a str, got int",
    ),
    "header value with a line break": (
        (),
        {"headers": {"a": "secret\r\nb: c"}},
        ValueError,
        r"headers\[\"a\"\] must be visible ASCII",
    ),
    "header value not ASCII": ((), {"headers": {"a": "secrét"}}, ValueError, r"headers\[\"a\"\]"),
    "framing header": (
        (),
        {"headers": {"Content-Length": "5"}},
        ValueError,
        "headers .* content-length",
    ),
    "no time": ((), {"timeout": 0}, ValueError, "timeout must be more than 0 seconds, got 0"),
    "negative time": ((), {"timeout": -1}, ValueError, "timeout .* -1"),
    "endless time": ((), {"timeout": float("inf")}, ValueError, "timeout .* inf"),
    "time text": ((), {"timeout": "10"}, TypeError, r"timeout .*\(str\)"),
    "time None": ((), {"timeout": None}, TypeError, r"timeout .*NoneType"),
    "compression": ((), {"compression": "zstd"}, ValueError, "compression .*gzip.* 'zstd'"),
    "compression bool": ((), {"compression": True}, TypeError, r"compression .*gzip.*\(bool\)"),
    "positional": (("http://a", {}), {}, TypeError, "positional"),
}


@pytest.mark.parametrize(("arguments", "options", "error", "message"), _BAD.values(), ids=_BAD)
def test_a_bad_argument_raises_and_tells_no_secret(arguments, options, error, message):
    with pytest.raises(error, match=message) as raised:
        OtlpExporter(*arguments, **options)
    assert "secr" not in str(raised.value)


class _Headers(dict):
    pass


def test_headers_may_be_any_mapping():
    assert 'headers=["a"]' in repr(OtlpExporter(headers=_Headers(a="b")))


def test_a_name_that_is_not_found_is_an_error_of_the_collector_not_of_the_program():
    nanospan.configure(exporter=OtlpExporter("http://nowhere.invalid:4318"))
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.5)
    last_error = nanospan.stats()["last_error"]
    assert last_error is None or "nowhere.invalid" in last_error
    assert not nanospan.shutdown(0.1)
    assert nanospan.stats()["dropped"]["export_failed"] == 1
