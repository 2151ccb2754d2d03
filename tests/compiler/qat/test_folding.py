"""BatchNorm that stays as it is may be folded while training: the same answers, the same parameters to train."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.qat.program import batch_norms

from .nets import NETS


def answer_and_gradients(prepared, data):
    answer = prepared.graph(torch.from_numpy(data))
    answer = answer[0] if isinstance(answer, tuple) else answer
    answer.square().sum().backward()
    return answer.detach(), {name: one.grad for name, one in prepared.graph.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("net", NETS)
def test_folded_and_not_are_one_function_of_the_same_parameters(net, journey):
    one = journey(net)
    folded, _ = one.prepare("fixed")
    kept, _ = one.prepare("fixed", batchnorm_until=0.3)
    assert len(list(batch_norms(folded.graph))) <= len(list(batch_norms(kept.graph)))
    assert folded.quantised == kept.quantised
    (mine, gradients), (theirs, others) = (answer_and_gradients(each, one.data[:4]) for each in (folded, kept))
    # A value that two orders of summing round to neighbouring codes moves what follows.
    assert torch.allclose(mine, theirs, atol=0.03 * float(theirs.abs().max()))
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        apart = float((gradient - others[name]).norm()) / max(1e-3, float(others[name].norm()))
        assert apart < 0.2, name


def test_no_walk_over_activations_is_left_of_a_folded_batch_norm(journey):
    folded, _ = journey("plain").prepared
    assert not list(batch_norms(folded.graph))
    kept, _ = journey("plain").prepare("fixed", batchnorm_until=0.3)
    assert len(list(batch_norms(kept.graph))) == 2


def test_a_batch_norm_of_weight_zero_is_folded_too(journey):
    one = journey("plain")
    prepared, _ = one.prepare("learned")
    gammas = [value for name, value in prepared.graph.named_parameters() if value.dim() == 1 and "1.weight" in name]
    with torch.no_grad():
        gammas[0][0] = 0.0
    answer, gradients = answer_and_gradients(prepared, one.data[:4])
    assert torch.isfinite(answer).all()
    assert all(torch.isfinite(value).all() for value in gradients.values())
