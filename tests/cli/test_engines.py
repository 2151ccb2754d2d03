"""Trained models, compiled for three GPUs that are not here, in float16 and int8: what is built keeps its accuracy."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewright.core.bundle import open_bundle
from edgewright.targets.cuda import this_cuda

if TYPE_CHECKING:
    from tests.conftest import RunCli

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_rtx") is None, reason="the extra tensorrt-rtx is not installed"
    ),
    pytest.mark.skipif(bool(this_cuda().devices), reason="a GPU is here: this is about GPUs that are not"),
]
TARGETS = ("rtx-ampere/tensorrt", "rtx-ada/tensorrt", "rtx-blackwell/tensorrt")
CAPABILITIES = {"8.6", "8.9", "12.0"}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIMIT = 0.005
"""Half a point of accuracy, for both models."""


def idx(path: Path, count: int) -> np.ndarray:
    """The first items of a file of http://yann.lecun.com/exdb/mnist's form."""
    data = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)[:count]


@pytest.fixture
def clothes(models_folder: Path, tmp_path: Path) -> list[str | Path]:
    """A residual, depthwise and squeeze-excite classifier with 600 of its labelled test images."""
    folder = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    if not folder.is_dir():
        pytest.skip("FASHION_MNIST is not set and Debian's dataset-fashion-mnist is not installed")
    for split, count in (("train", 100), ("t10k", 600)):
        images = idx(folder / f"{split}-images-idx3-ubyte.gz", count)[:, None].astype(np.float32) / 255
        np.savez(tmp_path / split, x=images, labels=idx(folder / f"{split}-labels-idx1-ubyte.gz", count))
    data = ["--data", tmp_path / "train.npz", "--eval-data", tmp_path / "t10k.npz"]
    return [models_folder / "trained" / "fashion_classifier.onnx", *data]


@pytest.fixture
def digits() -> list[str | Path]:
    """The example classifier of digits, from torch."""
    names = {"--data": "calibration", "--eval-data": "evaluation"}
    data = [word for option, name in names.items() for word in (option, f"{EXAMPLES / 'digits.py'}:{name}")]
    return [f"{EXAMPLES / 'digits.py'}:model", *data]


@pytest.mark.parametrize("precision", [pytest.param("fp16", marks=pytest.mark.full), "int8"])
@pytest.mark.parametrize("case", ["digits", pytest.param("clothes", marks=pytest.mark.full)])
def test_a_trained_model_is_built_for_every_gpu_and_keeps_its_accuracy(
    case: str, precision: str, request: pytest.FixtureRequest, run_cli: RunCli, tmp_path: Path
) -> None:
    model, *data = request.getfixturevalue(case)
    wanted = [word for target in TARGETS for word in ("--target", target)]
    words = ["compile", model, *wanted, *data, "--max-drop", str(LIMIT), "--precision", precision]
    done = run_cli(*words, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)["targets"]
    assert {report["target"] for report in reports} == set(TARGETS)
    built = [open_bundle(Path(report["bundle"])) for report in reports]
    assert {bundle.manifest.backend.properties["compute_capability"] for bundle in built} == CAPABILITIES
    for bundle in built:
        manifest = bundle.manifest
        assert manifest.backend.entry == "model.engine"
        assert manifest.precision == precision
        assert manifest.accuracy is not None
        assert manifest.accuracy.mark == "host-proxy"
        assert manifest.accuracy.drop is not None
        assert manifest.accuracy.drop <= LIMIT
        precisions = bundle.journal["precisions"]
        assert isinstance(precisions, dict)
        assert precisions["written"]["shares"][precision] > 0.95
        assert precisions["written"]["weight_ratio"] <= (0.3 if precision == "int8" else 0.55)
        assert precisions["executed"]["source"] == "unknown"
