"""Everything that is to be codes is found in each kind of net, and what is computed is what lowering writes."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.qat.exactness import compare
from edgewright.compiler.qat.program import batch_norms

from .nets import NETS

SYMMETRIC = "rtx-ada/tensorrt"
INPUTS_ONLY = "x86-avx512-vnni/openvino"
SEVEN_BITS = "x86-avx2/onnxruntime"


@pytest.mark.parametrize("net", NETS)
def test_every_operator_is_found_and_lowered_as_trained(net, journey):
    one = journey(net)
    prepared, located = one.prepared
    assert located.missing == {}
    assert {name for name in one.wanted.tensors if one.wanted.tensors[name].group not in prepared.grids} == set()
    plan = one.plan_of(one.leave_behind(prepared))
    found = compare(plan, one.context.folder / "layers.npz", one.site.run)
    assert found.layers
    assert found.worst.steps <= 1.01, found.worst  # two engines may round a tie apart, no more
    assert found.cosine > 0.999
    assert [note.kind for note in found.notes] == ["did"]


@pytest.mark.parametrize("target", [SYMMETRIC, INPUTS_ONLY, SEVEN_BITS])
def test_other_schemes_are_lowered_as_trained(target, journey):
    one = journey("residual", target)
    prepared, located = one.prepared
    assert located.missing == {}
    plan = one.plan_of(one.leave_behind(prepared))
    found = compare(plan, one.context.folder / "layers.npz", one.site.run)
    assert found.cosine > 0.9999  # schemes without codes behind operators have no layer to compare
    assert all(layer.steps <= 1.01 for layer in found.layers)
    limits = {module.most for module in prepared.graph.modules() if getattr(module, "most", None) is not None}
    assert limits == {63 if target == SEVEN_BITS else 127}


def test_tensors_that_share_a_grid_share_a_quantiser(journey):
    one = journey("plain")
    prepared, _ = one.prepared
    groups = {tensor.group for tensor in one.wanted.tensors.values()}
    assert set(prepared.grids) == groups
    assert len({id(grid) for grid in prepared.grids.values()}) == len(groups)
    assert len(groups) < len(one.wanted.tensors)  # the pooling's


def test_batch_norms_keep_their_literals(journey):
    one = journey("plain")
    prepared, _ = one.prepare("fixed", batchnorm_until=0.3)
    norms = dict(batch_norms(prepared.graph))
    assert len(norms) == 2
    for node in norms.values():
        assert node.args[6:8] == (0.05, 1e-3)
        added = [user.args[1] for user in node.args[4].users if str(user.target) == "aten.add.Tensor"]
        assert added == [1e-3]


def test_a_batch_norm_of_weight_zero_stays_finite(journey):
    one = journey("plain")
    prepared, _ = one.prepare("learned", batchnorm_until=0.3)
    gammas = [value for name, value in prepared.graph.named_parameters() if value.dim() == 1 and "1.weight" in name]
    with torch.no_grad():
        gammas[0][0] = 0.0
    answer = prepared.graph(torch.from_numpy(one.data[:4]))
    answer.sum().backward()
    assert torch.isfinite(answer).all()
    assert all(torch.isfinite(value.grad).all() for value in prepared.graph.parameters() if value.grad is not None)
