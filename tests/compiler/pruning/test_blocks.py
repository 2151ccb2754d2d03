"""Blocks with a way around them are found, whatever way they are written; what leads nowhere else is not one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgewright.compiler.pruning.batchnorm import reestimate
from edgewright.compiler.pruning.blocks import Block, block_damage, find_blocks, without
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.stage import prune
from edgewright.compiler.site import Goal
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import load_state
from edgewright.core.errors import UsageError

from .bench import Clock, context_for, samples


class Residual(nn.Module):
    """What it adds is scaled, so that tests say how much it matters."""

    def __init__(self, channels: int, matters: float = 1.0) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)
        self.matters = matters

    def forward(self, x: Tensor, rate: float = 0.0) -> Tensor:
        return torch.relu(x + self.matters * self.two(torch.relu(self.norm(self.one(x)))))


class Branched(nn.Module):
    """The way around is outside of the branch, which by itself is none of these blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Packed(nn.Module):
    """As layers of some transformers do, it answers a tuple, and normalises behind the way around."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor]:
        return (self.norm(x + self.narrow(torch.nn.functional.gelu(self.wide(x)))),)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Packed() for _ in range(2))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask=None)[0]
        answer: Tensor = self.head(self.layer(x))
        return answer


class Stages(nn.Module):
    """A stem, a plain layer that keeps its shape, and three blocks of which the second adds next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.plain = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.stage = nn.Sequential(Residual(8), Residual(8, 1e-3), Branched())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.stage(self.plain(torch.relu(self.stem(x)))).mean((2, 3)))
        return answer


def stages() -> nn.Module:
    torch.manual_seed(0)
    module = Stages()
    reestimate(module, [(torch.from_numpy(samples((3, 8, 8))),)])
    return module.eval()


def found(module: nn.Module, shape: tuple[int, ...], keep: tuple[str, ...] = ()) -> list[str]:
    torch.manual_seed(1)
    return [block.path for block in find_blocks(module.eval(), [(torch.randn(4, *shape),)], keep)]


def units(result: StageResult) -> dict[str, list[int]]:
    value = result.figures["units"]
    assert isinstance(value, dict)
    return value


def test_blocks_are_what_has_a_way_around_inside() -> None:
    assert found(stages(), (3, 8, 8)) == ["stage.0", "stage.1", "stage.2"]


def test_layers_of_transformers_are_blocks_and_their_parts_are_none() -> None:
    torch.manual_seed(0)
    assert found(Encoder(), (6, 16)) == ["layers.0", "layers.1", "layer"]


@pytest.mark.parametrize("pattern", ["stage.1", "stage.1.two", "stage.*"])
def test_what_is_kept_is_no_block(pattern: str) -> None:
    assert "stage.1" not in found(stages(), (3, 8, 8), (pattern,))


def called_twice() -> nn.Module:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Branched()

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.block(self.block(x))
            return answer

    return Twice()


def test_a_block_that_is_called_twice_is_left_alone() -> None:
    torch.manual_seed(0)
    assert found(called_twice(), (8, 4, 4)) == []


