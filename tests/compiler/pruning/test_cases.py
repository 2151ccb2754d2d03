"""The nets of the benchmark, as they are: what can be cut of them, with fresh weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from edgewright.compiler.pruning.structure import cut, find_structure

NETS = Path(__file__).resolve().parents[3] / "benchmarks" / "cases" / "nets"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, NETS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "made", "shape", "groups"),
    [
        ("fashion_classifier", "FashionClassifier", (2, 1, 28, 28), 5),
        ("fashion_detector", "FashionDetector", (2, 1, 96, 96), 9),
        ("resnet18", "ResNet18", (2, 3, 32, 32), 12),
    ],
)
def test_all_but_the_last_layer_of_a_convolutional_net_can_be_halved(
    name: str, made: str, shape: tuple[int, ...], groups: int
) -> None:
    torch.manual_seed(0)
    module = getattr(loaded(name), made)().eval()
    inputs = (torch.rand(shape),)
    structure = find_structure(module, inputs)
    assert len(structure.groups) == groups
    assert [reason for _, reason in structure.refused] == ["its channels reach an output of the model"]
    half = cut(module, inputs, {one.name: range(one.units // 2) for one in structure.groups}, structure=structure)
    before, after = (sum(one.numel() for one in net.parameters()) for net in (module, half))
    assert after < 0.3 * before
    with torch.no_grad():
        assert half(*inputs).shape == module(*inputs).shape


@pytest.mark.full
def test_a_sentence_encoder_gives_its_heads_and_perceptrons_and_keeps_its_width() -> None:
    module = loaded("minilm").MiniLM().eval()
    tokens = torch.ones(2, 8, dtype=torch.int64)
    structure = find_structure(module, (tokens, tokens.clone()))
    parts = ("attention.self.query", "intermediate.dense")
    assert [one.name for one in structure.groups] == [f"encoder.layer.{i}.{part}" for i in range(6) for part in parts]
    heads = structure.groups[0]
    assert (heads.kind, heads.units, heads.unit_channels) == ("heads", 12, 32)
    refused = dict(structure.refused)
    assert "LayerNorm" in refused["encoder.layer.0.attention.output.dense"]


@pytest.mark.full
def test_every_expansion_of_an_efficientnet_can_be_cut() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="the examples extra is not installed")
    module = package.EfficientNet.from_name("efficientnet-lite0").eval()
    structure = find_structure(module, (torch.rand(2, 3, 64, 64),))
    names = [one.name for one in structure.groups]
    assert {f"_blocks.{i}._expand_conv" for i in range(1, 16)} <= set(names)
    assert [path for path, _ in structure.refused] == ["_fc"]
