"""Prune, distil, train for int8: the stages that change a torch module before anything is lowered, each judged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import cast

from edgewright.benchmarks import accuracy
from edgewright.compiler.journal import JournalEntry
from edgewright.compiler.pass_base import Stage, registry
from edgewright.compiler.pipeline import AnyPass, run_pipeline, signature_problem
from edgewright.compiler.site import Absent, Goal, Measure, Selection, Site, Training
from edgewright.compiler.torch_stage.parent import export_source
from edgewright.core.data import DataSet
from edgewright.core.errors import RetryableError, UnavailableError, UsageError
from edgewright.core.model import OnnxModel, TorchSource
from edgewright.core.tensors import Outputs
from edgewright.driver.job import Job, Lane
from edgewright.driver.judge import Judge
from edgewright.driver.recipe import Recipe
from edgewright.driver.request import CompileRequest
from edgewright.driver.stage_timing import StageTimer
from edgewright.driver.variant import QAT, RECOVERED, Variant
from edgewright.targets.detect import this_host

TIMED_SAMPLES = 8
_NOTES_SHOWN = 8
_ROOM = 0.9
"""Share of ``--max-size`` that parameters may fill: graph, scales and biases need the rest."""
_TRAINABLE = "A module can be trained where it is given as module:factory; a .pt2 can take qat alone, ONNX neither."


def wanted_stages(recipe: Recipe, request: CompileRequest) -> tuple[str, ...]:
    """The stages that the recipe names, in their order; else those that a goal and training data ask for.

    Raises:
        UsageError: training data that nothing would use.
    """
    known = {name: kind for name in registry().names() if (kind := registry().find(name)).stage < Stage.EXPORT}
    order = sorted(known, key=lambda name: (known[name].stage, known[name].order, name))
    named = [one.name for one in recipe.passes if one.name in known and not one.skip]
    if named:
        if named != [name for name in order if name in named]:
            raise UsageError(
                f"the recipe has {', '.join(named)}; they run as {', '.join(name for name in order if name in named)}",
                "Write them in that order.",
            )
        return tuple(named)
    if request.train_data is None:
        return ()
    budget = request.budget
    if budget.max_latency_ms is None and budget.max_latency_ratio is None and budget.max_bytes is None:
        raise UsageError(
            "nothing would use --train-data",
            "Give --max-latency (8ms, or 0.5x of the float model) or --max-size, or name prune, distil or qat in a"
            " --recipe.",
        )
    skipped = recipe.skipped
    wanted = [name for name in order if name not in skipped]
    return tuple(name for name in wanted if name != "qat" or request.precision in ("auto", "int8"))


def require_trainable(source: TorchSource | None, stages: Sequence[str], name: str) -> None:
    """Lets through what the stages can be done to.

    Raises:
        UsageError: a graph, or a program that is no module any more.
    """
    if not stages:
        return
    if source is None:
        raise UsageError(f"'{name}' is ONNX, and {', '.join(stages)} train torch modules", _TRAINABLE)
    others = [stage for stage in stages if stage != "qat"]
    if source.kind == "pt2" and others:
        raise UsageError(
            f"'{name}' is an exported program (.pt2), which {' and '.join(others)} cannot change", _TRAINABLE
        )
    fixed = [spec for spec in source.inputs if spec.shape and isinstance(spec.shape[0], int)]
    if source.kind == "pt2" and fixed:
        raise UsageError(
            f"'{name}' was exported for batches of {fixed[0].shape_text.partition('x')[0]}, and training takes others",
            "Export it with a dynamic batch (torch.export.Dim), or give the module as file.py:factory.",
        )


@dataclass
class WorkFolder:
    """Where checkpoints and trained weights are."""

    path: Path
    kept: bool = True
    """Left there when the compile ends."""


@contextlib.contextmanager
def checkpoints(request: CompileRequest) -> Iterator[WorkFolder]:
    """The folder that outlives this process; it goes only where ``kept`` is taken back and the user did not name it.

    Raises:
        RetryableError: another compile is at work in it.
    """
    folder = request.work or request.out.with_name(f"{request.out.name}.work")
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RetryableError(
                f"another compile is at work in {folder}", "Wait for it, or give --work another folder."
            ) from error
        work = WorkFolder(folder)
        yield work
        if not work.kept and request.work is None:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


@dataclass(frozen=True)
class Chain:
    """The stages of one compile and what they are run with."""

    job: Job
    stages: tuple[str, ...]
    lanes: tuple[tuple[str, Lane], ...]
    """Each with the name of the output it works for."""
    folder: Path
    widths: tuple[str, ...] = ()
    """Of a plan, to be repeated."""
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Options of passes, by their names, that were searched for: they stand in for the recipe's."""

    def run(self) -> tuple[Variant, ...]:
        """What the stages make of the module, in the forms that candidates start from.

        Raises:
            EdgewrightError: as a stage found.
        """
        job = self.job
        assert job.source is not None
        site = self._site()
        source: TorchSource = job.source
        entries: list[JournalEntry] = []
        found: list[Variant] = []
        widths: tuple[str, ...] = self.widths
        for stage in self.stages:
            job.request.log(f"{stage}:")
            after, (entry,) = run_pipeline([self._pass(stage)], source, site)
            assert isinstance(after, TorchSource)
            self._say(entry, unchanged=after is source)
            if after is source:
                entries.append(entry)
                continue
            model = self._exported(after)
            drop = None if stage == QAT else self._drop(model)
            reason = "judged as int8, below" if stage == QAT else entry.error_reason
            entries.append(replace(entry, drop=drop, error_reason=reason))
            said = "" if drop is None else f", drop {drop:+.4f} on the selection set"
            job.request.log(f"  {stage}: {entry.after.parameters or model.parameters} parameters{said}")
            widths = tuple(str(one) for one in cast("list[object]", entry.figures.get("widths", widths)))
            variant = Variant(QAT if stage == QAT else RECOVERED, model, tuple(entries), drop, widths)
            found = [*(one for one in found if one.name != variant.name), variant]
            source = after
        return tuple(found)

    def _say(self, entry: JournalEntry, *, unchanged: bool) -> None:
        """Warnings always, and every reason where nothing was changed."""
        told = [note for note in entry.notes if unchanged or note.kind == "warning"]
        for note in told[:_NOTES_SHOWN]:
            subject = f"{note.subject}: " if note.subject else ""
            self.job.request.log(f"  {entry.pass_name}: {subject}{note.text}")
        if len(told) > _NOTES_SHOWN:
            self.job.request.log(f"  {entry.pass_name}: and {len(told) - _NOTES_SHOWN} more, in the bundle's journal")
        if unchanged:
            self.job.request.log(f"  {entry.pass_name}: nothing was changed")

    def _pass(self, stage: str) -> AnyPass:
        kind = registry().find(stage)
        options = {**self.job.recipe.options_of(stage), **self.settings.get(stage, {})}
        if stage == "prune" and self.widths:
            options["widths"] = self.widths
        return kind(kind.options_type(**options))

    def _site(self) -> Site:
        job = self.job
        sets = job.sets
        timer = self._timer()
        measure: Measure | Absent = timer if timer.lanes else Absent("the target is not here to be timed on")
        training = Training(
            train=Absent("no --train-data was given") if job.train is None else job.train,
            select=Absent("no data was given") if sets is None else Selection(sets.select, self._judged, job.metric),
            goal=self._goal(timer),
            keep=job.request.keep,
            checkpoints=self.folder,
            resume=job.request.resume,
            threads=this_host().cores,
            exclude=frozenset() if sets is None else _fingerprints(sets.select, sets.prove),
        )
        site = self.lanes[0][1].workshop.site
        return replace(site, measure=measure, training=training, progress=job.request.progress)

    def _timer(self) -> StageTimer:
        job = self.job
        timed = [] if job.request.plan is not None else [one for one in self.lanes if one[1].presence.timed]
        feeds = [] if job.sets is None else list(islice(iter(job.sets.select), TIMED_SAMPLES))
        asked = job.request.precision
        # Whoever trains for codes means to ship them; else they may win in the end, and are not counted on.
        likely = "int8" if job.sets is not None and "qat" in self.stages else "fp32"
        precision = likely if asked == "auto" else asked
        return StageTimer(timed if feeds else [], feeds, precision)

    def _goal(self, timer: StageTimer) -> Goal:
        budget = self.job.request.budget
        limit, ratio = budget.max_latency_ms, budget.max_latency_ratio
        # The limit is of the engine's files, the goal of the parameters in float32, which codes are a quarter of.
        size = (
            None
            if budget.max_bytes is None
            else int(budget.max_bytes * _ROOM * (4 if timer.precision == "int8" else 1))
        )
        wanted = Goal(latency_ms=limit, latency_ratio=ratio, max_bytes=size)
        stated = str(self.job.recipe.options_of("prune").get("goal", ""))
        in_time = limit is not None or ratio is not None or stated.startswith("latency")
        if "prune" not in self.stages or not timer.lanes or not in_time:
            return wanted
        times = timer.float32_ms()
        limits = dict.fromkeys(times, limit) if limit is not None else {}
        if ratio is not None:
            limits = {name: ms * ratio for name, ms in times.items()}
        return replace(wanted, limits_ms=limits, float32_ms=times)

    def _exported(self, source: TorchSource) -> OnnxModel:
        """The state as ONNX.

        Raises:
            UnavailableError: it is fed or answers in another way than the original.
        """
        model = export_source(source, self.job.workdir, this_host().cores)
        model = replace(model, sizes=self.job.original.sizes)
        if problem := signature_problem(self.job.original, model):
            raise UnavailableError(f"training changed what '{source.name}' is: {problem}", "This is a bug: report it.")
        return model

    def _drop(self, model: OnnxModel) -> float | None:
        sets = self.job.sets
        return None if sets is None else self._judged(self.job.answers.executor.run(model, sets.select))

    def _judged(self, answers: Iterable[Outputs]) -> float:
        job = self.job
        assert job.sets is not None
        judge = Judge(job.metric, job.recipe.decode, job.answers)
        metric = accuracy.load_metric(job.metric, job.recipe.decode)
        originals = job.answers.of(job.sets.select) if metric.compares_to == "original" else None
        return judge.drop(accuracy.score(answers, job.sets.select, metric, originals), job.sets.select)


def _fingerprints(*sets: DataSet) -> frozenset[bytes]:
    return frozenset(one for data in sets for one in data.fingerprints or ())
