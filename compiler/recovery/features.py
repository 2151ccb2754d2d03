"""Inner layers of a student that follow those of its teacher, matched by their paths.

Layers whose outputs have equal shapes are compared as they are; where channels were cut, a learned 1x1 projection
(FitNets, Romero et al. 2015) leads from the student's channels to the teacher's, and is dropped after training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TAP = "edgewright_answer"
"""Name of a module, within another that is never called itself, that is handed what that one would answer."""
_MOST = 4
"""Layers compared: more cost time and add little."""


@contextmanager
def captured(module: torch.nn.Module, paths: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Within it, each call of ``module`` leaves what the modules at ``paths`` answered."""
    import torch

    found: dict[str, torch.Tensor] = {}

    def hook(path: str) -> torch.utils.hooks.RemovableHandle:
        def keep(_module: torch.nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                found[path] = output

        listened = module.get_submodule(path)
        return getattr(listened, TAP, listened).register_forward_hook(keep)

    handles = [hook(path) for path in paths]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def matching(
    student: Mapping[str, tuple[int, ...]], teacher: Mapping[str, tuple[int, ...]], most: int = _MOST
) -> tuple[str, ...]:
    """Paths worth comparing, in the order they run: some of those with equal shapes, else with an equal picture.

    Args:
        student: path -> shape of what it answers to one batch, in the order of running.
        teacher: the same of the teacher.
    """
    shared = [path for path in student if path and path in teacher and len(student[path]) >= 3]
    equal = [path for path in shared if student[path] == teacher[path]]
    near = [path for path in shared if _but_channels(student[path]) == _but_channels(teacher[path])]
    pool = equal or near
    if len(pool) <= most:
        return tuple(pool)
    return tuple(pool[(place + 1) * len(pool) // most - 1] for place in range(most))


def layer_shapes(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Path -> shape of the first answer of every module that answers one floating point tensor."""
    import torch

    paths = [path for path, _ in module.named_modules() if path and not path.endswith(TAP)]
    with torch.no_grad(), captured(module, paths) as found:
        module(*inputs)
    return {path: tuple(value.shape) for path, value in found.items() if value.is_floating_point()}


class FeatureLoss:
    """The relative squared error of matched layers, with the projections that it needs."""

    def __init__(
        self,
        paths: Sequence[str],
        student: Mapping[str, tuple[int, ...]],
        teacher: Mapping[str, tuple[int, ...]],
    ) -> None:
        import torch

        self.paths = tuple(paths)
        self.projections = torch.nn.ModuleDict()
        for place, path in enumerate(paths):
            mine, theirs = student[path], teacher[path]
            if mine != theirs:
                layer = torch.nn.Linear(mine[_axis(mine)], theirs[_axis(theirs)], bias=False)
                self.projections[str(place)] = layer

    def to(self, device: str) -> FeatureLoss:
        """Itself, on ``device``."""
        self.projections.to(device)
        return self

    def __call__(self, student: Mapping[str, torch.Tensor], teacher: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean over layers; both mappings hold a tensor per path."""
        import torch

        terms = []
        for place, path in enumerate(self.paths):
            mine, theirs = student[path].float(), teacher[path].float()
            if str(place) in self.projections:
                axis = _axis(tuple(mine.shape))
                mine = self.projections[str(place)](mine.movedim(axis, -1)).movedim(-1, axis)
            terms.append((mine - theirs).square().mean() / theirs.square().mean().clamp_min(1e-6))
        return torch.stack(terms).mean()


def _axis(shape: tuple[int, ...]) -> int:
    """Where the channels are: first after the batch in pictures, last in sequences."""
    return 1 if len(shape) >= 4 else len(shape) - 1


def _but_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    axis = _axis(shape)
    return shape[:axis] + shape[axis + 1 :]
