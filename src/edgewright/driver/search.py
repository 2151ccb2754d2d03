"""Finds the fastest candidate that keeps its accuracy. Accuracy decides what may be chosen, time what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgewright.benchmarks.accuracy import Score
from edgewright.compiler.pass_base import Stage, Tunable
from edgewright.core.data import DataSet
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.driver.cache_models import damage
from edgewright.driver.cache_steps import Steps
from edgewright.driver.choice import Choice
from edgewright.driver.gains import Gains, knapsack_order
from edgewright.driver.judge import Judge
from edgewright.driver.variant import QAT
from edgewright.driver.workshop import Built, Workshop
from edgewright.targets.detect import this_host

_DEAR = 3
"""So many layers left in float are tried in int8 again."""


@dataclass(frozen=True)
class Trial:
    """A candidate that was built, and what it costs in accuracy on the selection set."""

    built: Built
    score: Score | None
    drop: float | None
    """None where nothing could be measured (no data)."""

    @property
    def choice(self) -> Choice:
        """What was tried."""
        return self.built.choice


@dataclass
class Tuner:
    """Makes one int8 scheme hold the accuracy limit: other options first, then layers left in float, worst first."""

    workshop: Workshop
    judge: Judge
    select: DataSet
    max_drop: float
    trials: int
    log: Callable[[str], None]
    known: dict[str, Trial] = field(default_factory=dict)
    """What was tried before, by the choice's digest; trying it again costs nothing."""
    spent: int = 0
    history: list[Trial] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)
    """What earlier compiles left of rankings."""
    gains: Gains | None = None
    """What quantising each layer gains, where that was looked at: of two that harm alike the cheaper is left out."""
    out_of_time: Callable[[], bool] = lambda: False
    """Asked before each trial but the first."""

    def tune(self, choice: Choice) -> Trial:
        """The first trial within the limit, or the best found when the budget of trials is spent.

        Raises:
            UnavailableError, EngineError: when the plain variant cannot be built or run.
        """
        best = self._try(choice)
        if self._holds(best):
            return best
        pass_ = self._tunable(choice)
        if pass_ is None:
            return best
        # What training fixed (ranges, channels, biases) has no alternatives here.
        for change in () if choice.variant == QAT else pass_.alternatives():
            if self.spent >= self.trials // 2 or self.out_of_time():
                break
            best = min(best, self._variant(choice.varied(**change)) or best, key=_drop)
            if self._holds(best):
                return best
        return self._spare_layers(best)

    def spare_more(self, choice: Choice) -> Trial:
        """``choice`` with twice as many of the most damaging layers in float, one at least.

        Raises:
            UnavailableError, EngineError: when it cannot be built or run.
        """
        pass_ = self._tunable(choice)
        if pass_ is None:
            return self._try(choice)
        kept = choice.kept_float
        more = [name for name in self._ranked(pass_, choice) if name not in kept][: max(1, len(kept))]
        return self._try(choice.varied(keep_float=(*kept, *more)))

    def _spare_layers(self, best: Trial) -> Trial:
        pass_ = self._tunable(best.choice)
        assert pass_ is not None
        # What an earlier search kept in float is not ranked any more and stays so.
        kept = best.choice.kept_float
        ranked = [name for name in self._ranked(pass_, best.choice) if name not in kept]
        low, count, high = 0, 1, len(ranked) + 1
        while self._may_go_on and low + 1 < high:
            count = min(count, high - 1)
            trial = self._variant(best.choice.varied(keep_float=(*kept, *ranked[:count])))
            if trial is not None and self._holds(trial):
                found = self._restore_layers(trial, [*kept, *ranked], len(kept) + low, len(kept) + count)
                return self._restore_dear(found, kept)
            if trial is None:  # nothing is left to quantise, or the engine refuses it: fewer layers
                high, count = count, (low + count) // 2
                continue
            best = min(best, trial, key=_drop)
            low, count = count, count * 2 if high > len(ranked) else (count + high) // 2
        return best

    def _restore_layers(self, found: Trial, ranked: list[str], low: int, high: int) -> Trial:
        """Bisects between the last failing and the first holding count: each layer in float costs speed."""
        while high - low > 1 and self._may_go_on:
            middle = (low + high) // 2
            trial = self._variant(found.choice.varied(keep_float=tuple(ranked[:middle])))
            if trial is not None and self._holds(trial):
                found, high = trial, middle
            else:
                low = middle
        return found

    def _restore_dear(self, found: Trial, kept: Sequence[str]) -> Trial:
        """Quantises those again, the one that gains most first, that the limit does not need in float."""
        if self.gains is None:
            return found
        shares = self.gains.shares
        spared = [name for name in found.choice.kept_float if name not in kept]
        # The last that was added is needed: without it the limit was missed.
        for name in sorted(spared[:-1], key=lambda one: -shares.get(one, 0.0))[:_DEAR]:
            if not self._may_go_on or shares.get(name, 0.0) <= 0:
                break
            rest = tuple(one for one in found.choice.kept_float if one != name)
            trial = self._variant(found.choice.varied(keep_float=rest))
            found = trial if trial is not None and self._holds(trial) else found
        return found

    def _ranked(self, pass_: Tunable, choice: Choice) -> list[str]:
        model = self.workshop.before_quantisation(choice)
        return knapsack_order(damage(self.steps, pass_, model, self.workshop.site), self.gains)

    @property
    def _may_go_on(self) -> bool:
        return self.spent < self.trials and not self.out_of_time()

    def _variant(self, choice: Choice) -> Trial | None:
        """A change of what could be built before; None when it cannot be built itself, and what was found stays."""
        return attempt(lambda: self._try(choice), f"trial {self.spent + 1}/{self.trials}", self.log)

    def _try(self, choice: Choice) -> Trial:
        trial = self.known.get(choice.digest)
        if trial is None:
            self.spent += 1
            trial = self.known[choice.digest] = measure(self.workshop, self.judge, self.select, choice)
            what = f"trial {self.spent}/{self.trials}"
        else:
            what = "tried before:"
        self.history.append(trial)
        options = ", ".join(f"{name}={_brief(value)}" for name, value in choice.options.items())
        state = "holds" if self._holds(trial) else "misses"
        self.log(
            f"  {what} {choice.title}{f' [{options}]' if options else ''}: "
            f"drop {_drop(trial):+.4f} {state} {self.max_drop:g}"
        )
        return trial

    def _holds(self, trial: Trial) -> bool:
        return _drop(trial) <= self.max_drop

    def _tunable(self, choice: Choice) -> Tunable | None:
        passes = self.workshop.pipeline(choice).passes
        return next((one for one in passes if one.stage is Stage.QUANTIZE and isinstance(one, Tunable)), None)


