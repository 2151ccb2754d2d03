"""Inner layers of the user's module can be followed in the graph that is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewright.compiler.qat import stage
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.recovery.features import captured, layer_shapes

from .nets import NETS


@pytest.mark.parametrize("net", NETS)
def test_what_a_module_would_have_answered_is_found(net, journey):
    one = journey(net)
    context = replace(one.context, module=one.fresh())
    prepared, _, _ = stage.prepare_module(context, one.wanted, QatOptions(loss="both", ranges="fixed"))
    inputs = (torch.from_numpy(one.data[:4]),)
    mine, theirs = layer_shapes(prepared.graph, inputs), layer_shapes(one.fresh(), inputs)
    shared = [path for path in mine if path in theirs]
    assert len(shared) >= 2
    assert all(mine[path] == theirs[path] for path in shared)
    with torch.no_grad(), captured(prepared.graph, shared) as ours:
        prepared.graph(*inputs)
    teacher = one.fresh()
    with torch.no_grad(), captured(teacher, shared) as wanted:
        teacher(*inputs)
    for path in shared:
        cosine = float(torch.cosine_similarity(ours[path].flatten(), wanted[path].flatten(), dim=0))
        assert cosine > 0.95, path


def test_features_are_followed_in_training(journey):
    one = journey("residual")
    options = QatOptions(epochs=1, batch=8, augment="none", loss="both")
    context = replace(one.context, module=one.fresh(), options=options, folder=one.context.folder / "taps")
    context.folder.mkdir()
    result = stage.train(context)
    assert "inner layers" in str(result.figures)
    assert np.isfinite(result.figures["losses"]).all()
