"""What a gate says of latency: against a baseline run beside it, a stored one, and a limit of its own."""

from __future__ import annotations

from edgewright.benchmarks.gate.doubts import believed, of_the_device
from edgewright.benchmarks.gate.findings import Finding
from edgewright.benchmarks.gate.latency import LOOKS, TOO_SLOW
from edgewright.benchmarks.gate.limits import Limits
from edgewright.benchmarks.gate.unpaired import UnpairedTest
from edgewright.benchmarks.record import Comparison, Record, Run, Verdict
from edgewright.benchmarks.statistics import SAMPLE_FLOORS, Percentile, percentile

_MORE = "Take a longer preset (--preset standard, certify), or a quieter machine."


def subject_runs(record: Record) -> tuple[Run, ...]:
    """The runs of the record's own subject; those of what it was compared with left out."""
    other = None if record.comparison is None else record.comparison.baseline_arm
    return tuple(run for run in record.runs if run.arm != other)


def paired_latency(subject: str, record: Record) -> Finding:
    """The verdict of the interleaved pairs that the record's comparison holds."""
    found = record.comparison
    assert found is not None
    interval = "" if found.ci95 is None else f"95 % {found.ci95[0]:.3f} to {found.ci95[1]:.3f}, "
    finding = Finding(
        subject=subject,
        metric="latency",
        verdict=found.verdict,
        text=f"{found.ratio:.3f} times the baseline's ({interval}{found.pairs} pairs of processes); {_allowed(found)}",
        figures={
            "ratio": found.ratio,
            "ci95_low": None if found.ci95 is None else found.ci95[0],
            "ci95_high": None if found.ci95 is None else found.ci95[1],
            "p": found.p,
            "delta": found.delta,
            "pairs": found.pairs,
            "minimum_detectable_effect": found.minimum_detectable_effect,
            "run_median_ns": record.summary.run_median,
            "baseline_run_median_ns": None if found.baseline_summary is None else found.baseline_summary.run_median,
        },
        remedy=_remedy(found),
    )
    return believed(finding, record)


def stored_latency(subject: str, record: Record, test: UnpairedTest, *, rejected: bool) -> Finding:
    """The verdict on this session's runs and those of a stored baseline."""
    verdict = test.verdict(rejected=rejected)
    interval = "" if test.ci95 is None else f"95 % {test.ci95[0]:.3f} to {test.ci95[1]:.3f} of these runs, "
    new, stored = test.runs
    finding = Finding(
        subject=subject,
        metric="latency",
        verdict=verdict,
        text=f"{test.ratio:.3f} times the stored baseline's ({interval}{new} runs now and {stored} then);"
        f" allowed is {1 + test.delta:.3f}, and {100 * test.allowance:.3g} % may lie between two sessions",
        figures={
            "ratio": test.ratio,
            "ci95_low": None if test.ci95 is None else test.ci95[0],
            "ci95_high": None if test.ci95 is None else test.ci95[1],
            "p": test.p,
            "delta": test.delta,
            "session_allowance": test.allowance,
            "regressed_from": test.slower_than,
            "pass_rules_out": 1 + test.most,
            "runs": new,
            "baseline_runs": stored,
            "run_median_ns": record.summary.run_median,
        },
        remedy="" if verdict == "pass" else _stored_remedy(test, verdict),
    )
    return believed(finding, record)


def not_comparable(subject: str, why: str, remedy: str) -> Finding:
    """A latency that no stored one can be held against."""
    return Finding(subject, "latency", "inconclusive", f"not compared with the stored baseline: {why}", {}, remedy)


def unjudged_latency(subject: str) -> Finding:
    """Of a gate that states how much slower it may be, and has nothing that it could be slower than."""
    text = "'max_regression' not judged: there is nothing to hold it against"
    remedy = "Give --against BUNDLE or --baseline FILE, or take it out."
    return Finding(subject, "latency", "inconclusive", text, {}, remedy)


