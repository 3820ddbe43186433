"""Every Python snippet of the documentation runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/*.md"))]


def snippets(page: Path) -> Iterator[tuple[int, str]]:
    """The line each fenced block of Python begins at, and its code."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield text.count("\n", 0, block.start()) + 1, block[1]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=f"{page.name}:{line}")
        for page in PAGES
        for line, code in snippets(page)
    ],
)
def test_a_snippet_runs_and_only_the_console_exporter_prints(code: str, tmp_path: Path) -> None:
    file = tmp_path / "test_snippet.py"
    file.write_text(code, encoding="utf-8")
    # A snippet of tests is run as its reader would.
    command = ["-m", "pytest", "-p", "no:randomly", file] if "def test_" in code else [file]
    completed = subprocess.run(
        [sys.executable, "-W", "error", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        cwd=tmp_path,
    )
    assert completed.returncode == 0, completed.stderr
    assert bool(completed.stderr) == ("ConsoleExporter" in code), completed.stderr


def test_the_readme_shows_the_ten_lines_of_the_example() -> None:
    program = (ROOT / "examples" / "ten_lines.py").read_text(encoding="utf-8")
    assert program in [code for _, code in snippets(ROOT / "README.md")]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        found = page.parent / file if file else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
