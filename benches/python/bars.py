"""What the rows of the table must reach: beside the floor, and beside opentelemetry-sdk."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# How many times the floor's time a case should take at most, by how the active span is carried: in
# a cell, or in a variable that is set and set back.
TARGETS: dict[str, dict[str, float]] = {
    "off": {"cell": 2.0},
    "start": {"cell": 1.25},
    "attribute": {"cell": 1.15},
    "event": {"cell": 1.25},
    "with": {"cell": 1.2, "plain": 1.2},
    "request": {"cell": 1.15, "plain": 1.15},
    "unsampled-with": {"cell": 1.25, "plain": 1.25},
    "unsampled-request": {"cell": 1.25},
    "otel-with3": {"cell": 1.25, "plain": 1.25},
}
# A ratio beyond this many times its target is a bar missed. Least times repeat within a few percent
# on a busy machine, and move by a tenth with what the linker places where.
SLACK = 1.5

# A request while a worker exports takes at most so many times what one takes while it sleeps. What
# it takes more may be SLACK times as much.
LIVE_TARGET = 1.06

# Of each face, by how the active span is carried: our column and the floor's.
NATIVE = {"cell": ("nanospan", "floor cell"), "plain": ("nanospan plain", "floor plain")}
OTEL = {"cell": ("otel face", "floor otel cell"), "plain": ("otel face plain", "floor otel plain")}


@dataclass
class Row:
    """Nanoseconds of one case by contestant."""

    name: str
    title: str
    ns: dict[str, float]

    @property
    def is_through_otel(self) -> bool:
        return self.name.startswith("otel-")

    def ratio(self, over: str, under: str) -> float | None:
        if over not in self.ns or under not in self.ns:
            return None
        return self.ns[over] / self.ns[under]

    def to_floor(self, body: str) -> float | None:
        return self.ratio(*(OTEL if self.is_through_otel else NATIVE)[body])

    def as_data(self) -> dict[str, object]:
        targets = TARGETS.get(self.name, {})
        return {"name": self.name, "title": self.title, "ns": self.ns, "targets": targets}


@dataclass(frozen=True)
class Missed:
    """A bar that was measured and not reached, and which measurement to take again."""

    case: str
    body: str
    sentence: str


def missed(rows: Iterable[Row]) -> list[Missed]:
    """The bars that were measured and not reached."""
    return [bar for row in rows for bar in (*_beside_floor(row), *_beside_sdk(row))]


def unmeasured(rows: Iterable[Row], cases: Iterable[str]) -> list[str]:
    """The targets of `cases` for which there is no ratio."""
    by_name = {row.name: row for row in rows}
    return [
        f"{name}, {body}: has a target and was not measured beside the floor"
        for name in cases
        for body in TARGETS[name]
        if name not in by_name or by_name[name].to_floor(body) is None
    ]


def _beside_floor(row: Row) -> Iterator[Missed]:
    for body, target in TARGETS.get(row.name, {}).items():
        ratio = row.to_floor(body)
        most = SLACK * target
        if ratio is not None and not ratio <= most:
            sentence = f"at most {most:.2f} times the floor's, for a target of {target}"
            yield Missed(row.name, body, f"{row.title}, {body}: {sentence}: it is {ratio:.2f}")


def _beside_sdk(row: Row) -> Iterator[Missed]:
    for under, least, sentence in _least_beside_sdk(row.name):
        ratio = row.ratio("sdk", under)
        if ratio is not None and ratio < least:
            yield Missed(row.name, "cell", f"{row.title}: {sentence}: it is {ratio:.1f}")


def _least_beside_sdk(name: str) -> list[tuple[str, float, str]]:
    """Who must be how many times as fast as the SDK in a row."""
    if name == "request":
        return [("nanospan", 30, "at least 30 times as fast as the SDK's")]
    if name == "error":
        return [("nanospan", 10, "at least 10 times as fast as the SDK's")]
    if name == "tasks":
        return [("nanospan", 20, "at least 20 times as fast as the SDK's")]
    if name == "otel-error":
        return [("otel face", 10, "at least 10 times as fast as the SDK's")]
    if name.endswith("untraced-tasks"):
        return []
    if name == "off":
        return [("nanospan", 10, "at most a tenth of the SDK's")]
    if name == "otel-with3":
        return [("otel face", 15, "at least 15 times as fast as the SDK's")]
    if name.startswith("otel-unsampled"):
        return [("otel face", 6, "at most a sixth of the SDK's")]
    return [("otel face", 1, "not slower than the SDK's")]
