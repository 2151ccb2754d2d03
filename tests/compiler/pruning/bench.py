"""A stage's surroundings for tests: a small net, data, and a clock that goes by the sizes of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewright.compiler.pruning.batchnorm import reestimate
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.site import Absent, Goal
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import TensorSpec
from edgewright.targets.load import load_targets


class Chain(nn.Module):
    """Three convolutions and a head: three groups, and most of what the middle one gives is hardly read."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.b = nn.Conv2d(16, 32, 3, padding=1)
        self.c = nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.a(x)))
        x = torch.relu(self.c(torch.relu(self.b(x))))
        answer: Tensor = self.head(x.mean((2, 3)))
        return answer


def chain() -> nn.Module:
    torch.manual_seed(0)
    module = Chain()
    with torch.no_grad():
        module.c.weight[:, 8:] *= 1e-3  # of b's 32 channels 8 matter
    reestimate(module, [(torch.from_numpy(samples((3, 8, 8))),)])
    return module.eval()


def samples(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Data whose samples differ by more than chance: each has a mean and a spread of its own, by channel."""
    rng = np.random.default_rng(0)
    noise, level = rng.standard_normal((64, *shape)), rng.standard_normal((64, shape[0], *[1] * (len(shape) - 1)))
    return (noise * np.abs(level) + level).astype(np.float32)


@dataclass
class Clock:
    """``Measure`` without a clock: one millisecond per thousand weights, by target, on top of what is fixed."""

    weights_per_ms: Mapping[str, float] = field(default_factory=lambda: {"one": 1000.0})
    fixed_ms: float = 0.5
    quirk: Callable[[Mapping[str, tuple[int, ...]]], float] = lambda _shapes: 0.0
    """Further milliseconds that a set of shapes takes."""
    calls: int = 0
    seen: int = 0

    def __call__(self, models: Sequence[OnnxModel]) -> list[Mapping[str, float]]:
        self.calls += 1
        self.seen += len(models)
        return [self.times(model) for model in models]

    def times(self, model: OnnxModel) -> Mapping[str, float]:
        shapes = {
            str(name): tuple(value.const_value.shape.numpy())
            for name, value in model.ir.graph.initializers.items()
            if value.const_value is not None
        }
        weights = sum(int(np.prod(shape)) for shape in shapes.values() if len(shape) > 1)
        extra = self.fixed_ms + self.quirk(shapes)
        return {target: extra + weights / rate for target, rate in self.weights_per_ms.items()}


def weights_only(module: nn.Module) -> OnnxModel:
    """An ONNX model that has the module's tensors and does nothing: an export takes a second, this none."""
    tensors = [ir.tensor(value.detach().numpy(), name=name) for name, value in module.state_dict().items()]
    values = [
        ir.Value(name=one.name, shape=one.shape, type=ir.TensorType(one.dtype), const_value=one) for one in tensors
    ]
    x = ir.Value(name="x", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.Node("", "Identity", [x])
    node.outputs[0].name = "y"
    node.outputs[0].shape, node.outputs[0].type = ir.Shape([1]), ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=values, opset_imports={"": 20}, name="g")
    return OnnxModel(ir.Model(graph, ir_version=10), "weights")


def context_for(
    folder: Path,
    options: PruneOptions,
    *,
    goal: Goal | None = None,
    measure: Clock | Absent | None = None,
    make: Callable[[], nn.Module] = chain,
    shape: tuple[int, ...] = (3, 8, 8),
    keep: tuple[str, ...] = (),
    calibration: Arrays | Absent | None = None,
    multiple: int = 1,
) -> StageContext:
    """What a stage is handed, with fakes for the parent."""
    folder.mkdir(exist_ok=True)
    data = Arrays({"x": samples(shape)}, None, None)
    found = next(one for one in load_targets("native") if one.runtime == "onnxruntime")
    return StageContext(
        module=make(),
        example_inputs=(torch.randn((2, *shape), generator=torch.Generator().manual_seed(0)),),
        fresh=make,
        original=make,
        inputs=(TensorSpec("x", "float32", ("batch", *shape)),),
        outputs=(),
        options=options,
        target=replace(found, channel_multiple=multiple),
        goal=goal or Goal(),
        max_drop=0.01,
        keep=keep,
        seed=0,
        threads=1,
        resume=False,
        folder=folder,
        calibration=data if calibration is None else calibration,
        train=Absent("no --train-data was given"),
        select=Absent("no data was given"),
        metric="",
        measure=Clock() if measure is None else measure,
        drop=Absent("no data was given"),
        export=weights_only,
        progress=lambda _word: None,
        log=lambda _text: None,
        stopping=lambda: False,
        extra={},
    )
