from __future__ import annotations

import pytest

from edgewright.benchmarks.gate.size_memory import judge_bytes


def verdicts(new: int | None, base: int | None, most: int | None, growth: float | None) -> list[str]:
    return [one.verdict for one in judge_bytes("size", "net", new, base, most=most, most_growth=growth).findings]


def test_a_limit_of_its_own() -> None:
    assert verdicts(1000, None, 1000, None) == ["pass"]
    assert verdicts(1001, None, 1000, None) == ["regressed"]


def test_growth_is_exact() -> None:
    assert verdicts(1100, 1000, None, 0.1) == ["pass"]  # 0.1 * 1000 is no whole number in binary
    assert verdicts(1101, 1000, None, 0.1) == ["regressed"]
    assert verdicts(1000, 1000, None, 0.0) == ["pass"]
    assert verdicts(1001, 1000, None, 0.0) == ["regressed"]
    assert verdicts(10, 1000, None, 0.0) == ["pass"]


def test_both_limits_are_two_findings() -> None:
    assert verdicts(1101, 1000, 1200, 0.1) == ["pass", "regressed"]


def test_what_has_no_limit_is_a_note() -> None:
    found = judge_bytes("memory", "net", 1_100_000, 1_000_000, most=None, most_growth=None)
    assert found.findings == ()
    assert found.notes == ("peak memory 1.1 MB, was 1 MB (+10.00 %); no limit is stated",)
    assert judge_bytes("size", "net", 5, None, most=None, most_growth=None).notes == ()


def test_growth_without_a_baseline_is_not_shown() -> None:
    found = judge_bytes("size", "net", 5, None, most=10, most_growth=0.1, missing="there is none")
    assert [one.verdict for one in found.findings] == ["pass", "inconclusive"]
    assert found.findings[1].text == "size of the engine's files 5 B; growth not judged: there is none"
    assert found.findings[1].remedy


def test_what_nobody_says_never_passes() -> None:
    found = judge_bytes("memory", "net", None, None, most=10, most_growth=None)
    assert [one.verdict for one in found.findings] == ["inconclusive"]
    assert judge_bytes("memory", "net", None, 7, most=None, most_growth=None).findings == ()


@pytest.mark.parametrize(("new", "text"), [(1_000_001, "(1000001 of 1000000 bytes)"), (2_000_000, "2 MB; the limit")])
def test_a_difference_that_rounding_hides_is_shown(new: int, text: str) -> None:
    (found,) = judge_bytes("size", "net", new, None, most=1_000_000, most_growth=None).findings
    assert text in found.text
    assert found.remedy
