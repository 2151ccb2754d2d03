from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.compiler.recovery.ema import Average


def test_the_average_follows_slowly_and_is_only_borrowed() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 0.0)
    average = Average(net, 0.5)
    for step, value in enumerate((1.0, 2.0)):
        nn.init.constant_(net.weight, value)
        average.update(step)
    first = 0.9  # after step 0 the decay is 1/10, after step 1 it is 2/11
    expected = first * 2 / 11 + 2.0 * 9 / 11
    with average.applied():
        assert net.weight.item() == pytest.approx(expected, rel=1e-6)
    assert net.weight.item() == 2.0


def test_running_statistics_are_averaged_and_frozen_weights_are_not() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net[0].requires_grad_(False)
    average = Average(net, 0.9)
    assert set(average.tensors) == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}


def test_without_a_decay_the_weights_are_the_module_s_own() -> None:
    net = nn.Linear(1, 1)
    average = Average(net, 0.0)
    before = net.weight.detach().clone()
    average.update(0)
    with average.applied():
        assert torch.equal(net.weight, before)
