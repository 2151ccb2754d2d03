"""Biases take back what codes add to the mean of each channel, before training."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.pruning.answers import answers_of, output_error
from edgewright.compiler.qat.correction import correct_biases
from edgewright.compiler.qat.extraction import put_back

from .nets import NETS


def batches(one, count=2, rows=16):
    return [(torch.from_numpy(one.data[place * rows : (place + 1) * rows]),) for place in range(count)]


def parameters(prepared):
    return {name: value.detach().clone() for name, value in prepared.graph.named_parameters()}


def coarse(prepared, factor=24.0):
    """Codes so far apart that they move means, as one scale over uneven channels does."""
    for grid in prepared.grids.values():
        grid.scale.mul_(factor)
    return prepared


def test_the_mean_of_what_the_last_layer_answers_is_that_of_the_float_net(journey):
    one = journey("plain")
    prepared = coarse(one.prepare("fixed")[0])
    data = batches(one, 1, 32)
    exact = torch.cat([batch[0] for batch in answers_of(one.fresh().eval(), data)]).mean(0)
    before = (torch.cat([batch[0] for batch in answers_of(prepared.graph, data)]).mean(0) - exact).abs().max()
    assert correct_biases(prepared.graph, data[0], data) == 3  # two convolutions with BatchNorm, and the head
    after = (torch.cat([batch[0] for batch in answers_of(prepared.graph, data)]).mean(0) - exact).abs().max()
    # What is left is what codes of the answers themselves add.
    assert after < 0.3 * before


@pytest.mark.parametrize("net", NETS)
def test_answers_are_closer_or_nothing_is_changed(net, journey):
    one = journey(net)
    prepared = coarse(one.prepare("fixed")[0])
    data = batches(one)
    reference = answers_of(one.fresh().eval(), data)
    before, was = parameters(prepared), output_error(reference, answers_of(prepared.graph, data))
    count = correct_biases(prepared.graph, data[0], data)
    after = parameters(prepared)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert bool(changed) == (count > 0)
    assert all(before[name].dim() == 1 for name in changed)  # biases alone, no weights
    if count:
        # The graph without codes is the net up to the order of sums.
        assert output_error(reference, answers_of(prepared.graph, data)) < was * (1 + 1e-3)


def test_what_does_not_help_is_put_back(journey):
    one = journey("plain")
    prepared = coarse(one.prepare("fixed")[0])
    before = parameters(prepared)
    errors = iter([1.0, 1.0])
    assert correct_biases(prepared.graph, batches(one)[0], batches(one), lambda *_: next(errors)) == 0
    assert all(torch.equal(value, before[name]) for name, value in parameters(prepared).items())


def test_corrected_biases_are_the_users_own_and_go_back_into_the_module(journey):
    one = journey("plain")
    prepared = coarse(one.prepare("fixed")[0])
    assert correct_biases(prepared.graph, batches(one)[0], batches(one))
    module, fresh = one.fresh(), one.fresh().state_dict()
    put_back(prepared, module)
    changed = {name for name, value in module.state_dict().items() if not torch.equal(value, fresh[name])}
    assert changed
    assert all(name.endswith("bias") for name in changed)


def test_a_bias_that_two_layers_share_stays(journey):
    one = journey("plain")
    prepared = coarse(one.prepare("fixed")[0])
    head = next(node for node in prepared.graph.graph.nodes if str(node.target) == "aten.linear.default")
    with prepared.graph.graph.inserting_before(head):
        prepared.graph.graph.call_function(torch.ops.aten.neg.default, (head.args[2],))
    prepared.graph.recompile()
    before = parameters(prepared)
    correct_biases(prepared.graph, batches(one)[0], batches(one))
    assert torch.equal(parameters(prepared)["head.bias"], before["head.bias"])


def test_without_biases_there_is_nothing_to_do(journey):
    one = journey("plain")
    prepared = one.prepare("fixed")[0]
    for node in prepared.graph.graph.nodes:
        if str(node.target) == "aten.linear.default" or str(node.target).startswith("aten.conv"):
            node.args = (*node.args[:2], None, *node.args[3:])
    prepared.graph.recompile()
    before = parameters(prepared)
    assert correct_biases(prepared.graph, batches(one)[0], batches(one)) == 0
    assert all(torch.equal(value, before[name]) for name, value in parameters(prepared).items())
