from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgewright.compiler.pruning.answers import answers_of, batches_of, output_error
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.rounds import Recipe, begin
from edgewright.compiler.pruning.sensitivity import damages, narrowed, order_of, points
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.core.tensors import TensorSpec

from .bench import chain, context_for, samples


def test_the_error_is_1_for_the_mean_and_knows_channels_of_other_scales() -> None:
    reference = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.2])
    mean = reference.mean(0, keepdim=True).expand_as(reference)
    assert abs(output_error([[reference]], [[mean]]) - 1) < 1e-6  # float64 sums
    assert output_error([[reference]], [[reference]]) == 0
    off = reference.clone()
    off[:, 0] += 1.0
    assert 0.3 < output_error([[reference]], [[off]]) < 0.4  # one of three channels is off by its spread
    off[:, 0] = float("1e6")
    assert output_error([[reference]], [[off]]) == 4 / 3  # a channel that is lost is no more than lost
    flat = torch.cat([reference, torch.zeros(500, 1)], 1)
    assert output_error([[flat]], [[flat + torch.tensor([0.0, 0.0, 0.0, 1e-4])]]) < 1e-3  # nor is a flat one everything


def test_every_batch_and_every_output_counts() -> None:
    one, two = torch.randn(8, 4, 5, 5), torch.randn(8, 6)
    assert output_error([[one, two]] * 2, [[one, two], [one, two + 1]]) > 0.1


def test_idle_channels_do_less_harm_and_curves_rise(tmp_path: Path) -> None:
    context = context_for(tmp_path, PruneOptions())
    assert isinstance(context.calibration, Arrays)
    batches = batches_of(context.calibration, context.inputs, 32)
    state = begin(context.module, Recipe(context.example_inputs, batches, batches, (), 1, PruneOptions()))
    widths = {"a": (16, 12, 8, 4), "b": (32, 24, 16, 8)}
    before = {name: value.clone() for name, value in context.module.state_dict().items()}
    for moments in (None, state.moments):
        found = damages(context.module, state.structure, state.order, widths=widths, batches=batches, moments=moments)
        assert all(list(one) == sorted(one) and one[0] == 0 and len(one) == 4 for one in found.values())
        assert found["b"][3] < 0.01 < found["a"][3]
    assert all(torch.equal(value, before[name]) for name, value in context.module.state_dict().items())
    removed = {"a": state.order["a"][:8]}
    errors = [
        output_error(
            answers_of(context.module, batches),
            answers_of(narrowed(context.module, state.structure, removed, one), batches),
        )
        for one in (None, state.moments)
    ]
    assert errors[1] < errors[0]  # making up for channels helps


def test_units_go_by_rising_importance_and_ties_by_number() -> None:
    assert order_of({"a": np.array([2.0, 1.0, 1.0, 0.5])}) == {"a": [3, 1, 2, 0]}


def test_few_widths_are_all_measured() -> None:
    assert points((8,)) == ()
    assert points((8, 4)) == (4,)


def test_batches_are_spread_over_the_data_and_of_one_size() -> None:
    data = Arrays({"x": np.arange(100, dtype=np.float32)[:, None]}, None, None)
    specs = (TensorSpec("x", "float32", ("batch", 1)),)
    found = batches_of(data, specs, 70)
    assert [len(one[0]) for one in found] == [32, 32]
    assert float(found[0][0][0]) == 0
    assert float(found[1][0][-1]) > 85
    fixed = Arrays({"x": np.zeros((5, 4, 1), np.float32)}, None, 4)
    assert [tuple(one[0].shape) for one in batches_of(fixed, specs, 3)] == [(4, 1)] * 3


def test_the_net_of_these_tests_answers_differently_to_different_data() -> None:
    with torch.no_grad():
        assert float(chain()(torch.from_numpy(samples((3, 8, 8)))).std(0).min()) > 1e-3
