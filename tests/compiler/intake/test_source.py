from __future__ import annotations

import pickle
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest

from edgewright.compiler.intake.content import Content
from edgewright.compiler.intake.shapes import Bound
from edgewright.compiler.intake.source import load_model, parse_model
from edgewright.core.errors import BadInputError, EngineError, UnavailableError, UsageError
from edgewright.core.files_opened import inputs_among, listening

FACTORIES = """
import os, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(4, 2)
    def forward(self, image, weight):
        pooled = self.drop(self.conv(image)).mean((2, 3))
        return self.head(pooled) * weight

def net():
    print("a line on stdout that nobody asked for")
    return Net(), (torch.randn(1, 3, 8, 8), torch.ones(1, 1))

def bare():
    return Net()

def weighed():
    from pathlib import Path
    scale = float((Path(__file__).parent / "scale.txt").read_text())
    return Net(), (torch.full((1, 3, 8, 8), scale), torch.ones(1, 1))

def reaches():
    import socket
    socket.create_connection(("example.invalid", 443))

def raises():
    helper()

def helper():
    raise ValueError("the factory's own words")

def wrong():
    return [1, 2]

def crashes():
    os.abort()

class Branch(torch.nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x - 1

def branch():
    return Branch(), torch.ones(1, 4)

not_callable = 3
"""


@pytest.fixture
def factories(tmp_path: Path) -> str:
    path = tmp_path / "factories.py"
    path.write_text(FACTORIES)
    return str(path)


def test_forms_of_model(small: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(small.SerializeToString())
    assert parse_model(str(path)).content is Content.ONNX
    assert parse_model(str(path)).name == "net"
    assert parse_model("package.module:build").content is None
    assert parse_model("package.module:build").name == "build"
    assert parse_model(f"{tmp_path}/f.py:build").name == "build"


def test_a_missing_file_offers_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"Did you mean network\.onnx"):
        parse_model(str(tmp_path / "netwrok.onnx"))
    with pytest.raises(UsageError, match="does not exist"):
        parse_model("n" * 5000)


def test_an_onnx_file_is_loaded_without_torch(small: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(small.SerializeToString())
    torch_before = "torch" in sys.modules
    loaded = load_model(str(path), shapes=["x=1..4,2,8,8"], workdir=tmp_path)
    assert loaded.model.name == "net"
    assert loaded.form == "onnx"
    assert loaded.bounds == {"x": (Bound(1, 4), Bound(2, 2), Bound(8, 8), Bound(8, 8))}
    assert ("torch" in sys.modules) == torch_before


def test_a_pickle_is_not_run_without_trust(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "run",)  # type: ignore[return-value]

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadInputError, match="--trust-pickle"):
        load_model(str(path), workdir=tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_factory_becomes_onnx_with_a_dynamic_batch(
    factories: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    loaded = load_model(f"{factories}:net", workdir=tmp_path)
    assert loaded.model.name == "net"
    assert [spec.shape for spec in loaded.model.inputs] == [("batch", 3, 8, 8), ("batch", 1)]
    assert loaded.model.outputs[0].shape == ("batch", 2)
    written = (tmp_path / "exported.onnx").read_bytes()
    assert str(tmp_path).encode() not in written
    assert capfd.readouterr().out == ""
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    together = session.run(None, {"image": images, "weight": np.ones((3, 1), np.float32)})[0]
    alone = session.run(None, {"image": images[2:], "weight": np.ones((1, 1), np.float32)})[0]
    # In evaluation mode (no dropout) a sample's answer depends on itself alone; sums may run in another order.
    np.testing.assert_allclose(together[2:], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_a_factory_gives_the_same_bytes_again(factories: str, tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        load_model(f"{factories}:net", workdir=tmp_path)  # its weights are random, from the seed that is set for it
        written.append((tmp_path / "exported.onnx").read_bytes())
    assert written[0] == written[1]


def test_what_a_factory_opens_in_its_process_is_heard_in_ours(factories: str, tmp_path: Path) -> None:
    (tmp_path / "scale.txt").write_text("0.5")
    work = tmp_path / "edgewright-work"
    work.mkdir()
    with listening() as names:
        load_model(f"{factories}:weighed", workdir=work)
    heard = {path.name for path in inputs_among(names, [work])}
    assert heard == {"scale.txt", Path(factories).name}


def test_a_factory_is_kept_offline_in_its_process(
    factories: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"example\.invalid over the network"):
        load_model(f"{factories}:reaches", workdir=tmp_path)


def test_a_factory_that_raises_shows_the_users_frames_alone(factories: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ValueError: the factory's own words") as caught:
        load_model(f"{factories}:raises", workdir=tmp_path)
    assert "in helper" in caught.value.remedy
    assert "torch_export" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong", "gives a list, not a torch module"),
        ("missing", "has no 'missing'"),
        ("not_callable", "not a function"),
        ("bare", "no example inputs for 'image'"),
    ],
)
def test_a_factory_that_is_wrong_is_a_usage_error(name: str, words: str, factories: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        load_model(f"{factories}:{name}", workdir=tmp_path)


@pytest.mark.full
def test_a_crash_of_the_users_code_is_an_engine_error(factories: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="killed by signal 6"):
        load_model(f"{factories}:crashes", workdir=tmp_path)


@pytest.mark.full
def test_what_torch_cannot_trace_names_the_users_line(factories: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"cannot trace") as caught:
        load_model(f"{factories}:branch", workdir=tmp_path)
    assert "return x + 1 if x.sum() > 0" in caught.value.remedy
    assert "site-packages" not in caught.value.remedy


@pytest.mark.full
def test_ranges_are_exported_as_dynamic_sizes(factories: str, tmp_path: Path) -> None:
    shapes = ["image=1..8,3,8,16..64", "weight=1..8,1"]
    loaded = load_model(f"{factories}:bare", shapes=shapes, workdir=tmp_path)
    shape = loaded.model.inputs[0].shape
    assert shape is not None
    assert shape[1:3] == (3, 8)
    assert isinstance(shape[3], str)
    # torch saw that both first sizes must be one and the same.
    assert shape[0] == "batch" == (loaded.model.inputs[1].shape or ())[0]


@pytest.fixture
def exported(tmp_path: Path, factories: str) -> Path:
    """A ``.pt2`` with a dynamic batch, written by a process of its own as a user would."""
    import subprocess

    path = tmp_path / "net.pt2"
    code = (
        f"import sys, torch; sys.path.insert(0, {str(tmp_path)!r}); from factories import net\n"
        "module, inputs = net(); batch = torch.export.Dim('batch')\n"
        "inputs = tuple(torch.cat([item, item]) for item in inputs)\n"
        "program = torch.export.export(module.eval(), inputs, dynamic_shapes=({0: batch}, {0: batch}))\n"
        f"torch.export.save(program, {str(path)!r})\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return path


@pytest.mark.full
def test_an_exported_program_is_read_and_its_code_is_not(exported: Path, tmp_path: Path) -> None:
    import zipfile

    loaded = load_model(str(exported), workdir=tmp_path)
    assert loaded.form == "pt2"
    assert loaded.model.inputs[0].shape == ("batch", 3, 8, 8)
    hostile = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(exported) as source, zipfile.ZipFile(hostile, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if "sample_inputs" in name and name.endswith(".pt"):
                data = b"cpathlib\nPath.touch\n(cpathlib\nPath\n(V" + str(tmp_path / "run").encode() + b"\ntRtR."
            target.writestr(name, data)
    with pytest.raises(BadInputError):
        load_model(str(hostile), workdir=tmp_path)
    assert not (tmp_path / "run").exists()
