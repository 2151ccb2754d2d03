from __future__ import annotations

import io

import ml_dtypes
import numpy as np
import pytest

from edgewright.core.bundle import Golden
from edgewright.core.bundle.golden import read_samples, write_samples
from edgewright.core.tensors import Array, TensorSpec


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3.5).reshape(()),
        np.zeros((0, 4), np.int8),
        np.arange(12, dtype=">f8").reshape(3, 4).T,
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.array(["a", "", "\N{SNOWMAN}"]),
        np.array(["a", "longer"], dtype=object),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([[1, -2]], ml_dtypes.float8_e4m3fn),
        np.array([-8, 7], ml_dtypes.int4),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_every_kind_of_array_comes_back(array: Array) -> None:
    kind = "string" if array.dtype.kind in "OU" else array.dtype.newbyteorder("=").name
    specs = [TensorSpec("x", kind, None)]
    file = io.BytesIO()
    write_samples(file, [{"x": array}] * 2, specs)
    back = read_samples(file, specs, "golden")
    assert len(back) == 2
    assert back[1]["x"].shape == array.shape
    assert back[1]["x"].tolist() == array.tolist()
    assert kind in ("string", back[1]["x"].dtype.name)


def test_no_tensors_and_no_samples_are_fine() -> None:
    file = io.BytesIO()
    write_samples(file, [], [TensorSpec("x", "float32", None)])
    assert read_samples(file, [TensorSpec("x", "float32", None)], "golden") == []


def test_lists_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 inputs, 1 original"):
        Golden([{}, {}], [{}], [])
    assert Golden([{}], [{}], []).engine == []
