"""Two engines that are run in turn: each arm's child processes, warmed alike, and what the pairs gave so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgewright.backends import Artifact
from edgewright.benchmarks.gate.latency import DELTA, PairedTest, paired_test
from edgewright.benchmarks.harness.machine import choose_cpus
from edgewright.benchmarks.harness.measuring import Children, Question, Warmth, digest_of_samples, problems_of
from edgewright.benchmarks.harness.protocol import MOST_ATTEMPTS, Protocol
from edgewright.benchmarks.harness.side import SideSeries
from edgewright.benchmarks.preparing import Judging, Prepared, dataset_for, few_inputs, inputs_of, judging, prepare
from edgewright.benchmarks.record import Memory, Run, Verdict, VoidedRun
from edgewright.benchmarks.summary import run_medians
from edgewright.core.budget import DEFAULT_MAX_DROP
from edgewright.core.bundle import Bundle
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Feeds, Outputs

ArmName = Literal["base", "new"]
ARMS: tuple[ArmName, ArmName] = ("base", "new")
MEMORY_PROCESSES = 3


@dataclass(frozen=True, eq=False)
class Pairing:
    """A bundle and what it is compared with."""

    new: Bundle
    base: Bundle
    data: str | None = None
    """DATA as the command line has it; None runs the golden samples of ``new``."""
    metric: str | None = None
    threads: int | None = None
    trust_native_code: bool = False
    delta: float = DELTA
    """How much slower is still the same, as a share."""
    max_drop: float = DEFAULT_MAX_DROP
    """How much worse the metric may be, in its own unit."""
    name: str = ""
    """The gate's, where one asks."""
    slowdown: float = 0.0
    """A known slowdown of ``new``, a busy wait of this share of each inference's time: to see that it is found."""

    @property
    def subject(self) -> str:
        """What messages call it."""
        manifest = self.new.manifest
        return f"{manifest.model.name} {manifest.target.name} {manifest.precision}"


