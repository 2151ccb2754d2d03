"""A folder of images or of ``.npy`` files; a sub-folder per class gives labels."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.data.checking import check_samples
from edgewright.core.data.dataset import DataSet, Sample
from edgewright.core.data.npz import read_header
from edgewright.core.data.preprocessing import Preprocessing
from edgewright.core.errors import BadInputError, UnavailableError
from edgewright.core.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
MOST_PIXELS = 89_478_485
"""A quarter of a GiB of RGB: what Pillow, too, takes for a decompression bomb (``Image.MAX_IMAGE_PIXELS``)."""
_MODES = ("RGB", "L")


@dataclass(frozen=True)
class SampleFiles:
    """The samples' files in order, and the class folders' names when they are sorted into such."""

    paths: tuple[Path, ...]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


def open_folder(path: Path, specs: tuple[TensorSpec, ...], preprocessing: Mapping[str, Preprocessing]) -> FolderDataSet:
    """The samples of a folder: one file each, in the order of their names.

    With sub-folders each is a class, numbered by the order of the names, and the label of its files.

    Raises:
        BadInputError: naming the file and the rule.
        UnavailableError: images without Pillow installed.
    """
    if len(specs) != 1:
        raise BadInputError(
            f"{path.name} is a folder, and the model has {len(specs)} inputs", "Give an .npz file or a factory for it."
        )
    files = list_samples(path)
    images = files.paths[0].suffix.lower() in IMAGE_SUFFIXES
    notes = []
    if images and specs[0].name not in preprocessing and specs[0].dtype != "uint8":
        notes.append(
            f"{path.name}: no [inputs.{specs[0].name}] in a recipe says how the model was trained;"
            " pixels are divided by 255 and resized to fit"
        )
    return FolderDataSet(path, files, specs[0], preprocessing.get(specs[0].name, Preprocessing()), tuple(notes))


class FolderDataSet(DataSet):
    """Files read one at a time."""

    def __init__(
        self, path: Path, files: SampleFiles, spec: TensorSpec, preprocessing: Preprocessing, notes: tuple[str, ...]
    ) -> None:
        self.name, self.labelled = path.name or path.resolve().name, bool(files.classes)
        self._root, self._files, self._spec, self._preprocessing = path, files, spec, preprocessing
        self.classes = files.classes
        if isinstance(spec.shape and spec.shape[0], int) and spec.shape and spec.shape[0] != 1:
            raise BadInputError(
                f"{self.name} is a folder, and the model's batch is fixed to {spec.shape[0]}",
                f"Give --shape {spec.name}=1,..., or an .npz file.",
            )
        findings = check_samples(self, (spec,))
        skipped = (f"{self.name}: {len(files.skipped)} files are no samples: {_some(files.skipped)}",)
        self.warnings = (*notes, *(skipped if files.skipped else ()), *findings.warnings)
        made = json.dumps([findings.digest, files.classes])
        self._digest, self._fingerprints = hashlib.sha256(made.encode()).hexdigest(), findings.fingerprints

    def __len__(self) -> int:
        return len(self._files.paths)

    def read(self, index: int) -> Sample:
        """The sample at ``index``.

        Raises:
            BadInputError: a file that is broken, too large or of the wrong form, by its name.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        path = self._files.paths[index]
        where = str(path.relative_to(self._root))
        if path.suffix.lower() == ".npy":
            feed = read_npy(path, where, self._spec)
        else:
            feed = read_image(path, where, self._spec, self._preprocessing)
        label = np.array(self.classes.index(path.parent.name)) if self.classes else None
        return Sample({self._spec.name: feed}, label)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over every sample as the model gets it, and the classes' names."""
        return self._digest

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        """A hash of each sample's feed."""
        return self._fingerprints


def list_samples(path: Path) -> SampleFiles:
    """The samples of a folder, by name.

    Raises:
        BadInputError: there are none, or of several kinds.
    """
    entries = sorted(item for item in path.iterdir() if not item.name.startswith("."))
    folders = [item for item in entries if item.is_dir()]
    if folders:
        loose = [item.name for item in entries if _is_sample(item)]
        if loose:
            raise BadInputError(
                f"{path.name} has both files ({_some(loose)}) and sub-folders ({_some([f.name for f in folders])})",
                "Put every file into the sub-folder of its class, or all into one folder.",
            )
        entries += sorted(item for folder in folders for item in folder.iterdir() if not item.name.startswith("."))
    paths = tuple(item for item in entries if _is_sample(item))
    skipped = tuple(str(item.relative_to(path)) for item in entries if item not in set(paths) | set(folders))
    if not paths:
        raise BadInputError(f"{path.name} holds no image and no .npy file", "Give a folder with one file per sample.")
    if len({item.suffix.lower() == ".npy" for item in paths}) > 1:
        raise BadInputError(f"{path.name} mixes images and .npy files", "Keep one kind in a folder.")
    return SampleFiles(paths, tuple(folder.name for folder in folders), skipped)


def _is_sample(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES | {".npy"}


def read_npy(path: Path, where: str, spec: TensorSpec) -> Array:
    """One feed, or one sample that lacks the batch axis, from a ``.npy`` file.

    Raises:
        BadInputError: it is broken, or does not fit; ``where`` is how the message calls it.
    """
    with path.open("rb") as file:
        shape, _, dtype, offset = read_header(file, where)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if path.stat().st_size != offset + size:
        raise BadInputError(
            f"{where} has {path.stat().st_size - offset} bytes, its header says {size}", "Write it anew."
        )
    array: Array = np.load(path, allow_pickle=False)
    if spec.shape is not None and array.ndim == len(spec.shape) - 1:
        array = array[None]
    if problem := spec.problem_with(array):
        raise BadInputError(f"{where}: {problem}", "Save one sample, in the model's own form, in each file.")
    return array


def read_image(path: Path, where: str, spec: TensorSpec, preprocessing: Preprocessing) -> Array:
    """One feed from an image file.

    Raises:
        BadInputError: it is broken, too large, or cannot become this input; ``where`` is how the message calls it.
        UnavailableError: Pillow is not installed.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise UnavailableError("reading images needs Pillow", "Type: pip install 'edgewright[images]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own word on large images; the limit below is ours
            with PIL.Image.open(path) as image:
                _check_header(image, where)
                image.load()
                return preprocessing.apply(image, spec)
    except BadInputError as error:
        named = error.problem if where in error.problem or "input '" in error.problem else f"{where} {error.problem}"
        raise BadInputError(named, error.remedy) from error
    except PIL.Image.DecompressionBombError as error:
        raise BadInputError(f"{where} has too many pixels: {error}", "Remove it, or make it smaller.") from error
    except (PIL.UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadInputError(f"{where} is no image, or damaged: {error}", "Remove it, or save it anew.") from error


def _check_header(image: Image, where: str) -> None:
    """What can be known before an image is decoded."""
    if image.width * image.height > MOST_PIXELS:
        raise BadInputError(
            f"{where} is {image.width}x{image.height}, more than {MOST_PIXELS:,} pixels",
            "Remove it, or make it smaller.",
        )
    if image.mode not in _MODES:
        raise BadInputError(
            f"{where} has mode {image.mode}, not {' or '.join(_MODES)}", "Convert it to RGB, or remove it."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
