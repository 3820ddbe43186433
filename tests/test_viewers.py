"""The commands of docs/viewers.md, on other ports: what Zipkin then has, and shows in a browser.

They fetch 135 MB and start a server in Java, so they run where NANOSPAN_VIEWERS is 1: by
`make viewers` and `make deep`.
"""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from support.collector import BUILD_TIMEOUT, free_ports, says_ready

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "viewers.md"
TRACES = ROOT / "examples" / "traces.jsonl"  # where `make demo` writes them

START_TIMEOUT = 60.0
ARRIVAL_TIMEOUT = 20.0
STOP_TIMEOUT = 10.0
BROWSER_TIMEOUT = 60.0

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("NANOSPAN_VIEWERS") != "1", reason="fetches 135 MB: see `make viewers`"
    ),
    pytest.mark.timeout(BUILD_TIMEOUT + 240),
]


class Shown(NamedTuple):
    """A running Zipkin, and what the demo says that it sent there."""

    url: str
    traces: dict[str, list[dict]]
    slowest: str  # its trace id


@pytest.fixture(scope="module")
def zipkin():
    """Does what the page says, in its order."""
    for tool in ("java", "mvn", "go"):
        if shutil.which(tool) is None:
            pytest.skip(f"docs/viewers.md takes {tool}, which is not installed")
    zipkin_port, otlp_port = free_ports(2)
    install, serve, collect, send = commands({"9411": zipkin_port, "4318": otlp_port})
    done(install, BUILD_TIMEOUT)
    with running(serve), running(collect) as collector:
        assert says_ready(collector)
        url = f"http://127.0.0.1:{zipkin_port}"
        until(START_TIMEOUT, lambda: fetched(f"{url}/health"))
        said = done(send, BUILD_TIMEOUT)
        assert said.endswith(f" spans were sent to http://127.0.0.1:{otlp_port}.\n")
        yield Shown(url, demo_traces(), re.search(r"\b[0-9a-f]{32}\b", said).group())


def commands(ports):
    """The blocks of shell in the page's section on Zipkin, with these ports for those it names."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Zipkin\n")[1].split("\n## ")[0]
    for usual, free in ports.items():
        section = section.replace(usual, str(free))
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def done(command, timeout):
    """Runs a block to its good end; what it printed."""
    completed = subprocess.run(
        ["bash", "-euc", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@contextmanager
def running(command):
    """Runs a block, a single command, for the length of a `with` block."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def demo_traces():
    """The spans that the demo wrote to its file, by their traces' ids."""
    traces = {}
    for line in TRACES.read_text(encoding="utf-8").splitlines():
        for resource_spans in json.loads(line)["resourceSpans"]:
            for scope_spans in resource_spans["scopeSpans"]:
                for span in scope_spans["spans"]:
                    traces.setdefault(span["traceId"], []).append(span)
    return traces


def fetched(url):
    """The JSON there; None where there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.load(response)
    except OSError:
        return None


def until(timeout, look):
    """What `look` gives, as soon as that is something; fails when it is nothing for too long."""
    deadline = time.monotonic() + timeout
    while not (seen := look()):
        assert time.monotonic() < deadline, f"nothing within {timeout:g} s"
        time.sleep(0.1)
    return seen


class Text(HTMLParser):
    """The pieces of text of a page."""

    def __init__(self, page):
        super().__init__()
        self.pieces = set()
        self.feed(page)

    def handle_data(self, data):
        self.pieces.add(data)


def texts(url, profile):
    """What is written on a page, as Chromium has it after the page's scripts ran."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium, which is not installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    # Zipkin draws the rows that are in sight, so the window is a high one. The time that the
    # scripts have is counted while they run: what they fetch is waited for.
    options += ["--window-size=1400,2000", "--virtual-time-budget=20000"]
    dumped = subprocess.run(
        [chromium, *options, "--dump-dom", url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=BROWSER_TIMEOUT,
    )
    assert dumped.returncode == 0, dumped.stderr
    return Text(dumped.stdout).pieces


class Told(NamedTuple):
    """A span, as far as Zipkin's API and the demo's file must say the same."""

    span_id: str
    parent_id: str
    name: str
    begin: int  # microseconds, as the Collector rounds them for Zipkin
    duration: int
    failed: bool
    events: list[str]


def told_by_zipkin(span):
    events = sorted(note["value"].partition("|")[0] for note in span.get("annotations", []))
    times = span["timestamp"], span["duration"]
    failed = "error" in span.get("tags", {})
    return Told(span["id"], span.get("parentId", ""), span["name"], *times, failed, events)


def told_by_file(span):
    begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    return Told(
        span["spanId"],
        span.get("parentSpanId", ""),
        span["name"].lower(),
        (begin + 500) // 1000,
        (end - begin + 500) // 1000,
        span.get("status", {}).get("code") == 2,
        sorted(event["name"] for event in span.get("events", [])),
    )


def test_zipkin_has_every_span_of_the_demo(zipkin):
    def arrived():
        found = {trace: fetched(f"{zipkin.url}/api/v2/trace/{trace}") for trace in zipkin.traces}
        counts = {trace: len(spans or ()) for trace, spans in found.items()}
        whole = counts == {trace: len(spans) for trace, spans in zipkin.traces.items()}
        return found if whole else None

    for trace, spans in until(ARRIVAL_TIMEOUT, arrived).items():
        made = zipkin.traces[trace]
        assert sorted(map(told_by_zipkin, spans)) == sorted(map(told_by_file, made))


def test_zipkins_page_of_the_slowest_trace_names_its_spans(zipkin, tmp_path):
    names = {f"shop: {span['name'].lower()}" for span in zipkin.traces[zipkin.slowest]}
    assert names >= {"shop: post /checkout", "shop: charge_card", "shop: update items"}
    assert names <= texts(f"{zipkin.url}/zipkin/traces/{zipkin.slowest}", tmp_path)


def test_zipkins_list_of_traces_names_the_requests(zipkin, tmp_path):
    (address,) = re.findall(r"<http://127.0.0.1:9411(\S+)>", PAGE.read_text(encoding="utf-8"))
    run_query = f"&lookback=15m&endTs={time.time() * 1000:.0f}"  # what that button adds
    written = texts(zipkin.url + address + run_query, tmp_path)
    assert {"shop: get /cart/{id}", "shop: post /checkout", "shop: get /items"} <= written
