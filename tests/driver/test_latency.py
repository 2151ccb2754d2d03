"""A ratio of latencies against its limit: the interval decides, and says where it cannot."""

from __future__ import annotations

import pytest

from edgewright.driver.latency import ratio_finding

FLOAT_MS = [10.0, 10.1, 9.9, 10.0, 10.2, 9.8]


@pytest.mark.parametrize(
    ("new_ms", "met", "undecided"),
    [
        ([4.0, 4.1, 4.0, 4.0, 4.1, 3.9], True, False),
        ([6.0, 6.1, 6.0, 6.0, 6.1, 5.9], False, False),
        ([4.0, 4.1, 4.0, 4.0, 6.1, 6.9], False, True),
    ],
)
def test_the_interval_of_the_paired_ratio_decides(new_ms: list[float], met: bool, undecided: bool) -> None:
    found = ratio_finding(new_ms, FLOAT_MS, 0.5)
    assert (found.met, found.open) == (met, undecided)
    assert "of the float32 original's" in found.text
    assert found.text.endswith("not quiet enough") == undecided


def test_a_session_that_drifts_as_a_whole_is_no_doubt() -> None:
    slower = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    found = ratio_finding([0.4 * one for one in slower], slower, 0.45)
    assert found.met
    assert "p50 is 0.4x" in found.text


def test_few_pairs_decide_nothing() -> None:
    found = ratio_finding([1.0] * 3, [10.0] * 3, 0.5)
    assert not found.met
    assert found.open
