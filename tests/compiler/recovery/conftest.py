"""A small task, a net that knows it, a damaged copy, and the context of a stage in this process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgewright.compiler.recovery.options import DistilOptions, TrainOptions
from edgewright.compiler.site import Absent, Goal
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import Progress, StageContext
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Outputs, TensorSpec
from edgewright.targets.load import load_targets

CLASSES = 4


class TinyNet(nn.Module):
    """`(N, 1, 8, 8)` -> `(N, 4)`: convolutions with BatchNorm, dropout to see that its randomness is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8 * 4 * 4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.drop(self.second(self.first(x))).flatten(1))
        return answer


def images(count: int, seed: int) -> tuple[Array, Array]:
    """Noisy pictures whose class is the quadrant that is bright, and the classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    pictures = random.normal(0, 0.5, (count, 1, 8, 8)).astype(np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        row, column = divmod(int(label), 2)
        picture[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    return pictures, labels


def damaged(net: nn.Module) -> nn.Module:
    """A copy of ``net`` with noise on every weight."""
    worse = copy.deepcopy(net)
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for one in worse.parameters():
            one.add_(torch.randn(one.shape, generator=random) * one.std().nan_to_num(0.1) * 1.5)
    return worse


def outputs_of(net: nn.Module, arrays: Arrays) -> Array:
    with torch.no_grad():
        return np.asarray(net(torch.from_numpy(np.array(arrays.inputs["x"]))).numpy())


@dataclass
class World:
    """What a test says of the context; ``context`` makes it."""

    teacher: nn.Module
    student: nn.Module
    folder: Path
    options: TrainOptions = field(default_factory=DistilOptions)
    train: Arrays | Absent = field(default_factory=lambda: Arrays({"x": images(192, 1)[0]}, None, None))
    calibration: Arrays | Absent = field(default_factory=lambda: Absent("no data"))
    select: Arrays | Absent = field(default_factory=lambda: Arrays({"x": images(96, 2)[0]}, None, None))
    metric: str = "agreement"
    resume: bool = False
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[Progress], None] = lambda _word: None
    log: list[str] = field(default_factory=list)

    def drop(self, answers: list[Outputs]) -> float:
        """One minus agreement with the teacher."""
        assert isinstance(self.select, Arrays)
        mine = np.concatenate([one["scores"] for one in answers]).argmax(1)
        return float(np.mean(mine != outputs_of(self.teacher, self.select).argmax(1)))

    def context(self) -> StageContext:
        student = copy.deepcopy(self.student)

        def no_export(_module: nn.Module) -> OnnxModel:
            raise AssertionError

        return StageContext(
            module=student,
            example_inputs=(torch.zeros(2, 1, 8, 8),),
            fresh=lambda: copy.deepcopy(self.student),
            original=lambda: copy.deepcopy(self.teacher),
            inputs=(TensorSpec("x", "float32", (None, 1, 8, 8)),),
            outputs=(TensorSpec("scores", "float32", (None, CLASSES)),),
            options=self.options,
            target=load_targets("onnx")[0],
            goal=Goal(),
            max_drop=0.01,
            keep=(),
            seed=0,
            threads=1,
            resume=self.resume,
            folder=self.folder,
            calibration=self.calibration,
            train=self.train,
            select=self.select,
            metric=self.metric,
            measure=Absent("no target"),
            drop=Absent("no data") if isinstance(self.select, Absent) else self.drop,  # type: ignore[arg-type]
            export=no_export,
            progress=self.progress,
            log=self.log.append,
            stopping=self.stopping,
            extra={},
        )

    def but(self, **changes: object) -> World:
        return replace(self, **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def teacher() -> nn.Module:
    """A net that was trained on the task, in the plainest way."""
    torch.manual_seed(0)
    net = TinyNet()
    pictures, labels = images(512, 0)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(30):
        loss = nn.functional.cross_entropy(net(torch.from_numpy(pictures)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    accuracy = (outputs_of(net, Arrays({"x": images(200, 9)[0]}, None, None)).argmax(1) == images(200, 9)[1]).mean()
    assert accuracy > 0.9
    return net


@pytest.fixture
def world(teacher: nn.Module, tmp_path: Path) -> World:
    return World(teacher, damaged(teacher).eval(), tmp_path)
