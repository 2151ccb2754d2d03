"""What a bundle and its record say of where they come from, and the commands that repeat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewright.benchmarks.record import AccuracyFound, append_record, record_path
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.page import page_of

from .conftest import make_record, sha

RecordsAt = Callable[..., Path]
BundleAt = Callable[..., tuple[Path, str]]


def test_what_it_was_built_with_is_not_what_it_was_measured_with(bundle_at: BundleAt) -> None:
    path, digest = bundle_at()
    measured = replace(make_record(digest), versions={"onnxruntime": "1.32.0", "numpy": "2.4.0"})
    append_record(record_path(path), measured)
    data = gather([path])
    (one,) = data.variants
    assert one.provenance.built_with == {"onnxruntime": "1.31.1"}
    assert one.provenance.versions == {"numpy": "2.4.0", "onnxruntime": "1.32.0"}
    told = str(next(section for section in page_of(data).sections if section.key == "provenance").blocks)
    assert "('Built with', 'onnxruntime 1.31.1'), ('Measured with', 'numpy 2.4.0, onnxruntime 1.32.0')" in told


def test_a_metric_of_the_users_own_is_left_for_them_to_name(records_at: RecordsAt) -> None:
    own = AccuracyFound("right_enough", 0.91, None, 500, True, sha("data"))
    (one,) = gather([records_at(replace(make_record(), accuracy=own))]).variants
    assert one.provenance.commands == (
        "edgewright bench BUNDLE --preset quick --threads 2 --data DATA --metric METRIC",
    )


def test_a_comparison_with_a_margin_of_its_own_is_a_gates(records_at: RecordsAt) -> None:
    record = make_record(ratio=0.5)
    assert record.comparison is not None
    wide = replace(record.comparison, delta=0.1)
    (one,) = gather([records_at(replace(record, comparison=wide))]).variants
    (command,) = one.provenance.commands
    words = "gate BUNDLE --preset quick --threads 2 --data DATA --metric top1 --against BASELINE --limits LIMITS"
    assert command == f"edgewright {words}"
    (usual,) = gather([records_at(record, name="usual")]).variants
    assert usual.provenance.commands[0].startswith("edgewright bench")
    itself = replace(record, comparison=replace(wide, baseline=record.subject))
    (alike,) = gather([records_at(itself, name="itself")]).variants
    assert alike.provenance.commands[0].endswith("--self-test")
