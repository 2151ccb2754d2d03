from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.numeric_gate import Gate
from edgewright.compiler.pass_base import Effect, Note, Outcome, Pass, Stage, registry
from edgewright.compiler.pipeline import PassError, Pipeline, default_pipeline, position, run_pipeline
from edgewright.compiler.site import Absent
from edgewright.core.errors import UsageError
from edgewright.core.model import OnnxModel


class Scale(Pass[OnnxModel, OnnxModel]):
    """Multiplies one weight by a factor: exact when the factor is 1."""

    name: ClassVar[str] = "scale"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FOLD
    tolerance: ClassVar[float] = 1e-3

    def __init__(self, factor: float = 1.0, weight: str = "w1") -> None:
        super().__init__()
        self.factor, self.weight, self.calls = factor, weight, 0

    def __call__(self, model: OnnxModel, site) -> Outcome[OnnxModel]:
        self.calls += 1
        copy = model.copy()
        value = copy.ir.graph.initializers[self.weight]
        array = value.const_value.numpy() * np.float32(self.factor)
        value.const_value = ir.tensor(array, name=self.weight)
        return Outcome(copy, 1, (Note("did", self.weight, f"times {self.factor}"),))


class Idle(Scale):
    def __call__(self, model, site):
        return Outcome(model, 0)


class Crash(Scale):
    def __call__(self, model, site):
        raise KeyError("nothing here")


class Refuse(Scale):
    def __call__(self, model, site):
        raise UsageError("no such layer", "Name another.")


class Rename(Scale):
    def __call__(self, model, site):
        copy = model.copy()
        copy.ir.graph.inputs[0].name = "other"
        return Outcome(copy, 1)


class Unloadable(Scale):
    def __call__(self, model, site):
        copy = model.copy()
        next(iter(copy.ir.graph)).op_type = "NoSuchOperator"
        return Outcome(copy, 1)


class Lossy(Scale):
    effect: ClassVar[Effect] = Effect.LOSSY


class CountingRun:
    def __init__(self, run) -> None:
        self.run, self.models = run, []

    def __call__(self, model, feeds):
        self.models.append(model)
        return self.run(model, feeds)


@pytest.fixture
def site(make_site, mlp_model, mlp_feeds):
    base = make_site(mlp_model, mlp_feeds)
    return replace(base, run=CountingRun(base.run))


def test_a_group_of_exact_passes_is_proven_by_two_runs(mlp_model, site):
    passes = [Scale(1.0), Idle(), Scale(1.0, "w2"), Idle()]
    result, journal = run_pipeline(passes, mlp_model, site)
    assert result is not mlp_model
    assert len(site.run.models) == 2
    assert [entry.error for entry in journal] == [None, None, 0.0, None]
    assert journal[2].error_reason == "together with scale"
    assert journal[0].error_reason == "proven together with scale"
    assert journal[1].error_reason == "nothing changed"


def test_an_unchanged_model_is_never_run(mlp_model, site):
    result, journal = run_pipeline([Idle(), Idle()], mlp_model, site)
    assert result is mlp_model
    assert site.run.models == []
    assert all(entry.changed == 0 and not entry.rejected for entry in journal)


@pytest.mark.parametrize("place", range(4))
def test_the_breaking_pass_is_found_rejected_and_the_rest_still_applies(place, mlp_model, site):
    passes = [Scale(1.0, name) for name in ("w1", "b1", "w2", "b2")]
    passes[place] = Scale(1.5, "w1")
    result, journal = run_pipeline(passes, mlp_model, site)
    assert [bool(entry.rejected) for entry in journal] == [index == place for index in range(4)]
    assert "output 'y' differs by" in journal[place].rejected
    assert "the pass allows 0.001" in journal[place].rejected
    assert journal[place].worst_layer.startswith("'m' is the first of")
    weights = result.ir.graph.initializers
    np.testing.assert_array_equal(weights["w1"].const_value.numpy(), _weight(mlp_model, "w1"))


def test_two_breaking_passes_are_both_found(mlp_model, site):
    passes = [Scale(1.0), Scale(2.0), Idle(), Scale(0.0, "w2"), Scale(1.0, "b1")]
    result, journal = run_pipeline(passes, mlp_model, site)
    assert [bool(entry.rejected) for entry in journal] == [False, True, False, True, False]
    assert [entry.pass_name for entry in journal] == ["scale"] * 5
    for name in ("w1", "w2"):
        np.testing.assert_array_equal(_weight(result, name), _weight(mlp_model, name))


def test_small_errors_that_add_up_are_no_ones_fault(mlp_model, site):
    # Each step moves the output by less than its tolerance of 1e-3, together they move it by more.
    result, journal = run_pipeline([Scale(1.001)] * 9, mlp_model, site)
    assert not any(entry.rejected for entry in journal)
    assert sum(entry.error is not None for entry in journal) > 1
    assert _weight(result, "w1")[0, 0] == pytest.approx(_weight(mlp_model, "w1")[0, 0] * 1.001**9, rel=1e-5)


