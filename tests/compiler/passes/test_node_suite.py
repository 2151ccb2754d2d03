"""ONNX's own node tests through all exact passes: every operator in small models nobody here wrote."""

from __future__ import annotations

import warnings

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.numeric_gate import Comparison, Gate
from edgewright.compiler.pass_base import Effect
from edgewright.compiler.pipeline import default_pipeline, signature_problem
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel

FUSED = frozenset(
    {f"::{op}" for op in ("Attention", "Gelu", "HardSwish", "LayerNormalization", "Mish", "RMSNormalization")}
    | {f"com.microsoft::{op}" for op in ("FastGelu", "Gelu", "MultiHeadAttention", "SkipLayerNormalization")}
)
EXCLUDED = {
    "test_affine_grid_2d_expanded": "Range of a one-element vector: the engine sees it once the shape is known",
    "test_affine_grid_2d_align_corners_expanded": "the same",
}
FEWEST_COMPARED = 1200
"""Of some 1,900 cases; the rest use types or operators that the engine refuses before any pass, or no tensors."""


@pytest.mark.full
def test_no_pass_breaks_a_case_of_the_suite(make_site, run_model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    broken, compared = [], 0
    for case in cases:
        if case.name in EXCLUDED:
            continue
        original = OnnxModel(ir.from_proto(case.model), case.name)
        inputs = case.data_sets[0][0]
        names = [value.name for value in case.model.graph.input]
        readable = all(isinstance(array, np.ndarray) for array in inputs)
        feeds = [dict(zip(names, inputs, strict=False))] if readable else []
        site = make_site(original, feeds, FUSED, (7, 26))
        model = original
        for item in default_pipeline(site.target, "fp32").passes:
            if item.effect is Effect.EXACT:
                model = item(model, site).model
        if problem := signature_problem(original, model):
            broken.append(f"{case.name}: {problem}")
        if not feeds:
            continue
        try:
            (answer,) = run_model(original, feeds)
        except EngineError:
            continue
        if not all(isinstance(value, np.ndarray) for value in answer.values()):
            continue
        error, text = Comparison(site, Gate()).error(original, model)
        if error is not None:
            compared += 1
            if error > 1e-4:
                broken.append(f"{case.name}: {text}")
    assert broken == []
    assert compared >= FEWEST_COMPARED
