"""What training leaves: the user's module with trained weights, grids by tensor, and answers to be checked against."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.compiler.qat.quantizer import Prepared
from edgewright.compiler.qat.wanted import Wanted
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.trained import UNFIT
from edgewright.core.tensors import Array, Feeds, TensorSpec

if TYPE_CHECKING:
    import torch

LAYERS = "layers.npz"
"""In the stage's folder: what the trained graph makes of a few samples, for the pass to compare with."""


def put_back(prepared: Prepared, module: torch.nn.Module) -> int:
    """Copies trained parameters and buffers into ``module``, which the graph was exported from; gives their number.

    BatchNorm was only ever folded on the way through, so everything is where the user's module has it.
    """
    import torch

    graph = prepared.graph
    trained: dict[str, torch.Tensor] = dict(graph.named_parameters(remove_duplicate=False))
    trained |= dict(graph.named_buffers(remove_duplicate=False))
    count = 0
    with torch.no_grad():
        for name, own in module.state_dict(keep_vars=True).items():
            new = trained.get(name)
            if new is None or new.shape != own.shape:
                continue
            own.copy_(new.detach().to(own.dtype))
            count += 1
    return count


def trained_grids(prepared: Prepared, wanted: Wanted) -> dict[str, Grid]:
    """Tensor of the ONNX form -> its grid, for each that was trained with codes or shares the grid of one that was."""
    shared = {
        name: prepared.grids[one.group].grid() for name, one in wanted.tensors.items() if one.group in prepared.grids
    }
    trained = {wanted.tensors[name].group for name in prepared.quantised}
    return {name: grid for name, grid in shared.items() if wanted.tensors[name].group in trained}


def save_grids(grids: Mapping[str, Grid], unfit: Mapping[str, str], path: Path) -> None:
    """Writes ``{tensor: [scale, zero point, dtype]}``; a scale is a float32 number, written to its last bit.

    Operators that calibration found ``unfit`` were float in training: they are there under a name no tensor has.
    """
    found: dict[str, object] = {UNFIT: dict(unfit)} if unfit else {}
    found |= {name: [float(grid.scale), int(grid.zero_point), grid.dtype] for name, grid in grids.items()}
    path.write_text(json.dumps(found, sort_keys=True))


def save_layers(
    prepared: Prepared, wanted: Wanted, outputs: Sequence[TensorSpec], samples: Sequence[Feeds], path: Path
) -> None:
    """Writes what the prepared graph, in evaluation mode, makes of ``samples``.

    Of sample ``s``: its inputs ``s/i/0``, its outputs ``s/o/0``, and ``s/t/0`` for each tensor that is given codes, in
    the order of ``names``, as the reals that its codes stand for.
    """
    import torch

    names = sorted(prepared.quantised)
    places = {name: place for place, name in enumerate(names)}
    arrays: dict[str, Array] = {"names": np.asarray(names)}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> object:
            result = super().run_node(node)
            if node.name in prepared.tensors and isinstance(result, torch.Tensor):
                seen[places[prepared.tensors[node.name]]] = result.detach().cpu().numpy().copy()
            return result

    for index, feeds in enumerate(samples):
        seen: dict[int, Array] = {}
        given = [np.array(feeds[name]) for name in wanted.inputs]
        with torch.no_grad():
            answer = Recorder(prepared.graph).run(*(torch.from_numpy(one) for one in given))
        leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(answer) if isinstance(leaf, torch.Tensor)]  # noqa: SLF001 - torch has no public way
        arrays |= {f"{index}/i/{place}": one for place, one in enumerate(given)}
        arrays |= {f"{index}/o/{place}": one.numpy() for place, one in enumerate(leaves[: len(outputs)])}
        arrays |= {f"{index}/t/{place}": one for place, one in seen.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]
