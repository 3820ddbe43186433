"""What `make bench-gate` takes for a miss."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benches" / "python"))
import bars
import bench
import bench_span
import table

FLOOR_NS = 100.0
# What the SDK must be beaten by is asked elsewhere.
SDK_NS = 100_000.0


def rows_at(part_of_bar):
    """A row for each target, each ratio at this part of what it may be."""
    rows = []
    for case, targets in bars.TARGETS.items():
        ns = {"sdk": SDK_NS}
        for body, target in targets.items():
            ours, floor = (bars.OTEL if case.startswith("otel-") else bars.NATIVE)[body]
            ns |= {ours: FLOOR_NS * target * bars.SLACK * part_of_bar, floor: FLOOR_NS}
        rows.append(bars.Row(case, case, ns))
    return rows


def targets():
    return [(case, body) for case, by_body in bars.TARGETS.items() for body in by_body]


def measured(monkeypatch, first, again):
    """Lets the table have these rows, and those when a row is measured again."""
    rounds = []

    def measure(wanted, of_rounds):
        rounds.append(of_rounds)
        names = wanted["cell"] | wanted["plain"]
        return {row.name: row for row in (again if rounds[1:] else first) if row.name in names}

    monkeypatch.setattr(bench_span, "measure", measure)
    monkeypatch.setattr(bench_span.contestants, "floor_module", lambda: object())
    monkeypatch.setattr(sys, "argv", ["bench.py", "--quick", "--gate"])
    return rounds


def test_rows_within_their_bars_pass():
    assert bars.missed(rows_at(0.99)) == []
    assert bars.unmeasured(rows_at(0.99), bars.TARGETS) == []


@pytest.mark.parametrize(("case", "body"), targets())
def test_a_ratio_beyond_its_bar_is_missed_in_its_row_alone(case, body):
    rows = rows_at(0.99)
    row = next(row for row in rows if row.name == case)
    ours, _ = (bars.OTEL if row.is_through_otel else bars.NATIVE)[body]
    row.ns[ours] *= 1.03
    (missed,) = bars.missed(rows)
    assert (missed.case, missed.body) == (case, body)
    assert missed.sentence.startswith(f"{case}, {body}: at most ")


def test_a_ratio_that_is_no_number_is_missed():
    row = bars.Row("start", "start", {"nanospan": float("nan"), "floor cell": FLOOR_NS})
    assert [bar.case for bar in bars.missed([row])] == ["start"]


@pytest.mark.parametrize("body", ["cell", "plain"])
def test_a_target_that_was_not_measured_is_named(body):
    rows = rows_at(0.5)
    row = next(row for row in rows if row.name == "with")
    del row.ns[bars.NATIVE[body][1]]
    (sentence,) = bars.unmeasured(rows, bars.TARGETS)
    assert sentence.startswith(f"with, {body}: ")


def test_targets_stand_beside_the_ratios_of_their_table():
    rows = [row for row in rows_at(0.5) if not row.is_through_otel]
    head, *lines = table.render(rows).splitlines()
    assert head.split()[-5:] == ["sdk/nanospan", "cell/floor", "target", "plain/floor", "target"]
    by_case = {line.split()[0]: line.split()[-4:] for line in lines}
    assert by_case["with"] == ["0.90", "1.20", "0.90", "1.20"]
    assert by_case["off"] == ["1.50", "2.00", "-", "-"]


def test_the_gate_passes_when_all_is_within_its_bar(monkeypatch, capsys):
    rounds = measured(monkeypatch, rows_at(0.99), [])
    assert bench.main() == 0
    assert rounds == [40]
    assert "missed" not in capsys.readouterr().out


def test_the_gate_says_which_rows_missed_each_time(monkeypatch, capsys):
    rounds = measured(monkeypatch, rows_at(1.01), rows_at(1.02))
    assert bench.main() == 1
    assert rounds == [40, 120, 120, 120]
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missed: ")]
    assert len(missed) == len(targets())
    assert missed[0].startswith("missed: off, cell: at most 3.00 times the floor's")


def test_a_row_that_missed_once_is_judged_by_what_is_measured_again(monkeypatch, capsys):
    measured(monkeypatch, rows_at(1.01), rows_at(0.99))
    assert bench.main() == 0
    note = "again with 120 rounds, after a bar was missed: off (1), start (1)"
    assert note in capsys.readouterr().out


def test_the_gate_fails_when_a_target_was_not_measured(monkeypatch, capsys):
    measured(monkeypatch, rows_at(0.99)[1:], [])
    assert bench.main() == 1
    assert "missed: off, cell: has a target and was not measured" in capsys.readouterr().out


def test_the_gate_says_that_it_holds_nothing_where_the_floor_is_not_built(monkeypatch, capsys):
    measured(monkeypatch, rows_at(2.0), rows_at(2.0))
    monkeypatch.setattr(bench_span.contestants, "floor_module", lambda: None)
    assert bench.main() == 0
    assert "note: no target is held, as the floor is not here" in capsys.readouterr().out


def test_every_target_is_of_a_case_that_is_measured():
    wanted = bench_span._with_targets(None)
    everything = bench_span._all_with(None)
    assert all(wanted[body] <= everything[body] for body in wanted)
