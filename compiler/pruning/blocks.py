"""Whole residual blocks: which a module has, and the module without one of them.

A block adds something to what it is given; without it the next one gets what it was given (as happens at random while
networks of stochastic depth are trained: Huang et al. 2016). Unlike narrower layers that is made up for by nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.answers import Batches, Error, answers_of, output_error
from edgewright.compiler.torch_stage.leaving_out import leave_out

if TYPE_CHECKING:
    import torch
    from torch import nn

_ALIKE = 0.5
"""Correlation with what came in, of what a block gives whose weights are zero, from which on it has a way around."""
_ROWS = 2


@dataclass(frozen=True)
class Block:
    """A module that can be left out."""

    path: str
    packed: bool
    """Whether it answers a tuple of one tensor."""


@dataclass(frozen=True)
class _Call:
    arguments: tuple[object, ...]
    named: Mapping[str, object]
    answer: object


def find_blocks(module: nn.Module, batches: Batches, keep: Sequence[str] = ()) -> tuple[Block, ...]:
    """The innermost modules that have layers and a way around them, in the module's order.

    A block is called once, is given the tensor as its first argument, and gives one of the same shape. That there is a
    way around is seen by its answer with all weights at zero, which is still like what came in. A module that is made
    of several blocks is none itself.

    Args:
        batches: of whose first one some rows are looked at.
        keep: glob patterns of module paths; a block with such a module in it stays.
    """
    if not batches:
        return ()
    inputs = tuple(value[:_ROWS] for value in batches[0])
    calls = _calls(module, inputs, [path for path, one in module.named_modules() if path and _has_layers(one)])
    able = [path for path, call in calls.items() if _keeps_shape(call) and _has_way_around(module, path, call)]
    found: list[str] = []
    for path in sorted(able, key=lambda one: -one.count(".")):  # from the inside out
        inner = [other for other in found if other.startswith(f"{path}.")]
        outermost = [one for one in inner if not any(one.startswith(f"{other}.") for other in inner)]
        if len(outermost) > 1 or any(_same_layers(module, path, one) for one in outermost):
            continue
        found.append(path)
    ordered = [path for path, _ in module.named_modules() if path in found]
    return tuple(
        Block(path, isinstance(calls[path].answer, tuple)) for path in ordered if not _is_kept(module, path, keep)
    )


def without(module: nn.Module, block: Block) -> nn.Module:
    """A deep copy of ``module`` that has not got ``block``."""
    smaller = copy.deepcopy(module)
    leave_out(smaller, {block.path: block.packed})
    return smaller


def block_damage(
    module: nn.Module, blocks: Sequence[Block], batches: Batches, error: Error = output_error
) -> dict[str, float]:
    """By path, the error of the answers without that block alone; blocks that cannot be done without are not in it."""
    reference = answers_of(module, batches)
    found: dict[str, float] = {}
    for block in blocks:
        try:
            answers = answers_of(without(module, block), batches)
        except Exception:  # noqa: BLE001, S112 - the user's code may ask anything of a module that is not there
            continue
        if [value.shape for batch in answers for value in batch] == [
            value.shape for batch in reference for value in batch
        ]:
            found[block.path] = error(reference, answers)
    return found


def _calls(module: nn.Module, inputs: Sequence[torch.Tensor], paths: Sequence[str]) -> dict[str, _Call]:
    """What each module at ``paths`` was given and gave; those that are not called just once are left out."""
    import torch

    found: dict[str, _Call | None] = {}

    with _listening(module, paths, found), torch.no_grad():
        module(*inputs)
    return {path: call for path, call in found.items() if call is not None}


@contextmanager
def _listening(module: nn.Module, paths: Sequence[str], found: dict[str, _Call | None]) -> Iterator[None]:
    def listen(path: str) -> object:
        def hook(_one: nn.Module, arguments: tuple[object, ...], named: dict[str, object], answer: object) -> None:
            found[path] = None if path in found else _Call(arguments, named, answer)

        return module.get_submodule(path).register_forward_hook(hook, with_kwargs=True)

    hooks = [listen(path) for path in paths]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()  # type: ignore[attr-defined]


def _has_layers(module: nn.Module) -> bool:
    from torch import nn

    kinds = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the only common base of convolutions
    return not isinstance(module, kinds) and any(isinstance(one, kinds) for one in module.modules())


def _keeps_shape(call: _Call) -> bool:
    first, answer = next(iter(call.arguments), None), _tensor(call.answer)
    return (
        answer is not None
        and (tensor := _tensor(first)) is not None
        and tensor is first
        and tensor.is_floating_point()
        and tensor.dim() > 1
        and tensor.shape == answer.shape
        and tensor.dtype == answer.dtype
    )


def _tensor(value: object) -> torch.Tensor | None:
    import torch

    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def _has_way_around(module: nn.Module, path: str, call: _Call) -> bool:
    import torch

    emptied = copy.deepcopy(module.get_submodule(path))
    _empty(emptied)
    given = _tensor(call.arguments[0])
    assert given is not None
    try:
        with torch.no_grad():
            answer = _tensor(emptied(*call.arguments, **call.named))
    except Exception:  # noqa: BLE001 - a module that does not run without weights is no block
        return False
    if answer is None or answer.shape != given.shape:
        return False
    pair = torch.stack([given.flatten().double(), answer.flatten().double()])
    if float(pair.var(1).min()) <= 0:
        return False
    return bool(torch.corrcoef(pair)[0, 1] > _ALIKE)


def _empty(module: nn.Module) -> None:
    """Sets to zero all that multiplies and adds, in place, but for norms over what comes in with the way around."""
    import torch
    from torch import nn

    whole = (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - as above
    with torch.no_grad():
        for one in module.modules():
            for value in one.parameters(recurse=False):
                if isinstance(one, whole) or value.dim() > 1:
                    value.zero_()


def _same_layers(module: nn.Module, path: str, inner: str) -> bool:
    """Whether the module at ``path`` has no parameter but those of the one within it."""
    own = {id(value) for value in module.get_submodule(path).parameters()}
    return own == {id(value) for value in module.get_submodule(inner).parameters()}


def _is_kept(module: nn.Module, path: str, keep: Sequence[str]) -> bool:
    inside = [path, *(f"{path}.{name}" for name, _ in module.get_submodule(path).named_modules() if name)]
    parts = path.split(".")
    around = [".".join(parts[: place + 1]) for place in range(len(parts))]
    return any(fnmatchcase(one, pattern) for one in (*inside, *around) for pattern in keep)
