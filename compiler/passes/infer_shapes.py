"""Writes the element type and shape of every tensor into the graph, as far as onnx's inference with data propagation
can tell.

Large weights are set aside while it runs, so no message nears protobuf's 2 GiB. What is already declared stays:
that it is true is the validator's business. Graph inputs are never touched.
"""

from __future__ import annotations

from typing import ClassVar

from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.shape_inference import infer_shapes
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel


class InferShapes(Pass[OnnxModel, OnnxModel]):
    """Infers element types and shapes with onnx's shape inference."""

    name: ClassVar[str] = "infer-shapes"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.CLEAN
    order: ClassVar[int] = 20

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same graph with more types and shapes known."""
        del site
        work = Rewriting(model)
        improved = infer_shapes(work)
        if improved:
            work.did("graph", f"inferred the type or shape of {improved} tensors", improved)
        return work.outcome()
