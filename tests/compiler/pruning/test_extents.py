"""What is worked out without cutting must be what a cut module counts."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.pruning.extents import read_extents
from edgewright.compiler.pruning.structure import cut, find_structure

from . import sequences
from .nets import NETS

assert sequences  # it adds its nets to the others


@pytest.mark.parametrize("name", ["Plain", "Depthwise", "Grouped", "Dense", "SqueezeExcite", "Decoder", "UNet", "Bert"])
def test_parameters_and_multiplications_are_those_of_the_cut_module(name: str) -> None:
    module, inputs = NETS[name]()
    structure = find_structure(module, inputs)
    plans = {group.name: structure.plans[group.name] for group in structure.groups}
    extents = read_extents(module, inputs, plans, 2)
    assert extents.count({}) == sum(value.numel() for value in module.parameters())
    widths = {group.name: max(1, group.units // (2 + place % 2)) for place, group in enumerate(structure.groups)}
    removed = {group.name: range(group.units - widths[group.name]) for group in structure.groups}
    smaller = cut(module, inputs, removed, structure=structure)
    again = read_extents(smaller, inputs, {}, 2)
    assert extents.count(widths) == again.count({}) == sum(value.numel() for value in smaller.parameters())
    assert extents.macs(widths) == again.macs({}) < extents.macs({})


class Padding(torch.nn.Conv2d):
    """A convolution that pads by a module inside of it."""

    def __init__(self) -> None:
        super().__init__(3, 4, 3)
        self.pad = torch.nn.ZeroPad2d(1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return super().forward(self.pad(input))


def test_a_convolution_with_a_module_inside_counts() -> None:
    assert read_extents(Padding(), (torch.zeros(2, 3, 4, 4),), {}, 2).macs({}) == 4 * 16 * 27


def test_multiplications_of_one_row_by_hand() -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.ConvTranspose2d(4, 2, 2, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 5),
    )
    extents = read_extents(module, (torch.zeros(2, 3, 4, 4),), {}, 2)
    assert extents.macs({}) == 4 * 16 * 27 + 4 * 16 * 2 * 4 + 128 * 5
