"""What the pass decides, hands to its process and makes of what that leaves; training itself is `compiler/qat`'s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import edgewright.compiler.passes.qat as module
from edgewright.compiler.pass_base import Outcome, Stage, registry
from edgewright.compiler.passes.qat import Qat
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.wanted import load_wanted
from edgewright.compiler.site import Absent
from edgewright.core.errors import UsageError
from edgewright.core.model import TorchSource
from edgewright.targets.load import load_targets

TARGET = load_targets("x86-avx512-vnni/onnxruntime")[0]
MODEL = """
net (float[1,3,6,6] x) => (float[1,2,6,6] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, w1)
    r = Relu (c)
    y = Conv (r, w2)
}
"""


@pytest.fixture
def model(parse):
    rng = np.random.default_rng(0)
    shapes = {"w1": (4, 3, 3, 3), "w2": (2, 4, 1, 1)}
    return parse(MODEL, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.fixture
def feeds():
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(6)]


@pytest.fixture
def site(model, feeds, make_site, tmp_path):
    return replace(make_site(model, feeds, workdir=tmp_path), target=TARGET)


@pytest.fixture
def source(model):
    return TorchSource("factory", "somewhere:net", "net", (), False, model.inputs, model.outputs)


def test_it_runs_before_the_export_and_only_where_it_is_asked_for():
    assert registry().find("qat") is Qat
    assert Qat.stage is Stage.TRAIN_QUANTIZED
    assert "recipe" in Qat.wanted(TARGET, "int8")


def test_the_process_is_told_what_static_quantisation_would_do(monkeypatch, model, source, site, feeds):
    told = {}

    def run_stage(stage, given, options, where, extra):
        told.update(stage=stage, options=options, extra=extra)
        return Outcome(given, 0, (), {"seen": 1})

    monkeypatch.setattr(module, "export_source", lambda *_: model)
    monkeypatch.setattr(module, "run_stage", run_stage)
    options = QatOptions(keep_kinds=("Relu",))
    outcome = Qat(options)(source, site)
    assert (outcome.changed, outcome.model, outcome.figures) == (0, source, {"seen": 1})
    assert (told["stage"], told["options"]) == ("qat", options)
    wanted = load_wanted(told["extra"]["wanted"])
    assert [(op.kind, op.reads, op.output, op.axis) for op in wanted.ops] == [
        ("Conv", ("x",), "r", 0),
        ("Conv", ("r",), "y", 0),
    ]
    assert {name: tensor.produced for name, tensor in wanted.tensors.items()} == {"x": False, "r": True, "y": True}
    with np.load(told["extra"]["values"]) as values:
        np.testing.assert_array_equal(values["i0"], feeds[0]["x"])
        assert len(values.files) == 1 + len(wanted.values)


def test_layers_that_may_stay_float_are_not_trained(monkeypatch, model, source, site):
    monkeypatch.setattr(module, "export_source", lambda *_: model)
    monkeypatch.setattr(module, "run_stage", lambda *_, **__: pytest.fail("nothing is to be trained"))
    outcome = Qat(QatOptions(keep_kinds=("Conv",)))(source, site)
    assert (outcome.changed, outcome.model) == (0, source)
    assert [note.kind for note in outcome.notes] == ["skipped"]


def test_without_samples_nothing_starts(source, site):
    with pytest.raises(UsageError, match="no data was given"):
        Qat()(source, replace(site, samples=Absent("no data was given")))


@pytest.mark.parametrize(
    ("field", "value"),
    [("ranges", "guessed"), ("observers_until", 1.5), ("batchnorm_until", -0.1), ("calibration", 0), ("epochs", -1)],
)
def test_wrong_options_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: "):
        QatOptions(**{field: value})
