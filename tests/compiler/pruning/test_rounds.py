"""One round: statistics of BatchNorm move only where that answers better, and several cuts are judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import nn

from edgewright.compiler.pruning import rounds
from edgewright.compiler.pruning.answers import answers_of, output_error
from edgewright.compiler.pruning.batchnorm import realign
from edgewright.compiler.pruning.blocks import find_blocks, without
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.rounds import (
    Recipe,
    begin,
    damage_of_blocks,
    damage_of_widths,
    next_round,
    without_block,
)

from .bench import chain, samples
from .test_blocks import stages

_MACS = 10_000


def recipe(rows: int = 64) -> Recipe:
    data = torch.from_numpy(samples((3, 8, 8))[:rows])
    return Recipe((data[:2],), [(data[::2],)], [(data[1::2],)], (), 1, PruneOptions())


def statistics(module: nn.Module) -> list[torch.Tensor]:
    return [value for name, value in module.state_dict().items() if "running" in name]


def spoil(
    module: nn.Module,
    before: nn.Module,
    kept: Mapping[str, Sequence[int]],
    batches: Sequence[Sequence[torch.Tensor]],
) -> int:
    """New statistics that are of no use."""
    del before, kept, batches
    norm = module.get_submodule("norm")
    norm.get_buffer("running_mean").add_(100)
    return 1


def test_statistics_that_answer_worse_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "realign", spoil)
    state = begin(chain(), recipe())
    cut = state.cut({"b": 12})
    after = next_round(state, {"b": 12}, recipe())
    assert all(torch.equal(one, other) for one, other in zip(statistics(after.module), statistics(cut), strict=True))


def test_statistics_that_answer_better_are_taken() -> None:
    told = recipe()
    state = begin(stages(), told)
    block = find_blocks(state.module, told.batches)[0]
    after = without_block(state, block, told)
    plain = without(state.module, block)
    aligned = without(state.module, block)
    realign(aligned, state.module, {}, told.batches)
    wanted = answers_of(state.module, told.judged)
    errors = [output_error(wanted, answers_of(one, told.judged)) for one in (plain, aligned, after.module)]
    assert errors[2] == min(errors[:2])


def test_cuts_are_judged_together() -> None:
    told = recipe()
    state = begin(chain(), told)
    targets = {"a": 8, "b": 16, "c": 8}
    together = damage_of_widths(state, targets, told, _MACS)
    wanted = answers_of(state.module, told.judged)
    assert together == output_error(wanted, answers_of(state.cut(targets), told.judged))
    alone = [damage_of_widths(state, {name: width}, told, _MACS) for name, width in targets.items()]
    assert abs(together - sum(alone)) > 0.05, "what several cuts do is not the sum of what each does"


def test_few_samples_are_looked_at_where_a_model_is_large() -> None:
    told = recipe()
    state = begin(stages(), told)
    blocks = find_blocks(state.module, told.batches)
    few = damage_of_blocks(state, blocks, told, macs=10**12)
    all_of_them = damage_of_blocks(state, blocks, told, macs=_MACS)
    assert few.keys() == all_of_them.keys()
    assert few != all_of_them


def test_a_cut_is_not_made_up_for_where_that_answers_worse() -> None:
    """Moments that are wrong (of another module's inputs) would spoil the readers of what is left."""
    told = recipe()
    state = begin(chain(), told)
    assert state.moments is not None
    generator = torch.Generator().manual_seed(0)
    wrong = {}
    for path, one in state.moments.items():
        size = len(one.mean)
        factor = torch.randn(size, size, generator=generator, dtype=torch.float64)
        wrong[path] = rounds.Moments(factor @ factor.T, torch.randn(size, generator=generator).double(), 10**6)
    misled = rounds.Narrowing(state.module, state.structure, state.order, wrong)
    targets = {"a": 8}
    plain, spoilt = state.cut(targets, made_up=False), misled.cut(targets)
    wanted = answers_of(state.module, told.judged)
    errors = [output_error(wanted, answers_of(one, told.judged)) for one in (plain, spoilt)]
    assert errors[1] > errors[0]
    assert damage_of_widths(misled, targets, told, _MACS) == errors[0]
    assert damage_of_widths(state, targets, told, _MACS) < errors[0]
