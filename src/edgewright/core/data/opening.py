"""From what the user typed to a data set that is known to fit the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgewright.core.data.dataset import DataSet
from edgewright.core.data.preprocessing import Preprocessing
from edgewright.core.errors import UsageError
from edgewright.core.tensors import TensorSpec
from edgewright.core.user_code import is_reference


def open_data(
    text: str, specs: tuple[TensorSpec, ...], preprocessing: Mapping[str, Preprocessing] | None = None
) -> DataSet:
    """Opens DATA as the command line has it: ``file.npz``, a folder, or ``module:factory``.

    Every sample is looked at once: it fits the model, is finite, and is part of the digest.

    Args:
        text: what the user typed.
        specs: the model's inputs, which decide how arrays are cut and checked.
        preprocessing: for a folder of images, how each becomes an input, by the input's name.

    Raises:
        BadInputError: naming the file, the array and the rule.
        UsageError: a factory that is missing or raises, or something that is no data at all.
    """
    path = Path(text)
    if path.is_dir():
        from edgewright.core.data.folder import open_folder

        return open_folder(path, specs, preprocessing or {})
    if is_reference(text) and not path.exists():
        from edgewright.core.data.factory import open_factory

        return open_factory(text, specs)
    if path.suffix == ".npz" or path.is_file():
        from edgewright.core.data.npz import open_npz

        return open_npz(path, specs)
    what = "is not there" if path.suffix or "/" in text else "is no data"
    raise UsageError(f"'{text}' {what}", "Give an .npz file, a folder of images or .npy files, or module:factory.")
