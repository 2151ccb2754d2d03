from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.data import DataSet, open_data, spool
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import TensorSpec

IMAGE = (TensorSpec("image", "float32", ("N", 3, 4, 4)),)
PAIR = (TensorSpec("a", "float32", ("N", 2)), TensorSpec("b", "int64", ("N",)))
HEAD = """
import numpy as np
rng = np.random.default_rng(0)
images = rng.random((40, 3, 4, 4), dtype=np.float32)
"""


def opened(tmp_path: Path, body: str, specs: tuple[TensorSpec, ...] = IMAGE) -> DataSet:
    path = tmp_path / f"task_{abs(hash(body))}.py"
    path.write_text(HEAD + body)
    return open_data(f"{path}:make", specs)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((40, 3, 4, 4), dtype=np.float32)


@pytest.mark.parametrize(
    "items",
    [
        "[(images[i : i + 1], i) for i in range(40)]",
        "((images[i], i) for i in range(40))",
        "[({'image': images[i : i + 1]}, i) for i in range(40)]",
        "[((images[i],), i) for i in range(40)]",
        "[(images[i : i + 8], np.arange(i, i + 8)) for i in range(0, 40, 8)]",
    ],
)
def test_every_form_of_item_gives_the_same_samples(tmp_path: Path, images: np.ndarray, items: str) -> None:
    data = opened(tmp_path, f"def make():\n    return {items}")
    assert (len(data), data.labelled) == (40, True)
    assert data.name.endswith(".py:make")
    assert "/" not in data.name
    for index in (39, 3, 17):
        sample = data.read(index)
        np.testing.assert_array_equal(sample.feeds["image"], images[index : index + 1])
        assert sample.label is not None
        assert int(sample.label) == index


def test_a_generator_is_walked_once_and_read_in_any_order(tmp_path: Path, images: np.ndarray) -> None:
    body = """
calls = []
def make():
    calls.append(1)
    assert len(calls) == 1
    yield from ((image, None) for image in images)
"""
    data = opened(tmp_path, body)
    assert not data.labelled
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([feeds["image"] for feeds in data]), images)


def test_the_digest_is_of_content_not_of_form(tmp_path: Path) -> None:
    one = opened(tmp_path, "def make():\n    return [(image, 1) for image in images]")
    same = opened(tmp_path, "def make():\n    return [({'image': image[None]}, 1) for image in images]")
    other = opened(tmp_path, "def make():\n    return [(image, 2) for image in images]")
    assert one.digest == same.digest != other.digest


def test_several_inputs_in_order_or_by_name(tmp_path: Path) -> None:
    for item in ("(np.float32([[i, 1]]), np.array([i]))", "{'b': np.array([i]), 'a': np.float32([[i, 1]])}"):
        data = opened(tmp_path, f"def make():\n    return [({item}, None) for i in range(40)]", PAIR)
        assert data.read(3).feeds["a"].tolist() == [[3, 1]]
        assert data.read(3).feeds["b"].tolist() == [3]


def test_a_label_of_the_whole_keeps_the_feed_whole(tmp_path: Path) -> None:
    data = opened(tmp_path, "def make():\n    return [(images[i : i + 2], 0.5) for i in range(39)]")
    assert len(data) == 39
    assert data.read(0).feeds["image"].shape == (2, 3, 4, 4)


def test_a_fixed_batch_is_taken_from_larger_ones(tmp_path: Path) -> None:
    spec = (TensorSpec("image", "float32", (4, 3, 4, 4)),)
    data = opened(tmp_path, "def make():\n    return [(images[i : i + 20], range(20)) for i in (0, 20)]", spec)
    assert len(data) == 10
    np.testing.assert_array_equal(data.read(1).label, [4, 5, 6, 7])
    with pytest.raises(BadInputError, match="no whole number"):
        opened(tmp_path, "def make():\n    return [(images[i : i + 10], range(10)) for i in (0, 10)]", spec)


class FakeTensor:
    """Has what torch's tensors have."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> FakeTensor:
        return self

    cpu = detach

    def numpy(self) -> np.ndarray:
        return self.array


def test_tensors_are_taken_without_importing_torch(
    tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules[__name__], "GIVEN", [(FakeTensor(i), FakeTensor(np.array(1))) for i in images], raising=False
    )
    sys.modules["their_tensors"] = sys.modules[__name__]
    try:
        data = opened(tmp_path, "def make():\n    import their_tensors\n    return their_tensors.GIVEN")
    finally:
        del sys.modules["their_tensors"]
    np.testing.assert_array_equal(data.read(9).feeds["image"], images[9:10])


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("def make():\n    return 3", UsageError, "returned a int"),
        ("def make():\n    return {'image': images}", UsageError, "returned a dict"),
        ("def make():\n    return images", UsageError, "is a ndarray, not (inputs, labels)"),
        ("def make():\n    return [(images[0], 1, 2)]", UsageError, "item 0 is a tuple of 3, not (inputs, labels)"),
        ("def make():\n    return [(['a', {}], 1)]", UsageError, "is a list of 2, neither numbers nor text"),
        ("def make():\n    return [({'imag': images[0]}, 1)]", BadInputError, "['image', 'imag']"),
        ("def make():\n    return [(object(), 1)]", UsageError, "is a object, neither numbers nor text"),
        (
            "def make():\n    return [(images[0].astype(float), 1)] * 2",
            BadInputError,
            "is float64, the model takes float32",
        ),
        ("def make():\n    return [(images[0, 0], 1)] * 2", BadInputError, "has shape (4, 4)"),
        ("def make():\n    return [(images[0], 1), (images[1], None)]", BadInputError, "some samples have labels"),
        ("def make():\n    return []", BadInputError, "holds no sample"),
        ("def make():\n    return iter([(images[0], 1)])", BadInputError, "holds one sample"),
        ("make = 3", UsageError, "is a int, not a function"),
        ("def made(): ...", UsageError, "has no 'make'"),
    ],
)
def test_what_is_no_data(tmp_path: Path, body: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        opened(tmp_path, body)
    assert says in str(caught.value).replace("['imag', 'image']", "['image', 'imag']")


def test_their_exception_is_told_with_their_frames_only(tmp_path: Path) -> None:
    body = """
def make():
    for i in range(40):
        if i == 5:
            explode(i)
        yield images[i], 1
def explode(i):
    raise KeyError('gone')
"""
    with pytest.raises(UsageError) as caught:
        opened(tmp_path, body)
    assert "reading item 5 of" in caught.value.problem
    assert "KeyError: 'gone'" in caught.value.problem
    lines = caught.value.remedy.splitlines()
    assert len(lines) == 2
    assert "in make" in lines[0]
    assert "in explode" in lines[1]


def test_an_endless_generator_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_SAMPLES", 100)
    with pytest.raises(BadInputError, match="is it endless"):
        opened(tmp_path, "def make():\n    while True:\n        yield rng.random((3, 4, 4), dtype=np.float32), 1")
