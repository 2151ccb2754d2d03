from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.accuracy import default_metric, drop, evaluate, load_metric, score
from edgewright.core.data import DataSet, Sample
from edgewright.core.errors import EngineError, UsageError
from edgewright.core.tensors import Feeds, Outputs, TensorSpec

ListedFactory = Callable[[Sequence[Sample]], DataSet]


def one_hot(feeds: Feeds) -> Outputs:
    """A model that says the class its input holds."""
    return {"y": np.eye(4, dtype=np.float32)[int(feeds["x"].reshape(-1)[0])][None]}


def always_zero(feeds: Feeds) -> Outputs:
    return one_hot({"x": feeds["x"] * 0})


@pytest.fixture
def labelled(listed: ListedFactory) -> DataSet:
    return listed([Sample({"x": np.array([[i % 4]])}, np.array(i % 4)) for i in range(8)])


@pytest.fixture
def unlabelled(listed: ListedFactory) -> DataSet:
    return listed([Sample({"x": np.array([[i % 4]])}) for i in range(8)])


def test_against_labels(labelled: DataSet) -> None:
    good, bad = (evaluate(run, labelled, load_metric("top1")) for run in (one_hot, always_zero))
    assert (good.value, bad.value, good.n) == (1.0, 0.25, 8)
    assert bad.per_sample is not None
    np.testing.assert_array_equal(bad.per_sample, [1, 0, 0, 0, 1, 0, 0, 0])
    assert drop(good.value, bad.value, good.higher_is_better) == 0.75
    assert drop(1.0, 3.0, higher_is_better=False) == 2.0


def test_against_the_original_run_beside_it_or_its_stored_answers(unlabelled: DataSet) -> None:
    beside = evaluate(always_zero, unlabelled, load_metric("agreement"), one_hot)
    stored = evaluate(always_zero, unlabelled, load_metric("agreement"), [one_hot(feeds) for feeds in unlabelled])
    assert beside.value == stored.value == 0.25


def test_it_streams(unlabelled: DataSet) -> None:
    held = []

    def answers(origin: str) -> Iterator[Outputs]:
        for index, feeds in enumerate(unlabelled):
            held.append((index, origin))
            yield one_hot(feeds)

    score(answers("ours"), unlabelled, load_metric("cosine"), answers("theirs"))
    assert [index for index, _ in held] == [i // 2 for i in range(16)]


def test_what_is_missing_is_said(unlabelled: DataSet) -> None:
    with pytest.raises(UsageError, match="top1 needs labels"):
        evaluate(one_hot, unlabelled, load_metric("top1"))
    with pytest.raises(UsageError, match="original model"):
        evaluate(one_hot, unlabelled, load_metric("cosine"))
    with pytest.raises(EngineError, match="answered 3 of 8"):
        score(
            [one_hot(feeds) for feeds in list(unlabelled)[:3]],
            unlabelled,
            load_metric("cosine"),
            map(one_hot, unlabelled),
        )


@pytest.mark.parametrize(
    ("shapes", "labelled", "name"),
    [
        ([(1, 10)], True, "top1"),
        ([("N", 1000, 1, 1)], True, "top1"),
        ([("N", None)], False, "agreement"),
        ([(1, 576, 15)], True, "cosine"),
        ([(1, 1)], False, "cosine"),
        ([(1, 10), (1, 10)], False, "cosine"),
        ([None], False, "cosine"),
    ],
)
def test_the_default(shapes: list[tuple[int | str | None, ...] | None], labelled: bool, name: str) -> None:
    choice = default_metric([TensorSpec("y", "float32", shape) for shape in shapes], labelled)
    assert choice.name == name
    assert choice.reason


def test_the_default_of_a_model_that_answers_indices() -> None:
    assert default_metric([TensorSpec("y", "int64", (1, 10))], labelled=False).name == "cosine"


OWN = """
import numpy as np

def top(outputs, label):
    return float(outputs["y"].argmax() == label)

class Factory:
    higher_is_better = False
    compares_to = "original"
    name = "largest gap"
    def __init__(self, scale=2.0):
        self.gap, self.scale = 0.0, scale
    def update(self, outputs, expected):
        self.gap = max(self.gap, self.scale * float(np.abs(outputs["y"] - expected["y"]).max()))
    def compute(self):
        return self.gap

def made():
    return Factory(1.0)

def decode(outputs):
    return outputs["y"][:, ::-1]

def nan(outputs, label):
    return float("nan")

def raises(outputs, label):
    return outputs["nope"]

def wrong():
    return 3

class Scores(Factory):
    compares_to = "labels"
    def __init__(self, scores=(0.5, float("nan"))):
        super().__init__()
        self.scores = scores
    def update(self, outputs, label):
        pass
    def per_sample(self):
        return self.scores

def three(a, b, c):
    return 0.0
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own_metric.py"
    path.write_text(OWN)
    return str(path)


def test_a_function_of_ones_own(own: str, labelled: DataSet) -> None:
    result = evaluate(always_zero, labelled, load_metric(f"{own}:top"))
    assert (result.metric, result.value, result.n) == ("top", 0.25, 8)
    assert result.per_sample is not None


@pytest.mark.parametrize(("name", "value"), [("Factory", 2.0), ("made", 1.0)])
def test_an_object_of_ones_own(own: str, labelled: DataSet, name: str, value: float) -> None:
    result = evaluate(always_zero, labelled, load_metric(f"{own}:{name}"), one_hot)
    assert (result.metric, result.value, result.higher_is_better, result.n) == ("largest gap", value, False, 8)
    assert result.per_sample is None


def test_a_decode_serves_both_sides(own: str, labelled: DataSet) -> None:
    mirrored = evaluate(one_hot, labelled, load_metric("top1", decode=f"{own}:decode"))
    assert mirrored.value == 0.0
    fidelity = evaluate(one_hot, labelled, load_metric("agreement", decode=f"{own}:decode"), one_hot)
    assert fidelity.value == 1.0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nan", "gave nan"),
        ("raises", "KeyError: 'nope'"),
        ("wrong", "int without update"),
        ("three", "takes 3 arg"),
        ("Scores", "gave nan as score 2 of 2"),
    ],
)
def test_mistakes_of_ones_own(own: str, labelled: DataSet, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        evaluate(one_hot, labelled, load_metric(f"{own}:{name}"))


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_metric("top-1")
    assert "top1" in caught.value.remedy