def latency_limit(subject: str, record: Record, limits: Limits) -> Finding | None:
    """A percentile against ``max_latency_ms``; None where there is no such limit.

    ``pass`` needs the 99 % upper bound of the percentile within the limit. ``regressed`` needs its 95 % interval above
    it as a whole and every process on its own above it too: pooled samples alone would take one slow process for a
    slow engine. A machine that stands in for the target shows neither.
    """
    if limits.max_latency_ms is None:
        return None
    name, limit = limits.percentile, limits.max_latency_ms
    found = record.summary.percentiles.get(name)
    if found is None:
        return Finding(subject, "latency-limit", "inconclusive", *_no_percentile(record, name, limit))
    verdict = _limit_verdict(record, found, name, limit * 1e6)
    shown = f"{name} {_ms(found.value)} ms, with 99 % at most {_ms(found.upper_99)} ms"
    if verdict == "regressed" and found.ci95 is not None:
        shown = f"{name} {_ms(found.value)} ms (95 % {_ms(found.ci95[0])} to {_ms(found.ci95[1])})"
    remedies = {"pass": "", "inconclusive": _MORE, "regressed": "Compile to a smaller precision, or allow more."}
    finding = Finding(
        subject=subject,
        metric="latency-limit",
        verdict=verdict,
        text=f"{shown}; the limit is {limit:g} ms",
        figures={
            "percentile": name,
            "value_ns": found.value,
            "upper_99_ns": found.upper_99,
            "max_ns": limit * 1e6,
            "n": found.n,
        },
        remedy=remedies[verdict],
    )
    return of_the_device(believed(finding, record), record)


def _limit_verdict(record: Record, found: Percentile, name: str, limit_ns: float) -> Verdict:
    if found.upper_99 <= limit_ns:
        return "pass"
    share, inner = SAMPLE_FLOORS[name][0], record.protocol.inner
    each = [percentile(run.ns, share) / inner for run in subject_runs(record)]
    above = found.ci95 is not None and found.ci95[0] > limit_ns
    return "regressed" if above and min(each) > limit_ns else "inconclusive"


def _no_percentile(record: Record, name: str, limit: float) -> tuple[str, dict[str, float | int | str | None], str]:
    n = record.summary.n
    figures: dict[str, float | int | str | None] = {"percentile": name, "max_ns": limit * 1e6, "n": n}
    if record.protocol.sample_kind == "batch_mean":
        text = f"no {name}: inferences this short are timed several at a time"
        return f"{text}; the limit is {limit:g} ms", figures, "State a limit of p50."
    text = f"no {name} of {n} inferences, which takes {SAMPLE_FLOORS[name][1]}"
    return f"{text}; the limit is {limit:g} ms", figures, _MORE


def _allowed(found: Comparison) -> str:
    if found.verdict == "pass":
        return f"{1 + max(TOO_SLOW, found.delta):.3g} is ruled out"
    return f"allowed is {1 + found.delta:.3f}"


def _remedy(found: Comparison) -> str:
    if found.verdict == "pass":
        return ""
    if found.verdict == "regressed":
        return "See what was compiled differently with 'edgewright inspect' of both."
    effect = found.minimum_detectable_effect
    told = (
        ""
        if effect is None
        else f"This session would have found a slowdown of {100 * effect:.1f} % nine times in ten. "
    )
    return told + _MORE


def _stored_remedy(test: UnpairedTest, verdict: Verdict) -> str:
    strong = f"--against BUNDLE runs both side by side and tells {100 * test.delta:.3g} % apart."
    if verdict == "regressed":
        return f"{strong} See what was compiled differently with 'edgewright inspect'."
    if not test.can_reject or test.ci95 is None:
        return f"So few runs tell nothing: take --preset standard or longer, here and for the baseline. {strong}"
    return (
        f"Stored figures pass below {1 + test.most:.3g} and fail above {test.slower_than:.3g} only. {strong}"
        f" At most {LOOKS[-1].pairs} pairs are run."
    )


def _ms(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:#.4g}".rstrip(".")
