"""What tests of blame share: random little nets, and a scene around them with the reference engine in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.driver.blame.scene import Scene
from edgewright.driver.blame.steps import chosen
from edgewright.driver.workshop import narrowed
from edgewright.targets.load import load_targets
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Listed:
    """Feeds held in a list."""

    feeds: tuple[Feeds, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self.feeds)


def run_here(model: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(ir.to_proto(model.ir).SerializeToString(), options)
        names = [item.name for item in session.get_outputs()]
        for feed in feeds:
            yield dict(zip(names, session.run(None, dict(feed)), strict=True))
    except Exception as cause:
        raise EngineError(f"the test's engine failed: {cause}") from cause


def random_net(seed: int) -> OnnxModel:
    """``x (N, 3, 12, 12)`` -> ``y (N, 5)``: two to five blocks of Conv, BatchNormalization, Relu, some residual."""
    helper, rng = onnx.helper, np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    read, width = "x", 3
    for place in range(int(rng.integers(2, 6))):
        name, fresh = f"block{place}", int(rng.choice([4, 8])) if place else 8
        weights[f"{name}.w"] = rng.normal(0, 1, (fresh, width, 3, 3)) / np.sqrt(width * 9)
        for part, low in (("scale", 0.5), ("b", -0.5), ("mean", -0.5), ("var", 0.5)):
            weights[f"{name}.{part}"] = rng.uniform(low, low + 1, fresh)
        nodes.append(helper.make_node("Conv", [read, f"{name}.w"], [f"{name}.c"], f"{name}.conv", pads=[1, 1, 1, 1]))
        norm = [f"{name}.c", *(f"{name}.{part}" for part in ("scale", "b", "mean", "var"))]
        nodes.append(helper.make_node("BatchNormalization", norm, [f"{name}.n"], f"{name}.bn"))
        made = f"{name}.n"
        if fresh == width and rng.random() < 0.5:
            nodes.append(helper.make_node("Add", [made, read], [f"{name}.s"], f"{name}.add"))
            made = f"{name}.s"
        nodes.append(helper.make_node("Relu", [made], [f"{name}.r"], f"{name}.relu"))
        read, width = f"{name}.r", fresh
    weights["head.w"], weights["head.b"] = rng.normal(0, 1, (5, width)) / np.sqrt(width), rng.normal(0, 0.1, 5)
    nodes.append(helper.make_node("GlobalAveragePool", [read], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    nodes.append(helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["y"], "head", transB=1))
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            f"net{seed}",
            [helper.make_tensor_value_info("x", 1, ["N", 3, 12, 12])],
            [helper.make_tensor_value_info("y", 1, ["N", 5])],
            [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return OnnxModel(ir.from_proto(onnx.shape_inference.infer_shapes(proto)), f"net{seed}")


@pytest.fixture(scope="session")
def onnxruntime_target() -> Target:
    (target,) = load_targets("rpi5/onnxruntime")
    return target


def scene_of(model: OnnxModel, target: Target, seed: int, *, precision: str = "int8") -> Scene:
    """8 samples calibrate and are looked at, without a metric."""
    rng = np.random.default_rng(seed)
    feeds = tuple({"x": rng.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(8))
    choice = chosen(target, precision, data=True)
    absent = Absent("not in this test")
    site = Site(
        target=narrowed(target, choice),
        original=model,
        samples=Listed(feeds, f"{seed:064d}"),
        run=run_here,
        measure=absent,
        evaluate=absent,
        budget=Budget(),
        seed=seed,
        workdir=Path("unused"),
    )
    return Scene(model, target.name, choice.title, feeds, run_here, site, lambda _line: None)
