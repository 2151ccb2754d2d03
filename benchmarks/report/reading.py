"""From the JSON of records to what a report shows of them; keys of other versions do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.data import (
    ComparisonFound,
    MachineFound,
    RunFound,
    Session,
    SideFound,
)
from edgewright.benchmarks.report.loose import Loose
from edgewright.benchmarks.statistics import percentile

_BINS = 64
_VERDICTS = ("pass", "regressed", "inconclusive")


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
        delta=_not_negative(found.number("delta")),
        verdict=cast("Verdict", verdict) if verdict in _VERDICTS else None,
        minimum_detectable_effect=found.number("minimum_detectable_effect"),
        created=record.text("created"),
        machine=record.at("machine").text("identity"),
    )


def session_of(record: Loose) -> Session:
    """How it was measured, its runs, and how the subject's samples spread; of an invalid record only how."""
    protocol, summary = record.at("protocol"), record.at("summary")
    base_arm = record.at("comparison").text("baseline_arm")
    runs = record.items("runs")
    inner = protocol.number("inner") or 1.0
    per_inference = [
        value / inner for run in runs if run.text("arm") != base_arm or not base_arm for value in run.numbers("ns")
    ]
    session = Session(
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
        voided=tuple((one.whole("order"), one.text("reason")) for one in record.items("voided")),
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
    if record.text("status") != "invalid":
        return session
    return replace(session, runs=(), voided=(), side=(), samples=None, run_cv=None, drift_pct=None, bins=(), unserved=0)


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
    return SideFound(one.number("seconds"), mhz, degrees, one.whole("order"))


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _not_negative(value: float | None) -> float | None:
    return value if value is not None and value >= 0 else None
