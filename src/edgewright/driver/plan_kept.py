"""Which steps of a compile would come from the cache: it is followed through what is kept, and no further."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from edgewright.compiler.pass_base import Stage, registry
from edgewright.compiler.site import Absent
from edgewright.core.cache import Hit, Part, Parts
from edgewright.core.data import DataSet
from edgewright.core.errors import EdgewrightError
from edgewright.core.user_code import is_reference
from edgewright.driver.cache_steps import Steps
from edgewright.driver.choice import Choice
from edgewright.driver.job import Job, Lane

PASSES, SOME_PASSES, ENGINE, SCORE = "passes", "some passes", "engine", "score"
_ANSWERS = "answers"


class _NotKeptError(Exception):
    """Here the work would begin."""


@dataclass
class _Peek(Steps):
    """Steps of which nothing is done that is not kept."""

    missed: str = ""
    """The kind of the first that is not kept."""

    @contextmanager
    def found(self, kind: str, parts: Parts, what: str) -> Iterator[Hit | None]:
        """What is kept.

        Raises:
            _NotKeptError: nothing is.
        """
        with super().found(kind, parts, what) as hit:
            if hit is None and not _quick(kind, parts):
                self.missed = kind
                raise _NotKeptError
            yield hit

    @contextmanager
    def found_or_owned(self, kind: str, parts: Parts, what: str) -> Iterator[Hit | None]:
        """What is kept; a plan waits for nobody."""
        with self.found(kind, parts, what) as hit:
            yield hit

    def keep(self, *_: object, **__: object) -> None:
        """Keeps nothing: a plan leaves no traces."""


def kept_steps(job: Job, lane: Lane, choice: Choice) -> tuple[str, ...]:
    """Of the passes, the engine and the score of ``choice`` as it is, those that are in the cache."""
    workshop = lane.workshop
    if job.steps.store is None or workshop.program is not None or workshop.backend.native_code or choice.variant:
        return ()
    peek = _peek(job)
    # Passes that are quick enough to be done again are not held to real samples for a plan.
    site = replace(workshop.site, run=Absent("a plan runs nothing"))
    with contextlib.suppress(_NotKeptError, EdgewrightError):
        own = replace(workshop, site=site, steps=peek, _prefixes={}, _built={})
        engine = own.openable(own.build(choice).artifact)
        scored = lane.judge is not None and not is_reference(job.metric) and job.recipe.decode is None
        if scored and lane.judge is not None and job.sets is not None and lane.presence.runnable:
            replace(lane.judge, steps=peek).known_score(engine, job.sets.select, lane.threads)
    found = [kind for kind in (ENGINE, SCORE) if peek.taken[kind]]
    passes = SOME_PASSES if peek.missed == PASSES else PASSES
    return (passes, *found) if peek.taken[PASSES] else tuple(found)


def kept_answers(job: Job, data: DataSet) -> bool:
    """Whether what the original answers to ``data`` is in the cache."""
    if job.steps.store is None:
        return False
    parts: dict[str, Part] = {"model": job.answers.digest, "data": data.digest}
    with contextlib.suppress(_NotKeptError), _peek(job).found(_ANSWERS, parts, "") as hit:
        return hit is not None
    return False


def _peek(job: Job) -> _Peek:
    steps = job.steps
    return _Peek(steps.store, steps.around, replace(job.request, explain_miss=False), steps.worth_s)


def _quick(kind: str, parts: Parts) -> bool:
    """Whether this may be done for a plan: the passes at the very end name and sort, and are rarely worth keeping."""
    if kind != PASSES:
        return False
    names = cast("list[str]", parts["order"])
    return all(registry().find(name).stage is Stage.FINISH for name in names)
