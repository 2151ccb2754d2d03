"""The report's figures as one JSON document: what is embedded in the page, and what ``--json`` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping

from edgewright.benchmarks.report.data import (
    Accuracy,
    ComparisonFound,
    Figure,
    GateTold,
    ReportData,
    Session,
    Variant,
)
from edgewright.benchmarks.report.past import history_to_json
from edgewright.benchmarks.statistics import percentile

SCHEMA = "edgewright.report/1"
DATA_NOTE = "Summaries, window medians and digests; the raw samples stay in the records. Times are nanoseconds."
WINDOWS = 2000
"""Window medians at most, over all variants; where there are more, neighbours are put together."""


def summary_of(data: ReportData, at_most: int = WINDOWS, points: int | None = None) -> dict[str, object]:
    """Every variant's figures, or the reasons they are missing, and histories.

    Args:
        data: the report's.
        at_most: window medians, over all variants.
        points: the newest of each line of a history; None is all.
    """
    windows = sum(len(run.window_medians) for one in data.variants if one.session for run in one.session.runs)
    stride = max(1, -(-windows // at_most))
    return {
        "schema": SCHEMA,
        "variants": [_variant(one, stride) for one in data.variants],
        "gates": [_gate(one) for one in data.gates],
        "histories": [history_to_json(one, points) for one in data.histories],
        "notes": list(data.notes),
        "windows_per_median": stride,
    }


def summary_text(data: ReportData, at_most: int = WINDOWS, points: int | None = None) -> str:
    """The same as text: a line for each variant, sorted keys."""
    content = summary_of(data, at_most, points)
    variants = content.pop("variants")
    assert isinstance(variants, list)
    head = json.dumps(content, sort_keys=True, allow_nan=False)
    lines = ",\n".join(json.dumps(one, sort_keys=True, allow_nan=False, separators=(",", ":")) for one in variants)
    return f'{head[:-1]}, "variants": [\n{lines}\n]}}'


def _gate(told: GateTold) -> Mapping[str, object]:
    return {**vars(told), "findings": [vars(one) for one in told.findings], "notes": list(told.notes)}


def _variant(one: Variant, stride: int) -> dict[str, object]:
    return {
        "key": one.key,
        "model": one.model,
        "target": one.target,
        "precision": one.precision,
        "backend": one.backend,
        "status": one.status,
        "reason": one.reason,
        "host_proxy": one.host_proxy,
        "bundle_sha256": one.provenance.bundle_sha256,
        "recipe_digest": one.provenance.recipe_digest,
        "plan_digest": one.provenance.plan_digest,
        "machine": None if one.machine is None else one.machine.identity,
        **_asked(one.session),
        "size_bytes": _figure(one.size),
        "max_bytes": one.max_bytes,
        "bytes_met": one.bytes_met,
        "latency_ns": {name: _figure(figure) for name, figure in one.latency.items()},
        "upper_99_ns": dict(one.upper_99),
        "throughput": _figure(one.throughput),
        "first_ns": _figure(one.first),
        "load_ns": _figure(one.load),
        "memory_bytes": _figure(one.memory),
        "energy_joules": _figure(one.energy),
        "energy_net_joules": one.energy_net,
        "accuracy": _accuracy(one.accuracy),
        "comparison": _comparison(one.comparison),
        "self_test": _comparison(one.self_test),
        "runs": None if one.session is None or not one.session.runs else _runs(one.session, stride),
        "notes": list(one.notes),
    }


def _asked(session: Session | None) -> Mapping[str, object]:
    """How it was measured, as far as that tells one variant of a bundle from another."""
    names = ("threads", "preset", "scenario", "rate_per_s", "batch", "created")
    return {name: None if session is None else getattr(session, name) for name in names}


def _figure(figure: Figure) -> Mapping[str, object]:
    if figure.value is None:
        return {"value": None, "reason": figure.reason}
    return {"value": figure.value, "ci95": None if figure.ci95 is None else list(figure.ci95)}


def _accuracy(accuracy: Accuracy) -> Mapping[str, object]:
    return {
        "metric": accuracy.metric,
        **_figure(accuracy.found),
        "n": accuracy.n,
        "drop": _figure(accuracy.drop),
        "reference": accuracy.reference,
        "max_drop": accuracy.max_drop,
        "drop_met": accuracy.drop_met,
        "higher_is_better": accuracy.higher_is_better,
        "dataset_sha256": accuracy.dataset_sha256,
        "host_proxy": accuracy.host_proxy,
    }


def _comparison(found: ComparisonFound | None) -> Mapping[str, object] | None:
    if found is None:
        return None
    return {**vars(found), "ci95": None if found.ci95 is None else list(found.ci95)}


def _runs(session: Session, stride: int) -> Mapping[str, object]:
    """The runs column by column, in the order they were made."""
    return {
        "arm": [run.arm for run in session.runs],
        "order": [run.order for run in session.runs],
        "median_ns": [None if run.median_ns is None else round(run.median_ns) for run in session.runs],
        "flags": {str(run.order): list(run.flags) for run in session.runs if run.flags},
        "voided": [{"order": order, "reason": reason} for order, reason in session.voided],
        "window_medians_ns": [
            [
                round(percentile(run.window_medians[at : at + stride], 0.5))
                for at in range(0, len(run.window_medians), stride)
            ]
            for run in session.runs
        ],
    }
