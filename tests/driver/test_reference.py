from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from edgewright.backends import onnxruntime
from edgewright.core.model import OnnxModel
from edgewright.driver.reference import ReferenceExecutor
from edgewright.targets.load import load_targets


def test_the_reference_is_the_cpus_and_asks_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_args: object) -> tuple[str, ...]:
        raise AssertionError("the model was opened on the GPU")

    monkeypatch.setattr(onnxruntime.OnnxRuntime, "_fallen_back", asked)
    model = OnnxModel(
        ir.from_proto(
            onnx.parser.parse_model(
                '<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Relu (x) }'
            )
        ),
        "relu",
    )
    made = ReferenceExecutor(load_targets("hopper/tensorrt")[0], tmp_path, 1).lower(model)
    assert made.properties["provider"] == "CPUExecutionProvider"
    assert made.remarks == ()
