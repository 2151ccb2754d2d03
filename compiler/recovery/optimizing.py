"""The optimizer of a run: what is trained, at which rate, and how far a step may go."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgewright.compiler.pass_base import Note
from edgewright.compiler.recovery.checkpoints import on_cpu
from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.schedule import learning_rate
from edgewright.compiler.recovery.settings import Settings
from edgewright.core.errors import UsageError

if TYPE_CHECKING:
    import torch


class Optimizing:
    """Steps of AdamW or SGD, on all parameters or on those that were asked for."""

    def __init__(
        self,
        student: torch.nn.Module,
        projections: torch.nn.ModuleDict | None,
        options: TrainOptions,
        settings: Settings,
        steps: int,
    ) -> None:
        """``steps`` are those of one epoch."""
        self._student, self._projections, self._options = student, projections, options
        self._settings, self._steps = settings, steps * settings.epochs
        self._asked = {name: one.requires_grad for name, one in student.named_parameters()}
        chosen = trained_names(student, options)
        for name, one in student.named_parameters():
            one.requires_grad = name in chosen
        self._resting = _untrained_layers(student) if len(chosen) < len(self._asked) else []
        self.notes: tuple[Note, ...] = ()
        if len(chosen) < len(self._asked):
            text = f"{len(chosen)} of {len(self._asked)} parameters are trained"
            self.notes = (Note("did", "training", text),)
        self._parameters = [one for one in student.parameters() if one.requires_grad]
        if projections is not None:
            self._parameters += list(projections.parameters())
        self._optimizer = self._made()

    def step(self, loss: torch.Tensor, done: int) -> bool:
        """One step down ``loss``, after ``done`` others; False, with nothing changed, if a gradient is not finite."""
        import torch

        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self._options.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, limit)
        if not math.isfinite(float(norm)):
            return False
        rate = learning_rate(done, self._steps, self._settings.learning_rate, self._options.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return True

    def rest(self) -> None:
        """Puts layers that are not trained into evaluation mode, so that their statistics stay as they are too."""
        for layer in self._resting:
            layer.eval()

    def release(self) -> None:
        """Lets the student's parameters learn as they did before."""
        self._optimizer.zero_grad(set_to_none=True)
        for name, one in self._student.named_parameters():
            one.requires_grad = self._asked.get(name, True)

    def state(self) -> dict[str, object]:
        """The optimizer's own state, of tensors and plain values."""
        return dict(self._optimizer.state_dict())

    def extras(self) -> dict[str, torch.Tensor]:
        """The projections' weights."""
        return {} if self._projections is None else on_cpu(self._projections.state_dict())

    def load(self, state: Mapping[str, object], extras: Mapping[str, torch.Tensor]) -> None:
        """Puts both back."""
        self._optimizer.load_state_dict(dict(state))
        if self._projections is not None:
            self._projections.load_state_dict(dict(extras))

    def _made(self) -> torch.optim.Optimizer:
        import torch

        options, rate = self._options, self._settings.learning_rate
        weights = [one for one in self._parameters if one.ndim > 1]
        others = [one for one in self._parameters if one.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if options.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=rate, fused=True)
        nesterov = options.nesterov and options.momentum > 0
        return torch.optim.SGD(groups, lr=rate, momentum=options.momentum, nesterov=nesterov, fused=True)


def trained_names(student: torch.nn.Module, options: TrainOptions) -> frozenset[str]:
    """Names of the parameters that are trained: floating point, not frozen by the user's code, and asked for.

    Raises:
        UsageError: none is left.
    """
    able = {name for name, one in student.named_parameters() if one.requires_grad and one.is_floating_point()}
    chosen = able
    if options.trainable:
        chosen = {name for name in able if any(_covers(pattern, name) for pattern in options.trainable)}
    elif options.last:
        layers = [path for path, one in student.named_modules() if any(True for _ in one.parameters(recurse=False))]
        last = layers[-options.last :]
        chosen = {name for name in able if name.rpartition(".")[0] in last}
    if not chosen:
        asked = f"trainable = {list(options.trainable)}" if options.trainable else f"last = {options.last}"
        raise UsageError(
            f"no parameter is trained with {asked}",
            f"Some are called {', '.join(sorted(able)[:5]) or '(none learns)'}.",
        )
    return frozenset(chosen)


def _covers(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")


def _untrained_layers(student: torch.nn.Module) -> list[torch.nn.Module]:
    layers = [one for one in student.modules() if any(True for _ in one.parameters(recurse=False))]
    return [one for one in layers if not any(item.requires_grad for item in one.parameters(recurse=False))]
