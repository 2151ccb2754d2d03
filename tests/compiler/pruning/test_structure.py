"""What can be cut is found, and what is cut runs, answers as the masked original does, and survives its state."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewright.compiler.intake.torch_export import export
from edgewright.compiler.pruning.slots import CutError
from edgewright.compiler.pruning.structure import Group, Structure, cut, find_structure, widths
from edgewright.compiler.torch_stage.state import load_state, save_state
from edgewright.core.model import TorchModel

from . import sequences
from .nets import NETS
from .odd import ODD

assert sequences  # it adds its nets to the others

GROUPS: dict[str, dict[str, int]] = {
    "Plain": {"a.0": 8, "b": 12, "fc1": 20},
    "ResidualNet": {"stem.0": 8, "c1.0": 8, "d1.0": 16, "d2.0": 16},
    "Depthwise": {"stem.0": 8, "up.0": 24},
    "Grouped": {"a.0": 4, "c.0": 4},
    "Dense": {"stem.0": 8, "layers.0.0": 4, "layers.1.0": 4, "layers.2.0": 4},
    "SqueezeExcite": {"a.0": 12, "b.0": 16, "down1": 4, "gate.0": 6},
    "Signal": {"a": 6, "b": 10},
    "Transposed": {"a.0": 6, "columns": 14, "c": 7},
    "Decoder": {"a": 12},
    "UNet": {"d1.0": 8, "d2.0": 16, "mid.0": 24, "up2": 16, "u2.0": 16, "up1": 8, "u1.0": 8},
    "Pyramid": {"a.0": 8, "b.0": 12, "c.0": 16, "lateral.0": 10, "tower.0": 14},
    "CrossStage": {"stem.0": 6, "halves.0": 8, "steps.0.0.0": 5, "steps.1.0.0": 5, "joined.0": 12},
    "Gated": {"both": 12, "down": 16, "gate": 14},
    "Bert": {"layers.0.attention.query": 4, "layers.0.up": 64, "layers.1.attention.query": 4, "layers.1.up": 64},
    "VisionTransformer": {
        "blocks.0.attention.qkv": 4,
        "blocks.0.mlp.0": 32,
        "blocks.1.attention.qkv": 4,
        "blocks.1.mlp.0": 32,
    },
    "WindowTransformer": {"attention.q": 3, "up": 20},
    "TorchEncoder": {"encoder.layers.0.linear1": 24, "encoder.layers.1.linear1": 24},
    "Recurrent": {"a.0": 8, "up": 14},
}
"""Units of each group, in the order of the modules."""
TORCHS_OWN = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*:FutureWarning", "ignore:The tensor attributes .*_flat_weights:UserWarning"
)
"""torch's exporter calls what torch itself deprecates, and wonders at torch's own LSTM."""
EXPORTED = ("Bert", "Grouped")
"""In the default tier: each export takes seconds."""


@functools.cache
def known(name: str) -> tuple[nn.Module, tuple[Tensor, ...], Structure]:
    module, inputs = NETS[name]()
    return module, inputs, find_structure(module, inputs)


def group(structure: Structure, name: str) -> Group:
    return next(one for one in structure.groups if one.name == name)


def answers(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        found = torch.utils._pytree.tree_leaves(module(*inputs))
    return [value for value in found if isinstance(value, Tensor)]


def masked(module: nn.Module, structure: Structure, removed: Mapping[str, Sequence[int]]) -> list[nn.Parameter]:
    """Zeroes, in place, the weights of readers for the removed units."""
    touched = []
    for name, units in removed.items():
        for unit in units:
            for slot, channels in structure.plans[name].units[unit].items():
                if slot.side == "in":
                    layer = module.get_submodule(slot.path)
                    weight = layer.get_parameter("weight")
                    axis = 0 if isinstance(layer, nn.ConvTranspose2d) else 1
                    weight.data.index_fill_(axis, torch.tensor(channels), 0)
                    touched.append(weight)
    return touched


def removals(structure: Structure) -> st.SearchStrategy[dict[str, list[int]]]:
    """Any units of any groups, one at least of each left."""
    return st.fixed_dictionaries(
        {
            one.name: st.lists(st.integers(0, one.units - 1), unique=True, max_size=one.units - 1)
            for one in structure.groups
        }
    )


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_is_found_and_what_reaches_an_output_is_not_among_them(name: str) -> None:
    module, inputs, structure = known(name)
    before = [parameter.clone() for parameter in module.parameters()]
    assert {one.name: one.units for one in find_structure(module, inputs).groups} == GROUPS[name]
    assert all(torch.equal(*pair) for pair in zip(before, module.parameters(), strict=True))
    assert any("reach an output of the model" in reason for _, reason in structure.refused)


def test_every_net_has_its_groups_written_down() -> None:
    assert set(GROUPS) == set(NETS)


@pytest.mark.parametrize("name", GROUPS)
def test_a_cut_module_answers_as_the_masked_one_and_survives_its_state(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    module, inputs, structure = known(name)
    folder = tmp_path_factory.mktemp(name)

    @settings(max_examples=4)
    @given(removals(structure))
    def holds(removed: dict[str, list[int]]) -> None:
        smaller = cut(module, inputs, removed, structure=structure)
        hidden, _ = NETS[name]()
        masked(hidden, structure, removed)
        for expected, got in zip(answers(hidden, inputs), answers(smaller, inputs), strict=True):
            # float32 sums in another order; nothing else may differ.
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        save_state(folder, smaller, module)
        again, _ = NETS[name]()
        load_state(folder, again)
        for expected, got in zip(answers(smaller, inputs), answers(again, inputs), strict=True):
            assert torch.equal(got, expected)
        states = [str(one) for one in smaller.modules()], [str(one) for one in again.modules()]
        assert states[0] == states[1]

    holds()


def exports_what_it_computes(name: str, folder: Path) -> None:
    import onnxruntime

    module, inputs, structure = known(name)
    generator = np.random.default_rng(7)
    removed = {
        one.name: generator.permutation(one.units)[: generator.integers(1, one.units)].tolist()
        for one in structure.groups
    }
    smaller = cut(module, inputs, removed, structure=structure)
    export(TorchModel(smaller, inputs, name), folder / "cut.onnx", answers=False)
    session = onnxruntime.InferenceSession(folder / "cut.onnx", providers=["CPUExecutionProvider"])
    feeds = {item.name: value.numpy() for item, value in zip(session.get_inputs(), inputs, strict=True)}
    for expected, got in zip(answers(smaller, inputs), session.run(None, feeds), strict=True):
        # Two engines sum in their own orders.
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-4)


@TORCHS_OWN
@pytest.mark.parametrize("name", EXPORTED)
def test_a_cut_module_exports_to_what_it_computes(name: str, tmp_path: Path) -> None:
    exports_what_it_computes(name, tmp_path)


@pytest.mark.full
@TORCHS_OWN
@pytest.mark.parametrize("name", sorted(set(GROUPS) - set(EXPORTED)))
def test_every_cut_module_exports_to_what_it_computes(name: str, tmp_path: Path) -> None:
    exports_what_it_computes(name, tmp_path)


def test_members_readers_and_kinds() -> None:
    residual, dense = known("ResidualNet")[2], known("Dense")[2]
    assert group(residual, "stem.0").members == ("stem.0", "stem.1", "c2.0", "c2.1")
    assert group(residual, "stem.0").consumers == ("c1.0", "d1.0", "short")
    assert group(dense, "layers.1.0").consumers == ("layers.2.0", "last")
    grouped = group(known("Grouped")[2], "a.0")
    assert (grouped.kind, grouped.units, grouped.unit_channels) == ("groups", 4, 4)
    heads = group(known("VisionTransformer")[2], "blocks.1.attention.qkv")
    assert (heads.kind, heads.unit_channels, heads.consumers) == ("heads", 4, ("blocks.1.attention.proj",))
    windowed = group(known("WindowTransformer")[2], "attention.q")
    assert (windowed.kind, windowed.unit_channels) == ("heads", 4)
    assert windowed.members == ("attention.q", "attention.kv", "attention.scale", "attention.table")


def test_a_cut_sets_the_attributes_that_state_sizes() -> None:
    module, inputs, structure = known("Bert")
    smaller = cut(module, inputs, {"layers.1.attention.query": [0, 2, 3]}, structure=structure)
    attention = smaller.get_submodule("layers.1.attention")
    assert (attention.num_attention_heads, attention.all_head_size, attention.attention_head_size) == (1, 4, 4)
    assert smaller.get_submodule("layers.0.attention").num_attention_heads == 4
    module, inputs, structure = known("Grouped")
    smaller = cut(module, inputs, {"a.0": [1], "c.0": [0, 3]}, structure=structure)
    convolution, norm = smaller.get_submodule("b.0"), smaller.get_submodule("norm")
    assert (convolution.groups, convolution.in_channels, convolution.out_channels) == (3, 12, 18)
    assert (norm.num_groups, norm.num_channels) == (2, 4)


def test_what_is_cut_can_be_cut_again() -> None:
    module, inputs, structure = known("UNet")
    once = cut(module, inputs, {"up2": range(5), "d2.0": range(3)}, structure=structure)
    twice = cut(once, inputs, {"up2": [0], "mid.0": [1, 2]})
    assert {one.name: one.units for one in find_structure(twice, inputs).groups} == GROUPS["UNet"] | {
        "up2": 10,
        "d2.0": 13,
        "mid.0": 22,
    }


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_cut_is_refused_by_name_and_the_rest_goes_on(name: str) -> None:
    torch.manual_seed(0)
    module = ODD[name]().eval()
    structure = find_structure(module, (torch.randn(2, 3, 8, 8),))
    assert not any("held" in one.members for one in structure.groups)
    reasons = [reason for path, reason in structure.refused if path == "held"]
    assert reasons, structure.refused
    assert any(str(ODD[name].__doc__) in reason for reason in reasons), reasons
    if name not in ("Detached", "WeightNorm"):  # there the first layer feeds the one that cannot be touched
        assert [one.name for one in structure.groups] == ["free"]


def test_recurrent_layers_and_torchs_own_attention_are_named() -> None:
    assert {"lstm", "gru", "b.0"} <= {path for path, _ in known("Recurrent")[2].refused}
    refused = dict(known("TorchEncoder")[2].refused)
    assert "MultiheadAttention" in refused["encoder.layers.0.self_attn"]
    assert "LayerNorm" in refused["encoder.layers.0.linear2"]


def test_a_pattern_keeps_a_module_all_inside_it_and_what_is_tied_to_it() -> None:
    module, inputs, _ = known("ResidualNet")
    structure = find_structure(module, inputs, keep=("c2", "d?.0"))
    assert [one.name for one in structure.groups] == ["c1.0"]
    refused = dict(structure.refused)
    assert refused["stem.0"] == "'c2.0' is kept by 'c2'"
    assert refused["d2.0"] == "'d2.0' is kept by 'd?.0'"


def test_widths_are_multiples_and_a_group_without_choice_is_refused() -> None:
    one = Group("x", 24, 1, ("x",), ("y",), "channels")
    assert widths(one, 8) == (8, 16, 24)
    assert widths(one, 7) == (7, 14, 21, 24)
    assert widths(one, 32) == (24,)
    heads = Group("x", 6, 12, ("x",), ("y",), "heads")
    assert widths(heads, 8) == (2, 4, 6)
    assert widths(heads, 1) == (1, 2, 3, 4, 5, 6)
    module, inputs, _ = known("Plain")
    structure = find_structure(module, inputs, multiple=8)
    assert [one.name for one in structure.groups] == ["b", "fc1"]
    assert ("a.0", "its 8 channels leave no multiple of 8") in structure.refused


@pytest.mark.parametrize(
    ("removed", "says"),
    [
        ({"fc2": [0]}, "no group of this model"),
        ({"a.0": [8]}, "has units 0 to 7"),
        ({"a.0": range(8)}, "none of the 8 units"),
    ],
)
def test_a_wrong_cut_is_one_message(removed: dict[str, Sequence[int]], says: str) -> None:
    module, inputs, structure = known("Plain")
    with pytest.raises(CutError, match=says):
        cut(module, inputs, removed, structure=structure)


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y: Tensor = self.a(x)
        return y


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such table")


@pytest.mark.parametrize(
    ("made", "says"), [(Untraceable, "operators that have a gradient"), (Raising, "no such table")]
)
def test_a_module_that_cannot_be_traced_is_one_refusal(made: type[nn.Module], says: str) -> None:
    structure = find_structure(made(), (torch.rand(2, 4),))
    assert structure.groups == ()
    ((path, reason),) = structure.refused
    assert path == ""
    assert says in reason
