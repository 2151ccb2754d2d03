"""``edgewright compile --trace`` as a user types it, for a device that is not here: nothing is timed, all else is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from edgewright.benchmarks.trace import Trace, read_traces
from edgewright.core.bundle import open_bundle
from tests.conftest import labelled

if TYPE_CHECKING:
    import onnx

    from edgewright.core.tensors import Feeds
    from tests.conftest import RunCli


@pytest.fixture(scope="module")
def words(
    conv_net: onnx.ModelProto, conv_net_feeds: list[Feeds], tmp_path_factory: pytest.TempPathFactory
) -> list[str | Path]:
    folder, elsewhere = tmp_path_factory.mktemp("model"), "rpi5/onnxruntime"
    model = folder / "conv_net.onnx"
    model.write_bytes(conv_net.SerializeToString(deterministic=True))
    return [
        *("compile", model, "--target", elsewhere, "--data", labelled(conv_net, conv_net_feeds, folder / "data.npz")),
        *("--precision", "int8", "--max-drop", "50%"),
    ]


class Traced(NamedTuple):
    bundle: Path
    trace: Trace
    told: str


@pytest.fixture(scope="module")
def first(run_cli: RunCli, words: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Traced:
    out = tmp_path_factory.mktemp("traced") / "net.ewb"
    return Traced(out, *traced(run_cli, words, out))


def traced(run_cli: RunCli, words: list[str | Path], out: Path) -> tuple[Trace, str]:
    done = run_cli(*words, "-o", out, "--trace", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["targets"]
    assert report["notes"][0].startswith("traced ")
    (trace,) = read_traces(out.with_suffix(".record.json"))
    return trace, done.stderr


def test_the_trace_is_beside_the_bundle_which_is_the_same_without_it(
    run_cli: RunCli, words: list[str | Path], first: Traced, tmp_path: Path
) -> None:
    out, trace, told = first
    plain = run_cli(*words, "-o", tmp_path / "plain.ewb")
    assert plain.returncode == 0, plain.stderr
    assert not (tmp_path / "plain.record.json").exists()
    both = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (out, tmp_path / "plain.ewb")]
    assert both[0] == both[1]
    bundle = open_bundle(out)
    manifest = bundle.manifest
    assert trace.bundle_sha256 == bundle.digest
    assert (trace.model, trace.target, trace.precision) == ("conv_net", "rpi5/onnxruntime", "int8")
    names = [step.name for step in trace.steps]
    assert names[0] == "original"
    assert names.index("fold-batchnorm") < names.index("static-quantize") < len(names) - 1
    assert all(step.p50_ns is None and step.size_bytes and step.accuracy is not None for step in trace.steps)
    assert manifest.accuracy is not None
    assert (trace.steps[-1].accuracy, trace.steps[-1].size_bytes) == (manifest.accuracy.value, manifest.size_bytes)
    assert trace.steps[0].accuracy == 1.0, "the labels are the original's own answers"
    assert any(note.startswith("no times: ") for note in trace.notes)
    assert "trace: after static-quantize (" in told


def test_layers_classes_and_flips_add_up_and_come_out_again(
    run_cli: RunCli, words: list[str | Path], first: Traced, tmp_path: Path
) -> None:
    trace = first.trace
    again, _ = traced(run_cli, words, tmp_path / "again.ewb")
    assert replace(again, created=trace.created) == trace, "nothing here is timed, so nothing may differ"
    kinds = [(layer.op, layer.precision) for layer in trace.layers]
    assert [kind for kind in kinds if kind[0] in ("Conv", "Gemm")] == [*[("Conv", "int8")] * 3, ("Gemm", "int8")]
    assert all(layer.error is not None and 0 < layer.error < 0.5 for layer in trace.layers if layer.precision == "int8")
    assert all(layer.time_ns is None for layer in trace.layers)
    assert trace.samples == 8
    flips, last = trace.flips, trace.steps[-1].accuracy
    assert flips is not None
    assert last is not None
    assert sum(one.n for one in trace.classes) == flips.n
    right = sum(one.n * one.value for one in trace.classes)
    assert right == pytest.approx(flips.n * last)
    assert flips.lost - flips.gained == round(flips.n * (1 - last))
    assert len(flips.lost_samples) == flips.lost
