from __future__ import annotations

import copy

import torch
from torch import nn

from edgewright.compiler.pruning.batchnorm import reestimate


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()


def test_statistics_become_the_average_over_batches_and_nothing_else_changes() -> None:
    module = net()
    before = copy.deepcopy(module)
    batches = [(torch.randn(8, 3, 5, 5) * 3 + 1,) for _ in range(4)]
    assert reestimate(module, batches) == 1
    with torch.no_grad():
        seen = [module[0](batch[0]).transpose(0, 1).flatten(1) for batch in batches]
    mean = torch.stack([one.mean(1) for one in seen]).mean(0)
    variance = torch.stack([one.var(1) for one in seen]).mean(0)
    # Float32 sums over 200 values.
    assert torch.allclose(module[1].running_mean, mean, atol=1e-5)
    assert torch.allclose(module[1].running_var, variance, rtol=1e-5)
    assert (module[1].momentum, module[1].training, module.training) == (0.1, False, False)
    assert torch.equal(module[1].num_batches_tracked, before[1].num_batches_tracked)
    assert all(torch.equal(*both) for both in zip(module.parameters(), before.parameters(), strict=True))


def test_a_layer_that_no_batch_reaches_keeps_what_it_knows() -> None:
    module = net()
    module[1].running_mean.fill_(3.0)
    assert reestimate(module, []) == 0
    assert torch.equal(module[1].running_mean, torch.full((4,), 3.0))


def test_it_gives_the_same_twice() -> None:
    batches = [(torch.randn(8, 3, 5, 5),)]
    one, other = net(), net()
    reestimate(one, batches)
    reestimate(other, batches)
    assert torch.equal(one[1].running_var, other[1].running_var)
