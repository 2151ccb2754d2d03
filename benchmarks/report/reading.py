"""From the JSON of records and traces to what a report shows of them; keys of other versions do no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.data import (
    ComparisonFound,
    Interval,
    MachineFound,
    RunFound,
    Session,
    SideFound,
)
from edgewright.benchmarks.report.loose import Loose
from edgewright.benchmarks.statistics import percentile
from edgewright.benchmarks.trace import ClassDelta, Flips, LayerTrace, StepKind, Trace, TraceStep

_BINS = 64
_VERDICTS = ("pass", "regressed", "inconclusive")
_KINDS = ("original", "pass", "engine")


def machine_of(record: Loose) -> MachineFound | None:
    """What identifies the machine; None where the record does not say."""
    found = record.at("machine")
    if not found:
        return None
    return MachineFound(
        identity=found.text("identity"),
        cpu=found.text("cpu"),
        cores=found.whole("cores"),
        isa=found.texts("isa"),
        memory_bytes=found.whole("memory_bytes"),
        governor=found.text("governor"),
        os=found.text("os"),
        virtual=found.flag("virtual") is True,
        gpu=" ".join(part for part in (found.text("gpu"), found.text("driver")) if part),
    )


def comparison_of(record: Loose) -> ComparisonFound | None:
    """The comparison of a paired record; None for any other."""
    found = record.at("comparison")
    if not found:
        return None
    base = found.at("baseline")
    verdict = found.text("verdict")
    return ComparisonFound(
        baseline_sha256=base.text("bundle_sha256"),
        baseline=" ".join(part for part in (base.text("model"), base.text("precision")) if part),
        pairs=found.whole("pairs"),
        ratio=_positive(found.number("ratio")),
        ci95=found.interval("ci95"),
        p=found.number("p"),
        delta=found.number("delta"),
        verdict=cast("Verdict", verdict) if verdict in _VERDICTS else None,
        minimum_detectable_effect=found.number("minimum_detectable_effect"),
        created=record.text("created"),
        machine=record.at("machine").text("identity"),
    )


def session_of(record: Loose) -> Session:
    """How it was measured, its runs, and how the subject's samples spread."""
    protocol, summary = record.at("protocol"), record.at("summary")
    base_arm = record.at("comparison").text("baseline_arm")
    runs = record.items("runs")
    inner = protocol.number("inner") or 1.0
    per_inference = [
        value / inner for run in runs if run.text("arm") != base_arm or not base_arm for value in run.numbers("ns")
    ]
    return Session(
        preset=protocol.text("preset"),
        scenario=protocol.text("scenario"),
        boundary=protocol.text("boundary"),
        sample_kind=protocol.text("sample_kind"),
        seed=protocol.whole("seed"),
        threads=record.at("target").whole("threads"),
        warmup=protocol.whole("warmup"),
        warmup_steady=protocol.flag("warmup_steady"),
        inputs=protocol.whole("inputs"),
        inputs_from=protocol.text("inputs_from"),
        inputs_sha256=protocol.text("inputs_sha256"),
        cpus_pinned=protocol.flag("cpus_pinned"),
        runs=tuple(_run(place, run, inner) for place, run in enumerate(runs)),
        voided=tuple((one.whole("order") or 0, one.text("reason")) for one in record.items("voided")),
        side=tuple(_side(one) for one in record.items("side")),
        samples=summary.whole("n"),
        run_cv=summary.number("run_cv"),
        drift_pct=summary.number("drift_pct"),
        bins=bins_of(per_inference),
        created=record.text("created"),
        rate_per_s=protocol.number("rate_per_s"),
        batch=protocol.whole("batch") or 1,
        unserved=sum(run.whole("unserved") or 0 for run in runs),
    )


def bins_of(values: Sequence[float], count: int = _BINS) -> tuple[tuple[float, int], ...]:
    """Samples as ``(middle, how many)`` in bins of equal ratio; the last one also holds the slowest 1 %.

    A few samples a hundred times slower than the rest would otherwise leave the rest one bin.

    >>> bins_of([1.0, 2.0, 4.0], 2)
    ((1.4, 1), (2.8, 2))
    """
    import numpy as np

    kept = [value for value in values if value > 0]
    if not kept:
        return ()
    ordered = np.sort(np.asarray(kept, np.float64))
    low, high = float(ordered[0]), percentile(ordered, 0.99)
    if high <= low:
        return ((low, len(kept)),)
    edges = np.geomspace(low, high, count + 1)
    places = np.clip(np.searchsorted(edges, ordered, side="right") - 1, 0, count - 1)
    counts = np.bincount(places, minlength=count)
    middles = np.sqrt(edges[:-1] * edges[1:])
    return tuple((round(float(middle), 1), int(seen)) for middle, seen in zip(middles, counts, strict=True))


def trace_of(entry: Mapping[str, object]) -> Trace:
    """A trace whose missing parts are empty."""
    found = Loose(entry)
    return Trace(
        bundle_sha256=found.text("bundle_sha256"),
        model=found.text("model"),
        target=found.text("target"),
        precision=found.text("precision"),
        metric=found.text("metric"),
        higher_is_better=found.flag("higher_is_better") is not False,
        machine_identity=found.text("machine_identity"),
        steps=tuple(_step(one) for one in found.items("steps")),
        layers=tuple(_layer(one) for one in found.items("layers")),
        classes=tuple(_classes(found.items("classes"))),
        flips=_flips(found.at("flips")),
        notes=found.texts("notes"),
        created=found.text("created") or None,
    )


def _run(place: int, run: Loose, inner: float) -> RunFound:
    medians = run.numbers("window_medians")
    samples = [value / inner for value in run.numbers("ns")]
    order = run.whole("order")
    return RunFound(
        order=place if order is None else order,
        arm=run.text("arm"),
        median_ns=percentile(samples or medians, 0.5) if samples or medians else None,
        window_medians=medians,
        flags=run.texts("flags"),
    )


def _side(one: Loose) -> SideFound:
    mhz, degrees = one.number("cpu_mhz"), one.number("temperature_c")
    return SideFound(one.number("seconds") or 0.0, mhz, degrees, one.whole("order"))


def _step(one: Loose) -> TraceStep:
    kind = one.text("kind")
    interval: Interval | None = one.interval("p50_ci95")
    return TraceStep(
        name=one.text("name"),
        kind=cast("StepKind", kind) if kind in _KINDS else "pass",
        size_bytes=one.whole("size_bytes"),
        accuracy=one.number("accuracy"),
        p50_ns=_positive(one.number("p50_ns")),
        p50_ci95=interval,
        note=one.text("note"),
    )


def _layer(one: Loose) -> LayerTrace:
    texts = (one.text("name"), one.text("op"), one.text("precision"))
    return LayerTrace(*texts, one.number("error"), one.number("time_ns"), one.text("reason"))


def _classes(rows: Sequence[Loose]) -> list[ClassDelta]:
    found = []
    for one in rows:
        reference, value = one.number("reference"), one.number("value")
        if reference is not None and value is not None:
            found.append(ClassDelta(one.text("label"), one.whole("n") or 0, reference, value))
    return found


def _flips(found: Loose) -> Flips | None:
    counts = [found.whole(key) for key in ("n", "lost", "gained", "changed")]
    if None in counts:
        return None
    n, lost, gained, changed = cast("list[int]", counts)
    return Flips(n, lost, gained, changed, tuple(int(one) for one in found.numbers("lost_samples")))


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None
