"""Every program under `examples/` runs, and shows what it says it shows."""

import json
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.receiver import Receiver
from support.reply import PartialSuccess, Status

pytest_plugins = ("support.plugin",)

EXAMPLES = Path(__file__).parent.parent / "examples"

SPAN_NAMES = {
    "compatibility": {"upload", "upload 2", "schedule", "import"},
    "database": {"restock", "BATCH INSERT items", "SELECT items", "UPDATE items"},
    "exceptions": {"checkout", "ask_cache", "try_first_card", "try_second_card", "try_third_card"},
    "faas": {"nightly-report", "send-mail"},
    "general": {"ask", "answer", "throw", "answer_of_everything"},
    "http": {"GET /cart/{id}", "GET"},
    "messaging": {"checkout", "create orders", "send orders", "poll orders", "process orders"},
    "rpc": {"checkout", "shop.Stock/Reserve", "shop.Stock/Release"},
}


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs an example in a fresh process, as its reader would."""
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        cwd=cwd,
    )


@pytest.mark.parametrize("family", sorted(SPAN_NAMES))
def test_an_example_of_the_conventions_prints_its_spans(family: str, tmp_path: Path) -> None:
    completed = run(EXAMPLES / "semantic_conventions" / f"{family}.py", cwd=tmp_path)
    assert (completed.returncode, completed.stdout) == (0, "")
    assert {name for name in SPAN_NAMES[family] if name in completed.stderr} == SPAN_NAMES[family]


def test_every_family_has_its_example() -> None:
    assert {path.stem for path in (EXAMPLES / "semantic_conventions").glob("*.py")} == set(
        SPAN_NAMES
    )


def test_the_ten_lines_are_ten_and_print_a_waterfall(tmp_path: Path) -> None:
    program = EXAMPLES / "ten_lines.py"
    assert len([line for line in program.read_text().splitlines() if line]) == 10
    completed = run(program, cwd=tmp_path)
    assert (completed.returncode, completed.stdout) == (0, "")
    rows = [line for line in completed.stderr.splitlines() if re.search(r"[\w)] [µmn]?s\b", line)]
    drawn = [re.search(r"GET /cart|load_cart|charge_card", row) for row in rows]
    assert [found and found.group() for found in drawn if found] == [
        "GET /cart",
        "load_cart",
        "charge_card",
    ]


class Demo(NamedTuple):
    """One run of the demo: what it printed and what it wrote."""

    completed: subprocess.CompletedProcess[str]
    lines: list[dict[str, Any]]

    @property
    def spans(self) -> dict[str, dict[str, Any]]:
        """Every span of the file by its id."""
        return {
            span["spanId"]: span
            for line in self.lines
            for resource_spans in line["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once from another folder."""
    folder = tmp_path_factory.mktemp("demo")
    completed = run(EXAMPLES / "demo.py", "--file", "traces.jsonl", cwd=folder)
    assert completed.returncode == 0, completed.stderr
    with (folder / "traces.jsonl").open(encoding="utf-8") as file:
        return Demo(completed, [json.loads(line) for line in file])


def test_the_demo_draws_its_slowest_request_and_says_where_to_look(demo: Demo) -> None:
    assert demo.completed.stderr == ""
    slowest = max(
        (span for span in demo.spans.values() if not span.get("parentSpanId")), key=duration
    )
    assert slowest["name"] in demo.completed.stdout
    assert "nanospan view traces.jsonl --errors\n" in demo.completed.stdout
    assert "nanospan view traces.jsonl --slowest 3 --attributes\n" in demo.completed.stdout


def test_the_demo_counts_what_is_in_its_file(demo: Demo) -> None:
    summary = demo.completed.stdout.splitlines()[-1]
    numbers = re.fullmatch(
        r"80 requests \(.*\): (\d+) traces recorded, (\d+) of (\d+) spans, (\d+) with an error\.",
        summary,
    )
    assert numbers is not None, summary
    traces, sent, started, errors = map(int, numbers.groups())
    assert traces == len({span["traceId"] for span in demo.spans.values()})
    assert sent == len(demo.spans) < started
    assert errors == sum(failed(span) for span in demo.spans.values())


def test_the_demo_leaves_some_requests_unsampled_and_records_the_others_whole(demo: Demo) -> None:
    roots = [span for span in demo.spans.values() if not span.get("parentSpanId")]
    assert 0 < len(roots) < 80
    assert {span["traceId"] for span in roots} == {span["traceId"] for span in demo.spans.values()}


