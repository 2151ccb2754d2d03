"""What travels between a stage and its parent as files: samples before it starts, candidates and answers on the way."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnx_ir as ir

from edgewright.compiler.site import Absent, Site, TrainingSamples
from edgewright.compiler.torch_stage.arrays import write_arrays
from edgewright.core.model import OnnxModel, TorchSource
from edgewright.core.tensors import Outputs


def spooled(samples: object, model: TorchSource, site: Site, exclude: frozenset[bytes]) -> str | None:
    """Folder of the samples as arrays, written once per compile."""
    if isinstance(samples, Absent):
        return None
    found = cast("TrainingSamples", samples)
    key = f"arrays:{found.digest}:{hashlib.sha256(b''.join(sorted(exclude))).hexdigest()}"
    if key not in site.memo:
        folder = Path(tempfile.mkdtemp(prefix="arrays-", dir=site.workdir))
        left_out = write_arrays(found, model.inputs, folder, exclude)
        if left_out:
            site.log(f"  {left_out} training samples are left out: accuracy is judged on them")
        site.memo[key] = str(folder)
    return str(site.memo[key])


def read_candidate(path: str) -> OnnxModel:
    """A model that a stage wants timed; its file is taken away."""
    model = ir.load(path)
    # Weights stay in the file until they are asked for, and the file goes now.
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.const_value = ir.tensor(value.const_value.numpy().copy(), name=value.name)
    Path(path).unlink()
    return OnnxModel(model, "candidate")


def read_answers(path: Path, names: Sequence[str]) -> Iterator[Outputs]:
    """What a stage answered to the selection samples, in their order; the file is taken away."""
    with np.load(path, allow_pickle=False) as arrays:
        stacked = {name: arrays[str(place)] for place, name in enumerate(names)}
    path.unlink()
    for place in range(len(next(iter(stacked.values())))):
        yield {name: array[place] for name, array in stacked.items()}
