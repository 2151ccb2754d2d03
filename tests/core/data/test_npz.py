from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgewright.core.data import open_data
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import TensorSpec

IMAGE = (TensorSpec("image", "float32", ("N", 3, 4, 4)),)
TOKENS = (TensorSpec("ids", "int64", ("B", "T")), TensorSpec("mask", "int64", ("B", "T")))
STREAM = (
    TensorSpec("input", "float32", (1, 6)),
    TensorSpec("state", "float32", (2, 1, 4)),
    TensorSpec("rate", "int64", ()),
)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, 4, 4), dtype=np.float32)


def saved(tmp_path: Path, *, compressed: bool = False, **arrays: np.ndarray) -> str:
    path = tmp_path / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return str(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("count", [40, 20_000])  # kept in memory, and left in its file
def test_samples_are_cut_from_the_first_axis(tmp_path: Path, compressed: bool, count: int) -> None:
    array = images(count)
    data = open_data(saved(tmp_path, compressed=compressed, image=array, labels=np.arange(count)), IMAGE)
    assert (len(data), data.labelled, data.name, data.warnings) == (count, True, "data.npz", ())
    for index in (0, 7, count - 1):
        sample = data.read(index)
        np.testing.assert_array_equal(sample.feeds["image"], array[index : index + 1])
        assert sample.label is not None
        assert (sample.label.shape, int(sample.label)) == ((), index)
    with pytest.raises(IndexError):
        data.read(count)


def test_fortran_order_is_read_right(tmp_path: Path) -> None:
    array = np.asfortranarray(images(9000))
    data = open_data(saved(tmp_path, image=array), IMAGE)
    np.testing.assert_array_equal(data.read(8123).feeds["image"], array[8123:8124])


def test_a_fixed_batch_takes_its_rows_and_says_what_is_left_over(tmp_path: Path) -> None:
    spec = (TensorSpec("image", "float32", (4, 3, 4, 4)),)
    array = images(130)
    data = open_data(saved(tmp_path, image=array, labels=np.arange(130)), spec)
    assert len(data) == 32
    np.testing.assert_array_equal(data.read(2).feeds["image"], array[8:12])
    np.testing.assert_array_equal(data.read(2).label, [8, 9, 10, 11])
    assert data.warnings == ("data.npz: the last 2 rows of 'image' fill no batch of 4 and are left out",)


def test_one_rank_more_holds_whole_feeds(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 9, (50, 2, 7))
    data = open_data(saved(tmp_path, ids=ids, mask=np.ones_like(ids), labels=np.linspace(0, 1, 50)), TOKENS)
    assert len(data) == 50
    assert data.read(3).feeds["ids"].shape == (2, 7)
    assert data.read(3).label is not None


def test_several_inputs_of_both_kinds_and_a_scalar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"input": rng.random((40, 1, 6), np.float32), "state": rng.random((40, 2, 1, 4), np.float32)}
    for rate in (np.full(40, 16000), np.array(16000)):
        data = open_data(saved(tmp_path, **arrays, rate=rate), STREAM)
        feeds = data.read(5).feeds
        assert len(data) == 40
        assert [feeds[spec.name].shape for spec in STREAM] == [(1, 6), (2, 1, 4), ()]
        assert int(feeds["rate"]) == 16000


def test_an_input_called_labels_is_an_input(tmp_path: Path) -> None:
    spec = (TensorSpec("labels", "float32", (None, 3)),)
    data = open_data(saved(tmp_path, labels=np.random.default_rng(0).random((40, 3), np.float32)), spec)
    assert not data.labelled


