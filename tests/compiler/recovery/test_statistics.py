"""BatchNorm's statistics before and while a narrower module is trained."""

from __future__ import annotations

import torch
from torch import nn

from edgewright.compiler.recovery.options import DistilOptions
from edgewright.compiler.recovery.stage import _all_but_statistics, distil
from edgewright.compiler.torch_stage.arrays import Arrays
from tests.compiler.recovery.conftest import World, images


def test_statistics_of_samples_unlike_those_that_are_judged_are_not_taken(world: World) -> None:
    options = DistilOptions(epochs=1, batch=32, precision="float32")
    odd = Arrays({"x": 40 * images(192, 1)[0] + 20}, None, None)
    assert distil(world.but(options=options).context()).figures["batchnorms_renewed"] == 2
    assert distil(world.but(options=options, train=odd).context()).figures["batchnorms_renewed"] == 0


def test_statistics_may_stay_while_all_else_trains() -> None:
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    _all_but_statistics(student, training=True)
    assert [one.training for one in student] == [True, False, True]
    before = student[1].running_mean.clone()
    student(torch.randn(8, 3) + 5)
    assert torch.equal(student[1].running_mean, before)
    _all_but_statistics(student, training=False)
    assert not any(one.training for one in student.modules())
