"""A program computed in half precision inside: what is cast, what stays, and what it looks like from outside."""

from __future__ import annotations

import pytest

from edgewright.backends._aotinductor_precision import flat

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def run(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], precision: str = "bf16"):
    program = torch.export.export(module.eval(), inputs)
    made, kept = flat(program, precision)
    with torch.no_grad():
        return made(*inputs), kept


def test_positions_that_the_program_counts_stay_exact() -> None:
    class Positions(torch.nn.Module):
        def forward(self, x):
            return x * 0 + torch.arange(1000).float()

    (got,), _ = run(Positions(), (torch.zeros(1000),))
    assert torch.equal(got, torch.arange(1000).float()), "bfloat16 counts to 256 only"


def test_weights_beyond_float16_stay_in_float32_and_are_named() -> None:
    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 4)
            self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -1e30]))

        def forward(self, x):
            return torch.softmax(self.linear(x) + self.mask, -1)

    (got,), kept = run(Masked(), (torch.ones(2, 4),), "fp16")
    assert kept == ["mask"]
    assert torch.isfinite(got).all()
    assert (got[:, 3] == 0).all()


def test_weights_that_layers_share_stay_one() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(6, 4)
            self.head = torch.nn.Linear(4, 6, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens):
            return self.head(self.table(tokens))

    program = torch.export.export(Tied().eval(), (torch.zeros(2, dtype=torch.int64),))
    made, _ = flat(program, "bf16")
    assert [(weight.shape, weight.dtype) for weight in made.parameters()] == [((6, 4), torch.bfloat16)]


def test_constant_arguments_and_control_flow_pass_through() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x, scale: int):
            return torch.cond(x.sum() > 0, lambda y: y * 2, lambda y: y - 1, (x,)), x * scale

    program = torch.export.export(Branching(), (torch.ones(3), 5))
    made, _ = flat(program, "bf16")
    for x in (torch.ones(3), -torch.ones(3)):
        first, second = made(x)
        assert torch.equal(first, x * 2 if x.sum() > 0 else x - 1)
        assert torch.equal(second, x * 5)
        assert first.dtype == torch.float32
