"""A small bundle to open, damage and compare."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.bundle import (
    Accuracy,
    BackendRecord,
    DataRecord,
    Golden,
    Limits,
    Manifest,
    ModelRecord,
    PassRecord,
    StateLink,
    TargetRecord,
    Tolerances,
)
from edgewright.core.tensors import TensorSpec

HOSTILE_NAME = "../../x\0\u202e</script>\x1b[31m$(rm)" + "n" * 300


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        model=ModelRecord("tiny", digest_of("model")),
        target=TargetRecord("native/onnxruntime", {"arch": "x86_64", "threads": 2}),
        backend=BackendRecord("onnxruntime", {"onnxruntime": "1.31.1"}, "model.onnx", {"threads": "2"}),
        precision="int8",
        inputs=(TensorSpec(HOSTILE_NAME, "float32", (1, "N")), TensorSpec("ids", "int64", None)),
        outputs=(TensorSpec("y", "float32", (1, None)),),
        passes=(PassRecord("fold-constants", {"max_bytes": 1}),),
        accuracy=Accuracy("top1", 0.91, 0.905, 0.005, 1000, digest_of("data"), "host-proxy"),
        data=DataRecord(digest_of("calibrate"), None, digest_of("data"), digest_of("train")),
        limits=Limits(0.01, True, None, None),
        size_bytes=9,
        recipe_digest=digest_of("recipe"),
        plan_digest=digest_of("plan"),
        tolerances=Tolerances(1e-3, 0.1),
        preprocessing={"mean": [0.5]},
        state=(StateLink("y", "ids"),),
    )


@pytest.fixture
def golden() -> Golden:
    random = np.random.default_rng(0)
    feeds = [
        {HOSTILE_NAME: random.random((1, 3), np.float32), "ids": np.arange(index, dtype=np.int64)} for index in range(4)
    ]
    answers = [{"y": random.random((1, 2), np.float32)} for _ in range(4)]
    return Golden(feeds, answers, [{"y": -item["y"]} for item in answers])


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "a").write_bytes(b"not onnx")
    (folder / "b").write_bytes(b"w")
    return {"model.onnx": folder / "a", "data/weights.bin": folder / "b"}
