"""Channels are evened out in the torch module as they would be in the ONNX form, and no answer changes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewright.compiler.qat import stage
from edgewright.compiler.qat.evening import even_out
from edgewright.compiler.qat.exactness import compare
from edgewright.compiler.qat.extraction import put_back
from edgewright.compiler.qat.mapping import locate, split_operators
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.program import exported
from edgewright.compiler.qat.wanted import load_wanted, wanted_of
from edgewright.compiler.quantization.planning import StaticOptions, make_plan

from .conftest import AS_IS


def wanted_evened(one, path):
    plan = make_plan(one.clean, AS_IS, one.site)
    wanted_of(plan, make_plan(one.clean, StaticOptions(smooth=1.0, bias_correction=False), one.site)).save(path)
    return load_wanted(path)


@pytest.mark.parametrize("net", ["plain", "tokens"])
def test_answers_stay_and_grids_follow(net, journey, tmp_path):
    one = journey(net)
    wanted = wanted_evened(one, tmp_path / "wanted.json")
    assert wanted.evenings
    module = one.fresh()
    data = torch.from_numpy(one.data[:8])
    before = module(data).detach()
    context = replace(one.context, module=one.fresh())
    prepared, _, done = stage.prepare_module(context, wanted, QatOptions(ranges="fixed"))
    assert done.evenings == wanted.evenings
    put_back(prepared, module)
    torch.testing.assert_close(module(data), before, rtol=1e-4, atol=1e-4)  # powers of two: only sums round anew
    for evening in done.evenings:
        start = done.tensors[evening.tensor]
        assert (start.scale, start.zero_point) == (evening.scale, evening.zero_point)
    changed = {
        name for name, value in module.state_dict().items() if not torch.equal(value, one.fresh().state_dict()[name])
    }
    assert changed
    grids = one.leave_behind(prepared)
    found = compare(one.plan_of(grids, module.eval()), one.context.folder / "layers.npz", one.site.run)
    assert found.cosine > 0.999
    assert all(layer.steps <= 1.01 for layer in found.layers)
    assert json.loads(grids).keys() == wanted.tensors.keys()


def test_what_would_change_answers_is_put_back(journey, tmp_path):
    one = journey("plain")
    wanted = wanted_evened(one, tmp_path / "wanted.json")
    with np.load(one.context.extra["values"]) as found:
        values = {name: found[name] for name in found.files}
    sample = [values["i0"]]
    graph = exported(one.fresh(), one.context.example_inputs, sample)
    split_operators(graph, wanted)
    located = locate(graph, wanted, values)
    before = {name: value.clone() for name, value in graph.named_parameters()}
    # A factor below zero does not commute with Relu, which no ONNX form would ask for.
    wrong = replace(wanted.evenings[0], factor=tuple(-value for value in wanted.evenings[0].factor))
    done = even_out(graph, located, replace(wanted, evenings=(wrong,)), [torch.from_numpy(sample[0])])
    assert done.evenings == ()
    assert done.tensors == wanted.tensors
    assert all(torch.equal(value, before[name]) for name, value in graph.named_parameters())
