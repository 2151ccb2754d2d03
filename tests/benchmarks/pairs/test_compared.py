"""What becomes of a comparison whose latency is known when something after that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.gate import latency
from edgewright.benchmarks.gate.accuracy import NonInferiority
from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.pairs import compared, duel, pairing
from edgewright.benchmarks.pairs.compared import Compared, PairedScores, compare_bundles, judge_scores
from edgewright.benchmarks.pairs.duel import Duel, Pairing
from edgewright.core.bundle import Bundle
from edgewright.core.data.dataset import DataSet
from edgewright.core.errors import BadInputError, EngineError

WARM = WarmUp(least_seconds=0.02, most_seconds=0.1, unsteady_seconds=0.05, span=10.0, trend=10.0)
TINY = Protocol(Preset("tiny", 128, 0.02, 2), Windows(5, 0.005), WARM)
OWN = '''
class Spread:
    """No mean of scores."""
    name = "spread"
    def __init__(self):
        self.seen = []
    def update(self, outputs, label):
        self.seen.append(float(outputs["y"].reshape(-1)[int(label.reshape(-1)[0])]))
    def compute(self):
        return max(self.seen) - min(self.seen)

class Breaks(Spread):
    def compute(self):
        raise RuntimeError("no value today")
'''


@pytest.fixture(autouse=True)
def two_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (latency, pairing):
        monkeypatch.setattr(owner, "LOOKS", (Look(1, 0.3), Look(2, 0.3)))
    monkeypatch.setattr(duel, "MEMORY_PROCESSES", 1)


@pytest.fixture
def asked(mlp_bundle: Callable[..., Bundle], tmp_path: Path) -> Callable[[str], Pairing]:
    """``asked("Spread")``: a bundle against itself on 44 labelled rows, judged by that metric."""
    bundle, generator = mlp_bundle(), np.random.default_rng(0)
    x = generator.normal(size=(44, 16)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, labels=generator.integers(4, size=44))
    (tmp_path / "own_paired.py").write_text(OWN)
    data, metrics = str(tmp_path / "data.npz"), tmp_path / "own_paired.py"
    return lambda name: Pairing(bundle, bundle, data, f"{metrics}:{name}", 1, max_drop=0.1, name=name)


def test_scores_and_memory_that_fail_cost_no_comparison(
    asked: Callable[[str], Pairing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of two: the metric of one goes wrong, and its memory cannot be read."""
    reading, held, shared = Duel.read_memory, [False], []

    def read_memory(self: Duel) -> None:
        if self.pairing.name == "Breaks":
            raise EngineError("it fell over at the ninetieth", "Try again.", "crashed")
        reading(self)

    @contextlib.contextmanager
    def lock(_device: str, _log: object) -> Iterator[None]:
        held[0] = True
        yield
        held[0] = False

    judged, judge, effect = compared._judged, compared.judge_scores, compared.minimum_detectable_effect
    data: list[DataSet] = []

    def judged_under_lock(one: Duel, folder: Path) -> object:
        assert held[0]
        assert one.judging.dataset is not None
        data.append(one.judging.dataset)
        return judged(one, folder)

    def judge_without_reading(scores: PairedScores, max_drop: float) -> NonInferiority:
        """Labels are kept: to decode every image again for each of 82 computations would take hours."""
        with monkeypatch.context() as forbidding:
            forbidding.setattr(type(data[-1]), "read", None)
            return judge(scores, max_drop)

    def least(new: list[float], base: list[float], delta: float, tests: int) -> float | None:
        shared.append(tests)
        return effect(new, base, delta, tests)

    monkeypatch.setattr(Duel, "read_memory", read_memory)
    monkeypatch.setattr(compared, "timing_lock", lock)
    monkeypatch.setattr(compared, "_judged", judged_under_lock)
    monkeypatch.setattr(compared, "judge_scores", judge_without_reading)
    monkeypatch.setattr(compared, "minimum_detectable_effect", least)
    found, failures = compare_bundles([asked(name) for name in ("Spread", "Breaks")], TINY)
    assert not held[0]
    assert shared == [2, 2]
    by_name: dict[str, Compared] = {one.pairing.name: one for one in found}
    assert list(by_name) == ["Spread", "Breaks"]
    assert all(one.record.comparison is not None for one in found)
    assert sorted((one.gate, one.kind) for one in failures) == [
        ("Breaks", "bad-input"),
        ("Breaks", "crashed"),
    ]
    whole, broken = by_name["Spread"], by_name["Breaks"]
    assert whole.scores is not None
    assert whole.accuracy is not None
    assert (whole.accuracy.method, whole.accuracy.difference) == ("jackknife", 0.0)
    assert (whole.scores.n, whole.scores.rescore) == (44, None)
    assert whole.memory_new is not None
    assert (broken.scores, broken.accuracy, broken.memory_new, broken.memory_base) == (None,) * 4
    assert broken.record.accuracy is None
    told = "\n".join(broken.record.notes)
    assert "accuracy not measured: an engine or the metric failed" in told
    assert "memory not measured" in told
    assert "no value today" not in told  # what a user's code says may be a path, and records travel


def test_scores_that_are_no_pairs_are_told() -> None:
    scores = PairedScores("odd", True, 3, 0.5, 0.5, "0" * 64, np.ones(3), np.ones(2))
    with pytest.raises(BadInputError, match="3 scores of one model and 2 of the other"):
        judge_scores(scores, 0.1)
    with pytest.raises(BadInputError, match="0 scores"):
        judge_scores(PairedScores("odd", True, 0, 0.5, 0.5, "0" * 64, np.ones(0), np.ones(0)), 0.1)
