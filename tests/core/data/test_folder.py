from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.data import DataSet, Preprocessing, open_data
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import TensorSpec
from edgewright.core.toml import Table

Image = pytest.importorskip("PIL.Image")
CHW = (TensorSpec("x", "float32", (1, 3, 8, 8)),)
PLAIN = {"x": Preprocessing()}


def paint(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> np.ndarray:
    channels = {"RGB": (3,), "L": (), "RGBA": (4,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)
    return pixels


def painted(root: Path, count: int = 40) -> list[np.ndarray]:
    return [paint(root / f"{index:02}.png", index) for index in range(count)]


def opened(root: Path, specs: tuple[TensorSpec, ...] = CHW, how: Preprocessing | None = None) -> DataSet:
    return open_data(str(root), specs, {specs[0].name: how or Preprocessing()})


def test_images_in_the_order_of_their_names(tmp_path: Path) -> None:
    pixels = painted(tmp_path)
    data = opened(tmp_path)
    assert (len(data), data.labelled, data.name, data.warnings) == (40, False, tmp_path.name, ())
    expected = pixels[7].transpose(2, 0, 1)[None].astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(data.read(7).feeds["x"], expected)


def test_the_recipe_says_how_pixels_become_numbers(tmp_path: Path) -> None:
    pixels = painted(tmp_path)
    how = Preprocessing(colour="bgr", scale=1.0, mean=(127.0,), std=(128.0,), layout="nhwc")
    data = opened(tmp_path, (TensorSpec("x", "float32", (None, 8, 8, 3)),), how)
    expected = (pixels[3][:, :, ::-1].astype(np.float32) - 127) / 128
    np.testing.assert_allclose(data.read(3).feeds["x"][0], expected, rtol=1e-6)  # one float32 rounding


def test_mean_and_std_are_per_channel(tmp_path: Path) -> None:
    pixels = painted(tmp_path)
    data = opened(tmp_path, how=Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)))
    expected = (pixels[0] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    np.testing.assert_allclose(data.read(0).feeds["x"][0], expected.transpose(2, 0, 1), rtol=1e-4, atol=1e-5)


def test_resize_keeps_proportions_and_crop_takes_the_centre(tmp_path: Path) -> None:
    for index in range(40):
        paint(tmp_path / f"{index}.png", index, (20, 40))
    first = np.asarray(Image.open(tmp_path / "0.png").resize((20, 10), Image.Resampling.BILINEAR))
    data = opened(tmp_path, how=Preprocessing(resize=(10,), crop=(8,)))
    np.testing.assert_allclose(data.read(0).feeds["x"][0] * 255, first[1:9, 6:14].transpose(2, 0, 1), atol=1e-4)


def test_gray_and_bytes(tmp_path: Path) -> None:
    pixels = [paint(tmp_path / f"{index:02}.png", index, mode="L") for index in range(40)]
    data = opened(tmp_path, (TensorSpec("x", "uint8", ("N", 1, 8, 8)),))
    np.testing.assert_array_equal(data.read(5).feeds["x"], pixels[5][None, None])


def test_a_sub_folder_is_a_class(tmp_path: Path) -> None:
    for index in range(40):
        paint(tmp_path / ("cat" if index % 2 else "ant") / f"{index:02}.png", index)
    data = opened(tmp_path)
    assert data.labelled
    assert [int(sample.label) for sample in data.samples() if sample.label is not None] == [0] * 20 + [1] * 20


def test_npy_files_with_or_without_their_batch_axis(tmp_path: Path) -> None:
    for index in range(40):
        array = np.random.default_rng(index).random((3, 8, 8), np.float32)
        np.save(tmp_path / f"{index:02}.npy", array[None] if index % 2 else array)
    data = opened(tmp_path)
    assert data.read(0).feeds["x"].shape == data.read(1).feeds["x"].shape == (1, 3, 8, 8)
    np.save(tmp_path / "99.npy", np.zeros((3, 8, 9), np.float32))
    with pytest.raises(BadInputError, match=r"^99\.npy: input 'x' has shape"):
        opened(tmp_path)
    np.save(tmp_path / "99.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(BadInputError, match=r"^99\.npy holds Python objects"):
        opened(tmp_path)


def test_without_a_recipe_the_guess_is_said_aloud(tmp_path: Path) -> None:
    painted(tmp_path)
    (tmp_path / "notes.txt").write_text("hi")
    (tmp_path / ".hidden").write_text("hi")
    first, second = open_data(str(tmp_path), CHW).warnings
    assert "no [inputs.x] in a recipe" in first
    assert second.endswith("1 files are no samples: notes.txt")


def bomb(path: Path, side: int) -> None:
    """A PNG that says it is ``side`` pixels wide and high, in a few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_a_bad_image_is_refused_by_its_name(tmp_path: Path) -> None:
    painted(tmp_path)
    bad = tmp_path / "zz.png"
    whole = (tmp_path / "00.png").read_bytes()
    for write, says in (
        (lambda: bad.write_bytes(whole[:-40]), "no image, or damaged"),
        (lambda: bad.write_bytes(b"<html>"), "no image, or damaged"),
        (lambda: bad.write_bytes(b""), "no image, or damaged"),
        (lambda: bomb(bad, 50_000), "pixels"),
        (lambda: bomb(bad, 12_000), "is 12000x12000, more than"),
        (lambda: paint(bad, 1, mode="RGBA"), "has mode RGBA"),
        (lambda: paint(tmp_path / "zz.jpg", 1, mode="CMYK"), "has mode"),
    ):
        write()
        with pytest.raises(BadInputError, match=says) as caught:
            opened(tmp_path)
        assert caught.value.problem.startswith("zz.")
        assert caught.value.remedy


def test_an_image_too_small_to_crop(tmp_path: Path) -> None:
    painted(tmp_path)
    with pytest.raises(BadInputError, match=r"^00\.png is 8x8 when 9x9 is to be cut"):
        opened(tmp_path, how=Preprocessing(crop=(9,)))


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ((TensorSpec("x", "float32", (1, 10)),), "input 'x' is float32 1x10, which no image fits"),
        ((TensorSpec("x", "int64", (1, 3, 8, 8)),), "which no image fits"),
        ((TensorSpec("x", "float32", (1, 4, 8, 8)),), "has 4 channels"),
        ((TensorSpec("x", "float32", (2, 3, 8, 8)),), "batch is fixed to 2"),
        ((TensorSpec("x", "float32", (1, 3, 8, 8)), TensorSpec("y", "float32", (1,))), "the model has 2 inputs"),
    ],
)
def test_a_model_that_no_folder_fits(tmp_path: Path, specs: tuple[TensorSpec, ...], says: str) -> None:
    painted(tmp_path, 2)
    with pytest.raises(BadInputError) as caught:
        opened(tmp_path, specs)
    assert says in caught.value.problem


def test_a_folder_that_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no image"):
        opened(tmp_path)
    painted(tmp_path, 2)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(BadInputError, match="mixes images and"):
        opened(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(BadInputError, match="both files"):
        opened(tmp_path)


def test_the_recipes_table_is_read_strictly() -> None:
    good = Table(
        {"resize": 256, "crop": [224, 224], "mean": 127, "std": [1, 2, 3], "scale": 1, "colour": "bgr"}, "inputs.x", []
    )
    assert Preprocessing.read(good) == Preprocessing(
        resize=(256,), crop=(224, 224), mean=(127.0,), std=(1.0, 2.0, 3.0), scale=1.0, colour="bgr"
    )
    assert not good.problems
    bad = Table(
        {"resize": [1, 2, 3], "crop": 0, "std": 0, "mean": [1, 2], "colour": "grey", "sizes": 3}, "inputs.x", []
    )
    Preprocessing.read(bad)
    assert [problem.split(":")[0] for problem in bad.problems] == [
        f"inputs.x.{key}" for key in ("resize", "crop", "colour", "mean", "std", "sizes")
    ]
    assert Preprocessing.read(Table({}, "", [])) == Preprocessing()
