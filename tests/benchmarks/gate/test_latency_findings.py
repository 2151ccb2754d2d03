from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewright.benchmarks.gate.latency_findings import latency_limit, paired_latency, stored_latency, subject_runs
from edgewright.benchmarks.gate.limits import Limits
from edgewright.benchmarks.gate.unpaired import unpaired_test
from edgewright.benchmarks.record import Record, Verdict

MakeRecord = Callable[..., Record]
MS = 1_000_000


def limited(record: Record, most: float, name: str = "p50") -> str:
    found = latency_limit("net", record, Limits(max_latency_ms=most, percentile=name))
    assert found is not None
    assert bool(found.remedy) == (found.verdict != "pass")
    return found.verdict


def test_no_limit_is_no_finding(record_of: MakeRecord) -> None:
    assert latency_limit("net", record_of([[MS] * 64]), Limits()) is None


def test_a_limit_is_held_against_the_upper_bound(record_of: MakeRecord) -> None:
    """200 inferences, half of 1 ms and half of 2: the median is 1 ms, what it is at most 2 ms."""
    record = record_of([[MS, 2 * MS] * 50] * 2)
    found = record.summary.percentiles["p50"]
    assert (found.value, found.upper_99) == (MS, 2 * MS)
    assert limited(record, 2.0) == "pass"
    assert limited(record, 1.5) == "inconclusive"
    assert limited(record, 0.5) == "regressed"


def test_one_slow_process_is_no_slow_engine(record_of: MakeRecord) -> None:
    """Pooled, the median and its interval are far above 1.5 ms; one process of three is below it all the same."""
    record = record_of([[2 * MS] * 200, [2 * MS] * 200, [MS] * 64])
    assert record.summary.percentiles["p50"].ci95 == (2 * MS, 2 * MS)
    assert limited(record, 1.5) == "inconclusive"
    assert limited(record_of([[2 * MS] * 200] * 3), 1.5) == "regressed"


def test_the_baselines_runs_do_not_count(compared_record: Callable[[Verdict], Record]) -> None:
    record = compared_record("pass")
    assert {run.arm for run in subject_runs(record)} == {"a"}
    assert limited(record, 0.0008) == "regressed"  # 1 us a run; the baseline's are half of that


def test_a_percentile_that_is_not_there_never_passes(record_of: MakeRecord) -> None:
    assert limited(record_of([[MS] * 64]), 1e6, "p99") == "inconclusive"
    short = record_of([[MS] * 700])
    protocol = replace(short.protocol, sample_kind="batch_mean")
    summary = replace(short.summary, percentiles={"p50": short.summary.percentiles["p50"]})
    found = latency_limit("net", replace(short, protocol=protocol, summary=summary), Limits(0.02, 1e6, "p99"))
    assert found is not None
    assert found.verdict == "inconclusive"
    assert "several at a time" in found.text
    assert "p50" in found.remedy


@pytest.mark.parametrize("verdict", ["pass", "regressed", "inconclusive"])
def test_pairs_in_words(compared_record: Callable[[Verdict], Record], verdict: Verdict) -> None:
    found = paired_latency("net", compared_record(verdict))
    assert found.verdict == verdict
    assert found.text.startswith("1.034 times the baseline's (95 % 1.021 to 1.046, 2 pairs of processes); ")
    assert found.text.endswith("1.05 is ruled out" if verdict == "pass" else "allowed is 1.020")
    assert ("3.1 % nine times in ten" in found.remedy) == (verdict == "inconclusive")
    assert found.figures["baseline_run_median_ns"] == 500


def test_no_verdict_rests_on_a_failed_audit(compared_record: Callable[[Verdict], Record]) -> None:
    for verdict in ("pass", "regressed"):
        record = replace(compared_record(verdict), status="invalid")  # type: ignore[arg-type]
        assert paired_latency("net", record).verdict == "inconclusive"
        assert "an audit failed" in paired_latency("net", record).text
        assert limited(record, 1e6) == limited(record, 1e-9) == "inconclusive"


def test_a_stand_in_neither_keeps_nor_misses_a_limit(record_of: MakeRecord) -> None:
    record = record_of([[MS] * 64] * 3)
    proxy = replace(record, target=replace(record.target, host_proxy=True))
    assert (limited(record, 2.0), limited(record, 0.5)) == ("pass", "regressed")
    assert limited(proxy, 2.0) == limited(proxy, 0.5) == "inconclusive"


def test_a_stored_baseline_says_that_it_is_weaker(record_of: MakeRecord) -> None:
    record = record_of([[MS] * 64] * 5)
    for true, verdict in ((1.0, "pass"), (1.06, "inconclusive"), (1.2, "regressed")):
        test = unpaired_test([true] * 5, [1.0] * 5, 0.02, 0.05)
        found = stored_latency("net", record, test, rejected=test.p <= 0.01)
        assert found.verdict == verdict
        assert "5 % may lie between two sessions" in found.text
        assert ("--against BUNDLE" in found.remedy) == (verdict != "pass")
