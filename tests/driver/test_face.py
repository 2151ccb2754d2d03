from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgewright
from edgewright.core.tensors import Feeds


def test_python_compiles_opens_and_runs(conv_net_path: Path, conv_net_feeds: list[Feeds], tmp_path: Path) -> None:
    out = tmp_path / "net.ewb"
    bundle = edgewright.compile(conv_net_path, target="native/onnxruntime", out=out, precision="fp32")
    assert bundle.manifest.precision == "fp32"
    assert bundle.digest == edgewright.Bundle.read(out).digest
    with bundle.open() as session:
        logits = session.run(conv_net_feeds[0])["logits"]
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()
    assert bundle.verify().exit_code == 0


def test_a_mistake_is_an_exception_with_the_next_thing_to_do(tmp_path: Path) -> None:
    with pytest.raises(edgewright.EdgewrightError) as caught:
        edgewright.compile("nothing.onnx", target="native/onnxruntime", out=tmp_path / "x.ewb")
    assert caught.value.remedy
