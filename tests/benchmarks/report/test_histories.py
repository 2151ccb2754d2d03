"""A history in a report: every point in words and as JSON, the newest alone on a page where there are too many."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.history import append_record_to_history
from edgewright.benchmarks.report.blocks import Fold, Plot, Table
from edgewright.benchmarks.report.data import Figure, HistoryShown, PastPoint, ReportData
from edgewright.benchmarks.report.detail import LEVELS, LIMIT_BYTES, TOO_MUCH, Detail
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.histories import histories
from edgewright.benchmarks.report.markdown import render_markdown
from edgewright.benchmarks.report.page import page_of
from edgewright.benchmarks.report.past import history_to_json, read_history
from edgewright.benchmarks.report.summary import summary_of, summary_text

from .conftest import make_record

RecordsAt = Callable[..., Path]


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Five records, of which one never settled and two have no point."""
    for at, status in enumerate(("ok", "unsteady", "ok", "invalid", "invalid")):
        record = make_record(created=f"2026-05-0{at + 1}T00:00:00Z", seed=at, status=status)  # type: ignore[arg-type]
        append_record_to_history(tmp_path / "history", record, f"v{at}", name="digits")
    return tmp_path / "history"


def shown(count: int) -> HistoryShown:
    """A line of so many commits with a step in its middle."""
    points = tuple(
        PastPoint(f"{at:040x}", "2026-05-04T00:00:00Z", Figure(1e6 + at, (1e6, 1e6 + 2 * at)), "ok", ("word",) * 5)
        for at in range(count)
    )
    return HistoryShown("p50", "ns", "digits::net[native-int8] 2 threads", points, ((count // 2, 1e6, 2e6),))


def test_points_come_with_their_status_and_what_has_none_is_counted_by_reason(past: Path) -> None:
    (one,), notes = read_history(past, "p50")
    assert [(point.commit, point.status) for point in one.points] == [("v0", "ok"), ("v1", "unsteady"), ("v2", "ok")]
    assert one.points[1].created == "2026-05-02T00:00:00Z"
    assert one.subject.startswith("digits::net[native/onnxruntime-int8] 2 threads, Some CPU, ")
    assert notes == ("history: 2 records have no point in it: the record is invalid",)
    assert read_history(past, "energy")[1] == (
        "history: 3 records have no point in it: the record has no energy",
        "history: 2 records have no point in it: the record is invalid",
    )


def test_the_section_has_a_drawing_and_every_figure(past: Path) -> None:
    section = histories(read_history(past, "p50")[0], LEVELS[0])
    assert section is not None
    plot, fold = section.blocks
    assert isinstance(plot, Plot)
    assert plot.caption.description == "Commits: 3, oldest first. Lasting changes: 0. Never settled: 1."
    assert isinstance(fold, Fold)
    assert fold.detail == "3 points"
    (table,) = fold.blocks
    assert isinstance(table, Table)
    assert [row[0].text for row in table.rows] == ["v0", "v1", "v2"]
    assert [row[2].text.endswith(" unsteady") for row in table.rows] == [False, True, False]
    assert histories((), LEVELS[0]) is None


def test_markdown_has_the_figures_too(past: Path, records_at: RecordsAt) -> None:
    data = replace(gather([records_at(make_record())]), histories=read_history(past, "p50")[0])
    rows = [line for line in render_markdown(page_of(data)).split("\n") if line.startswith("| v")]
    assert [row.split(" | ")[1] for row in rows] == [f"2026-05-0{day}T00:00:00Z" for day in (1, 2, 3)]


def test_the_json_has_every_point(past: Path) -> None:
    found = read_history(past, "p50")[0]
    (document,) = json.loads(summary_text(ReportData((), histories=found)))["histories"]
    assert [(one["commit"], one["status"]) for one in document["points"]] == [
        ("v0", "ok"),
        ("v1", "unsteady"),
        ("v2", "ok"),
    ]
    assert document["points"][0]["value"] == found[0].points[0].figure.value
    whole = summary_of(ReportData((), histories=(shown(900),)))["histories"]
    assert whole == [history_to_json(shown(900))]
    assert len(history_to_json(shown(900))["points"]) == 900  # type: ignore[arg-type]


@pytest.mark.parametrize("detail", LEVELS)
def test_where_there_are_too_many_the_newest_are_shown_and_the_rest_is_counted(detail: Detail) -> None:
    section = histories((shown(900),), detail)
    assert section is not None
    plot, fold = section.blocks
    assert isinstance(plot, Plot)
    assert isinstance(fold, Fold)
    left_out = 900 - detail.points
    assert f"Older and left out: {left_out}." in plot.caption.description
    assert plot.draw(760).count("<circle") == detail.points + 1  # one more in the legend
    table, line = fold.blocks
    assert isinstance(table, Table)
    assert len(table.rows) == detail.points
    assert f"{left_out} older points" in str(line)
    part = history_to_json(shown(900), detail.points)
    assert (len(part["points"]), part["older_points_left_out"]) == (detail.points, left_out)  # type: ignore[arg-type]


def test_a_step_among_the_newest_stays_where_it_was() -> None:
    section = histories((shown(300),), LEVELS[0])
    assert section is not None
    plot = section.blocks[0]
    assert isinstance(plot, Plot)
    assert "Lasting changes: 1." in plot.caption.description
    (step,) = history_to_json(shown(300), 200)["steps"]  # type: ignore[misc]
    assert step["commit"] == f"{150:040x}"
    assert history_to_json(shown(900), 200)["steps"] == []


def test_long_histories_stay_light_and_a_page_that_is_not_says_so() -> None:
    pytest.importorskip("jinja2", reason="the report extra is not installed")
    from edgewright.benchmarks.report.html import render_report

    text = render_report(ReportData((), histories=(shown(900),) * 8))
    assert len(text.encode()) <= LIMIT_BYTES
    assert TOO_MUCH not in text
    text = render_report(ReportData((), histories=(shown(250),) * 60))
    assert len(text.encode()) > LIMIT_BYTES
    assert TOO_MUCH in text
