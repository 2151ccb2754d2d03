"""What may be compared shares a plot or a superlative, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.record import Record
from edgewright.benchmarks.report.blocks import Page, Plot, Table
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.page import page_of

from .conftest import make_record, sha

RecordsAt = Callable[..., Path]
BundleAt = Callable[..., tuple[Path, str]]


def plots_of(page: Page, key: str) -> list[Plot]:
    (section,) = (one for one in page.sections if one.key == key)
    return [block for block in section.blocks if isinstance(block, Plot)]


def judged(record: Record, **changes: object) -> Record:
    assert record.accuracy is not None
    return replace(record, accuracy=replace(record.accuracy, **changes))  # type: ignore[arg-type]


def allowing(record: Record, delta: float) -> Record:
    assert record.comparison is not None
    return replace(record, comparison=replace(record.comparison, delta=delta))


OTHER = make_record(sha("other"), precision="fp16", median_ns=3e6)


@pytest.mark.parametrize(
    ("stranger", "told"),
    [
        (replace(OTHER, target=replace(OTHER.target, threads=1)), ["2 threads", "1 thread"]),
        (replace(OTHER, machine=replace(OTHER.machine, cpu="Another CPU")), ["on ", "on "]),
        (judged(OTHER, dataset_sha256=sha("other data")), ["data ", "data "]),
        (judged(OTHER, metric="f1"), ["top1 over", "f1 over"]),
        (replace(OTHER, protocol=replace(OTHER.protocol, scenario="server")), ["top1 over", "server"]),
    ],
    ids=["threads", "machine", "data", "metric", "scenario"],
)
def test_only_what_compares_shares_a_plot(stranger: Record, told: list[str], records_at: RecordsAt) -> None:
    alike = page_of(gather([records_at(make_record(), OTHER, name="alike")]))
    assert len(plots_of(alike, "tradeoff")) == 1
    titles = {one.caption.title for one in plots_of(page_of(gather([records_at(make_record(), stranger)])), "tradeoff")}
    assert len(titles) == 2
    assert all(any(words in title for title in titles) for words in told)


def test_what_lacks_a_figure_is_named_beside_the_plot_of_its_model(records_at: RecordsAt) -> None:
    page = page_of(gather([records_at(make_record(), replace(OTHER, accuracy=None))]))
    (plot,) = plots_of(page, "tradeoff")
    assert "Not drawn: fp16" in plot.draw(720)


def test_each_margin_has_a_plot_of_its_own(records_at: RecordsAt) -> None:
    tight = make_record(ratio=0.6)
    wide = allowing(make_record(sha("other"), precision="fp16", ratio=1.04, verdict="inconclusive"), 0.1)
    page = page_of(gather([records_at(tight, wide)]))
    drawn = [plot.draw(720) for plot in plots_of(page, "ratios")]
    assert [text.count("allowed</text>") for text in drawn] == [1, 1]
    assert "+2 % allowed" in drawn[1]
    assert "+10 % allowed" in drawn[0]
    (table,) = (one for section in page.sections if section.key == "ratios" for one in section.blocks[2:])
    assert isinstance(table, Table)
    assert [row[4].text for row in table.rows] == ["+10 %", "+2 %"]


def test_an_unknown_margin_is_not_drawn(tmp_path: Path) -> None:
    record = json.loads(json.dumps(make_record(ratio=0.6).to_json()))
    del record["comparison"]["delta"], record["comparison"]["pairs"]
    path = tmp_path / "x.record.json"
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [record]}))
    page = page_of(gather([path]))
    (plot,) = plots_of(page, "ratios")
    assert "ew-limit" not in plot.draw(720)
    assert "how much slower was allowed is not known" in plot.caption.description
    assert "regression" not in plot.caption.description
    assert "0 pairs" not in str(page)


def test_a_self_test_of_unknown_pairs_has_no_zero(tmp_path: Path) -> None:
    record = json.loads(json.dumps(make_record(ratio=1.001, baseline=sha("net int8")).to_json()))
    del record["comparison"]["pairs"]
    path = tmp_path / "x.record.json"
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [record]}))
    (line,) = page_of(gather([path])).verdict.noise
    assert "(self-test; it found 1.001" in line.text


def test_nothing_is_called_the_fastest(records_at: RecordsAt) -> None:
    facts = page_of(gather([records_at(make_record(), judged(OTHER, value=0.93))])).verdict.facts
    assert facts == (("Smallest", "1 kB", "2 variants alike"), ("Best top1", "0.9300", "fp16"))


@pytest.mark.parametrize("changes", [{"metric": "f1", "value": 0.0}, {"dataset_sha256": sha("x"), "value": 0.0}])
def test_the_best_is_of_one_metric_on_one_data_set_even_where_a_value_is_zero(
    changes: dict[str, object], records_at: RecordsAt
) -> None:
    facts = page_of(gather([records_at(make_record(), judged(OTHER, **changes))])).verdict.facts
    assert [name for name, _, _ in facts] == ["Smallest"]


def test_a_bundle_with_two_numbers_of_threads_is_not_compared_with_itself(records_at: RecordsAt) -> None:
    first = make_record()
    single = replace(first, target=replace(first.target, threads=1))
    assert page_of(gather([records_at(first, single)])).verdict.facts == ()


def test_a_missed_size_limit_is_seen(bundle_at: BundleAt) -> None:
    path, _ = bundle_at(bytes_met=False)
    page = page_of(gather([path]))
    assert page.verdict.tone == "bad"
    assert "1 variant missed a limit" in page.verdict.sentence
    (results,) = (section for section in page.sections if section.key == "results")
    table = results.blocks[0]
    assert isinstance(table, Table)
    (row,) = table.rows
    assert "limit missed" in [badge.text for badge in row[0].badges]
    place = [column.text for column in table.columns].index("Size")
    assert (row[place].tone, row[place].detail) == ("bad", "limit 8 kB")
    kept, _ = bundle_at("kept", bytes_met=True)
    assert page_of(gather([kept])).verdict.tone == "none"