@pytest.mark.parametrize(("make", "shape"), [(stages, (3, 8, 8)), (Encoder, (6, 16))])
def test_without_a_block_the_next_one_gets_what_it_was_given(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module, inputs = make().eval(), torch.randn(2, *shape)
    for block in find_blocks(module, [(inputs,)]):
        given: list[Tensor] = []
        hook = module.get_submodule(block.path).register_forward_pre_hook(
            lambda _one, args, to=given: to.append(args[0])
        )
        module(inputs)
        hook.remove()
        got: list[object] = []
        smaller = without(module, block)
        smaller.get_submodule(block.path).register_forward_hook(lambda _one, _args, answer, to=got: to.append(answer))
        smaller(inputs)
        answer = got[0][0] if block.packed else got[0]  # type: ignore[index]
        assert torch.equal(answer, given[0])
        assert sum(value.numel() for value in smaller.parameters()) < sum(
            value.numel() for value in module.parameters()
        )


def test_the_damage_is_that_of_the_answers_and_what_cannot_go_is_left_out() -> None:
    module = stages()
    batches = [(torch.from_numpy(samples((3, 8, 8))),)]
    damage = block_damage(module, [*find_blocks(module, batches), Block("stem", packed=False)], batches)
    assert damage.keys() == {"stage.0", "stage.1", "stage.2"}, "without the stem nothing runs"
    assert damage["stage.1"] < 1e-3 < min(damage["stage.0"], damage["stage.2"])


def test_a_block_that_adds_nothing_goes_first_and_its_plan_is_repeated(tmp_path: Path) -> None:
    options = PruneOptions(goal="latency=0.72x", undercut=0)
    first = prune(context_for(tmp_path / "first", options, make=stages))
    assert units(first)["stage.1"] == [1, 0]
    assert [note.text for note in first.notes if note.subject == "stage.1"] == ["left out whole"]
    clock = Clock()
    lines = tuple(str(one) for one in first.figures["widths"])  # type: ignore[attr-defined]
    again = prune(
        context_for(tmp_path / "again", PruneOptions(goal="latency=0.72x", widths=lines), make=stages, measure=clock)
    )
    assert clock.calls == 0
    assert again.figures == first.figures
    weights = [(tmp_path / name / "weights.pt").read_bytes() for name in ("first", "again")]
    assert weights[0] == weights[1]


def test_a_state_without_a_block_comes_back(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, PruneOptions(widths=("stage.1=0", "stage.0.one=4")), make=stages))
    module = stages()
    load_state(tmp_path, module)
    assert sum(value.numel() for value in module.parameters()) == result.parameters
    assert not list(module.get_submodule("stage.1").parameters())
    inputs = torch.from_numpy(samples((3, 8, 8)))
    with torch.no_grad():
        assert module(inputs).shape == (64, 5)


def test_a_block_is_not_left_out_where_that_is_not_wanted(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, PruneOptions(goal="latency=0.72x", cuts="channels"), make=stages))
    assert not any(name.startswith("stage") and after == 0 for name, (_, after) in units(result).items())


def test_blocks_alone_may_go(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, PruneOptions(goal="latency=0.5x", cuts="blocks"), make=stages))
    assert set(units(result)) <= {"stage.0", "stage.1", "stage.2"}
    assert units(result)["stage.1"] == [1, 0]
    assert len(units(result)) > 1
    lines = tuple(str(one) for one in result.figures["widths"])  # type: ignore[attr-defined]
    again = prune(context_for(tmp_path / "again", PruneOptions(cuts="blocks", widths=lines), make=stages))
    assert again.figures == result.figures


def test_a_block_that_saves_no_time_stays(tmp_path: Path) -> None:
    def quirk(shapes: object) -> float:
        """Slower without it."""
        assert isinstance(shapes, dict)
        return 0.0 if "stage.1.one.weight" in shapes else 4 * 8 * 8 * 9 / 1000

    options = PruneOptions(goal="latency=0.8x")
    result = prune(context_for(tmp_path, options, make=stages, measure=Clock(quirk=quirk)))
    assert "stage.1" not in units(result)
    assert [note.text for note in result.notes if note.subject == "stage.1"] == [
        "leaving it out measured no faster: it stays"
    ]


def test_blocks_go_for_a_size_as_well(tmp_path: Path) -> None:
    """Where the goal needs more of them than narrowing the layers of the one that adds nothing."""
    result = prune(context_for(tmp_path, PruneOptions(), make=stages, goal=Goal(max_bytes=4 * 2800)))
    assert units(result)["stage.1"] == [1, 0]
    assert result.parameters is not None
    assert result.parameters <= 2800


def test_only_blocks_can_be_left_out_whole(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing would be left of 'stage\.0\.one'"):
        prune(context_for(tmp_path, PruneOptions(widths=("stage.0.one=0",)), make=stages))
