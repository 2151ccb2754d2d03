from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgewright.benchmarks.accuracy import Score
from edgewright.benchmarks.gate.accuracy import non_inferiority_of_metric
from edgewright.benchmarks.gate.accuracy_findings import paired_accuracy, stored_accuracy
from edgewright.benchmarks.gate.baseline import Scores
from edgewright.core.errors import UsageError


def score(right: int, n: int = 1000) -> Score:
    per_sample = np.arange(n) < right
    return Score("top1", right / n, n, True, per_sample.astype(np.float64))


def stored(right: int, n: int = 1000) -> Scores:
    found = score(right, n)
    return Scores("top1", True, found.value, n, "data", found.per_sample)


def test_the_same_answers_pass_and_many_lost_ones_regress() -> None:
    assert stored_accuracy("net", score(900), "data", stored(900), 0.01).verdict == "pass"
    found = stored_accuracy("net", score(800), "data", stored(900), 0.01)
    assert found.verdict == "regressed"
    assert found.text.startswith("top1 0.8000, was 0.9000, a drop of 0.1000 (with 95 %: a drop of 0.1")
    assert found.text.endswith("allowed is a drop of 0.01")
    assert found.figures["n"] == 1000


def test_too_few_samples_say_how_many_would_tell() -> None:
    found = stored_accuracy("net", score(45, 50), "data", stored(45, 50), 0.01)
    assert found.verdict == "inconclusive"
    needed = found.figures["needed"]
    assert isinstance(needed, int)
    assert f"about {needed} would" in found.remedy
    assert 50 < needed < 1000


def test_a_drop_of_what_is_allowed_will_never_pass() -> None:
    found = stored_accuracy("net", score(49, 100), "data", stored(50, 100), 0.01)
    assert found.verdict == "inconclusive"
    assert found.remedy.startswith("No number of samples")


def test_scores_that_do_not_compare_never_pass() -> None:
    """Neither of other data, nor by another metric, nor without scores of samples."""
    base = stored(900)
    unlike = [
        (None, "data", "has no scores"),
        (replace(base, metric="top5"), "data", "judged by top5"),
        (base, "other", "of other data"),
        (replace(base, per_sample=None), "data", "no mean"),
        (stored(900, 999), "data", "no mean"),
    ]
    for other, digest, why in unlike:
        found = stored_accuracy("net", score(900), digest, other, 0.01)
        assert found.verdict == "inconclusive"
        assert why in found.text
        assert found.remedy


def test_a_metric_without_bounds_says_why_and_not_that_it_dropped() -> None:
    def needs_all(kept: Sequence[int]) -> tuple[float, float]:
        if 7 not in kept:
            raise UsageError("metric cer gave nan")
        return 0.9, 0.9

    verdict = non_inferiority_of_metric(needs_all, 100, 0.01)
    found = paired_accuracy("net", "cer", 0.9, 0.9, verdict)
    assert found.verdict == "inconclusive"
    assert found.remedy.startswith("Nobody can tell: with some samples left out, metric cer gave nan.")
