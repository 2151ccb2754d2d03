"""Calling a user's module: tensors in by position, tensors out by name, whatever structure it returns them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.tensors import Feeds, TensorSpec

if TYPE_CHECKING:
    import torch


def tensors_of(feeds: Feeds, inputs: Sequence[TensorSpec], device: torch.device) -> tuple[torch.Tensor, ...]:
    """``feeds`` in the order of ``inputs``, as tensors of their own memory."""
    import torch

    return tuple(torch.from_numpy(np.array(feeds[spec.name])).to(device) for spec in inputs)


def call(module: torch.nn.Module, inputs: Sequence[torch.Tensor], names: Sequence[str]) -> dict[str, torch.Tensor]:
    """What ``module`` answers, its outputs flattened in order and called ``names``; floats in float32."""
    import torch

    leaves = torch.utils._pytree.tree_leaves(module(*inputs))  # noqa: SLF001 - torch has no public way
    found = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    named = dict(zip(names, found, strict=True))
    return {name: value.float() if value.is_floating_point() else value for name, value in named.items()}


def floats(outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those that a loss can be of."""
    return {name: value for name, value in outputs.items() if value.is_floating_point()}
