"""What the compiler's tests share: a site with a reference engine in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import Target

MakeSite = Callable[..., Site]


class ListedSamples:
    """Feeds held in a list: enough for a test."""

    digest = "0" * 64

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self.feeds = list(feeds)

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self.feeds)


def answers(model: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
    """Runs ``model`` on onnxruntime with its own optimisations off: the judge of what passes do."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    data = ir.to_proto(model.ir).SerializeToString()
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_outputs()]
        for feed in feeds:
            yield dict(zip(names, session.run(None, dict(feed)), strict=True))
    except Exception as cause:  # onnxruntime's errors have no common base of their own
        raise EngineError(f"the test's engine failed: {cause}") from cause


def generic_target(fused_ops: frozenset[str] = frozenset(), opset: tuple[int, int] = (7, 21)) -> Target:
    """A target that prefers nothing."""
    return Target(
        hardware="test",
        runtime="reference",
        title="a test's target",
        arch="any",
        isa=frozenset(),
        device="CPU",
        precisions=("fp32", "fp16", "int8"),
        hinted_precisions=frozenset(),
        int8=None,
        opset=opset,
        fused_ops=fused_ops,
        channel_multiple=1,
        threads=1,
        memory_bytes=None,
    )


def site_for(
    model: OnnxModel,
    feeds: Sequence[Feeds] = (),
    fused_ops: frozenset[str] = frozenset(),
    opset: tuple[int, int] = (7, 21),
    workdir: Path = Path("unused"),
) -> Site:
    """A site whose ``run`` is onnxruntime in this process, and whose samples are ``feeds``."""
    absent = Absent("not in this test")
    return Site(
        target=generic_target(fused_ops, opset),
        original=model,
        samples=ListedSamples(feeds) if feeds else absent,
        run=answers,
        measure=absent,
        evaluate=absent,
        budget=Budget(),
        seed=0,
        workdir=workdir,
    )


@pytest.fixture(scope="session")
def make_site() -> MakeSite:
    """``make_site(model, feeds, fused_ops=..., opset=...)``: a site whose ``run`` is onnxruntime in this process."""
    return site_for


def parsed(text: str, weights: dict[str, np.ndarray] | None = None, ir_version: int = 10) -> OnnxModel:
    """A checked model from onnx's textual form (a whole model or a graph of opset 20) and its float weights."""
    if "opset_import" not in text:
        text = f'<ir_version: {ir_version}, opset_import: ["" : 20]>\n{text}'
    proto = onnx.parser.parse_model(text)
    for name, array in (weights or {}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(proto, full_check=True)
    return OnnxModel(ir.from_proto(proto), proto.graph.name)


@pytest.fixture(scope="session")
def parse() -> Callable[..., OnnxModel]:
    """``parse(text, weights)``: a checked model from onnx's textual form."""
    return parsed


@pytest.fixture(scope="session")
def run_model() -> Callable[[OnnxModel, Iterable[Feeds]], Iterator[Outputs]]:
    """The reference engine on its own."""
    return answers
