"""Importance: each method against what it claims to be, on nets where that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewright.compiler.pruning.importance import METHODS, Method, scores, without_batch_norm
from edgewright.compiler.pruning.structure import Structure, cut, find_structure

from . import sequences
from .nets import NETS

assert sequences  # it adds its nets to the others


class Perceptron(nn.Module):
    """One hidden layer, so that zeroing a reader's weights changes the output by exactly its first order."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 9), nn.Linear(9, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(torch.relu(self.a(x)))
        return y


def perceptron() -> tuple[Perceptron, tuple[Tensor, ...], Structure]:
    torch.manual_seed(3)
    module, inputs = Perceptron().eval(), (torch.randn(1, 5),)
    return module, inputs, find_structure(module, inputs)


def test_taylor_is_how_far_the_output_moves() -> None:
    module, inputs, structure = perceptron()
    found = scores(module, inputs, structure, [inputs], "taylor")["a"]
    with torch.no_grad():
        whole = module(*inputs)
        moved = [
            abs(float(cut(module, inputs, {"a": [unit]}, structure=structure)(*inputs) - whole)) for unit in range(9)
        ]
    np.testing.assert_allclose(found, moved, rtol=1e-4, atol=1e-7)  # float32 products


def test_activation_is_what_readers_get_times_their_weights() -> None:
    module, inputs, structure = perceptron()
    batches = [(torch.randn(4, 5),) for _ in range(3)]
    found = scores(module, inputs, structure, batches, "activation")["a"]
    with torch.no_grad():
        hidden = torch.relu(module.a(torch.cat([batch for (batch,) in batches])))
        expected = hidden.square().mean(0).sqrt() * module.b.weight.square().sum(0).sqrt()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_magnitude_is_the_norm_of_all_weights_that_go() -> None:
    module, inputs, structure = perceptron()
    found = scores(module, inputs, structure, [], "magnitude")["a"]
    squares = module.a.weight.detach().square().sum(1) + module.b.weight.detach().square().sum(0)
    np.testing.assert_allclose(found, squares.sqrt().numpy(), rtol=1e-5)


def test_bn_is_the_sum_of_scales_and_says_where_there_is_none() -> None:
    module, inputs = NETS["ResidualNet"]()
    structure = find_structure(module, inputs)
    found = scores(module, inputs, structure, [], "bn")
    scales = module.get_parameter("stem.1.weight") + module.get_parameter("c2.1.weight")
    np.testing.assert_allclose(found["stem.0"], scales.detach().numpy(), rtol=1e-6)
    bare, inputs, structure = perceptron()
    assert np.array_equal(
        scores(bare, inputs, structure, [], "bn")["a"], scores(bare, inputs, structure, [], "magnitude")["a"]
    )
    ((name, reason),) = without_batch_norm(bare, structure)
    assert name == "a"
    assert "magnitude" in reason


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["Grouped", "Decoder", "Signal", "Bert", "TorchEncoder", "WindowTransformer"])
def test_scores_are_one_per_unit_and_the_same_every_time(name: str, method: Method) -> None:
    module, inputs = NETS[name]()
    structure = find_structure(module, inputs)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    batches = [inputs, inputs]
    first, second = (scores(module, inputs, structure, batches, method) for _ in range(2))
    assert {key: value.shape for key, value in first.items()} == {one.name: (one.units,) for one in structure.groups}
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)
    assert all(np.isfinite(value).all() and (value >= 0).all() and value.max() > 0 for value in first.values())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("method", ["taylor", "activation"])
@pytest.mark.parametrize(("name", "leader"), [("Grouped", "a.0"), ("Bert", "layers.0.attention.query")])
def test_a_unit_that_nobody_reads_comes_last(name: str, leader: str, method: Method) -> None:
    module, inputs = NETS[name]()
    structure = find_structure(module, inputs)
    for slot, channels in structure.plans[leader].units[2].items():
        if slot.side == "in":
            module.get_submodule(slot.path).get_parameter("weight").data[:, list(channels)] = 0
    found = scores(module, inputs, structure, [], method)[leader]
    assert found[2] == 0
    assert (np.delete(found, 2) > 0).all()