@dataclass
class Side:
    """One arm: its engine's child processes and what they gave."""

    ready: Prepared
    artifact: Artifact
    children: Children
    runs: list[Run] = field(default_factory=list)
    warmth: Warmth | None = None
    memory: Memory | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Audits that failed."""
        assert self.warmth is not None
        return problems_of(self.warmth, self.runs, self.children.question.tolerance)


@dataclass
class Duel:
    """A pairing on its way: both sides warm alike, pair after pair."""

    pairing: Pairing
    sides: dict[ArmName, Side]
    judging: Judging
    samples: list[Feeds]
    source: str
    series: SideSeries
    """Clocks and temperatures of the whole session."""
    voided: list[VoidedRun] = field(default_factory=list)
    order: int = 0
    verdict: Verdict | None = None
    shaky: tuple[str, ...] = ()

    @property
    def warmth(self) -> Warmth:
        """What the runs of both arms were told."""
        found = self.sides["new"].warmth
        assert found is not None
        return found

    @property
    def test(self) -> PairedTest:
        """The pairs so far."""
        inner = self.warmth.inner
        new, base = (run_medians(self.sides[arm].runs, inner) for arm in ("new", "base"))
        return paired_test(new, base, self.pairing.delta)

    def warm_up(self) -> None:
        """Finds out how long each arm takes to get warm; both then warm for the longer count."""
        found = {arm: side.children.warm_up() for arm, side in self.sides.items()}
        shared = max(found.values(), key=lambda one: one.inferences).inferences
        inner = max(one.inner for one in found.values())
        steady = all(one.steady for one in found.values())
        for arm, side in self.sides.items():
            side.warmth = replace(found[arm], inferences=shared, inner=inner, steady=steady)

    def run_pair(self, number: int, log: Callable[[str], None]) -> None:
        """A run of each arm, made again together while something outside voids either."""
        arms = ARMS if number % 2 == 0 else ARMS[::-1]
        for attempt in range(1, MOST_ATTEMPTS + 1):
            made: dict[ArmName, Run] = {}
            reasons: list[VoidedRun] = []
            for place, arm in enumerate(arms):
                side = self.sides[arm]
                assert side.warmth is not None
                made[arm], reason = side.children.attempt(self.order + place, side.warmth)
                reasons += [VoidedRun(self.order + place, reason)] if reason is not None else []
            if not reasons:
                break
            last = attempt == MOST_ATTEMPTS
            self.voided += [replace(one, reason=f"{one.reason} (kept: third attempt)") for one in reasons if last]
            self.voided += [] if last else reasons
            what = "is disturbed and kept, the third attempt" if last else "is void and made again"
            log(f"{self.pairing.subject}: pair {number + 1} {what}: {reasons[0].reason}")
        self.order += len(arms)
        for arm, run in made.items():
            self.sides[arm].runs.append(run)

    def read_memory(self) -> None:
        """Peak memory of each arm, in processes of their own."""
        for side in self.sides.values():
            assert side.warmth is not None
            side.memory = side.children.memory(side.warmth, MEMORY_PROCESSES)


def open_duel(pairing: Pairing, folder: Path, protocol: Protocol, log: Callable[[str], None]) -> Duel:
    """Both engines extracted to ``folder``, to be fed with the same inputs.

    Raises:
        EdgewrightError: whatever keeps either from being measured here.
    """
    both: dict[ArmName, Bundle] = {"base": pairing.base, "new": pairing.new}
    _require_alike(pairing)
    dataset = dataset_for(pairing.new, pairing.data)
    judge_ = judging(dataset, pairing.metric, pairing.new.manifest)
    samples, expected, source = inputs_of(pairing.new, dataset)
    answers: dict[ArmName, list[Outputs] | None] = {"new": expected, "base": None}
    if dataset is None:
        theirs, base_expected, _ = inputs_of(pairing.base, None)
        if digest_of_samples(theirs) == digest_of_samples(samples):
            answers["base"] = base_expected
    sides: dict[ArmName, Side] = {}
    series: SideSeries | None = None
    # Both may take the threads of what is judged: one engine on more cores than the other would win by them.
    trust, threads = pairing.trust_native_code, pairing.threads
    most = prepare(pairing.new, threads, trust_native_code=trust).most_threads
    for arm in ARMS:
        ready = prepare(both[arm], threads, trust_native_code=trust, most=most)
        place = folder / arm
        place.mkdir()
        artifact = ready.extracted(place / "engine")
        question = Question(
            artifact,
            samples,
            answers[arm],
            both[arm].manifest.tolerances.engine,
            ready.target.threads,
            protocol,
            gpu=ready.device == "CUDA",
            busy_wait=pairing.slowdown if arm == "new" else 0.0,
            subject=pairing.subject,
            log=log,
        )
        series = series or SideSeries(choose_cpus(most))
        sides[arm] = Side(ready, artifact, Children(question, place, arm, series))
    assert series is not None
    return Duel(pairing, sides, judge_, samples, source, series, shaky=tuple(few_inputs(samples)))


def _require_alike(pairing: Pairing) -> None:
    """Lets through two bundles that can be fed with the same inputs.

    Raises:
        UsageError: saying how their inputs differ.
    """
    if pairing.data is not None and pairing.new.manifest.preprocessing != pairing.base.manifest.preprocessing:
        raise UsageError(
            f"{pairing.new.path.name} and {pairing.base.path.name} make inputs of DATA in different ways"
            " (preprocessing in their manifests)",
            "Compare their latency without --data, and each one's accuracy by itself.",
        )
    new, base = (
        {spec.name: (spec.dtype, len(spec.shape or ())) for spec in bundle.manifest.inputs}
        for bundle in (pairing.new, pairing.base)
    )
    if new != base:
        listed = [
            ", ".join(f"{name} {kind} of {rank} axes" for name, (kind, rank) in one.items()) for one in (new, base)
        ]
        raise UsageError(
            f"{pairing.new.path.name} takes {listed[0]}; {pairing.base.path.name} takes {listed[1]}",
            "Compare two bundles of one model.",
        )
