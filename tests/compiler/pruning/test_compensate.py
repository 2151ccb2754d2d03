"""Channels that are combinations of others can go without a trace; bounds are float32's rounding over a few sums."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgewright.compiler.pruning.compensate import collect, compensate, consumers
from edgewright.compiler.pruning.cutting import take_away
from edgewright.compiler.pruning.slots import Plan, Slot


def pair(first: nn.Module, second: nn.Module, count: int) -> tuple[nn.Sequential, dict[str, Plan]]:
    """Two layers, the second of which reads the first's channels."""
    units = tuple({Slot("0", "out"): (unit,), Slot("1", "in"): (unit,)} for unit in range(count))
    return nn.Sequential(first, second), {"0": Plan(units)}


def entangle(first: nn.Module, *, shift: float) -> None:
    """Makes channels 5 and 2 of six combinations of the others, plus a constant."""
    weight, bias = first.get_parameter("weight"), first.get_parameter("bias")
    with torch.no_grad():
        rows = weight.transpose(0, 1) if isinstance(first, nn.modules.conv._ConvTransposeNd) else weight
        for target, (one, other) in {5: (0, 1), 2: (3, 4)}.items():
            rows[target] = 0.5 * rows[one] - 2 * rows[other]
            bias[target] = 0.5 * bias[one] - 2 * bias[other] + shift


CASES: dict[str, tuple[Callable[[], tuple[nn.Module, nn.Module]], tuple[int, ...], float]] = {
    "linear": (lambda: (nn.Linear(8, 6), nn.Linear(6, 3)), (64, 8), 0.7),
    "linear over time": (lambda: (nn.Linear(8, 6), nn.Linear(6, 3, bias=False)), (8, 9, 8), 0.7),
    "1x1": (lambda: (nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 1, bias=False)), (4, 8, 5, 5), 0.7),
    "3x3 without padding": (lambda: (nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 3)), (4, 8, 5, 5), 0.7),
    "3x3 padded": (lambda: (nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 3, 2, 1)), (4, 8, 6, 6), 0.0),
    "reflected": (lambda: (nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 3, 1, 1, padding_mode="reflect")), (4, 8, 6, 6), 0.7),
    "one dimension": (lambda: (nn.Conv1d(8, 6, 1), nn.Conv1d(6, 3, 5, padding="same")), (4, 8, 12), 0.0),
    "transposed": (lambda: (nn.Conv2d(8, 6, 1), nn.ConvTranspose2d(6, 3, 3, 2, 1)), (4, 8, 5, 5), 0.0),
    "from transposed": (lambda: (nn.ConvTranspose2d(8, 6, 2, 2), nn.Conv2d(6, 3, 1)), (4, 8, 5, 5), 0.7),
}


@pytest.mark.parametrize("name", CASES)
def test_combinations_of_kept_channels_go_without_a_trace(name: str) -> None:
    make, shape, shift = CASES[name]
    torch.manual_seed(0)
    first, second = make()
    entangle(first, shift=shift)
    module, plans = pair(first, second, 6)
    batches: list[tuple[Tensor, ...]] = [(torch.randn(shape),) for _ in range(64)]
    moments = collect(module, consumers(plans), batches)
    smaller = copy.deepcopy(module)
    assert compensate(smaller, plans, {"0": [2, 5]}, moments) == ("1",)
    take_away(smaller, plans, {"0": [2, 5]})
    plain = copy.deepcopy(module)
    take_away(plain, plans, {"0": [2, 5]})
    fresh = torch.randn(shape)
    with torch.no_grad():
        expected, got, cut = module(fresh), smaller(fresh), plain(fresh)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) < 1e-4
    assert float((cut - expected).abs().max()) > 1e-2  # else nothing was there to be made up for


def test_a_constant_is_not_added_where_zeros_are_padded_around() -> None:
    """At the border a constant would stand where the layer reads zeros; so without one the middle is only near."""
    torch.manual_seed(0)
    module, plans = pair(nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 3, 1, 1, bias=False), 6)
    batches: list[tuple[Tensor, ...]] = [(torch.randn(4, 8, 6, 6),) for _ in range(4)]
    compensate(module, plans, {"0": [1]}, collect(module, consumers(plans), batches))
    assert module[1].bias is None


def test_channels_that_are_always_zero_are_no_trouble() -> None:
    module, plans = pair(nn.Linear(8, 6), nn.Linear(6, 3), 6)
    with torch.no_grad():
        module[0].weight[1:].zero_()
        module[0].bias[1:].zero_()
    compensate(module, plans, {"0": [1, 4]}, collect(module, consumers(plans), [(torch.randn(32, 8),)]))
    assert all(bool(value.isfinite().all()) for value in module.parameters())


def test_few_rows_are_not_taken_at_their_word() -> None:
    """Three rows can be predicted perfectly from five channels, by chance: the prediction must stay small."""
    torch.manual_seed(0)
    module, plans = pair(nn.Linear(8, 64), nn.Linear(64, 3), 64)
    moments = collect(module, consumers(plans), [(torch.randn(3, 8),)])
    before = module[1].weight.detach().clone()
    compensate(module, plans, {"0": range(32)}, moments)
    assert float(module[1].weight.detach().norm()) < 3 * float(before.norm())


def test_grouped_layers_are_left_as_they_are() -> None:
    module, plans = pair(nn.Conv2d(8, 6, 1), nn.Conv2d(6, 6, 3, groups=6), 6)
    assert collect(module, consumers(plans), [(torch.randn(2, 8, 5, 5),)]) == {}
