"""Training crops for EfficientNet-Lite0, cut as they are read from `photos.npz` beside this file: unlabelled.

The photos are few, so what is followed on them has to be made of much: crops of a fifth to the whole of the shorter
side, mirrored half of the time. Onto two of three an animal or a thing is pasted that was cut out of another photo, for
the network to see what it has classes of; of the others half are blended with a crop of another photo (Beyer et al.
2022 find that a teacher is followed best on many and strongly mixed inputs). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SAMPLES = 3000
SIDE = 224
SMALLEST = 0.2
PLAIN = 0.25
"""Share of what is pasted onto one colour instead of a photo."""
SEED = 12
LAST = "quokka"
"""Of the photos that are only there where two further packages were installed when the case was built."""
FEWEST_CUT_OUTS = 150


def samples() -> Iterator[tuple[np.ndarray, None]]:
    """`SAMPLES` times `(1, 3, 224, 224)` float32 of (rgb - 127) / 128, without a label."""
    photos, cut_outs = pictures(Path(__file__).with_name("photos.npz"))
    rng = np.random.default_rng(SEED)
    for number in range(SAMPLES):
        crop = np.asarray(cut(photos[number % len(photos)], rng), np.float32)
        if number % 3:
            crop = np.asarray(pasted(background(photos, rng), cut_outs[number % len(cut_outs)], rng), np.float32)
        elif rng.random() < 0.5:
            other = np.asarray(cut(photos[int(rng.integers(len(photos)))], rng), np.float32)
            share = rng.uniform(0.2, 0.8)
            crop = share * crop + (1 - share) * other
        pixels = (crop - 127) / 128
        yield np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32), None


def pictures(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Photos, and things cut out of photos.

    Raises:
        ValueError: the packages that have them were not installed when the case was built.
    """
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    photos = [array for array in found.values() if array.shape[-1] == 3]
    cut_outs = [array for array in found.values() if array.shape[-1] == 4]
    if LAST not in found:
        raise ValueError(
            "photos.npz lacks those of foolbox and imgaug: pip install --no-deps foolbox==3.3.4 imgaug==0.4.0, and"
            " build the case again"
        )
    if len(cut_outs) < FEWEST_CUT_OUTS:
        raise ValueError(
            "photos.npz lacks the stamps of Tux Paint: apt install tuxpaint-stamps-default (or set TUXPAINT_STAMPS to"
            " its folder), and build the case again"
        )
    return photos, cut_outs


def background(photos: list[np.ndarray], rng: np.random.Generator) -> Image:
    """A crop of a photo, or one colour, often a bright one."""
    from PIL import Image

    if rng.random() >= PLAIN:
        return cut(photos[int(rng.integers(len(photos)))], rng)
    colour = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.full(3, rng.integers(200, 256))
    return Image.new("RGB", (SIDE, SIDE), tuple(int(value) for value in colour))


def pasted(onto: Image, thing: np.ndarray, rng: np.random.Generator) -> Image:
    """`thing`, half to one and a third times as large as the crop, somewhere on it."""
    from PIL import Image

    image = Image.fromarray(thing)
    scale = rng.uniform(0.5, 1.3) * SIDE / max(image.size)
    image = image.resize(tuple(max(1, int(side * scale)) for side in image.size), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, top = (int(rng.integers(min(0, SIDE - side), max(0, SIDE - side) + 1)) for side in image.size)
    onto.paste(image, (left, top), image)
    return onto


def cut(image: np.ndarray, rng: np.random.Generator) -> Image:
    """A square crop, resized to 224 by 224."""
    from PIL import Image

    whole = Image.fromarray(image)
    side = int(rng.uniform(SMALLEST, 1) * min(whole.size))
    left, top = int(rng.integers(0, whole.width - side + 1)), int(rng.integers(0, whole.height - side + 1))
    box = (left, top, left + side, top + side)
    piece = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return piece
