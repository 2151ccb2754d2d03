"""What is joined with what, and that a figure is either the record's own or a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.record import append_record, record_path
from edgewright.benchmarks.report.data import Figure
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.page import page_of
from edgewright.benchmarks.report.summary import summary_text
from edgewright.core.errors import BadInputError, UsageError

from .conftest import make_record, make_trace, sha

RecordsAt = Callable[..., Path]
BundleAt = Callable[..., tuple[Path, str]]


def test_a_bundle_is_joined_with_the_record_beside_it(bundle_at: BundleAt) -> None:
    path, digest = bundle_at()
    record = make_record(digest)
    append_record(record_path(path), record)
    (one,) = gather([path]).variants
    assert (one.status, one.title, one.model) == ("ok", "int8 (integer)", "net")
    assert one.latency["p50"].value == record.summary.percentiles["p50"].value
    assert one.latency["p50"].ci95 == record.summary.percentiles["p50"].ci95
    assert one.accuracy.found == Figure(0.91, (0.89, 0.93))  # the record's, which has an interval
    assert (one.accuracy.drop.value, one.accuracy.max_drop, one.accuracy.drop_met) == (0.004, 0.01, True)
    assert one.memory.value == 50_000_000
    assert one.size.value == len(b"engineint8")
    assert [(item.subject, item.source) for item in one.fallbacks] == [
        ("head.gemm", "static-quantize"),
        ("the whole pass", "fuse-gelu"),
        ("head.gemm", "plan"),
    ]


def test_a_record_needs_no_bundle(records_at: RecordsAt) -> None:
    (one,) = gather([records_at(make_record())]).variants
    assert one.has_bundle is False
    assert one.accuracy.drop.value is None
    assert "bundle" in one.accuracy.drop.reason
    assert one.provenance.commands == ("edgewright bench BUNDLE --preset quick --threads 2 --data DATA --metric top1",)


def test_a_bundle_without_a_record_is_unmeasured_with_a_reason_for_everything(bundle_at: BundleAt) -> None:
    path, _ = bundle_at()
    (one,) = gather([path]).variants
    assert one.status == "unmeasured"
    for figure in (*one.latency.values(), one.throughput, one.memory, one.energy, one.first, one.load):
        assert figure.value is None
        assert "edgewright bench" in figure.reason
    assert one.accuracy.found.value == pytest.approx(0.916)  # compile measured it
    assert one.accuracy.found.ci95 is None


def test_an_engine_that_is_still_to_be_built_says_so(bundle_at: BundleAt) -> None:
    path, _ = bundle_at(mark="unmeasured", pending="only the device can build it")
    (one,) = gather([path]).variants
    assert one.reason == one.size.reason == "only the device can build it"
    assert one.accuracy.found.value is None


def test_figures_of_an_invalid_record_are_left_out(records_at: RecordsAt) -> None:
    data = gather([records_at(make_record(status="invalid", ratio=0.5))])
    (one,) = data.variants
    assert one.status == "invalid"
    for figure in (*one.latency.values(), one.accuracy.found):
        assert figure.value is None
        assert "audit" in figure.reason
    assert one.comparison is None
    assert one.session is not None
    assert one.session.preset == "quick"  # how it was measured is no figure
    assert (one.session.runs, one.session.bins, one.session.samples) == ((), (), None)
    assert (one.session.run_cv, one.session.drift_pct) == (None, None)
    assert {"distribution", "runs"} <= {section.key for section in page_of(data).sections if section.absent}
    assert "median_ns" not in summary_text(data)


def test_an_invalid_record_does_not_judge_what_a_sound_one_did(records_at: RecordsAt) -> None:
    sound = make_record(created="2026-01-01T00:00:00Z")
    assert sound.accuracy is not None
    other = replace(make_record(status="invalid"), accuracy=replace(sound.accuracy, value=0.1))
    (one,) = gather([records_at(sound, other)]).variants
    assert one.status == "invalid"
    assert one.accuracy.found.value == 0.91


def test_accuracy_on_a_stand_in_is_marked(bundle_at: BundleAt) -> None:
    path, _ = bundle_at(mark="host-proxy")
    (one,) = gather([path]).variants
    assert one.accuracy.host_proxy


def test_the_newest_record_is_shown_and_older_ones_counted(records_at: RecordsAt) -> None:
    old = make_record(median_ns=9e6, created="2026-01-01T00:00:00Z")
    (one,) = gather([records_at(make_record(), old)]).variants
    assert one.latency["p50"].value is not None
    assert one.latency["p50"].value < 3e6
    assert one.earlier == 1


def test_machines_and_threads_are_variants_of_their_own(records_at: RecordsAt) -> None:
    first = make_record()
    other = replace(first, machine=replace(first.machine, cpu="Another CPU"))
    single = replace(first, target=replace(first.target, threads=1))
    found = gather([records_at(first, other, single)]).variants
    assert len(found) == len({one.key for one in found}) == 3


def test_scenarios_are_variants_of_their_own_and_say_how_they_are_repeated(records_at: RecordsAt) -> None:
    first = make_record()
    server = replace(first, protocol=replace(first.protocol, scenario="server", rate_per_s=120.0, seed=3))
    offline = replace(first, protocol=replace(first.protocol, scenario="offline", batch=8))
    found = {one.asked: one.provenance.commands[-1] for one in gather([records_at(first, server, offline)]).variants}
    assert {asked: command.partition("quick ")[2] for asked, command in found.items()} == {
        "": "--threads 2 --data DATA --metric top1",
        "server, 120 a second": "--scenario server --rate 120 --seed 3 --threads 2 --data DATA --metric top1",
        "offline, batches of 8": "--scenario offline --batch 8 --threads 2 --data DATA --metric top1",
    }


def test_a_comparison_with_itself_is_the_self_test(records_at: RecordsAt) -> None:
    alike = make_record(ratio=1.001, baseline=sha("net int8"), created="2026-05-05T00:00:00Z")
    (one,) = gather([records_at(make_record(ratio=0.5), alike)]).variants
    assert one.comparison is not None
    assert one.comparison.ratio == 0.5
    assert one.self_test is not None
    assert one.self_test.minimum_detectable_effect == 0.017
    assert one.session is not None
    assert one.session.created == "2026-05-04T03:02:01Z"  # the older one: the newer tells of the machine
    assert one.provenance.commands[-1].endswith("--against BASELINE")
    (alone,) = gather([records_at(alike, name="alone")]).variants
    assert alone.latency["p50"].value is not None
    assert alone.provenance.commands[-1].endswith("--self-test")


def test_a_later_record_without_accuracy_does_not_hide_it(records_at: RecordsAt) -> None:
    later = replace(make_record(median_ns=3e6, created="2026-06-01T00:00:00Z"), accuracy=None)
    (one,) = gather([records_at(make_record(), later)]).variants
    assert one.accuracy.found == Figure(0.91, (0.89, 0.93))
    assert one.latency["p50"].value is not None
    assert one.latency["p50"].value > 2.5e6


def test_the_distribution_is_of_the_subject_alone(records_at: RecordsAt) -> None:
    """The baseline takes ten times as long: none of its samples may be among the bins."""
    (one,) = gather([records_at(make_record(ratio=0.1))]).variants
    assert one.session is not None
    assert sum(count for _, count in one.session.bins) == 8 * 120
    assert max(middle for middle, count in one.session.bins if count) < 3e6


def test_a_trace_belongs_to_its_bundle_and_machine(records_at: RecordsAt) -> None:
    stranger = replace(make_trace(), machine_identity="another")
    (one,) = gather([records_at(make_record(), make_trace(), stranger)]).variants
    assert one.trace is not None
    assert one.trace.machine_identity == make_trace().machine_identity
    data = gather([records_at(make_record(), make_trace(sha("unknown")), name="other")])
    assert data.variants[0].trace is None
    assert "1 traces are of bundles that were not given, and are not shown" in data.notes


def test_records_of_earlier_builds_are_left_out_with_a_word(bundle_at: BundleAt) -> None:
    path, digest = bundle_at()
    append_record(record_path(path), make_record(sha("an earlier build")))
    append_record(record_path(path), make_record(digest))
    data = gather([path])
    assert len(data.variants) == 1
    assert "1 of its records are of other builds" in data.notes[0]
    assert len(gather([path, record_path(path)]).variants) == 2  # named itself, it is shown whole


def test_a_folder_gives_its_bundles_and_lone_records(
    bundle_at: BundleAt, records_at: RecordsAt, tmp_path: Path
) -> None:
    bundle_at("a", "fp32")
    _, digest = bundle_at("b", "int8")
    append_record(tmp_path / "b.record.json", make_record(digest))
    records_at(make_record(sha("lone"), precision="bf16"), name="lone")
    found = gather([tmp_path]).variants
    assert [(one.precision, one.status) for one in found] == [("fp32", "unmeasured"), ("bf16", "ok"), ("int8", "ok")]


def test_the_same_input_twice_is_shown_once(bundle_at: BundleAt) -> None:
    path, digest = bundle_at()
    append_record(record_path(path), make_record(digest))
    assert gather([path, path, record_path(path)]) == gather([path])


def test_different_models_of_one_name_are_told_apart(bundle_at: BundleAt) -> None:
    one, _ = bundle_at("one", weights="these")
    other, _ = bundle_at("other", weights="those")
    assert {found.model for found in gather([one, other]).variants} == {
        f"net {sha(weights)[:6]}" for weights in ("these", "those")
    }


@pytest.mark.parametrize(
    "damage",
    [
        {"summary": None, "protocol": None, "machine": None, "target": None},
        {"summary": {"percentiles": {"p50": {"value": "fast"}}, "n": "many"}},
        {"runs": [{"ns": ["a", None, 5], "window_medians": [1e400], "order": "x"}], "voided": [3]},
        {"accuracy": {"value": True, "metric": 7, "ci95": [1, 0]}},
        {"comparison": {"ratio": -1, "verdict": "fine", "ci95": [1]}},
        {"notes": [1, "kept"], "energy": [], "memory": "much", "side": [{"cpu_mhz": {}}]},
        {"a key of the future": {"x": 1}},
    ],
)
def test_old_and_foreign_keys_do_no_harm(damage: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "x.record.json"
    record = {**make_record().to_json(), **damage}
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [record]}))
    (one,) = gather([path]).variants
    for figure in (*one.latency.values(), one.throughput, one.memory, one.energy, one.accuracy.found):
        assert (figure.value is None) == bool(figure.reason)


def test_records_of_another_schema_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.record.json"
    later = {**make_record().to_json(), "schema": "edgewright.bench/2"}
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [later, make_record().to_json()]}))
    data = gather([path])
    assert len(data.variants) == 1
    assert data.notes == (
        "x.record.json: 1 of its records are not of the schema 'edgewright.bench/1' and are left out",
    )


def test_variants_can_be_told_apart_in_the_json(records_at: RecordsAt) -> None:
    first = make_record()
    single = replace(first, target=replace(first.target, threads=1))
    server = replace(first, protocol=replace(first.protocol, scenario="server", rate_per_s=120.0))
    document = json.loads(summary_text(gather([records_at(first, single, server)])))
    names = ("threads", "scenario", "rate_per_s", "batch", "created")
    assert [tuple(one[name] for name in names) for one in document["variants"]] == [
        (1, "single-stream", None, 1, "2026-05-04T03:02:01Z"),
        (2, "single-stream", None, 1, "2026-05-04T03:02:01Z"),
        (2, "server", 120.0, 1, "2026-05-04T03:02:01Z"),
    ]
    assert len({one["key"] for one in document["variants"]}) == 3
    assert {one["accuracy"]["host_proxy"] for one in document["variants"]} == {False}


def test_a_run_made_again_whose_place_is_not_told_has_none(tmp_path: Path) -> None:
    path = tmp_path / "x.record.json"
    record = {**make_record().to_json(), "voided": [{"reason": "clock fell"}, {"order": 3, "reason": "stolen"}]}
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [record]}))
    data = gather([path])
    assert data.variants[0].session is not None
    assert data.variants[0].session.voided == ((None, "clock fell"), (3, "stolen"))
    (runs,) = (section for section in page_of(data).sections if section.key == "runs")
    assert "A run was made again, which one is not told: clock fell." in str(runs)


def test_every_file_that_was_read_is_known(bundle_at: BundleAt, records_at: RecordsAt) -> None:
    path, digest = bundle_at()
    append_record(record_path(path), make_record(digest))
    lone = records_at(make_record(sha("lone")), name="lone")
    assert set(gather([path, lone]).read) == {path.resolve(), record_path(path), lone.resolve()}


def test_every_bad_file_is_in_the_one_message(tmp_path: Path, bundle_at: BundleAt) -> None:
    good, _ = bundle_at()
    (tmp_path / "bad.record.json").write_text("{")
    (tmp_path / "worse.ewb").write_bytes(b"PK")
    with pytest.raises(BadInputError) as caught:
        gather([good, tmp_path / "bad.record.json", tmp_path / "worse.ewb"])
    assert "bad.record.json" in caught.value.problem
    assert "worse.ewb" in caught.value.problem


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        gather([tmp_path / "absent.ewb"])
    with pytest.raises(UsageError, match="neither bundles nor records"):
        gather([tmp_path])


def test_a_figure_is_a_number_or_a_reason() -> None:
    with pytest.raises(ValueError, match="says why"):
        Figure()
