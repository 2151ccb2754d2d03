"""What a trace says is shown as it says it: reasons that are its own, and nothing that nobody measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from edgewright.benchmarks.report.blocks import Block, Cell, Fold, Line, Lines, Table
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.page import page_of
from edgewright.benchmarks.trace import Flips, LayerTrace, Trace, TraceStep

from .conftest import make_record, make_trace

RecordsAt = Callable[..., Path]
Folded = Callable[[Trace, str], Fold]


@pytest.fixture
def folded(records_at: RecordsAt) -> Folded:
    """``folded(trace, key)``: what the section ``key`` shows of the trace."""

    number = count()

    def make(trace: Trace, key: str) -> Fold:
        page = page_of(gather([records_at(make_record(), trace, name=f"r{next(number)}")]))
        (section,) = (one for one in page.sections if one.key == key)
        fold = section.blocks[0]
        assert isinstance(fold, Fold)
        return fold

    return make


def table_of(fold: Fold) -> Table:
    (table,) = (one for one in fold.blocks if isinstance(one, Table))
    return table


def reason(table: Table, cell: Cell) -> str:
    assert cell.text == "unmeasured"
    assert cell.why is not None
    return table.reasons[cell.why - 1]


def lines_of(blocks: tuple[Block, ...]) -> tuple[str, ...]:
    return tuple(text for block in blocks if isinstance(block, Lines) for text in block.items)


def test_without_labels_nobody_knows_what_was_lost(folded: Folded) -> None:
    trace = replace(make_trace(classes=0), flips=Flips(500, 0, 0, 11, labelled=False))
    fold = folded(trace, "classes")
    assert fold.detail == "11 of 500 answers differ"
    assert fold.blocks == (Line("11 of 500 answers differ from the original's."),)


def test_with_labels_they_are_counted_as_answers(folded: Folded) -> None:
    fold = folded(make_trace(), "classes")
    assert fold.detail == "9 answers lost, 4 gained of 500"
    assert fold.blocks[0] == Line(
        "Of 500 answers 9 were right before and are wrong now, 4 the other way round, and 2 differ and were wrong both "
        "times. Lost: in samples 3, 7."
    )


def test_error_and_noise_stand_together_with_their_samples_and_the_notes(folded: Folded) -> None:
    fold = folded(make_trace(), "layers")
    table = table_of(fold)
    assert [column.text for column in table.columns][3:5] == ["Error", "Noise"]
    assert [cell.text for cell in table.rows[0]][:5] == ["layer.29", "Conv", "int8", "0.0290", "0.00580"]
    assert table.caption.endswith(", over 8 samples")
    assert lines_of(fold.blocks) == ("traced quickly",)
    plain = replace(make_trace(), layers=(LayerTrace("a", "Conv", "int8", 0.1, 1e3),))
    assert "Noise" not in [column.text for column in table_of(folded(plain, "layers")).columns]


@pytest.mark.parametrize(
    ("layer", "error", "time"),
    [
        ("", "no errors of layers: no data was given", "no times of layers: it cannot profile"),
        (
            "float to keep the accuracy",
            "no errors of layers: no data was given",
            "no times of layers: it cannot profile",
        ),
        (
            "kept; no error: another shape; no time of its own: it is fused",
            *("no error: another shape", "no time of its own: it is fused"),
        ),
    ],
)
def test_a_layers_missing_figure_has_the_traces_own_reason(folded: Folded, layer: str, error: str, time: str) -> None:
    notes = ("no errors of layers: no data was given", "no times of layers: it cannot profile")
    trace = replace(make_trace(), layers=(LayerTrace("a", "Conv", "float32", None, None, layer),), notes=notes)
    table = table_of(folded(trace, "layers"))
    (row,) = table.rows
    assert (reason(table, row[3]), reason(table, row[4])) == (error, time)
    assert row[0].detail == layer.partition(";")[0]


def test_no_reason_is_made_up(folded: Folded) -> None:
    bare = LayerTrace("a", "Conv", "float32", None, None, "float to keep the accuracy")
    steps = (TraceStep("original", "original", 10, None, None, note="the same computation as: tidy"),)
    trace = replace(make_trace(), layers=(bare,), steps=steps, notes=())
    layers, passes = table_of(folded(trace, "layers")), table_of(folded(trace, "passes"))
    assert layers.reasons == passes.reasons == ("the trace does not say why",)


def test_a_steps_missing_figure_has_the_reason_of_that_figure(folded: Folded) -> None:
    broken = "cannot be built as it is: no such operator"
    steps = (
        TraceStep("original", "original", 10, None, 2e6, note="the same computation as: tidy"),
        TraceStep("split", "pass", None, None, None, note=broken),
        TraceStep("engine", "engine", 10, None, None, note="no time: the measurement is invalid: late"),
    )
    trace = replace(make_trace(), steps=steps, notes=("no accuracies: no data was given",))
    table = table_of(folded(trace, "passes"))
    assert reason(table, table.rows[0][3]) == "no accuracies: no data was given"
    assert reason(table, table.rows[1][1]) == reason(table, table.rows[1][2]) == broken
    assert reason(table, table.rows[2][2]) == "no time: the measurement is invalid: late"
    silent = table_of(folded(replace(trace, notes=()), "passes"))
    assert reason(silent, silent.rows[2][3]) == "the trace does not say why"


def test_a_trace_of_another_machine_is_shown_with_a_remark(folded: Folded) -> None:
    fold = folded(replace(make_trace(), machine_identity="feedbeef01"), "passes")
    assert lines_of(fold.blocks)[0] == (
        "traced on machine feedbe, not on the one that measured: its times are of that machine"
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"steps": 7}, "trace.steps is 7, not a list"),
        ({"classes": [{"label": "cat", "reference": 1.0, "value": 0.5}]}, "trace.classes[0].n is missing"),
        ({"layers": [{"name": "a", "error": 10**400}]}, "trace.layers[0].error is 1000"),
    ],
)
def test_a_broken_trace_is_left_out_with_its_fault(damage: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.record.json"
    traces = [{**make_trace().to_json(), **damage}]
    document = {"schema": "edgewright.records/1", "records": [make_record().to_json()], "traces": traces}
    path.write_text(json.dumps(document))
    data = gather([path])
    assert data.variants[0].trace is None
    assert f"a trace is broken and left out: {said}" in data.notes[0]
