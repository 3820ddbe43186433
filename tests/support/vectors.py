"""The facts of `tests/vectors`: each entry is judged; one that says `applies: false` is listed."""

import json
from pathlib import Path
from typing import Any

import pytest

Entry = dict[str, Any]
_VECTORS = Path(__file__).parent.parent / "vectors"


def entries(file: str) -> list[Entry]:
    return json.loads((_VECTORS / file).read_text())["entries"]


def applying(*files: str, kind: str | None = None) -> Any:
    """Parametrizes over files; an entry that does not apply is skipped with its reason."""
    return pytest.mark.parametrize(
        "entry",
        [
            pytest.param(
                entry,
                id=entry["id"],
                marks=() if entry.get("applies", True) else pytest.mark.skip(reason=entry["why"]),
            )
            for file in files
            for entry in entries(file)
            if kind in (None, entry["kind"])
        ],
    )


def official(entry: Entry) -> Entry:
    """What `official` says where that is preferred; its source is for readers."""
    answer = entry["official"] if entry.get("prefer") == "official" else {}
    return {key: answer[key] for key in answer if key != "source"}


def ours(entry: Entry) -> Entry:
    """The expected answer, with what `official` says where that is preferred."""
    return entry["expect"] | official(entry)
