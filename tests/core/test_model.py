"""The handle of an ONNX model: what it writes stands on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.core.model import read_model


def test_weights_that_lay_beside_the_file_are_written_into_it(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    """Elsewhere a reference to them would point at nothing."""
    (tmp_path / "given").mkdir()
    given = tmp_path / "given" / "net.onnx"
    copy = onnx.ModelProto.FromString(mlp.SerializeToString())
    onnx.save(copy, given, save_as_external_data=True, location="net.weights", size_threshold=0)
    model = read_onnx(given)
    path = tmp_path / "net.onnx"
    assert model.save(path) == [path]
    written = onnx.load(path, load_external_data=False)
    found = {one.name: numpy_helper.to_array(one) for one in written.graph.initializer}
    for one in mlp.graph.initializer:
        np.testing.assert_array_equal(found[one.name], numpy_helper.to_array(one))
    assert read_model(path.read_bytes(), model.name, model.sizes).digest == model.digest
