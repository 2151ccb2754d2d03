"""What the tests of this floor share."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact
from edgewright.benchmarks.harness import protocol
from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.data import DataSet, Sample
from edgewright.core.tensors import Feeds, TensorSpec
from tests.conftest import write_mlp_bundle


class Listed(DataSet):
    """A data set held in memory."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples, self.name = list(samples), "listed"
        self.labelled = all(sample.label is not None for sample in samples)

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, index: int) -> Sample:
        return self._samples[index]

    @property
    def digest(self) -> str:
        parts = [array.tobytes() for sample in self._samples for array in sample.feeds.values()]
        return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(autouse=True)
def own_lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for whoever else is timing on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("lock")))


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of less than the protocol's second, where the test does not look at figures."""
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 0.1)


@pytest.fixture(scope="session")
def listed() -> Callable[[Sequence[Sample]], DataSet]:
    return Listed


BACKEND = '''
import os, time
import numpy as np
from edgewright.backends import Availability, Backend, Session
from edgewright.core.errors import EngineError

class Paced(Backend):
    """y = 2 x after a stated time; how it goes wrong is written in the artifact's properties."""
    name = "paced"
    def probe(self):
        return Availability("1")
    def supports(self, model, target):
        return []
    def lower(self, model, target, workdir, precision="fp32"):
        raise NotImplementedError
    def open(self, artifact, threads):
        how = dict(artifact.properties)
        if how.get("open") == "crash":
            os.abort()
        if how.get("open") == "refuse":
            raise EngineError("the engine refuses this file", "Build it again.")
        return PacedSession(artifact, how)

class PacedSession(Session):
    def __init__(self, artifact, how):
        self.inputs, self.outputs, self.how, self.runs = artifact.inputs, artifact.outputs, how, 0
    def _run(self, feeds):
        self.runs += 1
        if self.how.get("crash_at") == str(self.runs):
            os.abort()
        if self.how.get("raise_at") == str(self.runs):
            raise EngineError("the engine fell over", "Try again.")
        if self.how.get("hang_at") == str(self.runs):
            time.sleep(3600)
        if self.how.get("eat_at") == str(self.runs):
            self.eaten = [np.ones(25_000_000, np.uint8) for _ in range(40)]
            time.sleep(60)  # a child that is being timed is looked at once a second
        if self.how.get("pause_at") == str(self.runs):
            time.sleep(0.2)
        until = time.perf_counter_ns() + int(self.how.get("us", "300")) * 1000
        while time.perf_counter_ns() < until:
            pass
        if "device_us" in self.how:
            self.device_ns = int(self.how["device_us"]) * 1000 + self.runs
        lie = int(self.how.get("lie_after", "1000000000")) < self.runs
        return {"y": np.asarray(feeds["x"]) * (3 if lie else 2)}
    def _profile(self, feeds):
        raise NotImplementedError
'''


@pytest.fixture
def paced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Artifact]:
    """``paced(us=300, open="crash")``: an artifact of a backend whose every run takes that long and does as told.

    ``crash_at``, ``raise_at``, ``hang_at``, ``eat_at`` (a gigabyte) and ``pause_at`` (0.2 s) name the run at which it
    happens, the first being 1; ``free`` frees the first axis.

    It is installed as a third party's package would be, so that child processes find it too.
    """
    site, engine = tmp_path / "site", tmp_path / "engine"
    (site / "paced-1.dist-info").mkdir(parents=True)
    engine.mkdir()
    (site / "paced-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: paced\nVersion: 1\n")
    (site / "paced-1.dist-info" / "entry_points.txt").write_text("[edgewright.backends]\npaced = paced_backend:Paced\n")
    (site / "paced_backend.py").write_text(BACKEND)
    (engine / "model.bin").write_bytes(b"engine")
    monkeypatch.syspath_prepend(site)

    def make(**how: object) -> Artifact:
        return Artifact(
            "paced",
            engine,
            "model.bin",
            ("model.bin",),
            (TensorSpec("x", "float32", ("N" if "free" in how else 1, 4)),),
            (TensorSpec("y", "float32", ("N" if "free" in how else 1, 4)),),
            {name: str(value) for name, value in how.items()},
            {"paced": "1"},
        )

    return make


@pytest.fixture
def paced_feeds() -> list[Feeds]:
    """Four distinct inputs of a paced engine."""
    return [{"x": np.full((1, 4), index, np.float32)} for index in range(4)]


@pytest.fixture
def mlp_bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Callable[..., Bundle]:
    """``mlp_bundle(**changes)``: the small classifier for this machine's ONNX Runtime, its manifest changed."""

    def make(**changes: object) -> Bundle:
        return open_bundle(write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb", **changes))

    return make
