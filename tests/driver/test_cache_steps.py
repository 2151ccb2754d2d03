"""Steps of a compile that are kept one by one: what comes back is what was made, and is made once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewright.benchmarks.accuracy import Score
from edgewright.benchmarks.search_grade import Arm, ArmTiming
from edgewright.compiler.journal import JournalEntry, ModelCounts
from edgewright.compiler.pass_base import Note
from edgewright.compiler.pipeline import default_pipeline
from edgewright.compiler.quantization.calibration import Observation
from edgewright.compiler.quantization.channels import ChannelStatistics
from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.cache import Store
from edgewright.driver import cache_models, cache_times
from edgewright.driver.cache_memo import KeptMemo
from edgewright.driver.cache_models import engine, entry_json, piped, read_entry
from edgewright.driver.cache_steps import Steps
from edgewright.driver.judge import Judge
from edgewright.driver.presence import backend_for
from edgewright.driver.reference import Answers
from edgewright.driver.request import CompileRequest
from edgewright.driver.samples import SyntheticSamples
from edgewright.targets.load import load_targets

if TYPE_CHECKING:
    from edgewright.backends import Artifact
    from edgewright.core.model import OnnxModel
    from edgewright.core.tensors import Feeds, Outputs

TARGET = load_targets("x86-avx2/onnxruntime")[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store", 10**8)


@pytest.fixture
def steps(store: Store) -> Steps:
    """Keeps everything, however quickly it was made."""
    return Steps(store, {"edgewright": "1"}, worth_s=0)


def site(model: OnnxModel, workdir: Path) -> Site:
    absent = Absent("not here")
    return Site(
        target=TARGET,
        original=model,
        samples=absent,
        run=absent,
        measure=absent,
        evaluate=absent,
        budget=Budget(),
        seed=0,
        workdir=workdir,
    )


def test_passes_run_once_and_their_result_comes_back(
    steps: Steps, conv_net_model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = default_pipeline(TARGET, "fp32").passes
    here = site(conv_net_model, tmp_path)
    model, journal = piped(steps, passes, conv_net_model, here)
    assert any(entry.changed for entry in journal), "nothing was tried otherwise"
    assert not steps.taken

    def forbidden(*_: object) -> None:
        raise AssertionError("the passes ran again")

    monkeypatch.setattr(cache_models, "run_pipeline", forbidden)
    again, same = piped(steps, passes, conv_net_model.copy(), here)
    assert (again.digest, again.name, again.sizes) == (model.digest, model.name, model.sizes)
    assert again.inputs == model.inputs
    assert same == journal
    assert [one.to_json() for one in same] == [one.to_json() for one in journal]
    for other in (replace(here, seed=1), replace(here, target=replace(TARGET, threads=7))):
        with pytest.raises(AssertionError, match="ran again"):
            piped(steps, passes, conv_net_model, other)
    with pytest.raises(AssertionError, match="ran again"):
        piped(steps, passes[:-1], conv_net_model, here)
    with pytest.raises(AssertionError, match="ran again"):
        piped(replace(steps, around={"edgewright": "2"}), passes, conv_net_model, here)


def test_a_journals_entry_comes_back_exactly() -> None:
    entry = JournalEntry(
        "fold", {"limit": [1, 2]}, "exact", "graph", 3, (Note("did", "a\x1b", "b"),), ModelCounts(1, 2, None),
        ModelCounts(), error=0.1 + 0.2, drop=1e-17, rejected="why", figures={"a": 1.5},
    )  # fmt: skip
    for one in (entry, replace(entry, error=math.inf), replace(entry, error=None)):
        assert read_entry(entry_json(one)) == one


def test_an_engine_is_built_once(steps: Steps, conv_net_model: OnnxModel, tmp_path: Path) -> None:
    backend = backend_for(TARGET)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    made = engine(steps, backend, conv_net_model, TARGET, first, precision="fp32")
    kept = engine(steps, backend, conv_net_model, TARGET, second, precision="fp32")
    assert steps.taken == {"engine": 1}
    assert kept == replace(made, folder=second)
    assert kept.path.read_bytes() == made.path.read_bytes()
    assert kept.digest == made.digest
    kept.path.write_bytes(b"other")
    assert kept.digest != made.digest


class Executor:
    """Answers with the mean of each feed, and counts how often it was asked."""

    def __init__(self, workdir: Path) -> None:
        self.workdir, self.runs = workdir, 0

    def run(self, model: OnnxModel, feeds: Sequence[Feeds]) -> Iterator[Outputs]:
        self.runs += 1
        for one in feeds:
            yield {spec.name: np.asarray(one["x"].mean(keepdims=True)) for spec in model.outputs}


def test_answers_of_the_original(steps: Steps, mlp_model: OnnxModel, tmp_path: Path) -> None:
    samples = SyntheticSamples(mlp_model.inputs, 5, 0)
    samples.__dict__["name"] = "made up"
    executors = [Executor(tmp_path), Executor(tmp_path)]
    told = [list(Answers(one, mlp_model, steps).of(samples)) for one in executors]  # type: ignore[arg-type]
    assert [one.runs for one in executors] == [1, 0]
    assert len(told[0]) == 5
    for one, other in zip(*told, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_scores_that_choices_are_made_by(
    steps: Steps, conv_net_model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engine").mkdir()
    artifact = engine(Steps(), backend_for(TARGET), conv_net_model, TARGET, tmp_path / "engine", precision="fp32")
    data = SyntheticSamples(conv_net_model.inputs, 3, 0)
    data.__dict__["name"] = "made up"
    asked: list[Artifact] = []

    def score(_judge: Judge, artifact: Artifact, *_: object) -> Score:
        asked.append(artifact)
        return Score("top1", 1 / 3, 3, higher_is_better=True)

    monkeypatch.setattr(Judge, "score", score)
    answers = Answers(Executor(tmp_path), conv_net_model)  # type: ignore[arg-type]

    def known(threads: int, metric: str = "top1") -> Score:
        return Judge(metric, None, answers, steps).known_score(artifact, data, threads)  # type: ignore[arg-type]

    assert known(1) == known(1) == Score("top1", 1 / 3, 3, higher_is_better=True)
    assert len(asked) == 1
    known(2)
    assert len(asked) == 2
    known(1, "task.py:metric")
    known(1, "task.py:metric")
    assert len(asked) == 4, "a user's code may read anything"


def test_times_are_of_one_measurement_and_say_when(
    steps: Steps, conv_net_model: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engine").mkdir()
    artifact = engine(Steps(), backend_for(TARGET), conv_net_model, TARGET, tmp_path / "engine", precision="fp32")
    feeds = list(SyntheticSamples(conv_net_model.inputs, 2, 0))
    ran: list[int] = []

    def time_arms(arms: Sequence[Arm], **_: object) -> list[ArmTiming]:
        ran.append(len(arms))
        times = () if len(ran) == 4 else (float(len(ran)), 2.0 * len(ran))
        return [ArmTiming(arm.name, None, times) for arm in arms]

    monkeypatch.setattr(cache_times, "time_arms", time_arms)
    said: list[str] = []

    def timed(*names: str, threads: int = 1) -> dict[str, tuple[float, ...]]:
        arms = [Arm(name, artifact, feeds) for name in names]
        return cache_times.blocks(steps, arms, 2.0, threads, said.append)

    assert timed("0", "1") == {"0": (1.0, 2.0), "1": (1.0, 2.0)}
    assert not said
    assert timed("a", "b") == {"a": (1.0, 2.0), "b": (1.0, 2.0)}
    assert said[0].startswith("  search-grade times of 2 engines: from the cache, measured on 2")
    assert timed("0") == {"0": (2.0, 4.0)}, "other arms take other turns"
    assert timed("0", "1", threads=2) == {"0": (3.0, 6.0), "1": (3.0, 6.0)}
    assert timed("0", threads=2) == {"0": ()}
    assert timed("0", threads=2) == {"0": (5.0, 10.0)}, "what failed is timed again"


def test_statistics_of_tensors(steps: Steps) -> None:
    memo = KeptMemo(steps)
    seen = Observation(-0.1, 1e300, 2.0**-20, np.arange(4096), 7)
    nothing = Observation(math.inf, -math.inf, 0.0, np.zeros(4096, np.int64), 0)
    channels = ChannelStatistics(np.array([1.0, math.inf]), np.array([math.nan, -0.0]))
    memo.update({"a": seen, "b": nothing})
    memo["c"] = channels
    memo["d"] = "of this compile alone"
    later = KeptMemo(steps)
    assert [name in later for name in "abcd"] == [True, True, True, False]
    assert not list(later.keys() - {"a", "b", "c"})
    for name, one in (("a", seen), ("b", nothing), ("c", channels)):
        found = later[name]
        assert type(found) is type(one)
        for item, value in vars(one).items():
            np.testing.assert_array_equal(getattr(found, item), value)
    assert memo["d"] == "of this compile alone"


def test_what_is_quickly_made_is_not_kept(store: Store) -> None:
    steps = Steps(store)
    steps.keep("engine", {"a": 1}, None, {"big": b"x" * 10**7}, took_s=0.09)
    steps.keep("engine", {"a": 1}, None, took_s=0.01)
    assert not store.entries()
    steps.keep("engine", {"a": 1}, None, {"big": b"x" * 10**6}, took_s=1.0)
    assert [one.kind for one in store.entries()] == ["engine"]
    steps.keep("engine", {"a": 2}, float("nan"), took_s=1.0)
    assert len(store.entries()) == 1, "what JSON cannot hold is made again"


def test_a_miss_is_explained_where_that_is_asked_for(store: Store, tmp_path: Path) -> None:
    said: list[str] = []
    request = CompileRequest("net.onnx", ("native",), tmp_path, explain_miss=True, log=said.append)
    steps = Steps(store, {"edgewright": "1"}, request, worth_s=0)
    steps.keep("passes", {"seed": 0, "a": 1}, None, took_s=1.0)
    with steps.found("passes", {"seed": 1, "a": 1}, "what fold makes") as hit:
        assert hit is None
    assert said == ["  what fold makes is not in the cache: it is not the same as what is kept", "    seed: 1, was 0"]
    with steps.found("passes", {"seed": 0, "a": 1}, "what fold makes") as hit:
        assert hit is not None
    assert steps.summary == "from the cache: results of passes (1)"


def test_without_a_store_nothing_is_found_or_kept() -> None:
    steps = Steps()
    steps.keep("passes", {"a": 1}, None, took_s=9.0)
    with steps.found("passes", {"a": 1}, "it") as hit:
        assert hit is None
    assert steps.summary == ""
