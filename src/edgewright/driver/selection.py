"""Which candidate is built: explicit wishes are followed, everything else is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from edgewright.benchmarks.search_grade import Arm
from edgewright.compiler.quantization.prepare import prepare
from edgewright.core.errors import LimitMissedError, UnavailableError, UsageError
from edgewright.core.tensors import Feeds
from edgewright.core.units import show_bytes
from edgewright.driver.automatic import GAIN, automatic
from edgewright.driver.cache_times import blocks
from edgewright.driver.choice import CODED, Choice, coded_choices, float_choices
from edgewright.driver.contender import Contender, Timed
from edgewright.driver.gains import Gains, gains
from edgewright.driver.job import Job, Lane
from edgewright.driver.ledger import Ledger
from edgewright.driver.samples import SyntheticSamples
from edgewright.driver.search import Trial, Tuner, attempt, fastest, measure
from edgewright.driver.sizes import usual_inputs
from edgewright.driver.variant import Variant, varied

TIMED_SAMPLES = 8
"""Distinct real inputs a timed arm cycles through."""
SECONDS_PER_ARM = 2.0
_UNTIMED = {"fp32": 0, "bf16": 1, "fp16": 2, "fp8": 3, "int8": 4}
"""What is preferred where nothing can be timed."""
_REASONS = 3
"""So many refusals are repeated in the message that nothing can be built."""


@dataclass
class Selection:
    """Ranks what may be shipped, best first; ``because`` is the reproducible part of why."""

    job: Job
    lanes: Sequence[Lane]
    log: Callable[[str], None]
    because: list[dict[str, object]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Why candidates could not be built, for when none could."""
    ledger: Ledger = field(init=False)
    """Everything that was looked at, with the times that decided."""
    _gains: dict[tuple[str, str], Gains | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.log)

    def ranked(self, among: Sequence[tuple[Lane, Choice]] = ()) -> Iterator[Contender]:
        """Candidates that hold the limit on the selection set, best first; then the best of those that do not.

        Args:
            among: these alone as they are, of a plan, the simplest first; empty for all there are.

        Raises:
            UsageError: int8 was asked for without data.
            UnavailableError: nothing of what was asked for can be built.
        """
        precision = self.job.request.precision
        if among:
            plain = [one for lane, choice in among if (one := self.plain(lane, choice))]
            found = self.fastest_first(self.ledger.beside_fastest(self.timed(plain)))
            self.ledger.keep(found)
        else:
            found = automatic(self) if precision == "auto" else self._explicit(precision)
        if not found:
            raise UnavailableError(
                f"nothing can be built for {', '.join(lane.target.name for lane in self.lanes)}{self._why()}",
                "Choose another --precision or --target, or export the model with what they take.",
            )
        fitting = [one for one in found if self._fits(one)]
        if not fitting:
            smallest = min(one.trial.built.artifact.size_bytes for one in found)
            limit = self.job.request.budget.max_bytes or 0
            raise LimitMissedError(
                f"the smallest candidate has {show_bytes(smallest)}, --max-size is {show_bytes(limit)}",
                "Raise --max-size, or let another --precision be tried.",
            )
        yield from [one for one in fitting if one.holds]
        yield from sorted((one for one in fitting if not one.holds), key=lambda one: one.trial.drop or 0.0)

    @property
    def searched(self) -> Mapping[str, object] | None:
        """The document of a search, or of a plan's race; None where nothing competed."""
        request = self.job.request
        competed = request.precision == "auto" if request.plan is None else self.ledger.any
        return self.ledger.to_json() if competed else None

    def stricter(self, contender: Contender, over: float) -> Contender | None:
        """The candidate tuned again, to a limit below its own drop by what it missed when it was proven; None if float.

        The proof set told how much more is lost there than on the selection set: what loses that much less on the one
        should hold on the other.
        """
        judge, sets = contender.lane.judge, self.job.sets
        if contender.trial.choice.precision not in CODED or judge is None or sets is None or self.job.request.plan:
            return None
        reached = contender.trial.drop if contender.trial.drop is not None else self.job.request.budget.max_drop
        limit = max(reached - over, 0.0)
        trials, known = self.job.request.trials, contender.lane.trials
        workshop, gained = contender.lane.workshop, self._gains.get(_scheme(contender))
        steps = self.job.steps
        tuner = Tuner(workshop, judge, sets.select, limit, trials, self.log, known, steps=steps, gains=gained)
        choice = contender.trial.choice
        # Where the selection set shows no loss, it cannot tell better from good: more layers in float, proven again.
        work = tuner.tune if reached > limit else tuner.spare_more
        trial = attempt(lambda: work(choice), f"{contender.lane.target.name} {choice.title}", self.log)
        if trial is None or trial.choice == choice:
            return None
        said = f"tuned again to a limit of {limit:.4f}" if reached > limit else "more layers are left in float"
        self.note(replace(contender, trial=trial), said)
        return replace(contender, trial=trial)

    def _explicit(self, precision: str) -> list[Contender]:
        """One precision: the target's preferred way decides, so that a second compile gives the same bytes."""
        found: list[Contender] = []
        for lane in self.lanes:
            choices = coded_choices(lane.target) if precision in CODED else float_choices(lane.target)
            choices = [one for one in choices if one.precision == precision]
            choices = varied(choices, self.variants(lane), trained_first=True)
            if not choices:
                self.log(f"  {lane.target.name} has no {precision}: it takes {', '.join(lane.target.precisions)}")
            found += self._first_coded(lane, choices) if precision in CODED else self._all_plain(lane, choices)
        if not found and all(precision not in lane.target.precisions for lane in self.lanes):
            names = ", ".join(lane.target.name for lane in self.lanes)
            raise UnavailableError(f"{names} does not take {precision}", "Choose another --precision or --target.")
        if len(self.lanes) > 1:
            found = self.fastest_first(found)
        return found

    def variants(self, lane: Lane) -> tuple[Variant, ...]:
        """What training made, for runtimes that take graphs: the torch form at hand is the original's."""
        if lane.workshop.program is None or not self.job.variants:
            return self.job.variants
        self.log(f"  {lane.target.name} takes the torch form: what was trained is not tried on it")
        return ()

    def _all_plain(self, lane: Lane, choices: Sequence[Choice]) -> list[Contender]:
        return [one for one in (self.plain(lane, choice) for choice in choices) if one]

    def _first_coded(self, lane: Lane, choices: Sequence[Choice]) -> list[Contender]:
        """The first scheme that holds as it is; where none does, the first that can be made to hold.

        A scheme that quantises less and holds keeps more of int8's speed than a richer one with layers taken out.
        """
        if self.job.sets is None:
            raise UsageError(
                f"{self.job.request.precision} needs data to find its ranges and to prove its accuracy",
                "Give --data, or choose --precision fp32.",
            )
        rule = lane.target.fp8 if self.job.request.precision == "fp8" else lane.target.int8
        kinds = {} if rule is None else {scheme.name: scheme.kind for scheme in rule.schemes}
        found: list[Contender] = []
        built: list[Choice] = []
        for choice in choices:
            draft = self.plain(lane, choice, tunable=True) if kinds[choice.scheme] == "static" else None
            if draft is not None and draft.holds:
                return [draft]
            if draft is not None or kinds[choice.scheme] != "static":
                built.append(choice)
        for choice in built:
            tuned = self.tuned(lane, choice)
            found += [tuned] if tuned else []
            if tuned is not None and tuned.holds:
                break
        return found

    def plain(self, lane: Lane, choice: Choice, *, tunable: bool = False) -> Contender | None:
        """One candidate as it is. Without data it counts as holding: there is nothing to hold it against."""

        def work() -> Trial:
            if lane.judge is None or self.job.sets is None or not lane.presence.runnable:
                return Trial(lane.workshop.build(choice), None, None)
            if choice.digest not in lane.trials:
                lane.trials[choice.digest] = measure(lane.workshop, lane.judge, self.job.sets.select, choice)
            return lane.trials[choice.digest]

        trial = attempt(work, f"{lane.target.name} {choice.title}", self._refuse)
        if trial is None:
            return None
        contender = Contender(lane, trial, trial.drop is None or trial.drop <= self.job.request.budget.max_drop)
        self._say(contender)
        if not contender.holds and not tunable:
            self.note(contender, "misses the accuracy limit")
        return contender

    def tuned(self, lane: Lane, choice: Choice, known: Gains | None = None) -> Contender | None:
        """The candidate made to hold the limit, or what came nearest; None where it cannot be built.

        Args:
            known: what quantising each layer gains: those that gain least for what they harm go to float first.
        """
        if lane.judge is None or self.job.sets is None or not lane.presence.runnable:
            return self.plain(lane, choice)
        budget = self.job.request
        limit, select = budget.budget.max_drop, self.job.sets.select
        tuner = Tuner(
            lane.workshop,
            lane.judge,
            select,
            limit,
            budget.trials,
            self.log,
            lane.trials,
            steps=self.job.steps,
            gains=known,
            out_of_time=lambda: self.job.out_of_time,
        )
        trial = attempt(lambda: tuner.tune(choice), f"{lane.target.name} {choice.title}", self._refuse)
        if trial is None:
            return None
        contender = Contender(lane, trial, trial.drop is not None and trial.drop <= budget.budget.max_drop)
        self.note(contender, "holds" if contender.holds else f"misses after {tuner.spent} trials")
        return contender

    def timed(self, found: list[Contender], seconds_per_arm: float = SECONDS_PER_ARM) -> list[Contender]:
        """Search-grade times where the lane's hardware is this machine's, taken in turns; the record marks them so."""
        arms = [one for one in found if one.lane.presence.timed]
        if not arms:
            return found
        reference = self.ledger.reference
        beside = [reference] if reference is not None and reference.key not in {one.key for one in arms} else []
        feeds = self._feeds()
        named = [Arm(str(place), one.trial.built.artifact, feeds) for place, one in enumerate([*arms, *beside])]
        by_name = blocks(self.job.steps, named, seconds_per_arm, arms[0].lane.threads, self.log)
        taken = {one.key: by_name[str(place)] for place, one in enumerate([*arms, *beside])}
        against = () if reference is None else taken[reference.key]
        keys = {one.key for one in arms if taken[one.key]}
        return [replace(one, timed=Timed(taken[one.key], against) if one.key in keys else None) for one in found]

    def gains(self, quantised: Contender, plain: Contender) -> Gains | None:
        """What quantising each layer gains; None where the engines do not show what their layers take.

        Args:
            plain: a float engine of the same target.
        """
        key = _scheme(quantised)
        if key not in self._gains:
            workshop, choice = quantised.lane.workshop, quantised.trial.choice
            model = workshop.before_quantisation(choice)
            graphs = (model.ir.graph, prepare(model).ir.graph)  # layers are ranked by the names they have in the second
            layers = list(dict.fromkeys(node.name for graph in graphs for node in graph if node.name))
            engines = quantised.trial.built.artifact, plain.trial.built.artifact
            self._gains[key] = gains(
                self.job.steps, engines, layers, self._feeds()[0], threads=quantised.lane.threads, log=self.log
            )
        return self._gains[key]

    def fastest_first(self, found: list[Contender], *, again: bool = False) -> list[Contender]:
        """Those that hold, the fastest first, then the others.

        Args:
            again: time them against each other even where each was timed before.
        """
        holding = [one for one in found if one.holds]
        if len(holding) > 1 and (again or any(one.time_ms is None for one in holding)):
            holding = self.timed(holding)
        rest = [one for one in found if not one.holds]
        ranked: list[Contender] = []
        while holding:
            times = [one.time_ms for one in holding]
            winner = fastest([one.trial for one in holding], times, GAIN)
            first = next(one for one in holding if one.trial is winner)
            if all(time is None for time in times):
                first = self._preferred(holding)
            ranked.append(first)
            holding = [one for one in holding if one is not first]
        return [*ranked, *rest]

    def _preferred(self, holding: Sequence[Contender]) -> Contender:
        """Where nothing can be timed: the narrowest precision that was proven on data, the last added of each.

        float16 stands before bfloat16, which has three bits less; without data nothing is proven, and float32 is kept.
        """
        if self.job.sets is None:
            return holding[0]
        return max(enumerate(holding), key=lambda item: (_UNTIMED[item[1].trial.choice.precision], item[0]))[1]

    def _feeds(self) -> list[Feeds]:
        if self.job.sets is not None:
            return list(islice(iter(self.job.sets.select), TIMED_SAMPLES))
        return list(SyntheticSamples(usual_inputs(self.job.original), TIMED_SAMPLES, self.job.request.seed))

    def _fits(self, contender: Contender) -> bool:
        limit = self.job.request.budget.max_bytes
        artifact = contender.trial.built.artifact
        if limit is not None and artifact.pending:
            self.log(f"  --max-size is unmeasured: {artifact.pending}")
            return True
        fits = limit is None or artifact.size_bytes <= limit
        if not fits:
            self.note(contender, f"larger than --max-size: {artifact.size_bytes} bytes")
        return fits

    def _say(self, contender: Contender) -> None:
        drop = contender.trial.drop
        shown = "not judged" if drop is None else f"drop {drop:+.4f}"
        size = show_bytes(contender.trial.built.artifact.size_bytes)
        self.log(f"  {contender.title}: {size}, {shown}")

    def _refuse(self, line: str) -> None:
        self.refusals.append(line.strip())
        self.log(line)

    def _why(self) -> str:
        lines = dict.fromkeys(self.refusals)
        return f": {'; '.join(list(lines)[:_REASONS])}" if lines else ""

    def note(self, contender: Contender, verdict: str) -> None:
        """Says what became of a candidate, here, in the ledger and in the reproducible part of why."""
        self.ledger.saw(contender, verdict)
        self.log(f"  {contender.title}: {verdict}")
        self.because.append(
            {
                "target": contender.lane.target.name,
                "candidate": contender.trial.choice.title,
                "drop": contender.trial.drop,
                "verdict": verdict,
            }
        )


def _scheme(contender: Contender) -> tuple[str, str]:
    choice = contender.trial.choice
    return contender.lane.target.name, f"{choice.variant} {choice.scheme}"
