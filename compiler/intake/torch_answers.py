"""What a torch program answers to its example inputs, kept beside its export so that the export can be judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

SUFFIX = ".answers.npz"


def save_answers(program: ExportedProgram, path: Path) -> str:
    """Runs ``program`` on its example inputs and writes both to ``path``; returns why not where it cannot.

    Inputs and outputs are numbered in the order of the program's signature, which is the ONNX graph's.
    """
    import torch

    example = program.example_inputs
    if example is None:
        return "the program carries no example inputs"
    flat = torch.utils._pytree.tree_leaves(example)  # noqa: SLF001 - torch has no public flattening of its own inputs
    with torch.no_grad():
        answers = torch.utils._pytree.tree_leaves(program.module()(*example[0], **example[1]))  # noqa: SLF001
    tensors = [item for item in (*flat, *answers) if item is not None]
    if not all(isinstance(item, torch.Tensor) for item in tensors):
        return "an input or output is no tensor"
    arrays = {f"in{place}": _array(item) for place, item in enumerate(item for item in flat if item is not None)}
    arrays |= {f"out{place}": _array(item) for place, item in enumerate(item for item in answers if item is not None)}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return ""


def read_answers(
    path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[Feeds, Outputs] | None:
    """What :func:`save_answers` wrote, by the model's names; None where nothing was, or where the counts differ."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if len(arrays.files) != len(inputs) + len(outputs):
            return None
        feeds = {spec.name: arrays[f"in{place}"] for place, spec in enumerate(inputs)}
        answers = {spec.name: arrays[f"out{place}"] for place, spec in enumerate(outputs)}
    fits = all(spec.problem_with(feeds[spec.name]) is None for spec in inputs)
    return (feeds, answers) if fits else None


def _array(tensor: torch.Tensor) -> Array:
    import torch

    # numpy has no bfloat16; a comparison in float32 loses nothing.
    plain = tensor.detach().to(torch.float32) if tensor.dtype is torch.bfloat16 else tensor.detach()
    return np.asarray(plain.cpu().numpy())
