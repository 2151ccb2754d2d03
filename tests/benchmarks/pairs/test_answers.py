from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from edgewright.benchmarks.metrics import Metric
from edgewright.benchmarks.metrics.top1 import Top1
from edgewright.benchmarks.pairs.answers import AnswerStore, Keeping
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.tensors import Outputs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with AnswerStore(tmp_path / "answers.npy") as made:
        yield made


ANSWERS: list[Outputs] = [
    {"y": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array([["ä", ""]], object)},
    {"y": np.zeros((0, 3), np.float32), "half": np.array([1.5, -2.0], ml_dtypes.bfloat16)},
    {"": np.array(7), "transposed": np.arange(6).reshape(2, 3).T},
]


def test_what_is_kept_comes_back_in_any_order_and_while_more_is_kept(store: AnswerStore) -> None:
    labels = [np.array(3), np.array("cat", object), np.array([[1, 2]])]
    for number, (answer, label) in enumerate(zip(ANSWERS, labels, strict=True)):
        store.keep(answer, label)
        for index in range(number, -1, -1):
            found, right = store.read(index)
            assert list(found) == list(ANSWERS[index])
            for name, array in ANSWERS[index].items():
                assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
                assert found[name].tolist() == array.tolist()
            assert (right.dtype, right.tolist()) == (labels[index].dtype, labels[index].tolist())
    assert len(store) == 3


def test_objects_that_are_no_texts_are_told(store: AnswerStore) -> None:
    with pytest.raises(BadInputError, match="has a NoneType"):
        store.keep({"y": np.array(["a", None], object)}, np.array(0))


def test_a_disk_that_fails_is_told(tmp_path: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IOFailureError, match="No such file"), AnswerStore(tmp_path / "nowhere" / "a.npy"):
        pass

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(IOFailureError, match="No space left") as caught:
        store.keep(ANSWERS[0], np.array(0))
    assert "TMPDIR" in caught.value.remedy


def test_a_metric_is_the_same_while_what_it_sees_is_kept(store: AnswerStore) -> None:
    metric: Metric = Keeping(Top1(), store)
    for right in (0, 1):
        metric.update({"y": np.array([[1.0, 0.0]], np.float32)}, np.array(right))
    assert (metric.name, metric.compute(), len(store)) == ("top1", 0.5, 2)
    assert metric.per_sample() is not None
