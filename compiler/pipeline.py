"""Runs passes one after the other, writes the journal, and keeps the model from before any pass that breaks it.

Consecutive EXACT passes are proven together: the model before the first and the one after the last are run on the same
few real samples. Only when they disagree is the group searched, by bisection, for the pass to blame; that pass is
rejected, and those after it run again on the model it was given.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from edgewright.compiler.journal import JournalEntry, ModelCounts
from edgewright.compiler.numeric_gate import Comparison, Gate
from edgewright.compiler.pass_base import Effect, Note, Outcome, Pass, Stage, registry
from edgewright.compiler.site import Absent, Site
from edgewright.core.errors import EdgewrightError, ExitCode
from edgewright.core.model import Model, OnnxModel
from edgewright.targets.schema import Target

AnyPass = Pass[Model, Model]


class PassError(EdgewrightError):
    """A pass raised something that is not explained to users: a bug in it. The cause is kept."""

    exit_code = ExitCode.BUG


@dataclass(frozen=True)
class Unwanted:
    """A pass that the default pipeline leaves out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class DefaultPipeline:
    """The passes that will run, in order, and those that will not."""

    passes: tuple[AnyPass, ...]
    unwanted: tuple[Unwanted, ...]


def default_pipeline(target: Target, precision: str, *, from_torch: bool = False) -> DefaultPipeline:
    """The passes for ``target`` at ``precision``, ordered by stage, order and name; each left-out one has its reason.

    Args:
        target: what is compiled for.
        precision: ``fp32``, ``fp16``, ``bf16``, ``int8``, ...
        from_torch: whether the model is in torch form, so that the export passes take part.
    """
    chosen: list[AnyPass] = []
    unwanted: list[Unwanted] = []
    passes = registry()
    for name in passes.names():
        kind = passes.find(name)
        reason = kind.wanted(target, precision)
        if kind.stage <= Stage.EXPORT and not from_torch:
            reason = "it works on torch modules, before the export"
        if reason is None:
            chosen.append(kind(kind.options_for(target, precision)))
        else:
            unwanted.append(Unwanted(name, reason))
    return DefaultPipeline(tuple(sorted(chosen, key=position)), tuple(unwanted))


def position(item: AnyPass) -> tuple[int, int, str]:
    """Where a pass stands by default: stage, order, name."""
    return (int(item.stage), item.order, item.name)


def run_pipeline(
    passes: Sequence[AnyPass], model: Model, site: Site, gate: Gate | None = None
) -> tuple[Model, list[JournalEntry]]:
    """Runs ``passes`` in the order given and returns the last model that stands, with one journal entry per pass.

    Raises:
        PassError: when a pass raises anything but an :class:`EdgewrightError`; the message names it and those before.
        EdgewrightError: what a pass itself says to the user.
    """
    with _sparing_collector():
        return _Run(tuple(passes), site, gate or Gate()).all(model)