def test_a_model_the_engine_refuses_is_a_rejected_pass(mlp_model, site):
    result, journal = run_pipeline([Unloadable(), Scale(1.0)], mlp_model, site)
    assert "cannot be run" in journal[0].rejected
    assert journal[0].error == float("inf")
    assert not journal[1].rejected
    assert next(iter(result.ir.graph)).op_type == "MatMul"
    json.dumps(journal[0].to_json(), allow_nan=False)


def test_a_pass_that_renames_an_input_is_rejected_without_running(mlp_model, site):
    result, journal = run_pipeline([Rename()], mlp_model, site)
    assert result is mlp_model
    assert "inputs from (x: float32 Nx16) to (other: float32 Nx16)" in journal[0].rejected
    assert site.run.models == []


def test_a_crash_names_the_pass_those_before_it_and_keeps_the_cause(mlp_model, site):
    with pytest.raises(PassError, match="pass 'scale' failed after scale: KeyError: 'nothing here'") as caught:
        run_pipeline([Scale(), Crash()], mlp_model, site)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_message_for_the_user_passes_through(mlp_model, site):
    with pytest.raises(UsageError, match="no such layer"):
        run_pipeline([Refuse()], mlp_model, site)


def test_lossy_passes_are_left_to_the_metric(mlp_model, site):
    measured = replace(site, evaluate=lambda _model: 0.25)
    result, journal = run_pipeline([Scale(1.0), Lossy(3.0), Scale(1.0)], mlp_model, measured, Gate(evaluate_lossy=True))
    assert [entry.drop for entry in journal] == [None, 0.25, None]
    assert [entry.error for entry in journal] == [0.0, None, 0.0]
    assert _weight(result, "w1")[0, 0] == pytest.approx(_weight(mlp_model, "w1")[0, 0] * 3)


@pytest.mark.parametrize("missing", ["run", "samples"])
def test_what_cannot_be_measured_says_why(mlp_model, site, missing):
    result, journal = run_pipeline([Scale(2.0)], mlp_model, replace(site, **{missing: Absent("none was given")}))
    assert result is not mlp_model
    assert (journal[0].error, journal[0].error_reason) == (None, "none was given")


def test_a_pipeline_is_a_pass(mlp_model, site):
    outcome = Pipeline([Scale(1.0), Scale(2.0)])(mlp_model, site)
    assert outcome.changed == 1
    assert outcome.notes[0].text == "scale: times 1.0"
    assert outcome.notes[-1].text.startswith("rejected: ")


def test_every_pass_is_in_the_default_pipeline_or_has_a_reason(make_site, mlp_model):
    target = make_site(mlp_model).target
    chosen = default_pipeline(target, "fp32")
    names = [item.name for item in chosen.passes] + [item.name for item in chosen.unwanted]
    assert sorted(names) == list(registry().names())
    assert all(item.reason for item in chosen.unwanted)
    assert list(chosen.passes) == sorted(chosen.passes, key=position)


def _weight(model: OnnxModel, name: str) -> np.ndarray:
    return model.ir.graph.initializers[name].const_value.numpy()


@pytest.mark.full
def test_no_pass_is_slower_than_linear(make_site):
    """5,000 nodes through every exact pass; 10 s each is far above what they need and far below a quadratic one."""
    import time

    helper = onnx.helper
    nodes = []
    for index in range(0, 5000, 5):
        a, b, c, d, e, f = (f"t{index + offset}" for offset in range(6))
        nodes += [
            helper.make_node("Add", [a, "three"], [b]),
            helper.make_node("Clip", [b, "zero", "six"], [c]),
            helper.make_node("Mul", [a, c], [d]),
            helper.make_node("Identity", [d], [e]),
            helper.make_node("Transpose", [e], [f], perm=[0, 1]),
        ]
    info = [helper.make_tensor_value_info(name, 1, ["N", 4]) for name in ("t0", "t5000")]
    numbers = {"zero": 0, "three": 3, "six": 6}
    weights = [onnx.numpy_helper.from_array(np.float32(number), name) for name, number in numbers.items()]
    graph = helper.make_graph(nodes, "long", info[:1], info[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = OnnxModel(ir.from_proto(proto), "long")
    site = make_site(model, [], frozenset({"::HardSwish", "::Gelu", "::LayerNormalization"}))
    for item in default_pipeline(site.target, "fp32").passes:
        started = time.monotonic()
        if item.effect is Effect.EXACT:
            model = item(model, site).model
        assert time.monotonic() - started < 10, item.name