def measure(workshop: Workshop, judge: Judge, data: DataSet, choice: Choice) -> Trial:
    """Builds ``choice`` and scores it on ``data``.

    Raises:
        UnavailableError, EngineError: when it cannot be built or run.
    """
    built = workshop.build(choice)
    engine = workshop.openable(built.artifact)
    score = judge.known_score(engine, data, engine.threads(min(workshop.target.threads, this_host().cores)))
    return Trial(built, score, judge.drop(score, data))


def attempt(work: Callable[[], Trial], title: str, log: Callable[[str], None]) -> Trial | None:
    """Runs ``work``; a candidate the engine cannot take is a line in the log, not the end of the compile."""
    try:
        return work()
    except (UnavailableError, EngineError) as error:
        log(f"  {title} is out: {error.problem}")
        return None


def fastest(trials: Sequence[Trial], times_ms: Sequence[float | None], gain: float = 0.05) -> Trial:
    """The fastest of ``trials`` (simplest first): a later one must be faster than the best before it by ``gain``.

    Trials without a time are passed over unless none has one.
    """
    timed = [(trial, time) for trial, time in zip(trials, times_ms, strict=True) if time is not None]
    if not timed:
        return trials[0]
    best, best_ms = timed[0]
    for trial, time in timed[1:]:
        if time <= best_ms * (1 - gain):
            best, best_ms = trial, time
    return best


def _drop(trial: Trial) -> float:
    return float("inf") if trial.drop is None else trial.drop


def _brief(value: object) -> str:
    return f"{len(value)} layers" if isinstance(value, tuple | list) else str(value)
