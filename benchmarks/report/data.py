"""What a report is made of: variants, each a bundle on a machine, with every figure or the reason it is missing.

Times are nanoseconds, sizes bytes, shares fractions of 1. All text may be foreign; whoever shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.trace import Trace

Interval = tuple[float, float]
VariantStatus = Literal["ok", "unsteady", "invalid", "unmeasured"]


@dataclass(frozen=True)
class Figure:
    """A measured number, or why there is none: never both, never neither."""

    value: float | None = None
    ci95: Interval | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError("a figure that is missing says why")


@dataclass(frozen=True)
class Accuracy:
    """How good a variant is, and how much of the original's accuracy it lost.

    ``found`` is the record's where it has one, for it has an interval; ``drop`` is the bundle's own, measured by
    ``compile`` on the samples that prove.
    """

    metric: str
    found: Figure
    n: int | None
    drop: Figure
    reference: float | None = None
    max_drop: float | None = None
    drop_met: bool | None = None
    higher_is_better: bool = True
    host_proxy: bool = False
    dataset_sha256: str = ""


@dataclass(frozen=True)
class ComparisonFound:
    """The variant against a baseline, run in interleaved pairs."""

    baseline_sha256: str
    baseline: str
    """Model and precision."""
    pairs: int | None
    ratio: float | None
    ci95: Interval | None
    p: float | None
    delta: float | None
    verdict: Verdict | None
    minimum_detectable_effect: float | None
    created: str
    machine: str
    """The machine's identity."""

    def is_self_test(self, bundle_sha256: str) -> bool:
        """True where both arms were the same bundle, so that the truth is a ratio of 1."""
        return self.baseline_sha256 == bundle_sha256


