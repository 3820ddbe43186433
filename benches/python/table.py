"""The numbers as text, and the bars that they must reach."""

from dataclasses import dataclass

# Whose time is divided by whose.
RATIOS = {
    "sdk/nanospan": ("sdk", "nanospan"),
    "nanospan/cell": ("nanospan", "floor cell"),
    "nanospan/plain": ("nanospan", "floor plain"),
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
    widths = [max(13, len(name) + 2) for name in columns] + [len(title) + 2 for title in RATIOS]
    lines = [_line("", columns + list(RATIOS), widths)]
    for row in rows:
        cells = [f"{row.ns[name]:,.0f}" if name in row.ns else "-" for name in columns]
        ratios = [row.ratio(*pair) for pair in RATIOS.values()]
        cells += [_short(ratio) for ratio in ratios]
        lines.append(_line(row.title, cells, widths))
    return "\n".join(lines)


def _short(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _line(title: str, cells: list[str], widths: list[int]) -> str:
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{title:25}{''.join(padded)}"


def missed_bars(rows: list[Row]) -> list[str]:
    """The bars that were measured and missed."""
    bars = {
        "request": (30, "a request of 4 spans at least 30 times as fast as the SDK's"),
        "off": (10, "a block that is not configured at most a tenth of the SDK's"),
    }
    missed = []
    for row in rows:
        least, sentence = bars.get(row.name, (0, ""))
        ratio = row.ratio("sdk", "nanospan")
        if ratio is not None and ratio < least:
            missed.append(f"{sentence}: it is {ratio:.1f}")
    return missed