@contextmanager
def _sparing_collector() -> Iterator[None]:
    """Keeps Python's cycle collector from walking everything that was there before, while graphs are copied.

    A graph is tens of thousands of small objects in cycles: collecting as they are made takes longer than most passes.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass(eq=False)
class _Step:
    """One pass that ran, waiting to be proven."""

    index: int
    before: Model
    after: Model
    entry: JournalEntry

    @property
    def changed(self) -> bool:
        return self.after is not self.before


class _Run:
    def __init__(self, passes: tuple[AnyPass, ...], site: Site, gate: Gate) -> None:
        self.passes, self.site, self.gate = passes, site, gate
        self.comparison = Comparison(site, gate)
        self.journal: list[JournalEntry] = []

    def all(self, model: Model) -> tuple[Model, list[JournalEntry]]:
        index = 0
        while index < len(self.passes):
            group: list[_Step] = []
            while index < len(self.passes) and self.passes[index].effect is Effect.EXACT:
                group.append(self._step(index, model))
                model, index = group[-1].after, index + 1
            if group:
                model, index = self._prove(group)
            else:
                step = self._step(index, model)
                self.journal.append(self._with_drop(step))
                model, index = step.after, index + 1
        return model, self.journal

    def _step(self, index: int, model: Model) -> _Step:
        current = self.passes[index]
        self.site.progress(current.name, index / len(self.passes))
        collecting = gc.isenabled()
        gc.disable()
        try:
            outcome = current(model, self.site)
        except EdgewrightError:
            raise
        except Exception as cause:
            earlier = ", ".join(item.name for item in self.passes[:index]) or "no other"
            raise PassError(
                f"pass '{current.name}' failed after {earlier}: {type(cause).__name__}: {str(cause)[:500]}",
                f"This is a bug in the pass; leave it out with a recipe that skips '{current.name}' and report it.",
            ) from cause
        finally:
            if collecting:
                gc.enable()
        after = outcome.model if outcome.changed else model
        broken = signature_problem(model, after)
        kept = model if broken else after
        before_counts = ModelCounts.of(model)
        entry = JournalEntry(
            pass_name=current.name,
            options=current.options_json(),
            effect=current.effect.value,
            stage=current.stage.name.lower(),
            changed=outcome.changed,
            notes=outcome.notes,
            before=before_counts,
            after=before_counts if kept is model else ModelCounts.of(kept),
            error_reason="not run: it was rejected" if broken else "" if outcome.changed else "nothing changed",
            rejected=broken,
            figures=outcome.figures,
            timings=outcome.timings,
        )
        return _Step(index, model, kept, entry)

    def _with_drop(self, step: _Step) -> JournalEntry:
        entry, evaluate = step.entry, self.site.evaluate
        if not step.changed:
            return entry
        asked = self.gate.evaluate_lossy and entry.effect == Effect.LOSSY.value
        if not asked or not isinstance(step.after, OnnxModel):
            return replace(entry, error_reason=f"a {entry.effect} pass is judged by the metric")
        if isinstance(evaluate, Absent):
            return replace(entry, error_reason=evaluate.reason)
        return replace(entry, drop=evaluate(step.after), error_reason="a lossy pass is judged by the metric's drop")

    def _prove(self, group: list[_Step]) -> tuple[Model, int]:
        """Journals ``group`` up to its first broken pass; returns the model that stands and where to go on."""
        pending = group
        while changed := [step for step in pending if step.changed]:
            bad = self._first_bad(changed)
            if bad is None:
                self._journal_proven(pending, changed)
                self.comparison.forget_all_but(group[-1].after)
                gc.collect()  # the models in between are cycles that hold weights
                return group[-1].after, group[-1].index + 1
            culprit = changed[bad]
            error, text = self._error(culprit.before, culprit.after)
            cut = pending.index(culprit)
            self._journal_proven(pending[:cut], changed[:bad])
            if error is not None and error > self._tolerance(culprit):
                self._journal_rejected(culprit, error, text)
                return culprit.before, culprit.index + 1
            # Small errors of several passes added up: each keeps its word, so the group goes on from here.
            self.journal.append(replace(culprit.entry, error=error, error_reason=text))
            pending = pending[cut + 1 :]
        self.journal.extend(step.entry for step in pending)
        return group[-1].after, group[-1].index + 1

    def _first_bad(self, changed: list[_Step]) -> int | None:
        """The first of ``changed`` whose model is too far from the one before all of them; None when all hold."""
        reference = changed[0].before
        limit = min(self._tolerance(step) for step in changed)

        def holds(index: int) -> bool:
            error, _ = self._error(reference, changed[index].after)
            return error is None or error <= limit

        low, high = 0, len(changed) - 1
        if holds(high):
            return None
        while low < high:  # changed[high] is bad, whatever comes before changed[low] is good
            middle = (low + high) // 2
            low, high = (middle + 1, high) if holds(middle) else (low, middle)
        return high

    def _error(self, before: Model, after: Model) -> tuple[float | None, str]:
        if not isinstance(before, OnnxModel) or not isinstance(after, OnnxModel):
            return None, "the model is in torch form"
        return self.comparison.error(before, after)

    def _tolerance(self, step: _Step) -> float:
        return self.passes[step.index].tolerance

    def _journal_proven(self, steps: list[_Step], proven: list[_Step]) -> None:
        """Journals ``steps``; the last of those that changed the model carries the error of all of them."""
        error, text = self._error(proven[0].before, proven[-1].after) if proven else (None, "")
        covered = ", ".join(step.entry.pass_name for step in proven[:-1])
        for step in steps:
            entry = step.entry
            if step.changed and error is None:
                entry = replace(entry, error_reason=text)
            elif step.changed and step is proven[-1]:
                entry = replace(entry, error=error, error_reason=f"together with {covered}" if covered else "")
            elif step.changed:
                entry = replace(entry, error_reason=f"proven together with {proven[-1].entry.pass_name}")
            self.journal.append(entry)

    def _journal_rejected(self, culprit: _Step, error: float, text: str) -> None:
        before, after = culprit.before, culprit.after
        assert isinstance(before, OnnxModel)
        assert isinstance(after, OnnxModel)
        worst = self.comparison.worst_layer(before, after) if self.gate.worst_layer else ""
        reason = f"{text}; the pass allows {self._tolerance(culprit):g}"
        self.site.log(f"pass '{culprit.entry.pass_name}' was rejected: {reason}")
        kept = replace(culprit.entry, after=culprit.entry.before, error=error, error_reason=text)
        self.journal.append(replace(kept, rejected=reason, worst_layer=worst))
        self.comparison.forget_all_but(before)


def signature_problem(before: Model, after: Model) -> str:
    """What a pass did to the inputs and outputs that it must not do; empty when they are as they were.

    Names, element types and the sizes of inputs are kept; an output's unknown size may become known.
    """
    if not isinstance(before, OnnxModel) or not isinstance(after, OnnxModel):
        return ""
    if before.inputs != after.inputs:
        old = ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in before.inputs)
        new = ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in after.inputs)
        return f"it changed the model's inputs from ({old}) to ({new})"
    old_outputs = [(spec.name, spec.dtype) for spec in before.outputs]
    new_outputs = [(spec.name, spec.dtype) for spec in after.outputs]
    known = all(dtype != "unknown" for _, dtype in old_outputs)
    if [name for name, _ in old_outputs] != [name for name, _ in new_outputs] or (known and old_outputs != new_outputs):
        return f"it changed the model's outputs from {old_outputs} to {new_outputs}"
    return ""


class Pipeline(Pass[Model, Model]):
    """Several passes as one. Its effect is LOSSY: whatever is inside, the metric is checked after it."""

    name: ClassVar[str] = "pipeline"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.CLEAN

    def __init__(self, passes: Sequence[AnyPass], gate: Gate | None = None) -> None:
        super().__init__()
        self.passes = tuple(passes)
        self.gate = gate or Gate()

    def __call__(self, model: Model, site: Site) -> Outcome[Model]:
        """Runs the passes; ``changed`` and the notes are theirs together, each note's text led by its pass's name."""
        result, journal = run_pipeline(self.passes, model, site, self.gate)
        notes = [replace(note, text=f"{entry.pass_name}: {note.text}") for entry in journal for note in entry.notes]
        notes += [
            Note("warning", entry.pass_name, f"rejected: {entry.rejected}") for entry in journal if entry.rejected
        ]
        changed = sum(entry.changed for entry in journal if not entry.rejected)
        return Outcome(result, changed if result is not model else 0, tuple(notes))
