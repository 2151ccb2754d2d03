"""Times of candidates: scaled to one session, the fastest runtime of an output counts, a failure has no time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.benchmarks.search_grade import ArmTiming
from edgewright.core.errors import EngineError
from edgewright.driver import stage_timing
from edgewright.driver.stage_timing import StageTimer
from edgewright.targets.load import load_targets


@dataclass
class Machine:
    """Answers ``time_arms`` from a list of sessions; each says what the arms took, the reference first."""

    sessions: list[list[float | None]]

    def __call__(self, arms, seconds_per_arm, threads):
        del seconds_per_arm, threads
        return [ArmTiming(arm.name, time) for arm, time in zip(arms, self.sessions.pop(0), strict=True)]


class Timer(StageTimer):
    """Lowers nothing: a model that is None cannot be lowered."""

    def _lowered(self, lane, model):
        del lane
        return None if model is None else SimpleNamespace(files=(), folder=Path())

    def _original(self, lane):
        del lane
        return SimpleNamespace(files=(), folder=Path())


def lane(name: str):
    return SimpleNamespace(target=SimpleNamespace(name=name), threads=1)


def timer(monkeypatch: pytest.MonkeyPatch, lanes: list[tuple[str, str]], sessions: list[list[float | None]]) -> Timer:
    monkeypatch.setattr(stage_timing, "time_arms", Machine(sessions))
    return Timer([(output, lane(name)) for output, name in lanes], [{"x": None}], "fp32")  # type: ignore[dict-item]


def test_a_slow_session_is_scaled_by_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timer(monkeypatch, [("out", "cpu/a")], [[10.0, 5.0], [20.0, 10.0]])
    assert found(["m"]) == [{"out": 5.0}]
    assert found(["m"]) == [{"out": 5.0}], "the machine was half as fast, the model was not"
    assert found.float32_ms() == {"out": 10.0}


def test_of_runtimes_that_compete_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timer(monkeypatch, [("out", "cpu/a"), ("out", "cpu/b"), ("other", "cpu/c")], [[9, 5], [8, 3], [7, 6]])
    assert found(["m"]) == [{"out": 3, "other": 6}]
    assert found.float32_ms() == {"out": 8, "other": 7}


def test_what_cannot_be_lowered_or_timed_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timer(monkeypatch, [("out", "cpu/a")], [[9.0, 4.0], [9.0, None], [None, 4.0]])
    assert found([None, "m"]) == [{}, {"out": 4.0}]  # type: ignore[list-item]
    assert found(["m"]) == [{}]
    assert found(["m"]) == [{}], "without the original nothing says how fast the machine was"


def test_the_session_fails_as_a_whole_where_nothing_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_words: object) -> None:
        raise EngineError("no child")

    monkeypatch.setattr(stage_timing, "time_arms", refuse)
    with pytest.raises(EngineError, match="no child"):
        Timer([("out", lane("cpu/a"))], [{}], "fp32")(["m"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("target", "precision", "taken"),
    [
        ("x86-amx/openvino", "bf16", "bf16"),
        ("x86-avx512-vnni/onnxruntime", "int8", "int8"),
        ("x86-avx512-vnni/onnxruntime", "bf16", "fp32"),
        ("x86-avx512-vnni/onnxruntime", "fp32", "fp32"),
    ],
)
def test_candidates_are_timed_in_what_will_be_shipped(target: str, precision: str, taken: str) -> None:
    where = SimpleNamespace(target=load_targets(target)[0])
    assert StageTimer([], [], precision)._choice(where).precision == taken  # type: ignore[arg-type]
