"""``edgewright explain``: where a bundle's time goes on this machine, layer by layer, and what could help."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._arguments import add_key
from edgewright.cli._progress import ProgressLine
from edgewright.core.errors import ExitCode, UsageError
from edgewright.core.units import show_bytes

if TYPE_CHECKING:
    from edgewright.benchmarks.ceilings import Ceilings
    from edgewright.driver.explain import Explanation
    from edgewright.driver.explain_layers import ExplainedLayer

SUMMARY = "show where a bundle's time goes on this machine, layer by layer, and what could help"
_TOP = 15
_LISTED = 8
_HEAD = ("layer", "kind", "precision", "time", "share", "MACs", "bytes", "roofline")
_WORDS = 3
"""Columns of words, which come before those of figures."""
_LONGEST = 36
_OPERATORS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE and its options."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a bundle, or its unzipped folder")
    parser.add_argument("--threads", type=int, metavar="N", help="compute threads (default: the target's)")
    parser.add_argument(
        "--top", type=int, metavar="N", default=_TOP, help=f"show the N slowest layers (default: {_TOP}; --json: all)"
    )
    parser.add_argument(
        "--trust-native-code", action="store_true", help="open an engine that is machine code, which runs when opened"
    )
    add_key(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the layers and what stands out among them."""
    if args.top < 1:
        raise UsageError(f"--top is {args.top}", "Give 1 or more.")
    from edgewright.driver.explain import explain_bundle

    with ProgressLine(args.bundle.name, eager=False) as line:
        found = explain_bundle(
            args.bundle, args.threads, key=args.key, trust_native_code=args.trust_native_code, log=line.say
        )
    if args.json:
        _console.result(json.dumps(found.to_json(), indent=2, sort_keys=True))
    else:
        _console.result("\n".join(_lines(found, args.top)))
    return ExitCode.OK


def _lines(found: Explanation, top: int) -> Iterator[str]:
    yield from _head(found)
    yield ""
    yield from _table(found, top)
    for title, lines in (
        ("stayed in floating point", list(_stayed(found))),
        ("conversions that the engine runs on their own", list(_alone(found))),
        ("most likely to help (what each could save at most; nobody has tried it)", list(_changes(found))),
        ("notes", [_console.escape_lines(note) for note in found.notes]),
    ):
        if lines:
            yield ""
            yield _console.paint(f"{title}:", "1")
            yield from (f"  {line}" for line in lines)


def _head(found: Explanation) -> Iterator[str]:
    timing = found.timing
    threads = f"{found.threads} thread{'s' * (found.threads > 1)}"
    name = _console.escape(found.bundle)
    yield f"{name}: {_console.escape(found.model)}, {found.precision}, {found.backend} {found.version}, {threads}"
    yield (
        f"a run takes {_time(timing.plain_us)}; with its layers timed {_time(timing.profiled_us)} "
        f"({timing.slower_by:+.0%}; means over the fastest third of {timing.runs} profiles)"
    )
    yield (
        f"layers {_time(timing.layers_us)} + overhead {_time(timing.overhead_us)} = "
        f"{timing.accounted:.1%} of the profiled run; shares below are of it"
    )
    yield from _ceilings(found.ceilings)


def _ceilings(found: Ceilings) -> Iterator[str]:
    speeds = [f"{name} {value / 1e9:.4g} G" for name, value in sorted(found.macs_per_s.items())]
    if speeds:
        yield f"this machine at most: {', '.join(speeds)} multiply-accumulates/s"
    if found.bandwidths:
        shown = [f"{one.bytes_per_s / 1e9:.3g} GB/s at {show_bytes(one.size_bytes)}" for one in found.bandwidths]
        yield f"  {', '.join(shown)}"
    for name, why in sorted(found.absent.items()):
        yield f"  {name} not measured: {_console.escape_lines(why)}"


def _table(found: Explanation, top: int) -> Iterator[str]:
    shown = sorted(found.layers, key=lambda one: -one.time_us)[:top]
    rows = [_HEAD, *(_row(one) for one in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for index, row in enumerate(rows):
        aligned = [text.ljust(widths[at]) if at < _WORDS else text.rjust(widths[at]) for at, text in enumerate(row)]
        line = "  ".join(aligned).rstrip()
        yield line if index else _console.paint(line, "1")
        if index and (behind := _behind(shown[index - 1])):
            yield f"  = {behind}"
    left = [one for one in found.layers if one not in shown]
    if left:
        share = sum(one.share for one in left)
        yield f"... {len(left)} more layers, {share:.1%}: --top {len(found.layers)} shows them"


def _row(one: ExplainedLayer) -> tuple[str, ...]:
    moved = one.moved_bytes
    return (
        _short(one.name),
        _console.escape(one.kind),
        _console.escape(one.precision),
        _time(one.time_us),
        f"{one.share:.1%}",
        "?" if one.macs is None else _count(one.macs) if one.macs else "-",
        "?" if moved is None else show_bytes(moved),
        "?" if one.roofline is None else f"{one.roofline:.0%}",
    )


def _behind(one: ExplainedLayer) -> str:
    """The operators behind a layer, where its name does not say it all."""
    if not one.operators or one.operators == (one.name,):
        return ""
    left = len(one.operators) - _OPERATORS
    more = f" and {left} more" if left > 0 else ""
    return " + ".join(_short(name) for name in one.operators[:_OPERATORS]) + more


def _stayed(found: Explanation) -> Iterator[str]:
    for one in found.fallbacks[:_LISTED]:
        reason = one.reason or "the journal does not say why"
        took = f"{_time(one.time_us)}, {one.share:.1%}"
        yield f"{_short(one.name)} ({_console.escape(one.kind)}, {one.precision}, {took}): {_console.escape(reason)}"
    yield from _more(found.fallbacks)


def _alone(found: Explanation) -> Iterator[str]:
    places = {"input": "at the model's input", "output": "at the model's output"}
    for one in found.unfused[:_LISTED]:
        between = " and ".join(_short(name) for name in one.between if name)
        place = places.get(one.place, f"between {between}")
        yield f"{_short(one.name)} ({_console.escape(one.kind)}, {_time(one.time_us)}, {one.share:.1%}): {place}"
    yield from _more(found.unfused)


def _more(listed: Sequence[object]) -> Iterator[str]:
    if len(listed) > _LISTED:
        yield f"... {len(listed) - _LISTED} more: --json has them all"


def _changes(found: Explanation) -> Iterator[str]:
    for number, one in enumerate(found.changes, 1):
        yield f"{number}. up to {_time(one.gain_us)} ({one.share:.0%}): {_console.escape_lines(one.text)}"


def _short(name: str) -> str:
    shown = _console.escape(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2 - 1]}...{shown[-_LONGEST // 2 + 2 :]}"


def _time(microseconds: float) -> str:
    if microseconds == 0:
        return "<1 us"  # the engines' counters have whole ones
    if abs(microseconds) >= 1000:
        return f"{microseconds / 1000:.4g} ms"
    return f"{microseconds:.3g} us"


def _count(number: int) -> str:
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
