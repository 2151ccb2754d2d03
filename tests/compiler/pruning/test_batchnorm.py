from __future__ import annotations

import copy

import torch
from torch import nn

from edgewright.compiler.pruning.batchnorm import realign, reestimate


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


def test_realigning_a_module_that_was_not_cut_changes_nothing_on_any_data() -> None:
    module, before = net(), net()
    realign(module, before, {}, [(torch.randn(8, 3, 5, 5) * 7 + 2,)])
    assert torch.allclose(module[1].running_mean, before[1].running_mean, atol=1e-6)
    assert torch.allclose(module[1].running_var, before[1].running_var, rtol=1e-5)


def test_realigning_takes_over_what_the_cut_did() -> None:
    """A convolution whose answers grow by 3 and move by 1: the statistics must follow, in the trained data's terms."""
    batches = [(torch.randn(64, 3, 5, 5),)]
    before = net()
    reestimate(before, batches)
    module = copy.deepcopy(before)
    with torch.no_grad():
        module[0].weight.mul_(3)
        module[0].bias.mul_(3).add_(1)
    cut = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5)).eval()
    kept = torch.tensor([1, 3])
    with torch.no_grad():
        cut[0].weight.copy_(module[0].weight[kept])
        cut[0].bias.copy_(module[0].bias[kept])
    other = [(torch.randn(64, 3, 5, 5) * 2,)]
    realign(cut, before, {"1": [1, 3]}, other)
    assert torch.allclose(cut[1].running_mean, before[1].running_mean[kept] * 3 + 1, atol=1e-3)
    assert torch.allclose(cut[1].running_var, before[1].running_var[kept] * 9, rtol=1e-3)


def test_it_gives_the_same_twice() -> None:
    batches = [(torch.randn(8, 3, 5, 5),)]
    one, other = net(), net()
    reestimate(one, batches)
    reestimate(other, batches)
    assert torch.equal(one[1].running_var, other[1].running_var)
