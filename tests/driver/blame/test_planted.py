"""One layer's weights are perturbed behind one pass: both are named, whichever they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.graphs import working_copy
from edgewright.compiler.pass_base import Outcome
from edgewright.compiler.pipeline import AnyPass, default_pipeline
from edgewright.driver.blame.request import BlameRequest
from edgewright.driver.blame.steps import walk
from edgewright.driver.blame.work import look
from tests.driver.blame.conftest import random_net, scene_of

if TYPE_CHECKING:
    from edgewright.compiler.site import Site
    from edgewright.core.model import Model, OnnxModel
    from edgewright.driver.blame.report import BlameReport
    from edgewright.targets.schema import Target

MULTIPLIES = ("Conv", "Gemm", "MatMul")


def perturbed(model: OnnxModel, rng: np.random.Generator) -> tuple[OnnxModel, str]:
    """One layer's weights, or the codes that stand for them, moved by a third of their largest; and its name."""
    whole = working_copy(model)
    layers = [node for node in whole.graph if node.op_type in MULTIPLIES]
    node = layers[int(rng.integers(len(layers)))]
    weight = node.inputs[1]
    assert weight is not None
    maker = weight.producer()
    stored = weight if maker is None else maker.inputs[0]
    assert stored is not None
    assert stored.const_value is not None
    was = stored.const_value.numpy()
    noise = rng.normal(0, np.abs(was.astype(np.float64)).max() / 3, was.shape)
    moved = was.astype(np.float64) + noise
    if was.dtype.kind in "iu":
        limits = np.iinfo(was.dtype)
        moved = np.clip(np.round(moved), limits.min, limits.max)
    stored.const_value = ir.tensor(moved.astype(was.dtype), name=stored.name)
    return replace(model, ir=whole), node.name or ""


def planted(one: AnyPass, rng: np.random.Generator, hit: list[str]) -> AnyPass:
    """``one`` with a fault: what it makes has one layer's weights perturbed. ``hit`` takes the layer's name."""

    def faulty(_self: object, model: Model, site: Site) -> Outcome[Model]:
        outcome = type(one).__call__(one, model, site)
        broken, name = perturbed(outcome.model, rng)  # type: ignore[arg-type]
        hit.append(name)
        return replace(outcome, model=broken, changed=outcome.changed + 1)

    return type("Planted", (type(one),), {"__call__": faulty})(one.options)


def blamed(seed: int, target: Target, **options: object) -> tuple[BlameReport, str, str]:
    """The report, and the pass and the layer that are truly guilty."""
    rng = np.random.default_rng(seed)
    scene = scene_of(random_net(seed), target, seed)
    passes = list(default_pipeline(scene.site.target, "int8").passes)
    place, hit = int(rng.integers(len(passes))), list[str]()
    passes[place] = planted(passes[place], rng, hit)
    walk(scene, passes)
    report = look(scene, BlameRequest("net", **options), Path("unused"))  # type: ignore[arg-type]
    return report, passes[place].name, hit[0]


@pytest.mark.parametrize("seed", range(20))
def test_the_pass_and_the_layer_are_named(onnxruntime_target: Target, seed: int) -> None:
    report, guilty, layer = blamed(seed, onnxruntime_target)
    assert report.guilty_pass is not None
    assert report.guilty_layer is not None
    assert (report.guilty_pass.name, report.guilty_layer.name) == (guilty, layer)
    assert report.layers[0].name == layer


def test_without_a_fault_the_quantiser_is_what_costs_most_and_nothing_fails(onnxruntime_target: Target) -> None:
    scene = scene_of(random_net(3), onnxruntime_target, 3)
    walk(scene, default_pipeline(scene.site.target, "int8").passes)
    report = look(scene, BlameRequest("net"), Path("unused"))
    assert report.guilty_pass is not None
    assert report.guilty_pass.name == "static-quantize"
    assert report.failed == ""
    assert all(row.alone is not None and 0 <= row.alone < 0.1 for row in report.layers)
    assert report.passes[0].name == "original"
