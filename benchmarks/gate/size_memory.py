"""Has it grown? Sizes are exact; peak memory is the median of several processes, and compared as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.gate.findings import Finding
from edgewright.core.units import show_bytes

Kind = Literal["size", "memory"]
_WORDS = {"size": "size of the engine's files", "memory": "peak memory"}


@dataclass(frozen=True)
class Grown:
    """What became of it: a finding where a limit was stated, otherwise a note."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def judge_bytes(
    kind: Kind,
    subject: str,
    new: int | None,
    base: int | None,
    *,
    most: int | None,
    most_growth: float | None,
    missing: str = "there is no baseline",
) -> Grown:
    """Holds a number of bytes against a limit of its own and against the baseline's.

    Args:
        kind: what is counted.
        subject: whose it is.
        new: its bytes; None where the system does not say.
        base: the baseline's; None where there is none.
        most: the most it may be.
        most_growth: how much more than the baseline it may be, as a share.
        missing: why there is no ``base``, where there is none.
    """
    asked = most is not None or most_growth is not None
    if new is None:
        return _unknown(kind, subject) if asked else Grown()
    findings = []
    if most is not None:
        findings.append(_against_limit(kind, subject, new, most))
    if most_growth is not None:
        grown = (
            _no_baseline(kind, subject, new, missing)
            if base is None
            else _against_baseline(kind, subject, new, base, most_growth)
        )
        findings.append(grown)
    if asked or base is None:
        return Grown(tuple(findings))
    return Grown((), (f"{_WORDS[kind]} {_growth(new, base)}; no limit is stated",))


def _against_limit(kind: Kind, subject: str, new: int, most: int) -> Finding:
    over = new > most
    return Finding(
        subject=subject,
        metric=kind,
        verdict="regressed" if over else "pass",
        text=f"{_WORDS[kind]} {show_bytes(new)}; the limit is {show_bytes(most)}{_digits(new, most)}",
        figures={"bytes": new, "max_bytes": most},
        remedy=_REMEDY[kind](f"limit of {most} bytes") if over else "",
    )


def _against_baseline(kind: Kind, subject: str, new: int, base: int, most_growth: float) -> Finding:
    # In whole numbers: 0.1 * 3 is more than 0.3.
    over = (new - base) > round(most_growth * base, 6)
    return Finding(
        subject=subject,
        metric=kind,
        verdict="regressed" if over else "pass",
        text=f"{_WORDS[kind]} {_growth(new, base)}; allowed is +{100 * most_growth:.4g} %",
        figures={"bytes": new, "baseline_bytes": base, "max_growth": most_growth},
        remedy=_REMEDY[kind](f"growth of {100 * most_growth:.4g} %") if over else "",
    )


def _no_baseline(kind: Kind, subject: str, new: int, missing: str) -> Finding:
    return Finding(
        subject,
        kind,
        "inconclusive",
        f"{_WORDS[kind]} {show_bytes(new)}; growth not judged: {missing}",
        {"bytes": new, "baseline_bytes": None},
        "Give --against BUNDLE, save the baseline again, or take the limit out.",
    )


def _unknown(kind: Kind, subject: str) -> Grown:
    return Grown(
        (
            Finding(
                subject,
                kind,
                "inconclusive",
                f"{_WORDS[kind]} is unknown: this system does not say, or it could not be read",
                {"bytes": None},
                "Judge it on Linux, which has VmHWM, or take the limit out.",
            ),
        )
    )


_REMEDY: dict[Kind, Callable[[str], str]] = {
    "size": lambda limit: (
        f"See what grew with 'edgewright inspect', compile to a smaller precision, or allow more than the {limit}."
    ),
    "memory": lambda limit: f"Fewer threads or a smaller precision take less; or allow more than the {limit}.",
}


def _growth(new: int, base: int) -> str:
    change = f"{100 * (new - base) / base:+.2f} %" if base else f"{new - base:+d} B"
    return f"{show_bytes(new)}, was {show_bytes(base)} ({change})"


def _digits(new: int, most: int) -> str:
    """The exact figures where rounding hides the difference."""
    return f" ({new} of {most} bytes)" if show_bytes(new) == show_bytes(most) and new != most else ""
