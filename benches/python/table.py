"""The numbers as text, and the bars that they must reach."""

from dataclasses import dataclass

# Whose time is divided by whose, in a table of those that have it.
RATIOS = {
    "sdk/nanospan": ("sdk", "nanospan"),
    "nanospan/cell": ("nanospan", "floor cell"),
    "nanospan/plain": ("nanospan", "floor plain"),
    "sdk/face": ("sdk", "otel face"),
    "face/cell": ("otel face", "floor otel cell"),
    "face/plain": ("otel face", "floor otel plain"),
}


@dataclass
class Row:
    name: str
    title: str
    ns: dict[str, float]

    def ratio(self, over: str, under: str) -> float | None:
        if over not in self.ns or under not in self.ns:
            return None
        return self.ns[over] / self.ns[under]


def render(rows: list[Row]) -> str:
    """Nanoseconds of each contestant, and ratios."""
    columns = list(dict.fromkeys(name for row in rows for name in row.ns))
    ratios = {title: pair for title, pair in RATIOS.items() if set(pair) <= set(columns)}
    widths = [max(13, len(name) + 2) for name in columns] + [len(title) + 2 for title in ratios]
    lines = [_line("", columns + list(ratios), widths)]
    for row in rows:
        cells = [f"{row.ns[name]:,.0f}" if name in row.ns else "-" for name in columns]
        cells += [_short(row.ratio(*pair)) for pair in ratios.values()]
        lines.append(_line(row.title, cells, widths))
    return "\n".join(lines)


def _short(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _line(title: str, cells: list[str], widths: list[int]) -> str:
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{title:28}{''.join(padded)}"


def missed_bars(rows: list[Row]) -> list[str]:
    """The bars that were measured and missed."""
    missed = []
    for row in rows:
        for under, least, sentence in _bars(row.name):
            ratio = row.ratio("sdk", under)
            if ratio is not None and ratio < least:
                missed.append(f"{row.title}: {sentence}: it is {ratio:.1f}")
    return missed


def _bars(name: str) -> list[tuple[str, float, str]]:
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
