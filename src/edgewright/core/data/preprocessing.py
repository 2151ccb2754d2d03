"""How an image becomes a model's input: resize, crop, colour order, scale, mean, std, layout. Needs Pillow."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, TensorSpec
from edgewright.core.toml import Table

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = ("rgb", "bgr", "gray")
LAYOUTS = ("auto", "nchw", "nhwc")
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "area")


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a decoded image to an input, in this order; the recipe's table ``[inputs.NAME]``.

    ``(pixel * scale - mean) / std`` is computed in float32 on pixels of 0 to 255, per channel in the order of
    ``colour``. An input of uint8 takes the pixels as they are.
    """

    resize: tuple[int, ...] = ()
    """``(shorter side,)`` or ``(height, width)``; empty keeps the image's size, or fits the model's fixed one."""
    crop: tuple[int, ...] = ()
    """``(side,)`` or ``(height, width)``, cut from the centre; empty cuts nothing."""
    filter: str = "bilinear"
    colour: str = ""
    """``rgb``, ``bgr`` or ``gray``; empty means gray for an input of one channel, else rgb."""
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "auto"
    """``nchw``, ``nhwc``, or ``auto``: whichever axis of the input has 1 or 3."""

    @classmethod
    def read(cls, table: Table) -> Preprocessing:
        """Reads one table of a recipe; every mistake is remembered in the table."""
        channels = (1, 3)
        found = cls(
            resize=_sizes(table, "resize"),
            crop=_sizes(table, "crop"),
            filter=table.choice("filter", FILTERS, default="bilinear"),
            colour=table.optional_choice("colour", COLOURS) or "",
            scale=table.number("scale", default=1 / 255),
            mean=table.numbers("mean", default=(0.0,)),
            std=table.numbers("std", default=(1.0,)),
            layout=table.choice("layout", LAYOUTS, default="auto"),
        )
        for key, values in (("mean", found.mean), ("std", found.std)):
            if len(values) not in channels:
                table.complain(key, f"has {len(values)} numbers; give one, or one for each of 3 channels")
        if any(value <= 0 for value in found.std):
            table.complain("std", "must be above 0")
        table.close()
        return found

    def to_json(self) -> dict[str, object]:
        """What a digest and the manifest hold."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def apply(self, image: Image, spec: TensorSpec) -> Array:
        """One feed for ``spec``, with its batch axis, from an image of mode ``RGB`` or ``L``.

        Raises:
            BadInputError: when the result cannot fit the input; the message lacks the file's name.
        """
        channels_last, channels, size = self._form(spec)
        colour = self.colour or ("gray" if channels == 1 else "rgb")
        image = self._sized(image.convert("L" if colour == "gray" else "RGB"), size)
        pixels = np.asarray(image)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        pixels = pixels[:, :, ::-1] if colour == "bgr" else pixels
        if spec.dtype == "uint8":
            values: Array = pixels
        else:
            scaled = pixels.astype(np.float32) * np.float32(self.scale)
            values = ((scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)).astype(
                spec.dtype
            )
        return np.ascontiguousarray(values if channels_last else values.transpose(2, 0, 1))[None]

    def _form(self, spec: TensorSpec) -> tuple[bool, int, tuple[int | None, int | None]]:
        """Whether channels come last, how many there are, and the input's fixed (height, width)."""
        if spec.shape is None or len(spec.shape) != 4 or (spec.dtype != "uint8" and "float" not in spec.dtype):
            raise BadInputError(
                f"input '{spec.name}' is {spec.dtype} {spec.shape_text}, which no image fits",
                "Give an .npz file or a factory for this model.",
            )
        _, one, two, three = (dim if isinstance(dim, int) else None for dim in spec.shape)
        last = self.layout == "nhwc" or (self.layout == "auto" and one not in (1, 3) and three in (1, 3))
        channels, size = (three, (one, two)) if last else (one, (two, three))
        if channels not in (1, 3, None):
            raise BadInputError(
                f"input '{spec.name}' has {channels} channels ({spec.shape_text}); images have 1 or 3",
                "Set layout in [inputs] of the recipe, or give an .npz file.",
            )
        return last, channels or (1 if self.colour == "gray" else 3), size

    def _sized(self, image: Image, size: tuple[int | None, int | None]) -> Image:
        resize = self.resize
        if not resize and not self.crop and size[0] is not None and size[1] is not None:
            resize = (size[0], size[1])
        if resize:
            image = image.resize(_target_size(image, resize), _filter(self.filter))
        if self.crop:
            height, width = self.crop if len(self.crop) == 2 else (self.crop[0], self.crop[0])
            if height > image.height or width > image.width:
                raise BadInputError(
                    f"is {image.height}x{image.width} when {height}x{width} is to be cut out of it",
                    "Set resize in [inputs] of the recipe.",
                )
            top, left = round((image.height - height) / 2), round((image.width - width) / 2)
            image = image.crop((left, top, left + width, top + height))
        return image


def _target_size(image: Image, resize: tuple[int, ...]) -> tuple[int, int]:
    """(width, height), as Pillow wants it; one number is the shorter side and keeps the proportions."""
    if len(resize) == 2:
        return resize[1], resize[0]
    shorter = min(image.size)
    width, height = (max(1, math.floor(side * resize[0] / shorter)) for side in image.size)
    return width, height


def _filter(name: str) -> int:
    from PIL.Image import Resampling

    return Resampling[{"area": "box"}.get(name, name).upper()]


def _sizes(table: Table, key: str) -> tuple[int, ...]:
    values = table.numbers(key, default=())
    if len(values) > 2 or any(value != int(value) or not 1 <= value <= 16384 for value in values):
        table.complain(key, "must be a side, or [height, width], of 1 to 16384 pixels")
        return ()
    return tuple(int(value) for value in values)
