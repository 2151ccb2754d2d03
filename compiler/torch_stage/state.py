"""What a stage leaves behind of a module: its tensors, the integer attributes that changed with their shapes, and which
of its blocks were left out.

No code and no pickle: the module's class comes from the user's source, every time. A module is brought to a state by
running its factory, taking blocks out, setting the attributes, and putting the tensors in place, whatever shape they
have.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.torch_stage.leaving_out import leave_out, left_out
from edgewright.core.errors import BadInputError

if TYPE_CHECKING:
    import torch

_ATTRIBUTES = "attributes.json"
_LEFT_OUT = "left_out.json"
_TENSORS = "weights.pt"
GRIDS = "grids.json"
"""Activation grids that quantisation-aware training found: {tensor of the ONNX form: [scale, zero point, dtype]}. Under
the empty name, which no tensor has: {operator: why it stayed float in training}."""
Attribute = int | list[int]


def save_state(folder: Path, module: torch.nn.Module, original: torch.nn.Module) -> None:
    """Writes the state of ``module``, which was made from ``original``, into ``folder``; whole or not at all."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / _LEFT_OUT).write_text(json.dumps(left_out(module), sort_keys=True))
    (folder / _ATTRIBUTES).write_text(json.dumps(changed_attributes(original, module), sort_keys=True))
    partial = folder / f"{_TENSORS}.partial"
    torch.save({name: value.detach().cpu() for name, value in module.state_dict().items()}, partial)
    partial.replace(folder / _TENSORS)


def load_state(folder: Path, module: torch.nn.Module) -> None:
    """Brings ``module``, fresh from the user's source, to the state in ``folder``.

    Raises:
        BadInputError: the source makes another module than the one the state was saved of.
    """
    import torch

    attributes = json.loads((folder / _ATTRIBUTES).read_text())
    gone = json.loads((folder / _LEFT_OUT).read_text())
    tensors = torch.load(folder / _TENSORS, weights_only=True, map_location="cpu")
    known = dict(module.named_modules())
    if unknown := [name for name in (*gone, *attributes) if name not in known]:
        raise BadInputError(
            f"the model's source has changed: it makes no module '{unknown[0]:.100}' any more", "Start afresh."
        )
    leave_out(module, gone)
    known = dict(module.named_modules())
    for name, changes in attributes.items():
        for key, value in changes.items():
            old = getattr(known[name], key)
            setattr(known[name], key, type(old)(value) if isinstance(value, list) else value)
    for name, tensor in tensors.items():
        _place(module, name, tensor)


def changed_attributes(original: torch.nn.Module, module: torch.nn.Module) -> dict[str, dict[str, Attribute]]:
    """Module path -> attribute -> value, for public integer attributes (and tuples of them) that differ."""
    before = dict(original.named_modules())
    found: dict[str, dict[str, Attribute]] = {}
    for name, one in module.named_modules():
        old = before.get(name)
        if old is None:
            continue
        for key, value in vars(one).items():
            was = vars(old).get(key)
            if key.startswith("_") or key == "training" or not _plain(value) or value == was or not _plain(was):
                continue
            found.setdefault(name, {})[key] = list(value) if isinstance(value, tuple | list) else value
    return found


def _plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(item, int) for item in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _place(module: torch.nn.Module, name: str, tensor: torch.Tensor) -> None:
    import torch

    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path)
    old = getattr(owner, key, None)
    if isinstance(old, torch.nn.Parameter) or (old is None and key in owner._parameters):  # noqa: SLF001
        owner.register_parameter(key, torch.nn.Parameter(tensor, requires_grad=old is None or old.requires_grad))
    elif key in owner._buffers:  # noqa: SLF001 - torch has no public way to ask whether a name is a buffer
        owner.register_buffer(key, tensor, persistent=True)
    else:
        raise BadInputError(
            f"the model's source has changed: it makes no tensor '{name:.100}' any more", "Start afresh."
        )
