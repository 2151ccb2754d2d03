"""A module's state without its code: narrowed shapes, changed attributes and new biases come back bit by bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from edgewright.compiler.torch_stage.state import changed_attributes, load_state, save_state
from edgewright.core.errors import BadInputError

torch = pytest.importorskip("torch")
nn = torch.nn


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads, self.sizes = 4, (4, 8)
        self.q = nn.Linear(8, 8)

    def forward(self, x):
        return self.q(x).reshape(x.shape[0], self.heads, -1).sum(-1)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 8), Attention())


def narrowed() -> nn.Module:
    module = net()
    conv, norm, linear = module[0], module[1], module[3]
    conv.weight, conv.bias = nn.Parameter(conv.weight[:3] * 2), nn.Parameter(torch.ones(3))
    conv.out_channels = norm.num_features = linear.in_features = 3
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(getattr(norm, name)[:3] + 0.5))
    norm.register_buffer("running_mean", torch.rand(3))
    norm.register_buffer("running_var", torch.rand(3) + 0.5)
    linear.weight = nn.Parameter(linear.weight[:, :3].clone())
    module[4].heads, module[4].sizes = 2, (2, 8)
    return module.eval()


def test_a_narrowed_module_comes_back_bit_by_bit(tmp_path: Path):
    module, fresh = narrowed(), net().eval()
    save_state(tmp_path, module, net())
    load_state(tmp_path, fresh)
    x = torch.randn(2, 1, 3, 3)
    assert torch.equal(fresh(x), module(x))
    assert fresh[0].out_channels == 3
    assert fresh[4].heads == 2
    assert fresh[4].sizes == (2, 8)
    assert dict(fresh.named_parameters()).keys() == dict(module.named_parameters()).keys()


def test_only_integers_that_changed_are_kept():
    found = changed_attributes(net(), narrowed())
    assert found == {
        "0": {"out_channels": 3},
        "1": {"num_features": 3},
        "3": {"in_features": 3},
        "4": {"heads": 2, "sizes": [2, 8]},
    }
    assert changed_attributes(net(), copy.deepcopy(net())) == {}


def test_a_source_that_makes_another_module_now_is_named(tmp_path: Path):
    save_state(tmp_path, narrowed(), net())
    with pytest.raises(BadInputError, match="source has changed: it makes no module '3'"):
        load_state(tmp_path, nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)))
    (tmp_path / "attributes.json").write_text(json.dumps({}))
    with pytest.raises(BadInputError, match="no tensor"):
        load_state(tmp_path, nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU()))
