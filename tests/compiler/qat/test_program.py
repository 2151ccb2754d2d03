"""The exported program takes batches of any size, whatever size the example has."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.qat.program import exported, fixed_batch

from .nets import settled_net


@pytest.mark.parametrize("rows", [1, 2])
def test_the_batch_is_open(rows: int) -> None:
    example = torch.zeros(rows, 3, 8, 8)
    graph = exported(settled_net("plain"), (example,), [example.numpy()])
    assert fixed_batch(graph) is None
    assert len(graph(torch.zeros(5, 3, 8, 8))) == 5


def test_a_module_that_takes_one_size_only_says_which() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(3, 4) * 2

    example = torch.zeros(3, 2, 2)
    assert fixed_batch(exported(Fixed(), (example,), [example.numpy()])) == 3
