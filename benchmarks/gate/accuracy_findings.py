"""What a gate says of accuracy, from answers to the same labelled samples."""

from __future__ import annotations

from edgewright.benchmarks.accuracy import Score
from edgewright.benchmarks.gate.accuracy import NonInferiority, non_inferiority
from edgewright.benchmarks.gate.baseline import Scores
from edgewright.benchmarks.gate.findings import Finding


def paired_accuracy(subject: str, metric: str, new: float, base: float, found: NonInferiority) -> Finding:
    """A verdict in words.

    Args:
        subject: whose it is.
        metric: its name.
        new: the metric's value.
        base: the baseline's.
        found: the verdict.
    """
    sure = "" if found.lower is None else f" (with 95 %: {_change(found.lower)} or better)"
    return Finding(
        subject=subject,
        metric="accuracy",
        verdict=found.verdict,
        text=f"{metric} {new:.4f}, was {base:.4f}, {_change(found.difference)}{sure};"
        f" allowed is a drop of {found.budget:g}",
        figures={
            "metric": metric,
            "value": new,
            "baseline_value": base,
            "difference": found.difference,
            "lower": found.lower,
            "upper": found.upper,
            "budget": found.budget,
            "n": found.n,
            "needed": found.needed,
            "method": found.method,
        },
        remedy=_remedy(found),
    )


def unjudged_accuracy(subject: str, why: str, remedy: str) -> Finding:
    """Of a gate that asks for accuracy where there is none, or nothing to hold it against."""
    return Finding(subject, "accuracy", "inconclusive", f"not judged: {why}", {}, remedy)


def stored_accuracy(subject: str, new: Score, dataset_sha256: str, stored: Scores | None, max_drop: float) -> Finding:
    """Scores of this session against those that were stored of the same samples.

    Args:
        subject: whose they are.
        new: this session's.
        dataset_sha256: of the data they are of.
        stored: the baseline's; None where it was made without labelled data.
        max_drop: how much worse it may be, in the metric's unit.
    """
    again = "Save the baseline again with the same --data and --metric, or use --against BUNDLE."
    if stored is None:
        return _not_comparable(subject, new, "it has no scores", again)
    if stored.metric != new.metric:
        return _not_comparable(subject, new, f"it was judged by {stored.metric}", again)
    if stored.dataset_sha256 != dataset_sha256:
        return _not_comparable(subject, new, "its scores are of other data", again)
    if stored.per_sample is None or new.per_sample is None or len(stored.per_sample) != len(new.per_sample):
        why = f"{new.metric} is no mean of one score per sample, which alone can be stored"
        return _not_comparable(subject, new, why, "Use --against BUNDLE, which has both models' answers.")
    found = non_inferiority(new.per_sample, stored.per_sample, max_drop, new.higher_is_better)
    return paired_accuracy(subject, new.metric, new.value, stored.value, found)


def _not_comparable(subject: str, new: Score, why: str, remedy: str) -> Finding:
    text = f"{new.metric} {new.value:.4f}, not compared with the stored baseline: {why}"
    return Finding(subject, "accuracy", "inconclusive", text, {"metric": new.metric, "value": new.value}, remedy)


def _change(difference: float) -> str:
    """A difference that is positive for the better, in words."""
    if difference == 0:
        return "no change"
    return f"a drop of {-difference:.4f}" if difference < 0 else f"a gain of {difference:.4f}"


def _remedy(found: NonInferiority) -> str:
    if found.verdict == "pass":
        return ""
    if found.verdict == "regressed":
        return "Compile with a smaller --max-drop, or see in the journal which layers lose most."
    if found.needed is None and found.method.startswith("none: "):
        return f"Nobody can tell: {found.method.removeprefix('none: ')}. Give more samples, of what is rare among them."
    if found.needed is None:
        return "No number of samples would let what was seen pass: the drop is at what is allowed, or beyond."
    return f"{found.n} samples cannot tell; about {found.needed} would, if what was seen holds."
