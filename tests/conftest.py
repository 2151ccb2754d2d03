"""What all tests share: tiny models, the installed command, where big models are, a guard on how code is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    import onnx

    from edgewright.core.model import OnnxModel
    from edgewright.core.tensors import Feeds

ROOT = Path(__file__).resolve().parent.parent
# No result of a test may come from an earlier run's cache; tests of the cache switch it on for themselves.
os.environ["EDGEWRIGHT_CACHE_SIZE"] = "0"

LINKED_FOLDERS = ("compiler", "backends", "benchmarks", "targets")

hypothesis.settings.register_profile(
    "edgewright",
    deadline=None,  # the machine is shared: a slow example is no failure
    max_examples=25,
    derandomize=bool(os.environ.get("CI")),  # CI must not find a new failure in an unrelated change
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("edgewright")


LONGEST = ("test_readme.py", "cli/test_compile.py", "cli/test_training.py", "pipelines/", "cli/", "benchmarks/")
"""What takes longest goes first: two processes that share the files end together then."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files by how long they take, roughly; tests of a file stay together."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(ROOT / "tests").as_posix() if item.path.is_relative_to(ROOT / "tests") else ""
        return next((at for at, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))

    items.sort(key=place)


class BareImportGuard:
    """Refuses ``import compiler``: ``python -m pytest`` puts the root on the path, and that would be a second copy."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name in LINKED_FOLDERS:
            raise ModuleNotFoundError(f"import edgewright.{name}: a bare '{name}' is a second copy of it", name=name)
        return None


sys.meta_path.insert(0, BareImportGuard())


class RunCli(Protocol):
    """Runs the installed ``edgewright`` with these words; ``env`` adds to (None removes from) this process's own."""

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        env: dict[str, str | None] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """The command as a user has it: the script that pip installed, in a process of its own, without a terminal."""
    command = Path(sys.executable).with_name("edgewright")

    def run(
        *args: str | Path,
        cwd: Path | None = None,
        env: dict[str, str | None] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        wanted = {**os.environ, **(env or {})}
        environment = {name: value for name, value in wanted.items() if value is not None}
        return subprocess.run(
            [str(command), *map(str, args)],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Every file that belongs to the checkout (known to git or new, not ignored), links left out; absolute, sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip(f"not a git checkout, so what belongs to it is unknown: {listed.stderr.strip()}")
    paths = [ROOT / name for name in sorted(set(listed.stdout.split("\0"))) if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """The folder of big trained models that EDGEWRIGHT_MODELS names; without it the test is skipped."""
    text = os.environ.get("EDGEWRIGHT_MODELS")
    if not text:
        pytest.skip("EDGEWRIGHT_MODELS is not set: no folder of big trained models here")
    folder = Path(text)
    if not folder.is_dir():
        pytest.fail(f"EDGEWRIGHT_MODELS is {text}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def conv_net() -> onnx.ModelProto:
    """``x (N, 3, 16, 16)`` -> ``logits (N, 10)``: Conv, BatchNorm, Relu, residual Add, depthwise Conv, Clip, Gemm."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        _conv_net_nodes(),
        "conv_net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        _conv_net_weights(),
    )
    return _checked(graph)


def _conv_net_nodes() -> list[onnx.NodeProto]:
    from onnx import helper

    def batch_norm(name: str) -> onnx.NodeProto:
        parts = [f"{name}.bn.{part}" for part in ("scale", "b", "mean", "var")]
        return helper.make_node("BatchNormalization", [f"{name}.c", *parts], [f"{name}.y"], f"{name}.bn")

    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return [
        helper.make_node("Conv", ["x", "stem.w"], ["stem.c"], "stem.conv", **same),
        batch_norm("stem"),
        helper.make_node("Relu", ["stem.y"], ["stem.r"], "stem.relu"),
        helper.make_node("Conv", ["stem.r", "block.w"], ["block.c"], "block.conv", **same),
        batch_norm("block"),
        helper.make_node("Add", ["block.y", "stem.r"], ["block.s"], "block.add"),
        helper.make_node("Relu", ["block.s"], ["block.r"], "block.relu"),
        helper.make_node("Conv", ["block.r", "dw.w", "dw.b"], ["dw.c"], "dw.conv", **same, strides=[2, 2], group=8),
        helper.make_node("Clip", ["dw.c", "clip.low", "clip.high"], ["dw.r"], "dw.clip"),
        helper.make_node("GlobalAveragePool", ["dw.r"], ["pool.y"], "pool"),
        helper.make_node("Flatten", ["pool.y"], ["flat.y"], "flatten", axis=1),
        helper.make_node("Gemm", ["flat.y", "head.w", "head.b"], ["logits"], "head.gemm", transB=1),
    ]


def _conv_net_weights() -> list[onnx.TensorProto]:
    from onnx import numpy_helper

    rng = np.random.default_rng(0)
    shapes = {"stem.w": (8, 3, 3, 3), "block.w": (8, 8, 3, 3), "dw.w": (8, 1, 3, 3), "head.w": (10, 8)}
    arrays = {name: rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:])) for name, shape in shapes.items()}
    arrays |= {"dw.b": rng.uniform(-0.5, 0.5, 8), "head.b": np.zeros(10)}
    for norm in ("stem", "block"):
        for part, low in (("scale", 0.5), ("b", -0.5), ("mean", -0.5), ("var", 0.5)):
            arrays[f"{norm}.bn.{part}"] = rng.uniform(low, low + 1, 8)
    arrays |= {"clip.low": np.array(0.0), "clip.high": np.array(6.0)}
    return [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]


@pytest.fixture(scope="session")
def mlp() -> onnx.ModelProto:
    """``x (N, 16)`` -> ``y (N, 4)``: MatMul + Add, Relu, Gemm, Softmax."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    shapes = {"w1": (16, 32), "b1": (32,), "w2": (32, 4), "b2": (4,)}
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["m"], "hidden.matmul"),
        helper.make_node("Add", ["m", "b1"], ["a"], "hidden.add"),
        helper.make_node("Relu", ["a"], ["r"], "hidden.relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["g"], "head.gemm"),
        helper.make_node("Softmax", ["g"], ["y"], "head.softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        weights,
    )
    return _checked(graph)


def _checked(graph: onnx.GraphProto) -> onnx.ModelProto:
    import onnx
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def conv_net_path(conv_net: onnx.ModelProto, tmp_path: Path) -> Path:
    """``conv_net.onnx`` in this test's own folder."""
    path = tmp_path / "conv_net.onnx"
    path.write_bytes(conv_net.SerializeToString(deterministic=True))
    return path


@pytest.fixture
def mlp_path(mlp: onnx.ModelProto, tmp_path: Path) -> Path:
    """``mlp.onnx`` in this test's own folder."""
    path = tmp_path / "mlp.onnx"
    path.write_bytes(mlp.SerializeToString(deterministic=True))
    return path


@pytest.fixture
def conv_net_model(conv_net: onnx.ModelProto) -> OnnxModel:
    """The handle that passes and backends take; a fresh graph for each test."""
    return _handle(conv_net)


@pytest.fixture
def mlp_model(mlp: onnx.ModelProto) -> OnnxModel:
    """The handle that passes and backends take; a fresh graph for each test."""
    return _handle(mlp)


def _handle(proto: onnx.ModelProto) -> OnnxModel:
    import onnx_ir

    from edgewright.core.model import OnnxModel

    return OnnxModel(onnx_ir.from_proto(proto), proto.graph.name)


@pytest.fixture(scope="session")
def conv_net_feeds() -> list[Feeds]:
    """32 feeds for ``conv_net``, one tinted image each: noise of unit variance, and a mean of each channel's own."""
    rng = np.random.default_rng(2)
    images = rng.normal(0, 2, (32, 3, 1, 1)) + rng.normal(0, 1, (32, 3, 16, 16))
    return [{"x": image[None].astype(np.float32)} for image in images]


@pytest.fixture(scope="session")
def mlp_feeds() -> list[Feeds]:
    """32 feeds for ``mlp``, one row each, normal with unit variance."""
    rng = np.random.default_rng(3)
    return [{"x": rng.normal(size=(1, 16)).astype(np.float32)} for _ in range(32)]


@pytest.fixture
def conv_net_data(conv_net: onnx.ModelProto, conv_net_feeds: list[Feeds], tmp_path: Path) -> Path:
    """``conv_net.npz``: 32 images with the float model's own answers as ``labels``."""
    return labelled(conv_net, conv_net_feeds, tmp_path / "conv_net.npz")


def labelled(model: onnx.ModelProto, feeds: Sequence[Feeds], path: Path) -> Path:
    """Writes the images ``x`` of ``feeds`` with the float model's own answers as ``labels``."""
    from onnx.reference import ReferenceEvaluator

    images = np.concatenate([one["x"] for one in feeds])
    (logits,) = ReferenceEvaluator(model).run(None, {"x": images})
    np.savez(path, x=images, labels=logits.argmax(axis=1))
    return path


def write_mlp_bundle(
    model: Path, feeds: Sequence[Feeds], out: Path, *, name: str = "mlp", hardware: str = "native", **changes: object
) -> Path:
    """Writes ``mlp`` for that hardware's ONNX Runtime, without the compiler; ``changes`` are made to its manifest."""
    import onnxruntime

    from edgewright.core import bundle
    from edgewright.core.tensors import TensorSpec
    from edgewright.targets.load import load_targets

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    answers = [{"y": session.run(None, dict(one))[0]} for one in feeds[:4]]
    target = next(one for one in load_targets(hardware) if one.runtime == "onnxruntime")
    manifest = bundle.Manifest(
        model=bundle.ModelRecord(name, "0" * 64),
        target=bundle.TargetRecord(target.name, target.to_json()),
        backend=bundle.BackendRecord("onnxruntime", {"onnxruntime": onnxruntime.__version__}, "model.onnx", {}),
        precision="fp32",
        inputs=(TensorSpec("x", "float32", ("N", 16)),),
        outputs=(TensorSpec("y", "float32", ("N", 4)),),
        passes=(),
        accuracy=None,
        limits=bundle.Limits(),
        size_bytes=model.stat().st_size,
        recipe_digest="1" * 64,
        plan_digest="2" * 64,
        tolerances=bundle.Tolerances(1e-3, 1e-3),
    )
    golden = bundle.Golden(feeds[:4], answers, answers)
    bundle.write_bundle(out, {**manifest.to_json(), **changes}, {}, {"model.onnx": model}, golden)
    return out


def skip_without_a_font() -> None:
    """Where PNG plots cannot be drawn because there is no font, which no package of Python's brings."""
    from edgewright.benchmarks.report.plots import to_png
    from edgewright.core.errors import UnavailableError

    try:
        to_png('<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="16">a</text></svg>')
    except UnavailableError as error:
        pytest.skip(f"{error.problem}: {error.remedy}")
