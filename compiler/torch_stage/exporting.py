"""A module that stages have changed, as ONNX: by the same route as the one the user gave."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.intake.shapes import fix_shapes
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import GRIDS
from edgewright.core.model import OnnxModel, TorchModel

if TYPE_CHECKING:
    import torch

GRIDS_KEY = "edgewright.grids"
"""Under this key of an ONNX model's metadata stand the grids that quantisation-aware training found (JSON)."""


def export_module(
    module: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...] | None, name: str, shapes: Sequence[str]
) -> OnnxModel:
    """``module`` as the compile will see it. Takes seconds; its training flags are as before afterwards.

    Raises:
        UnavailableError: what torch cannot export.
    """
    from edgewright.compiler.intake.torch_export import export

    training = {path: one.training for path, one in module.named_modules()}
    try:
        with tempfile.TemporaryDirectory(prefix="edgewright-export-") as folder:
            out = Path(folder, "model.onnx")
            export(TorchModel(module, example_inputs, name), out, shapes=shapes, answers=False)
            read = read_onnx(out, allow_nonfinite=True, notes=[])
            return OnnxModel(fix_shapes(read, shapes).model.ir, name)
    finally:
        for path, one in module.named_modules():
            one.training = training[path]


def export_stage(context: StageContext) -> StageResult:
    """Writes ``model.onnx`` into the stage's folder, with the trained grids in its metadata where there are any."""
    model = context.export(context.module)
    state = context.extra.get("state")
    if state is not None and (state / GRIDS).exists():
        model.ir.metadata_props[GRIDS_KEY] = (state / GRIDS).read_text()
    model.save(context.folder / "model.onnx")
    return StageResult(1)