@dataclass(frozen=True)
class RunFound:
    """One fresh process of a session."""

    order: int
    arm: str
    median_ns: float | None
    window_medians: tuple[float, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class SideFound:
    """One reading of the machine's own sensors."""

    seconds: float | None
    cpu_mhz: float | None
    temperature_c: float | None
    order: int | None


@dataclass(frozen=True)
class Session:
    """How the latency was measured, and what disturbed it."""

    preset: str
    scenario: str
    boundary: str
    sample_kind: str
    seed: int | None
    threads: int | None
    warmup: int | None
    warmup_steady: bool | None
    inputs: int | None
    inputs_from: str
    inputs_sha256: str
    cpus_pinned: bool | None
    runs: tuple[RunFound, ...]
    voided: tuple[tuple[int | None, str], ...]
    """Which run was made again, None where the record does not tell, and why."""
    side: tuple[SideFound, ...]
    samples: int | None
    run_cv: float | None
    drift_pct: float | None
    bins: tuple[tuple[float, int], ...]
    """The middle of a bin in nanoseconds per inference, and how many of the subject's samples fell into it."""
    created: str
    rate_per_s: float | None = None
    """Samples that arrive in a second, in a scenario where they do."""
    batch: int = 1
    """Samples in one inference."""
    unserved: int = 0
    """Samples that were left when an overloaded run was cut."""

    @property
    def asked(self) -> str:
        """How inferences were asked for; empty for one after the other, which is the rule."""
        parts = [
            "" if self.scenario == "single-stream" else self.scenario,
            f"batches of {self.batch}" if self.batch > 1 else "",
            f"{self.rate_per_s:.6g} a second" if self.rate_per_s is not None else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class MachineFound:
    """What identifies the machine of a record."""

    identity: str
    cpu: str
    cores: int | None
    isa: tuple[str, ...]
    memory_bytes: int | None
    governor: str
    os: str
    virtual: bool
    gpu: str


@dataclass(frozen=True)
class Fallback:
    """Something that was left as it was, and why."""

    source: str
    """The pass that says so, or ``plan``."""
    subject: str
    reason: str


@dataclass(frozen=True)
class Provenance:
    """Where a variant comes from, as far as its bundle and its record tell."""

    bundle_sha256: str
    model_sha256: str
    recipe_digest: str
    plan_digest: str
    data_sha256: str
    parent: str
    created: str
    versions: Mapping[str, str]
    """Of what it was measured with."""
    passes: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    """Passes that were taken back, each with the reason."""
    commands: tuple[str, ...]
    """What repeats it; words in capitals stand for files that only their owner has."""
    built_with: Mapping[str, str] = field(default_factory=dict)
    """Of what the bundle was built with."""


@dataclass(frozen=True)
class Variant:
    """One bundle on one machine; without a record, the bundle alone, and without a bundle, the record alone."""

    key: str
    """Unique in the report, made of letters, digits and dashes."""
    model: str
    target: str
    precision: str
    title: str
    """The precision with how it was reached: ``int8 (integer)``."""
    backend: str
    has_bundle: bool
    status: VariantStatus
    reason: str
    host_proxy: bool
    size: Figure
    accuracy: Accuracy
    latency: Mapping[str, Figure]
    """By percentile: ``p50`` and ``p99`` always, others where there are samples enough."""
    upper_99: Mapping[str, float]
    throughput: Figure
    first: Figure
    load: Figure
    memory: Figure
    energy: Figure
    energy_net: float | None
    energy_counter: str
    comparison: ComparisonFound | None
    self_test: ComparisonFound | None
    session: Session | None
    machine: MachineFound | None
    trace: Trace | None
    fallbacks: tuple[Fallback, ...]
    fallback_reason: str
    """Why ``fallbacks`` is empty."""
    provenance: Provenance
    notes: tuple[str, ...] = ()
    earlier: int = 0
    """Older records of the same bundle on the same machine that are not shown."""
    max_bytes: int | None = None
    bytes_met: bool | None = None
    """Whether its files keep below ``max_bytes``; None is no limit, or nobody could judge."""

    @property
    def asked(self) -> str:
        """How its inferences were asked for, where that was not one after the other."""
        return "" if self.session is None else self.session.asked

    @property
    def threads(self) -> int | None:
        """The compute threads it was given; None where no record tells."""
        return None if self.session is None else self.session.threads

    @property
    def missed_limit(self) -> bool:
        """True where a limit that was stated is known to be missed."""
        return self.accuracy.drop_met is False or self.bytes_met is False


@dataclass(frozen=True)
class GateFinding:
    """One line of a gate's report: a verdict, a subject that could not be judged, or one whose target is not here."""

    subject: str
    metric: str
    """Of a failure, its kind."""
    verdict: Verdict | Literal["failed", "skipped"]
    text: str
    remedy: str
    gate: str = ""
    """The gate's name where it has one."""


@dataclass(frozen=True)
class GateTold:
    """One document of a gate, with its own verdict."""

    verdict: Verdict
    exit_code: int | None
    findings: tuple[GateFinding, ...]
    notes: tuple[str, ...] = ()
    of_others: bool = False
    """True where it speaks of other bundles than those of the report, so that it decides nothing there."""


@dataclass(frozen=True)
class PastPoint:
    """One record of a history."""

    commit: str
    created: str
    """UTC; when it was measured."""
    figure: Figure
    status: str
    """``ok``, or ``unsteady`` where the times never settled."""
    words: tuple[str, ...]
    """The same as text, in the columns of :data:`edgewright.benchmarks.history.table.HEAD`."""


@dataclass(frozen=True)
class HistoryShown:
    """One metric over commits, ready to be drawn."""

    metric: str
    unit: Literal["ns", "bytes", "number"]
    subject: str
    points: tuple[PastPoint, ...]
    """Oldest first."""
    steps: tuple[tuple[int, float, float], ...]
    """Index of the first point after a lasting change, and the levels before and after."""


@dataclass(frozen=True)
class ReportData:
    """Everything one report shows."""

    variants: tuple[Variant, ...]
    notes: tuple[str, ...] = ()
    """What was found in the inputs and is not shown, each with its reason."""
    histories: tuple[HistoryShown, ...] = ()
    gates: tuple[GateTold, ...] = ()
    read: tuple[Path, ...] = ()
    """Every file it was made from, so that none of them is written over."""
