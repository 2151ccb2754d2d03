from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.history import History, history_table, open_history, series_of
from edgewright.benchmarks.record import AccuracyFound, Record

Make = Callable[..., Record]


@pytest.fixture
def stepped(tmp_path: Path, record: Make) -> History:
    """12 days at about 100 us and 1000 bytes, then 12 at 105 us and 1100 bytes."""
    history = open_history(tmp_path / "history.db")
    noise = np.random.default_rng(0).normal(size=24)
    for day in range(24):
        us = (100 if day < 12 else 105) + noise[day] / 2
        history.append(record(day=day, us=us, size=1000 if day < 12 else 1100).to_json(), f"{day:040x}")
    return history


def test_a_step_is_found_with_its_direction(stepped: History) -> None:
    for metric, worse in (("p50", True), ("throughput", True), ("run_median", True), ("size", True)):
        (series,) = series_of(stepped, metric).series
        (step,) = series.steps
        assert abs(step.index - 12) <= 1, metric
        assert series.worsens(step) is worse
        assert len(series.points) == 24


def test_a_size_needs_no_second_look(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    for day, size in enumerate((1000, 1000, 900)):
        history.append(record(day=day, size=size).to_json(), "c")
    (series,) = series_of(history, "size").series
    (step,) = series.steps
    assert (step.index, step.change, step.p) == (2, -0.1, 0)
    assert not series.worsens(step)


def test_another_machine_is_another_line(tmp_path: Path, record: Make, other_machine: Machine) -> None:
    history = open_history(tmp_path / "h")
    for day in range(20):
        history.append(record(day=day, us=100 + day % 3).to_json(), "c")
        if day % 2:
            history.append(record(day=day, us=200 + day % 3, machine=other_machine).to_json(), "c")
    found = series_of(history, "p50")
    assert [(one.cpu, len(one.points), len(one.steps)) for one in found.series] == [
        ("Fast CPU", 20, 0),
        ("Slow CPU", 10, 0),
    ]


def test_accuracies_of_two_data_sets_are_not_joined(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    for day, data in enumerate("ab"):
        judged = AccuracyFound("mae", 0.1, None, 9, False, data * 64)
        history.append(replace(record(day=day), accuracy=judged).to_json(), "c")
    found = series_of(history, "accuracy").series
    assert [(one.basis, one.higher_is_better) for one in found] == [
        ("mae on data aaaaaaaaaaaa", False),
        ("mae on data bbbbbbbbbbbb", False),
    ]


def test_other_inputs_are_another_line_where_they_matter(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    for day, inputs in enumerate("ff99"):
        one = record(day=day)
        history.append(replace(one, protocol=replace(one.protocol, inputs_sha256=inputs * 64)).to_json(), "c")
    assert [(one.basis, len(one.points)) for one in series_of(history, "p50").series] == [
        ("inputs ffffffffffff", 2),
        ("inputs 999999999999", 2),
    ]
    for metric in ("size", "load"):
        assert [(one.basis, len(one.points)) for one in series_of(history, metric).series] == [("", 4)]


def test_a_key_alone(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    for model in ("one", "two"):
        history.append(record(model=model).to_json(), "c")
    key = history.keys()[1]
    assert [one.key.model for one in series_of(history, "p50", key).series] == ["two"]


def test_what_has_no_point_is_said(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    history.append(replace(record(), status="invalid").to_json(), "v1")
    history.append(replace(record(day=2), accuracy=None).to_json(), "v2")
    found = series_of(history, "accuracy")
    assert list(found.series) == []
    assert [str(one) for one in found.left_out] == [
        "net[native/onnxruntime-int8] 2 threads: v1: the record is invalid",
        "net[native/onnxruntime-int8] 2 threads: v2: the record has no accuracy",
    ]
    assert history_table(found).startswith("2 records without a point:\n- net")


def test_the_text_table(stepped: History) -> None:
    lines = history_table(series_of(stepped, "size")).splitlines()
    assert lines[0].startswith("net[native/onnxruntime-int8] 2 threads: size, on Fast CPU (")
    assert lines[1].split("  ")[0] == "commit"
    assert len(lines) == 26
    assert lines[14].startswith("00000000000")
    assert lines[14].endswith("+10.0 % (worse)")
    assert sum("%" in line for line in lines[2:]) == 1
    (row,) = [line for line in history_table(series_of(stepped, "p50")).splitlines() if "worse" in line]
    assert re.fullmatch(
        r"0{12}  2026-01-13T12:00:00Z  0\.10\d\d ms  0\.10\d\d ms to 0\.10\d\d ms  \+4\.\d % \(worse\), p 0\.0005", row
    )


def test_names_cannot_break_a_table(tmp_path: Path, record: Make) -> None:
    history = open_history(tmp_path / "h")
    history.append(record(model="a|b\n\x1b[31m<script>").to_json(), "x|y @all http://e !")
    found = series_of(history, "p50")
    text = history_table(found)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3
    markdown = history_table(found, "markdown").splitlines()
    assert len(markdown) == 5
    assert "x&#124;y &#64;<!-- -->all http&#58;//e &#33;" in markdown[4]
    assert "&#60;script&#62;" in markdown[0]
    assert all(line.count("|") == 6 for line in markdown[2:])


def test_an_empty_history_says_so(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    assert history_table(series_of(open_history(tmp_path / "h"), "p50")) == "no record in this history"
