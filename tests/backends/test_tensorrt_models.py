"""Trained models through TensorRT-RTX's parser and builder, without a GPU; those of ``EDGEWRIGHT_MODELS``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import pytest

from edgewright.backends._tensorrt_flavours import flavours
from edgewright.backends.tensorrt import TensorRt
from edgewright.core.errors import UnavailableError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import SizeRange
from edgewright.targets.load import load_targets

pytestmark = pytest.mark.skipif(
    next(item for item in flavours() if item.name == "tensorrt_rtx").version is None,
    reason="TensorRT-RTX is not installed",
)

BACKEND = TensorRt()
ADA = load_targets("rtx-ada/tensorrt")[0]


def fixed(*shape: int) -> tuple[SizeRange, ...]:
    return tuple(SizeRange(size, size, size) for size in shape)


SIZES = {
    "blazeface_front_128": {},
    "mnist-conv_opset8": {},
    "espcn_x2_float": {},
    "magika_standard_v3_3": {"bytes": (SizeRange(1, 1, 8), *fixed(2048))},
    "ch_PP-OCRv4_rec_infer": {"x": (SizeRange(1, 1, 4), *fixed(3, 48), SizeRange(32, 320, 640))},
}


def read(folder: Path, name: str) -> OnnxModel:
    return OnnxModel(ir.load(folder / f"{name}.onnx"), name, SIZES.get(name, {}))


@pytest.mark.parametrize("name", SIZES)
def test_it_parses_and_builds(name: str, models_folder: Path, tmp_path: Path) -> None:
    model = read(models_folder, name)
    assert BACKEND.supports(model, ADA) == []
    made = BACKEND.lower(model, ADA, tmp_path)
    assert made.entry == "model.engine"
    assert (tmp_path / "model.engine").stat().st_size > 100_000


def test_an_operator_of_somebody_elses_is_refused_by_every_node_that_has_it(models_folder: Path) -> None:
    faults = BACKEND.supports(read(models_folder, "espcn_x2_brevitas_quant_customop"), ADA)
    assert len(faults) == 9
    assert {fault.op.partition(" ")[0] for fault in faults} == {"onnx.brevitas::Quant"}
    assert faults[0].node == "Quant_4"


def test_branches_it_cannot_build_are_named(models_folder: Path, tmp_path: Path) -> None:
    """Its parser takes every node of Silero; its builder stumbles over the branches, and says only "scope"."""
    model = read(models_folder, "silero_vad_16k_op15")
    sizes = {"input": fixed(1, 512), "state": fixed(2, 1, 128)}
    with pytest.raises(UnavailableError, match=r"::If \(opset"):
        BACKEND.lower(replace(model, sizes=sizes), ADA, tmp_path)
