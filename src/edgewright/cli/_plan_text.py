"""What a compile would do, for people: a table of candidates for each target, then what runs and what is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgewright.cli import _console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgewright.core.errors import ExitCode
    from edgewright.driver.plan_estimate import Minutes
    from edgewright.driver.plan_report import CompilePlan, PlannedCandidate, TargetPlan
    from edgewright.driver.request import CompileRequest

_REFUSED_SHOWN = 12
_SHARED = 3
"""So many candidates are named one by one where something is left out of them."""


def show_plan(request: CompileRequest, *, as_json: bool) -> ExitCode:
    """Plans and prints; the exit code is the plan's."""
    from edgewright.driver.plan import plan

    found = plan(request)
    print_plan(found, as_json=as_json)
    return found.exit_code


def print_plan(found: CompilePlan, *, as_json: bool) -> None:
    """The document on stdout, or the tables there and what cannot be built on stderr."""
    if as_json:
        _console.result(json.dumps(found.to_json(), indent=2))
        return
    for name, since in found.from_cache.items():
        _console.result(f"{name} would come from the cache as a whole, measured on {since}")
    for line in found.training:
        _console.result(f"first {line}")
    for target in found.targets:
        for line in _target(target):
            _console.result(_console.escape_lines(line))
        if target.problem:
            _console.fail(_console.escape_lines(target.problem), _console.escape_lines(target.remedy), target.exit_code)
    _console.result(f"altogether: {_about(found.minutes)} ({found.basis})")


def _target(target: TargetPlan) -> Iterator[str]:
    yield f"{target.target} ({target.presence})" if target.presence else target.target
    for one in target.refused[:_REFUSED_SHOWN]:
        yield f"  refuses {one.op} at '{one.node}': {one.reason}"
    if len(target.refused) > _REFUSED_SHOWN:
        yield f"  and {len(target.refused) - _REFUSED_SHOWN} more operators: --json has all of them"
    if target.candidates:
        yield from _table(target.candidates)
        yield from _passes(target.candidates)
    for line in target.left_out:
        yield f"  without {line}"
    if target.basis:
        yield f"  times are {target.basis}"


def _table(candidates: Sequence[PlannedCandidate]) -> Iterator[str]:
    rows = [("candidate", "takes", "inferences", "in the cache")]
    for one in candidates:
        cached = ", ".join(one.from_cache) or "-"
        rows.append((one.choice.title, _about(one.minutes), f"at most {one.most_inferences}", cached))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _passes(candidates: Sequence[PlannedCandidate]) -> Iterator[str]:
    """What runs, and what does not and why; candidates of which the same is true in one line."""
    everyone = [one.choice.title for one in candidates]
    running: dict[str, list[str]] = {}
    missing: dict[tuple[str, str], list[str]] = {}
    for one in candidates:
        running.setdefault(", ".join(one.passes) or "no pass", []).append(one.choice.title)
        for line in one.left_out:
            name, _, reason = line.partition(": ")
            missing.setdefault((name, reason), []).append(one.choice.title)
    for passes, titles in running.items():
        yield f"  {_named(titles, everyone)}: {passes}"
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, reason), titles in missing.items():
        alike.setdefault((reason, tuple(titles)), []).append(name)
    for (reason, titled), names in alike.items():
        whose = "" if list(titled) == everyone else f" ({_named(titled, everyone)})"
        yield f"  without {', '.join(names)}: {reason}{whose}"


def _named(titles: Iterable[str], everyone: Sequence[str]) -> str:
    names = list(dict.fromkeys(titles))
    if len(names) == len(dict.fromkeys(everyone)) and len(names) > 1:
        return "all"
    return (
        ", ".join(names) if len(names) <= _SHARED else f"{', '.join(names[:_SHARED])} and {len(names) - _SHARED} more"
    )


def _about(found: Minutes | None) -> str:
    """``about 8 s``, ``about 40 s to 3 min``."""
    if found is None:
        return "unknown"
    least, most = (_time(one * 60) for one in (found.least, found.most))
    return f"about {least}" if least == most else f"about {least} to {most}"


def _time(seconds: float) -> str:
    if 0 < seconds < 1:
        return "1 s"
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.1f} min"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
    )
