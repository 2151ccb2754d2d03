from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.errors import BadInputError, UsageError
from edgewright.driver.run import run_bundle
from tests.pipelines.device.bundles import ratio_bundle, square_bundle, sum_bundle


@pytest.fixture(scope="module")
def ratio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ratio_bundle(tmp_path_factory.mktemp("ratio") / "ratio.ewb")


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("square") / "square.ewb")


def saved(path: Path, array: np.ndarray, dtype: str = "float32") -> str:  # type: ignore[type-arg]
    np.save(path, np.asarray(array, dtype))
    return str(path)


def test_batched_answers_are_joined_and_those_of_other_shapes_listed(ratio: Path, tmp_path: Path) -> None:
    a = np.array([[1, 0, 3, 4], [0, 0, 0, 8]])
    report = run_bundle(
        ratio, [f"b={saved(tmp_path / 'b.npy', np.full((2, 4), 2))}", f"a={saved(tmp_path / 'a.npy', a)}"]
    )
    quotient, places = report.outputs
    assert report.samples == 2
    np.testing.assert_array_equal(quotient.whole, a.astype(np.float32) / 2)
    assert places.whole is None
    assert [one.shape for one in places.samples] == [(2, 3), (2, 1)]
    document = report.to_json()["outputs"]
    assert document["places"] == {  # type: ignore[index]
        "dtype": "int64", "shape": None, "shapes": [[2, 3], [2, 1]], "values": [[[0, 0, 0], [0, 2, 3]], [[0], [3]]],
    }  # fmt: skip


def test_nan_and_infinity_are_words_in_valid_json(ratio: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz", a=np.array([[0, 1, -1, 6]], "f4"), b=np.array([[0, 0, 0, 2]], "f4"), labels=np.zeros(1)
    )
    report = run_bundle(ratio, [str(tmp_path / "x.npz")])
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["outputs"]["../a/b"]["values"] == [["NaN", "Infinity", "-Infinity", 3.0]]


def test_a_fixed_batch_cuts_rows_and_stacks_what_has_no_batch(square: Path, tmp_path: Path) -> None:
    rows = np.arange(12).reshape(4, 3)
    whole = run_bundle(square, [saved(tmp_path / "x.npy", rows)])
    y, mean = whole.outputs
    assert whole.samples == 2
    np.testing.assert_array_equal(y.whole, rows.astype(np.float32) ** 2)
    np.testing.assert_allclose(mean.whole, [(rows[:2] ** 2).mean(), (rows[2:] ** 2).mean()], rtol=1e-6)  # float32
    feeds = run_bundle(square, [saved(tmp_path / "x.npy", rows.reshape(2, 2, 3))])
    assert feeds.outputs[0].whole is not None
    assert feeds.outputs[0].whole.shape == (2, 2, 3)


def test_state_goes_from_one_sample_to_the_next(tmp_path: Path) -> None:
    x = saved(tmp_path / "x.npy", np.array([[1, 2], [3, 4], [5, 6]]))
    (total,) = run_bundle(sum_bundle(tmp_path / "sum.ewb"), [x]).outputs
    np.testing.assert_array_equal(total.whole, [[1, 2], [4, 6], [9, 12]])


def test_a_folder_is_of_arrays_or_of_whole_files(square: Path, ratio: Path, tmp_path: Path) -> None:
    several = tmp_path / "several"
    several.mkdir()
    for index in range(3):
        np.savez(several / f"{index}.npz", a=np.full((1, 4), index, "f4"), b=np.ones((1, 4), "f4"))
    quotient = run_bundle(ratio, [str(several)]).outputs[0]
    np.testing.assert_array_equal(quotient.whole, np.repeat([[0.0], [1], [2]], 4, axis=1))
    single = tmp_path / "single"
    single.mkdir()
    for index in range(2):
        np.save(single / f"{index}.npy", np.full((2, 3), index, "f4"))
    y = run_bundle(square, [str(single)]).outputs[0]
    np.testing.assert_array_equal(y.whole, np.repeat([0.0, 0, 1, 1], 3).reshape(4, 3))


@pytest.mark.parametrize(
    ("array", "dtype", "problem", "remedy"),
    [
        (np.ones((2, 3)), "float64", "input 'x' takes float32 2x3, given is float64 2x3", "astype('float32')"),
        (np.ones((2, 5)), "float32", "input 'x' takes float32 2x3, given is float32 2x5", "first axis"),
        (np.ones(3), "float32", "input 'x' takes float32 2x3, given is float32 3", "first axis"),
        (np.ones((3, 3)), "float32", "input 'x' takes 2 rows at a time, and 3 leave 1 over", "multiple of 2"),
        (np.ones((1, 3)), "float32", "input 'x' takes 2 rows at a time, and 1 leave 1 over", "multiple of 2"),
        (np.ones((0, 3)), "float32", "x.npy has shape (0, 3): there is nothing in it", "at least one"),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_taken(
    square: Path,
    tmp_path: Path,
    array: np.ndarray,
    dtype: str,
    problem: str,
    remedy: str,  # type: ignore[type-arg]
) -> None:
    with pytest.raises(BadInputError) as caught:
        run_bundle(square, [saved(tmp_path / "x.npy", array, dtype)])
    assert caught.value.problem == problem
    assert remedy in caught.value.remedy


def test_inputs_that_are_not_named_or_missing(ratio: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "x.npy", np.ones((1, 4)))
    for given, problem in {
        (file,): "is one array, and the model has 2 inputs",
        (f"a={file}",): "nothing is given for input 'b'",
        (f"a={file}", f"a={file}"): "input 'a' is given twice",
        (f"c={file}",): "the model has no input 'c'",
        ("",): "an input is empty text",
        ("a=", f"b={file}"): "no file stands behind a=",
        (f"a={file}", str(tmp_path)): "holds whole samples",
        (str(tmp_path / "no.npz"),): "is not there",
    }.items():
        with pytest.raises(UsageError, match=problem):
            run_bundle(ratio, given)


def test_a_file_that_would_have_to_be_unpickled_or_is_cut_short_is_refused(square: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInputError, match="Python objects"):
        run_bundle(square, [str(path)])
    np.save(path, np.ones((2, 3), np.float32))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInputError, match="23 bytes, its header says 24"):
        run_bundle(square, [str(path)])