def test_text_labels_and_groups(tmp_path: Path) -> None:
    words, groups = np.array([f"word {i}" for i in range(40)]), np.array([i // 4 for i in range(40)])
    data = open_data(saved(tmp_path, image=images(40), labels=words, groups=groups), IMAGE)
    assert str(data.read(39).label) == "word 39"
    assert data.groups is not None
    assert list(data.groups[:5]) == ["0", "0", "0", "0", "1"]


def test_few_samples_are_a_warning(tmp_path: Path) -> None:
    twice = np.concatenate([images(20), images(20)])
    data = open_data(saved(tmp_path, image=twice), IMAGE)
    assert data.warnings == ("data.npz has 20 distinct samples (40 in all): with fewer than 32 results are rough",)


def test_the_digest_is_of_content_alone(tmp_path: Path) -> None:
    arrays = {"image": images(40), "labels": np.arange(40)}
    plain = open_data(saved(tmp_path, **arrays), IMAGE)
    packed = open_data(saved(tmp_path, compressed=True, **dict(reversed(arrays.items()))), IMAGE)
    other = open_data(saved(tmp_path, image=arrays["image"], labels=np.arange(40)[::-1]), IMAGE)
    assert plain.digest == packed.digest != other.digest
    assert plain.fingerprints == other.fingerprints


def with_nan(array: np.ndarray) -> np.ndarray:
    array[7, 0, 0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": images(40).astype(np.float64)}, "array 'image' is float64; the model takes float32"),
        ({"image": images(40)[:, :2]}, "input 'image' has shape (1, 2, 4, 4), the model takes Nx3x4x4"),
        ({"image": images(40)[:, 0, 0]}, "array 'image' has shape (40, 4)"),
        (
            {"imag": images(40)},
            "no array 'image' for the model's input; array 'imag' is no input of the model; did you",
        ),
        ({"image": images(40), "extra": np.ones(3)}, "array 'extra' is no input"),
        ({"image": images(0)}, "data.npz holds no sample"),
        ({"image": images(1)}, "data.npz holds one sample"),
        ({"image": np.zeros((40, 3, 4, 4), np.float32)}, "every element of input 'image' is 0.0 in all 40 samples"),
        ({"image": np.repeat(images(1), 40, 0)}, "all 40 samples are the same"),
        ({"image": with_nan(images(40))}, "sample 7: input 'image' holds NaN"),
        ({"image": np.full_like(images(40), np.inf)}, "sample 0: input 'image' holds infinity"),
        ({"image": images(40), "labels": np.arange(39)}, "39 labels for 40 samples"),
        ({"image": images(40), "labels": np.array(3)}, "0 labels for 40 samples"),
        ({"image": images(40), "labels": np.full(40, np.nan)}, "labels holds NaN"),
        ({"image": images(40), "groups": np.arange(3)}, "array 'groups' has shape (3,)"),
        ({"image": np.array([None, {}])}, "array 'image' holds Python objects"),
        ({"image": images(40), "labels": np.array([object()] * 40)}, "array 'labels' holds Python objects"),
        ({"image": np.zeros(40, [("a", "f4")])}, "has elements of type [('a', '<f4')]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(BadInputError) as caught:
        open_data(saved(tmp_path, **arrays), IMAGE)
    assert says in caught.value.problem
    assert caught.value.problem.startswith("data.npz")
    assert caught.value.remedy


def test_unlike_numbers_of_samples(tmp_path: Path) -> None:
    ids = np.zeros((40, 2, 7), np.int64)
    with pytest.raises(BadInputError, match="different numbers of samples: 'ids' 40, 'mask' 39"):
        open_data(saved(tmp_path, ids=ids, mask=ids[:39]), TOKENS)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"<html>", "no .npz file"), (b"PK\x05\x06" + bytes(18), "holds no array")],
)
def test_what_is_no_npz_at_all(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=says):
        open_data(str(path), IMAGE)


def zipped(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return str(path)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_members_that_lie(tmp_path: Path) -> None:
    path, good = tmp_path / "data.npz", npy(images(40))
    header_of_a_terabyte = good.replace(b"(40, 3, 4, 4)", b"(9999999, 3, ").replace(b", }    ", b"4,4,999)}", 1)
    for members, says in (
        ([("image.npy", good[:-4])], "header says"),
        ([("image.npy", header_of_a_terabyte)], "header says|no .npy data"),
        ([("image.npy", b"not an array")], "no .npy data"),
        ([("readme.txt", b"hi")], "'readme.txt' is no array"),
    ):
        with pytest.raises(BadInputError, match=says):
            open_data(zipped(path, members), IMAGE)
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(path, [("image.npy", good), ("image.npy", good)])
    with pytest.raises(BadInputError, match="stands there twice"):
        open_data(str(path), IMAGE)


@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=60)
@given(position=st.integers(min_value=30, max_value=400) | st.integers(0, 12_000), flip=st.integers(1, 255))
@example(position=157, flip=1)  # numpy's parser of headers raises what no other parser does
def test_a_damaged_byte_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, compressed: bool, position: int, flip: int
) -> None:
    path = Path(saved(tmp_path_factory.mktemp("npz"), compressed=compressed, image=images(60)))
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    try:
        opened = open_data(str(path), IMAGE)
    except BadInputError:
        return
    np.testing.assert_array_equal(opened.read(59).feeds["image"], images(60)[59:])


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_does_not_follow_the_data(tmp_path: Path, compressed: bool) -> None:
    array = np.zeros((400, 3, 64, 64), np.float32)
    array[:, 0, 0, 0] = np.arange(400)
    text = saved(tmp_path, compressed=compressed, image=array)
    tracemalloc.start()
    data = open_data(text, (TensorSpec("image", "float32", (None, 3, 64, 64)),))
    total = sum(float(feeds["image"].sum()) for feeds in data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 400 * 399 / 2
    assert peak < array.nbytes / 3  # of 19.7 MB: chunks of 1 MiB and a few copies of one sample


def test_what_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"no/data.npz is not there"):
        open_data("/no/data.npz", IMAGE)
    with pytest.raises(UsageError, match="'nonsense' is no data"):
        open_data("nonsense", IMAGE)
