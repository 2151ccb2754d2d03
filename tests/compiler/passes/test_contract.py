"""What every pass must keep to, on every model of the corpus: new passes are picked up from the registry."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.numeric_gate import relative_error
from edgewright.compiler.pass_base import Effect, Stage, registry
from edgewright.compiler.pipeline import position, signature_problem
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import OnnxModel

PASSES = registry()
GRAPH_PASSES = [name for name in PASSES.names() if PASSES.find(name).stage > Stage.EXPORT]
STANDARD = frozenset(
    {
        f"::{op}"
        for op in ("Gelu", "LayerNormalization", "RMSNormalization", "HardSwish", "HardSigmoid", "Attention", "Mish")
    }
)
CONTRIBUTED = frozenset(
    {f"com.microsoft::{op}" for op in ("Gelu", "FastGelu", "SkipLayerNormalization", "MultiHeadAttention", "BiasGelu")}
)
FUSED = {"all": STANDARD | CONTRIBUTED, "standard": STANDARD, "plain": frozenset()}
"""What targets may declare: everything, the standard operators, nothing."""


def digest(model: OnnxModel) -> str:
    """Computed anew: the handle's own is cached."""
    return OnnxModel(model.ir, model.name).digest


def applied(name: str, model: OnnxModel, site):
    """The outcome, or None for a pass that says it cannot work on this model at this site."""
    try:
        return PASSES.find(name)()(model, site)
    except EdgewrightError:
        return None


def assert_like(before: OnnxModel, after: OnnxModel, feeds, run, tolerance: float) -> None:
    for old, new in zip(run(before, feeds), run(after, feeds), strict=True):
        for name in old:
            assert relative_error(old[name], new[name]) <= tolerance, name


@pytest.mark.parametrize(
    ("name", "fused"),
    [(name, fused) for name in GRAPH_PASSES for fused in (FUSED if name.startswith("fuse") else ("plain",))],
)
def test_a_pass_keeps_the_contract(name, fused, specimen, make_site, run_model):
    model, feeds = specimen.model, specimen.feeds
    site = make_site(model, feeds, FUSED[fused], (7, 24))
    kind = PASSES.find(name)
    before = digest(model)
    outcome = applied(name, model, site)
    assert digest(model) == before, "the incoming model was changed"
    if outcome is None:
        return
    assert (outcome.changed == 0) == (outcome.model is model)
    assert all(note.text and note.kind in {"did", "skipped", "warning"} for note in outcome.notes)
    if outcome.changed:
        assert any(note.kind == "did" for note in outcome.notes)
    assert signature_problem(model, outcome.model) == ""
    onnx.checker.check_model(ir.to_proto(outcome.model.ir), full_check=not _has_fused(outcome.model))
    if not outcome.changed:
        return
    if kind.effect is Effect.EXACT:
        assert_like(model, outcome.model, feeds, run_model, min(kind.tolerance, 1e-4))
    again = applied(name, specimen.model, site)
    assert again is not None
    assert digest(again.model) == digest(outcome.model), "two runs differ"
    twice = applied(name, outcome.model, site)
    assert twice is not None
    assert twice.changed == 0, f"a second run changed more: {twice.notes}"


def _has_fused(model: OnnxModel) -> bool:
    return any(node.domain == "com.microsoft" for node in model.ir.graph.all_nodes())


@pytest.mark.parametrize("fused", FUSED, ids=list(FUSED))
def test_all_exact_passes_together(fused, specimen, make_site, run_model):
    site = make_site(specimen.model, specimen.feeds, FUSED[fused], (7, 24))
    model = specimen.model
    for item in _exact_passes(site):
        model = item(model, site).model
    assert signature_problem(specimen.model, model) == ""
    assert_like(specimen.model, model, specimen.feeds, run_model, 1e-4)
    onnx.checker.check_model(ir.to_proto(model.ir), full_check=not _has_fused(model))


def _exact_passes(site):
    kinds = [PASSES.find(name) for name in GRAPH_PASSES]
    wanted = [kind() for kind in kinds if kind.effect is Effect.EXACT and kind.wanted(site.target, "fp32") is None]
    return sorted(wanted, key=position)


UNARY = ("Relu", "Sigmoid", "Identity", "Neg", "Abs", "HardSigmoid", "Tanh")
BINARY = ("Add", "Sub", "Mul", "Min", "Max")


@st.composite
def random_graphs(draw) -> onnx.ModelProto:
    """Up to a dozen nodes on tensors of N x 4 x 3 x 3, some read by several, some outputs in the middle."""
    helper, rng = onnx.helper, np.random.default_rng(draw(st.integers(0, 99)))
    weights = {"c": rng.normal(size=(1, 4, 1, 1)), "d": rng.normal(size=()), "one": np.ones(()), "six": np.array(6.0)}
    weights |= {"w": rng.normal(size=(4, 4, 1, 1)), "s": rng.uniform(0.5, 1, 4), "k": rng.uniform(-1, 1, 4)}
    tensors, nodes = ["x"], []
    for index in range(draw(st.integers(1, 12))):
        source, name = draw(st.sampled_from(tensors[-4:])), f"t{index}"
        kind = draw(st.sampled_from(("unary", "binary", "constant", "conv", "norm", "clip", "transpose", "cast")))
        if kind == "unary":
            nodes.append(helper.make_node(draw(st.sampled_from(UNARY)), [source], [name]))
        elif kind == "binary":
            other = draw(st.sampled_from(tensors[-4:]))
            nodes.append(helper.make_node(draw(st.sampled_from(BINARY)), [source, other], [name]))
        elif kind == "constant":
            pair = [source, draw(st.sampled_from(("c", "d", "one")))]
            nodes.append(
                helper.make_node(draw(st.sampled_from(BINARY)), pair[:: draw(st.sampled_from((1, -1)))], [name])
            )
        elif kind == "conv":
            nodes.append(helper.make_node("Conv", [source, "w"], [name]))
        elif kind == "norm":
            nodes.append(helper.make_node("BatchNormalization", [source, "s", "k", "k", "s"], [name]))
        elif kind == "clip":
            nodes.append(
                helper.make_node(
                    "Clip", [source, *draw(st.sampled_from((("d",), ("", "six"), ("one", "six"))))], [name]
                )
            )
        elif kind == "transpose":
            nodes.append(helper.make_node("Transpose", [source], [name], perm=[0, 1, 3, 2]))
        else:
            nodes.append(helper.make_node("Cast", [source], [name], to=1))
        tensors.append(name)
    outputs = {tensors[-1], draw(st.sampled_from(tensors[1:]))}
    info = [helper.make_tensor_value_info(name, 1, ["N", 4, 3, 3]) for name in sorted(outputs)]
    initializers = [
        onnx.numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()
    ]
    graph = helper.make_graph(
        nodes, "random", [helper.make_tensor_value_info("x", 1, ["N", 4, 3, 3])], info, initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@given(proto=random_graphs())
def test_random_graphs_survive_every_exact_pass(proto, make_site, run_model):
    model = OnnxModel(ir.from_proto(proto), "random")
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(0, 2, (2, 4, 3, 3)).astype(np.float32)}]
    site = make_site(model, feeds, FUSED["all"], (7, 24))
    for item in _exact_passes(site):
        outcome = item(model, site)
        assert_like(model, outcome.model, feeds, run_model, 1e-4)
        twice = item(outcome.model, site)
        assert twice.changed == 0, (item.name, twice.notes)
        model = outcome.model
    onnx.checker.check_model(ir.to_proto(model.ir), full_check=not _has_fused(model))
