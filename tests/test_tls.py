"""Spans sent over https: who is trusted, and what is said of those who are not."""

import ssl
from datetime import datetime, timedelta, timezone

import pytest
import trustme

import nanospan
from nanospan import OtlpExporter, tracing
from support.relay import relay

pytest_plugins = ("support.plugin",)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """A file of root certificates that holds the authority's alone, where OpenSSL is told of it."""
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return roots


def _serving(certificate, **versions):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def _send(port, host="localhost"):
    exporter = OtlpExporter(f"https://{host}:{port}", headers={"authorization": "secret"})
    nanospan.configure(service_name="shop", exporter=exporter)
    tracing.start_span("x").finish()
    return nanospan.flush()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_certificate_of_a_trusted_authority_is_good(receiver, authority, version):
    only = ssl.TLSVersion[version]
    certificate = authority.issue_cert("localhost")
    context = _serving(certificate, minimum_version=only, maximum_version=only)
    with relay(receiver.endpoint, context=context) as port:
        assert _send(port)
        tracing.start_span("y").finish()
        assert nanospan.flush()
    assert (len(receiver.spans()), receiver.connections) == (2, 1)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_may_be_for_an_address(receiver, authority):
    context = _serving(authority.issue_cert("127.0.0.1"))
    with relay(receiver.endpoint, context=context) as port:
        assert _send(port, host="127.0.0.1")


def _expired(authority):
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    return authority.issue_cert("localhost", not_after=yesterday)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (lambda _: trustme.CA().issue_cert("localhost"), "UnknownIssuer"),
        (lambda authority: authority.issue_cert("other.example"), 'not valid for name "localhost"'),
        (_expired, "expired"),
    ],
    ids=["another authority", "another name", "expired"],
)
def test_a_bad_certificate_is_said_and_nothing_is_sent(receiver, authority, certificate, words):
    with relay(receiver.endpoint, context=_serving(certificate(authority))) as port:
        assert not _send(port)
    last_error = nanospan.stats()["last_error"]
    assert last_error.startswith(f"OTLP https://localhost:{port}/v1/traces: ")
    assert words in last_error
    assert (receiver.requests, nanospan.stats()["dropped"]["export_failed"]) == ([], 1)


def test_without_the_file_the_systems_roots_do_not_know_the_authority(
    receiver, authority, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with relay(receiver.endpoint, context=_serving(authority.issue_cert("localhost"))) as port:
        assert not _send(port)
    assert receiver.requests == []
    assert "certificate" in nanospan.stats()["last_error"]


def test_roots_that_cannot_be_read_are_said(receiver, authority, trusted):
    trusted.write_text("no certificate")
    with relay(receiver.endpoint, context=_serving(authority.issue_cert("localhost"))) as port:
        exporter = OtlpExporter(f"https://localhost:{port}")
        nanospan.configure(service_name="shop", exporter=exporter)
        tracing.start_span("x").finish()
        assert not nanospan.flush(0.2)
        assert "no root certificates" in nanospan.stats()["last_error"]
        nanospan.shutdown(0)


@pytest.mark.usefixtures("trusted")
def test_a_collector_that_speaks_no_tls_is_tried_again_and_said(receiver):
    port = receiver.endpoint.rpartition(":")[2]
    exporter = OtlpExporter(f"https://localhost:{port}")
    nanospan.configure(service_name="shop", exporter=exporter)
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.2)
    assert "no TLS" in nanospan.stats()["last_error"]
    assert nanospan.stats()["queued_spans"] == 1
    nanospan.shutdown(0)
    assert any("HTTP" in complaint for complaint in receiver.take_complaints())
