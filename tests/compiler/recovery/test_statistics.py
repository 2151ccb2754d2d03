"""BatchNorm's statistics before and while a narrower module is trained."""

from __future__ import annotations

import torch
from torch import nn

from edgewright.compiler.recovery.stage import _all_but_statistics


def test_statistics_may_stay_while_all_else_trains() -> None:
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    _all_but_statistics(student, training=True)
    assert [one.training for one in student] == [True, False, True]
    before = student[1].running_mean.clone()
    student(torch.randn(8, 3) + 5)
    assert torch.equal(student[1].running_mean, before)
    _all_but_statistics(student, training=False)
    assert not any(one.training for one in student.modules())
