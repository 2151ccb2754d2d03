"""The numbers of a variant, each with the reason where it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.benchmarks.report.data import Accuracy, Figure, Interval, VariantStatus
from edgewright.benchmarks.report.loose import Loose
from edgewright.benchmarks.statistics import SAMPLE_FLOORS
from edgewright.core.bundle import Accuracy as Proof
from edgewright.core.bundle import Manifest

SHOWN = ("p50", "p99")
"""The percentiles every variant has a figure or a reason for."""
_NO_DATA = "no data to judge it on was given: edgewright bench BUNDLE --data DATA"


@dataclass(frozen=True)
class Figures:
    """What one record measured, or why it did not."""

    latency: Mapping[str, Figure]
    upper_99: Mapping[str, float]
    throughput: Figure
    first: Figure
    load: Figure
    memory: Figure
    energy: Figure
    energy_net: float | None
    energy_counter: str


def figures_of(record: Loose | None, status: VariantStatus, reason: str) -> Figures:
    """All timed figures of ``record``; where there is none, or none that may be used, the reason for each."""
    if record is None or status == "invalid":
        none = Figure(reason=reason)
        return Figures(dict.fromkeys(SHOWN, none), {}, none, none, none, none, none, None, "")
    summary, energy = record.at("summary"), record.at("energy")
    percentiles = summary.mapping("percentiles")
    sample_kind = record.at("protocol").text("sample_kind")
    latency = {
        name: _percentile(name, percentiles.get(name), summary.whole("n"), sample_kind)
        for name in SAMPLE_FLOORS
        if name in SHOWN or name in percentiles
    }
    bounds = {name: bound for name in latency if (bound := _bound(percentiles.get(name))) is not None}
    absent = "the record does not have it"
    return Figures(
        latency=latency,
        upper_99=bounds,
        throughput=_or(summary.number("throughput"), absent, summary.interval("throughput_ci95")),
        first=_or(summary.number("first_ns"), absent),
        load=_or(summary.number("load_ns"), absent),
        memory=_or(record.at("memory").number("hundredth_bytes"), "the system does not say how much memory it took"),
        energy=_or(energy.number("joules"), energy.text("reason") or absent),
        energy_net=energy.number("net_joules"),
        energy_counter=energy.text("counter"),
    )


def size_of(manifest: Manifest | None, subject: Loose) -> Figure:
    """Bytes of the engine's files."""
    if manifest is not None and manifest.backend.pending is None:
        return Figure(float(manifest.size_bytes))
    if manifest is not None:
        return Figure(reason=manifest.backend.pending or "there is no engine yet")
    return _or(subject.number("size_bytes"), "the record does not have it")


def accuracy_of(manifest: Manifest | None, record: Loose) -> Accuracy:
    """The record's accuracy, which has an interval, before the bundle's own; the drop is always the bundle's."""
    measured, proof = record.at("accuracy"), None if manifest is None else manifest.accuracy
    limits = None if manifest is None else manifest.limits
    reason = _NO_DATA
    if proof is not None and proof.value is None:
        reason = "the engine could not run where it was compiled: edgewright bench BUNDLE --data DATA on its device"
    drop = Figure(proof.drop) if proof is not None and proof.drop is not None else None
    if drop is None:
        drop = Figure(reason=reason if manifest is not None else "only the bundle tells: give it beside its record")
    value = measured.number("value")
    if value is not None:
        found, n, metric = Figure(value, measured.interval("ci95")), measured.whole("n"), measured.text("metric")
        data = measured.text("dataset_sha256")
    elif proof is not None and proof.value is not None:
        found, n, metric, data = Figure(proof.value), proof.n, proof.metric, proof.data_digest or ""
    else:
        found, n, metric, data = Figure(reason=reason), None, proof.metric if proof else "", ""
    return Accuracy(
        metric=metric,
        found=found,
        n=n,
        drop=drop,
        reference=None if proof is None else proof.reference,
        max_drop=None if limits is None else limits.max_drop,
        drop_met=None if limits is None else limits.drop_met,
        higher_is_better=_higher_is_better(measured, proof),
        host_proxy=proof is not None and proof.mark == "host-proxy" and value is None,
        dataset_sha256=data,
    )


def _higher_is_better(measured: Loose, proof: Proof | None) -> bool:
    """What the record says; else what the signs in the bundle say, whose drop is positive where it got worse."""
    told = measured.flag("higher_is_better")
    if told is not None:
        return told
    if proof is None or proof.drop is None or proof.reference is None or proof.value is None:
        return True
    lost = proof.reference - proof.value
    return abs(proof.drop - lost) <= abs(proof.drop + lost)


def _percentile(name: str, found: Loose | None, n: int | None, sample_kind: str) -> Figure:
    value = None if found is None else found.number("value")
    if found is not None and value is not None and value > 0:
        return Figure(value, found.interval("ci95"))
    if sample_kind == "batch_mean" and name != "p50":
        return Figure(reason="inferences this short are timed in batches, whose means have no tail")
    floor = SAMPLE_FLOORS[name][1]
    have = "" if n is None else f", there are {n}"
    return Figure(reason=f"{name} needs {floor} samples{have}: measure with a larger --preset")


def _bound(found: Loose | None) -> float | None:
    return None if found is None else found.number("upper_99")


def _or(value: float | None, reason: str, ci95: Interval | None = None) -> Figure:
    return Figure(reason=reason) if value is None else Figure(value, ci95)