def test_every_parent_of_the_demo_is_in_the_file_and_encloses_its_children(demo: Demo) -> None:
    for span in demo.spans.values():
        if span.get("parentSpanId"):
            parent = demo.spans[span["parentSpanId"]]
            assert parent["traceId"] == span["traceId"]
            assert start(parent) <= start(span) <= end(span) <= end(parent)


def test_the_demo_shows_every_way_to_fail(demo: Demo) -> None:
    errors = Counter(span["name"] for span in demo.spans.values() if failed(span))
    assert set(errors) >= {"authorize", "charge_card", "UPDATE items", "load_cart"}
    messages = {span["status"].get("message", "") for span in demo.spans.values() if failed(span)}
    assert any("insufficient funds" in message for message in messages)
    assert any("CHECK constraint failed" in message for message in messages)


def test_the_demo_has_events_threads_and_siblings(demo: Demo) -> None:
    events = {event["name"] for span in demo.spans.values() for event in span.get("events", [])}
    assert events >= {"shop.order.placed", "exception"}
    assert events & {"shop.cache.hit", "shop.cache.miss"}
    siblings = Counter(
        span["parentSpanId"] for span in demo.spans.values() if span["name"] == "SELECT items"
    )
    gathered = [
        demo.spans[parent] for parent in siblings if demo.spans[parent]["name"] == "price_lines"
    ]
    assert max(siblings[span["spanId"]] for span in gathered) == 3


def test_the_demo_sends_its_spans_to_an_endpoint_too(receiver: Receiver, tmp_path: Path) -> None:
    arguments = ("--file", "traces.jsonl", "--endpoint", receiver.endpoint)
    completed = run(EXAMPLES / "demo.py", *arguments, cwd=tmp_path)
    assert (completed.returncode, completed.stderr) == (0, "")
    lines = (tmp_path / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    made = Demo(completed, [json.loads(line) for line in lines]).spans
    arrived = [span["span_id"] for span in receiver.spans()]
    assert sorted(arrived) == sorted(made)
    said = completed.stdout.splitlines()[-1]
    assert said == f"{len(made)} spans were sent to {receiver.endpoint}."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Status(403), "403", id="forbidden"),
        pytest.param(PartialSuccess(1, "one too old"), "one too old", id="one rejected"),
    ],
)
def test_the_demo_fails_and_says_why_when_not_every_span_was_taken(
    receiver: Receiver, reply: Status | PartialSuccess, reason: str, tmp_path: Path
) -> None:
    receiver.reply(reply)
    endpoint = receiver.endpoint
    completed = run(EXAMPLES / "demo.py", "--file", "t", "--endpoint", endpoint, cwd=tmp_path)
    said = completed.stderr.splitlines()[-1]
    numbers = re.fullmatch(rf"{re.escape(endpoint)} took (\d+) of (\d+) spans: (.*)", said)
    assert numbers is not None, said
    assert completed.returncode == 1
    assert int(numbers[1]) == len(receiver.spans()) < int(numbers[2])
    assert reason in numbers[3]


def test_the_demo_fails_and_says_why_when_nothing_listens(tmp_path: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        completed = run(EXAMPLES / "demo.py", "--file", "t", "--endpoint", endpoint, cwd=tmp_path)
    assert completed.returncode == 1
    assert "POST /checkout" in completed.stdout, "it still draws"
    said = completed.stderr.splitlines()[-1]
    assert said.startswith(f"{endpoint} took 0 of ")
    assert "Connection refused" in said


def test_make_demo_passes_an_endpoint_on() -> None:
    def command(*variables: str) -> str:
        return subprocess.run(
            ["make", "--dry-run", "--assume-old=.venv/.built", "demo", *variables],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            cwd=EXAMPLES.parent,
        ).stdout

    assert "endpoint" not in command()
    assert "demo.py --endpoint 'http://h:4318'\n" in command("ENDPOINT=http://h:4318")


def start(span: dict[str, Any]) -> int:
    return int(span["startTimeUnixNano"])


def end(span: dict[str, Any]) -> int:
    return int(span["endTimeUnixNano"])


def duration(span: dict[str, Any]) -> int:
    return end(span) - start(span)


def failed(span: dict[str, Any]) -> bool:
    return span.get("status", {}).get("code") == 2
