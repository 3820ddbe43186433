"""The numbers as text."""

from bars import NATIVE, OTEL, TARGETS, Row

# The face of nanospan that a table is of, by the title of the SDK's ratio to it.
_FACES = {"sdk/nanospan": NATIVE, "sdk/face": OTEL}


def render(rows: list[Row]) -> str:
    """Nanoseconds of each contestant, and ratios; all rows through the same face."""
    columns = list(dict.fromkeys(name for row in rows for name in row.ns))
    columns.sort(key="sdk".__eq__)  # last
    title, face = list(_FACES.items())[rows[0].is_through_otel]
    has = {body: set(pair) <= set(columns) for body, pair in face.items()}
    ours = face["cell"][0]
    heads = [title] * ({"sdk", ours} <= set(columns))
    for body in face:
        heads += [f"{body}/floor", "target"] * has[body]
    widths = [max(13, len(name) + 2) for name in columns] + [len(head) + 2 for head in heads]
    lines = [_line("", columns + heads, widths)]
    for row in rows:
        cells = [f"{row.ns[name]:,.0f}" if name in row.ns else "-" for name in columns]
        if title in heads:
            cells.append(_short(row.ratio("sdk", ours)))
        for body in face:
            pair = [row.to_floor(body), TARGETS.get(row.name, {}).get(body)]
            cells += [_short(number) for number in pair] * has[body]
        lines.append(_line(row.title, cells, widths))
    return "\n".join(lines)


def _short(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _line(title: str, cells: list[str], widths: list[int]) -> str:
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{title:28}{''.join(padded)}"
