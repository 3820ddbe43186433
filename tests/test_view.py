"""The command `nanospan view`: traces of a file as text."""

import json
import os
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanospan
from nanospan._core import _view as draw
from support.process import checked_python

EPOCH_NS = 1_700_000_000_000_000_000
SHOP = "4b" * 16
STOCK = "5c" * 16


def span(number: int, parent: int, name: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    """A span in OTLP/JSON; times in tenths of a millisecond, parent 0 for none."""
    return {
        "traceId": SHOP,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "startTimeUnixNano": str(EPOCH_NS + start * 100_000),
        "endTimeUnixNano": str(EPOCH_NS + end * 100_000),
        **more,
    }


def export(*spans: dict[str, Any], service: str = "shop") -> str:
    """One line of a file."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})


TIMEOUT = {"code": 2, "message": "TimeoutError: canceling statement"}
REQUEST = [
    span(1, 0, "GET /cart/{id}", 0, 1842),
    span(2, 1, "auth.verify", 5, 215),
    span(3, 2, "redis GET session", 100, 183),
    span(4, 1, "load_cart", 220, 1180),
    span(5, 4, "SELECT cart", 225, 535),
    span(6, 4, "SELECT price", 560, 1161, status=TIMEOUT),
    span(7, 4, "GET stock.internal/items", 560, 1000),
    span(8, 1, "render cart.html", 1200, 1810),
]
REQUEST_DRAWN = """\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  8 spans
1 error  184.2 ms
                               0        46.1 ms   92.1 ms  138.2 ms   184.2 ms
GET /cart/{id}                 ██████████████████████████████████████ 184.2 ms
├─ auth.verify                 █████                                   21.0 ms
│  └─ redis GET session          ██                                     8.3 ms
├─ load_cart                       █████████████████████               96.0 ms
│  ├─ SELECT cart                  ████████                            31.0 ms
│  ├─ ✖ SELECT price                      █████████████                60.1 ms
│  └─ GET stock.internal/items            ░░░░░░░░░░                   44.0 ms
└─ render cart.html                                    ██████████████  61.0 ms ◀
"""
RESTOCK = [span(1, 0, "restock", 2000, 2010, traceId=STOCK)]
RESTOCK_DRAWN = """\
stock  5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c  2023-11-14 22:13:20.200Z  1 span
0 errors  1.0 ms
        0              250.0 µs        500.0 µs        750.0 µs         1.0 ms
restock ███████████████████████████████████████████████████████████████ 1.0 ms
"""


def drawn(text: str, **options: Any) -> tuple[str, list[tuple[int, str]]]:
    """What the core makes of the text of a file."""
    plain = {"width": 80, "colour": False, "ascii": False, "attributes": False}
    choice = {"trace": None, "slowest": None, "errors": False}
    return draw(text.encode(), **{**plain, **choice, **options})


def environment(**variables: str) -> dict[str, str]:
    """This one's, without what would decide about width, colour or encoding."""
    deciding = {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING", "TERM"}
    kept = {key: value for key, value in os.environ.items() if key not in deciding}
    return {**kept, "PYTHONUTF8": "1", **variables}


def run(
    *arguments: str | Path, text: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command as one would in a shell script, with `text` on its stdin."""
    return subprocess.run(
        [sys.executable, "-m", "nanospan", "view", *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env=environment(**variables),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two traces, one of them in two exports."""
    path = tmp_path / "traces.jsonl"
    lines = [export(*REQUEST[4:]), export(*RESTOCK, service="stock"), export(*REQUEST[:4])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_is_drawn_trace_by_trace_in_eighty_columns(file: Path) -> None:
    shown = run(file)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == f"{REQUEST_DRAWN}\n{RESTOCK_DRAWN}"


@pytest.mark.parametrize(
    ("arguments", "drawing"),
    [
        (["--slowest", "1"], REQUEST_DRAWN),
        (["--errors"], REQUEST_DRAWN),
        (["--trace", "5C"], RESTOCK_DRAWN),
        (["--trace", SHOP], REQUEST_DRAWN),
        (["--slowest", "9", "--trace", "5"], RESTOCK_DRAWN),
    ],
    ids=["slowest", "errors", "prefix", "whole id", "both"],
)
def test_traces_are_chosen(file: Path, arguments: list[str], drawing: str) -> None:
    assert run(file, *arguments).stdout == drawing


def test_stdin_is_a_file_too(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert run("-", "--errors", text=text).stdout == REQUEST_DRAWN


def test_attributes_events_and_status_stand_below_their_span() -> None:
    attributes = [{"key": "db.system", "value": {"stringValue": "postgresql"}}]
    event = {"timeUnixNano": str(EPOCH_NS + 3_000_000), "name": "retry", "attributes": attributes}
    text = export(
        span(1, 0, "GET /cart", 0, 100),
        span(2, 1, "SELECT", 10, 90, attributes=attributes, events=[event], status=TIMEOUT),
    )
    drawing, _ = drawn(text, attributes=True)
    expected = """\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  2 spans
1 error  10.0 ms
            0             2.5 ms         5.0 ms        7.5 ms          10.0 ms
GET /cart   ██████████████████████████████████████████████████████████ 10.0 ms
└─ ✖ SELECT      ████████████████████████████████████████████████       8.0 ms ◀
      ✖ TimeoutError: canceling statement
      db.system = postgresql
      • retry +2.0 ms
        db.system = postgresql
"""
    assert drawing == expected


def test_a_broken_line_is_named_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    whole = export(*REQUEST)
    odd = export({**REQUEST[0], "spanId": "zz"})
    path.write_text("\n".join([whole[:100], "", odd, whole, '{"resourceSp']), encoding="utf-8")
    shown = run(path)
    assert shown.returncode == 0
    assert shown.stdout == REQUEST_DRAWN
    place = "resourceSpans[0].scopeSpans[0].spans[0].spanId"
    assert shown.stderr.splitlines() == [
        f"{path}:1: skipped: column 100: the line is cut off",
        f'{path}:3: skipped: {place}: expected 16 hex digits, got "zz"',
        f"{path}:5: skipped: column 12: the line is cut off",
    ]


@pytest.mark.parametrize(("count", "last"), [(6, "1 more line"), (1_000, "995 more lines")])
def test_of_many_broken_lines_the_first_five_are_named(count: int, last: str) -> None:
    shown = run("-", text="{\n" * count + export(*REQUEST))
    assert shown.stdout == REQUEST_DRAWN
    *named, more = shown.stderr.splitlines()
    assert [line.split(":")[1] for line in named] == ["1", "2", "3", "4", "5"]
    assert more == f"stdin: ... and {last}"


def test_the_command_says_its_version() -> None:
    command = [sys.executable, "-m", "nanospan", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout == f"nanospan {nanospan.__version__}\n"


def test_what_cannot_be_shown_is_said_in_one_line(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.jsonl"
    for arguments, reason in [
        ([missing], f"{missing}: No such file or directory"),
        ([tmp_path], f"{tmp_path}: Is a directory"),
        (["-"], "stdin: no spans"),
        ([file, "--trace", "00"], f"{file}: no such trace"),
        ([file, "--trace", "5", "--errors"], f"{file}: no such trace"),
    ]:
        shown = run(*arguments)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr == f"nanospan view: {reason}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["-", "--slowest", "0"], ["-", "--trace", "xyz"]],
    ids=str,
)
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    shown = run(*arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("usage: nanospan view ")


@pytest.mark.parametrize("width", ["wide", "39", "501", "-1"])
def test_a_width_out_of_range_is_refused_with_what_is_allowed(width: str) -> None:
    shown = run("-", f"--width={width}")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.endswith(f"{width!r} is not a whole number from 40 to 500\n")


@pytest.mark.parametrize(
    ("arguments", "variables", "is_coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
    ids=str,
)
def test_a_pipe_gets_colours_only_on_demand(
    file: Path, arguments: list[str], variables: dict[str, str], is_coloured: bool
) -> None:
    assert ("\x1b[" in run(file, *arguments, **variables).stdout) is is_coloured


def test_a_terminal_gets_colours_and_its_own_width(file: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    arguments = [sys.executable, "-m", "nanospan", "view", str(file), "--trace", "5c"]
    subprocess.run(arguments, stdout=end, env=environment(TERM="xterm"), timeout=60, check=True)
    shown = os.read(terminal, 65_536)
    os.close(terminal)
    os.close(end)
    header = f"\x1b[1mstock\x1b[0m  \x1b[1m{STOCK}\x1b[0m  2023-11-14 22:13:20.200Z  1 span"
    assert shown.decode().splitlines()[0] == f"{header}  0 errors  1.0 ms"


def test_where_unicode_cannot_be_written_everything_is_ascii(file: Path) -> None:
    shown = run(file, "--errors", PYTHONUTF8="0", PYTHONIOENCODING="latin-1")
    signs = str.maketrans("█░✖◀", "#-x<")
    ascii_drawing = REQUEST_DRAWN.translate(signs)
    for guide, ascii_guide in [("├─", "|-"), ("└─", "`-"), ("│", "|")]:
        ascii_drawing = ascii_drawing.replace(guide, ascii_guide)
    assert shown.stdout == ascii_drawing
    assert run("--help", PYTHONUTF8="0", PYTHONIOENCODING="ascii").returncode == 0


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(export(*(span(n, 0, "x", n, n + 1) for n in range(1, 3_000))), encoding="utf-8")
    arguments = [sys.executable, "-m", "nanospan", "view", str(path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, env=environment(), **pipes) as viewer:
        assert viewer.stdout is not None
        assert viewer.stderr is not None
        assert viewer.stdout.readline().startswith(b"shop")
        viewer.stdout.close()
        assert viewer.stderr.read() == b""
        assert viewer.wait(timeout=60) == 0


def test_a_program_that_is_traced_does_not_import_the_viewer() -> None:
    tools = "'argparse', 'shutil', 'nanospan._view', 'nanospan._cli'"
    checked_python(f"import sys, nanospan; assert not {{{tools}}} & set(sys.modules)")


def columns(text: str) -> int:
    """What Unicode says of the width, rather than the table of the core."""
    hidden = ("Mn", "Me", "Cf")
    shown = (character for character in text if unicodedata.category(character) not in hidden)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in shown)


texts = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40)


@st.composite
def forests(draw_from: st.DrawFn) -> list[dict[str, Any]]:
    """Spans whose parents may be missing, themselves or each other, and whose times may be odd."""
    count = draw_from(st.integers(1, 30))
    numbers = st.integers(0, count + 1)
    times = st.integers(0, 10**6)
    statuses = st.sampled_from([{}, {"code": 1}, {"code": 2, "message": "why"}])
    return [
        span(
            number,
            draw_from(numbers),
            f"#{number};{draw_from(texts)}",
            draw_from(times),
            draw_from(times),
            status=draw_from(statuses),
            attributes=[{"key": draw_from(texts), "value": {"stringValue": draw_from(texts)}}],
        )
        for number in range(1, count + 1)
    ]


@given(forests(), texts, st.integers(40, 200), st.booleans())
def test_no_line_is_wider_than_the_terminal(
    spans: list[dict[str, Any]], service: str, width: int, is_ascii: bool
) -> None:
    text = export(*spans, service=service)
    drawing, broken = drawn(text, width=width, ascii=is_ascii, attributes=True)
    assert broken == []
    assert max(map(columns, drawing.split("\n"))) <= width
    assert drawing.isascii() or not is_ascii
    assert not any(
        unicodedata.category(character) == "Cc" for character in drawing.replace("\n", "")
    )


@given(forests(), st.booleans())
def test_every_span_has_exactly_one_row(spans: list[dict[str, Any]], is_ascii: bool) -> None:
    drawing, _ = drawn(export(*spans), ascii=is_ascii)
    rows = drawing.splitlines()[-len(spans) :]
    for number in range(1, len(spans) + 1):
        assert sum(f"#{number};" in row for row in rows) == 1
