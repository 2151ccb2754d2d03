"""The photos that packages ship (scikit-image, scikit-learn, foolbox, imgaug, Tux Paint), and crops of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .case import CaseUnavailable
from .sources import package_file

# No photo is in both lists: crops of one photo share their subject and their noise.
CALIBRATION_PHOTOS = (
    "coffee.png", "rocket.jpg", "flower.jpg", "camera.png", "clock_motion.png", "astronaut.png", "coins.png", "ihc.png",
    "gravel.png", "cell.png",
)  # fmt: skip
EVALUATION_PHOTOS = (
    "chelsea.png", "motorcycle_left.png", "china.jpg", "moon.png", "brick.png", "retina.jpg", "horse.png", "text.png",
    "microaneurysms.png",
)  # fmt: skip
# Neither the other half of the stereo pair, nor anything else that shows what an evaluation photo shows.
MORE_TRAINING_PHOTOS = ("grass.png", "hubble_deep_field.jpg", "color.png", "page.png")
# Things that ImageNet has classes of, which scikit-image's photos hardly show: twenty that foolbox ships for trying
# attacks on, and a quokka. They are under their authors' terms: read where they are installed, never passed on.
OBJECT_PHOTOS = (
    "imagenet_00_243.jpg", "imagenet_01_559.jpg", "imagenet_02_438.jpg", "imagenet_03_990.jpg", "imagenet_04_949.jpg",
    "imagenet_05_853.jpg", "imagenet_06_609.jpg", "imagenet_07_609.jpg", "imagenet_08_915.jpg", "imagenet_09_455.jpg",
    "imagenet_10_541.jpg", "imagenet_11_630.jpg", "imagenet_12_741.jpg", "imagenet_13_471.jpg", "imagenet_14_129.jpg",
    "imagenet_15_99.jpg", "imagenet_16_251.jpg", "imagenet_17_22.jpg", "imagenet_18_317.jpg", "imagenet_19_305.jpg",
    "quokka.jpg",
)  # fmt: skip
SIDE = 224
STAMPS, STAMPS_DEBIAN = "TUXPAINT_STAMPS", Path("/usr/share/tuxpaint/stamps")
# Of the stamps, those drawn by hand, and what no photo of a thing or an animal is.
DRAWN = ("cartoon", "symbols", "flags", "roadsigns", "hanukkah", "space", "clothes/t_")
SMALLEST_STAMP = 120


def object_photos() -> dict[str, np.ndarray]:
    """OBJECT_PHOTOS by name without suffix; empty unless all of them are installed: evaluation does without."""
    try:
        return {name.partition(".")[0]: photo(name) for name in OBJECT_PHOTOS}
    except CaseUnavailable:
        return {}


def cut_outs() -> dict[str, np.ndarray]:
    """Some two hundred photos of animals, plants and things without what was behind them, `(H, W, 4)` uint8 by name.

    The stamps of Tux Paint (Debian package tuxpaint-stamps-default 2022.06.04, GPL-2: read where they are installed,
    never passed on); empty where neither it is installed nor TUXPAINT_STAMPS names its folder.
    """
    from PIL import Image

    root = Path(os.environ.get(STAMPS, STAMPS_DEBIAN))
    found: dict[str, np.ndarray] = {}
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root).with_suffix("").as_posix()
        if any(word in name for word in DRAWN):
            continue
        with Image.open(path) as image:
            if min(image.size) >= SMALLEST_STAMP:
                whole = image.convert("RGBA")
                found[name.replace("/", "_")] = np.asarray(whole.crop(whole.getchannel("A").getbbox()))
    return found


def photo(name: str) -> np.ndarray:
    """One photo `(H, W, 3)` uint8; those of scikit-image and scikit-learn are in the public domain, CC0 or CC BY."""
    from PIL import Image

    if name in ("china.jpg", "flower.jpg"):
        path = package_file("scikit-learn==1.9.1", f"sklearn/datasets/images/{name}")
    elif name == "quokka.jpg":
        path = package_file("imgaug==0.4.0", f"imgaug/{name}")
    elif name in OBJECT_PHOTOS:
        path = package_file("foolbox==3.3.4", f"foolbox/data/{name}")
    else:
        path = package_file("scikit-image==0.26.0", f"skimage/data/{name}")
    return np.asarray(Image.open(path).convert("RGB"))


def crops(image: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Crops of 45 to 100 % of the shorter side, half of them mirrored: `(count, 3, 224, 224)` of (rgb - 127) / 128."""
    from PIL import Image

    whole = Image.fromarray(image)
    cut = []
    for _ in range(count):
        side = int(rng.uniform(0.45, 1) * min(whole.size))
        left, top = int(rng.integers(0, whole.width - side + 1)), int(rng.integers(0, whole.height - side + 1))
        piece = whole.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        if rng.random() < 0.5:
            piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        cut.append((np.asarray(piece, np.float32) - 127) / 128)
    return np.stack(cut).transpose(0, 3, 1, 2).copy()
