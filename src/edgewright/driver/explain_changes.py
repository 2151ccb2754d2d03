"""The changes that are likely to help an engine most, each worked out from what was measured of it.

A gain is what a change could save at most: the rest of the run stays as it is, and what is changed gets as fast as this
machine showed that it can be. Nobody has tried it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgewright.benchmarks.ceilings import Ceilings
from edgewright.driver.explain_findings import EIGHT_BITS, FLOATS, Fallback, Unfused
from edgewright.driver.explain_layers import ExplainedLayer, Timing

SHOWN = 3
_WORTH_A_WORD = 0.01
"""Of the run: less is within what a second look would show differently."""
_NEAR = 0.6
"""From this part of the ceiling on a kernel leaves little to gain."""


@dataclass(frozen=True)
class Change:
    """One of them: what it is about, and what it could save."""

    what: str
    """``float-products``, ``conversions``, ``layout``, ``overhead``, ``slow-kernels`` or ``no-products``."""
    text: str
    gain_us: float
    """At most, of the plain run."""
    share: float
    """The same as a share of it."""
    layers: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the text is worked out from."""

    def to_json(self) -> dict[str, object]:
        """By name; times in microseconds."""
        return {
            "what": self.what,
            "text": self.text,
            "gain_us": round(self.gain_us, 3),
            "share": round(self.share, 6),
            "layers": list(self.layers),
            "figures": {name: round(value, 6) for name, value in self.figures.items()},
        }


@dataclass(frozen=True)
class Seen:
    """All that changes are worked out from."""

    layers: Sequence[ExplainedLayer]
    timing: Timing
    ceilings: Ceilings
    precision: str
    """The bundle's."""
    stayed: Sequence[Fallback]
    alone: Sequence[Unfused]


def changes(seen: Seen) -> tuple[Change, ...]:
    """Those that could save most, at most three; fewer where nothing else is worth a word."""
    found = [*_float_products(seen), *_alone(seen), *_layout(seen), *_overhead(seen), *_slow(seen), *_others(seen)]
    worth = [one for one in found if one.share >= _WORTH_A_WORD]
    return tuple(sorted(worth, key=lambda one: -one.gain_us)[:SHOWN])


def _change(
    seen: Seen, what: str, text: str, gain_us: float, *, layers: Sequence[str], figures: Mapping[str, float]
) -> Change:
    # Of profiled layers: where those take longer than the whole plain run, the timers are part of every one of them.
    gain = gain_us * min(1.0, seen.timing.plain_us / seen.timing.layers_us)
    return Change(what, text, gain, gain / seen.timing.plain_us, tuple(layers), figures)


def _float_products(seen: Seen) -> Iterator[Change]:
    """Products in float where this machine is faster in 8 bits."""
    counting = [one for one in seen.layers if one.macs]
    floats = [one for one in counting if one.precision in FLOATS]
    took = sum(one.time_us for one in floats)
    speeds = seen.ceilings.macs_per_s
    slow = max((speeds.get(one.precision, 0.0) for one in floats), default=0.0)
    fast = speeds.get("int8", 0.0)
    if not took or not slow or fast <= slow:
        return
    share = took / seen.timing.profiled_us
    ratio = fast / slow
    begin = f"{len(floats)} of {_layers(len(counting))} that multiply: in floating point, {share:.0%}"
    if seen.precision in EIGHT_BITS:
        names = {one.name for one in floats}
        why = Counter(one.reason for one in seen.stayed if one.name in names and one.reason)
        reasons = "; ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in why.most_common(2))
        end = f"see why they stayed float: {reasons}" if reasons else "the journal does not say why they stayed float"
    else:
        end = "compile with --precision int8 (or auto) and --data"
    text = f"{begin} of the run; int8 multiplies {ratio:.1f}x as fast here: {end}"
    if (half := speeds.get("bf16", 0.0)) > 1.2 * slow and "bf16" not in {one.precision for one in floats}:
        text += f"; bf16, {half / slow:.1f}x as fast, needs no ranges"
    figures = {"layers": len(floats), "of": len(counting), "time_us": took, "share": share, "ratio": ratio}
    yield _change(seen, "float-products", text, took * (1 - 1 / ratio), layers=_slowest(floats), figures=figures)


def _alone(seen: Seen) -> Iterator[Change]:
    inside = [one for one in seen.alone if one.place == "inside"]
    took = sum(one.time_us for one in inside)
    if took:
        share = took / seen.timing.profiled_us
        slowest = max(inside, key=lambda one: one.time_us)
        text = (
            f"{_layers(len(inside))} for conversions between reals and codes alone, inside the model: {share:.0%} "
            f"of the run, the slowest between '{slowest.between[0]}' and '{slowest.between[1]}': have both sides of "
            "each compute in codes, or neither"
        )
        names = [one.name for one in sorted(inside, key=lambda one: -one.time_us)]
        figures = {"layers": len(inside), "time_us": took, "share": share}
        yield _change(seen, "conversions", text, took, layers=names, figures=figures)


def _layout(seen: Seen) -> Iterator[Change]:
    moves = [one for one in seen.layers if one.lays_out and not one.macs]
    took = sum(one.time_us for one in moves)
    if took:
        share = took / seen.timing.profiled_us
        added = sum(not one.operators for one in moves)
        text = (
            f"{_layers(len(moves))} for laying values out anew or converting their type: {share:.0%} of the run; the "
            f"engine added {added} of them: take transposes out of the model, or feed it in the layout it computes in"
        )
        figures = {"layers": len(moves), "added": added, "time_us": took, "share": share}
        yield _change(seen, "layout", text, took, layers=_slowest(moves), figures=figures)


def _overhead(seen: Seen) -> Iterator[Change]:
    """What a plain run takes beyond its layers; what the profiler adds is not counted."""
    rest = seen.timing.plain_us - seen.timing.layers_us
    if rest > 0:
        each = rest / max(1, len(seen.layers))
        share = rest / seen.timing.plain_us
        text = (
            f"{share:.0%} of a run is in none of its {len(seen.layers)} layers, {each:.1f} us for each of them: fewer "
            "and larger layers, several samples in one run, or no more threads than there is work for"
        )
        figures = {"time_us": rest, "share": share, "us_a_layer": each, "layers": len(seen.layers)}
        yield _change(seen, "overhead", text, rest, layers=(), figures=figures)


def _slow(seen: Seen) -> Iterator[Change]:
    """Products far below what this machine can do in the precision they are in."""
    groups: dict[tuple[str, str], list[ExplainedLayer]] = defaultdict(list)
    for one in seen.layers:
        if one.macs and one.roofline is not None and one.roofline < _NEAR:
            groups[one.kind, one.precision].append(one)
    for (kind, precision), group in groups.items():
        took = sum(one.time_us for one in group)
        gain = sum(one.time_us * (1 - (one.roofline or 0.0)) for one in group)
        reached, share = 1 - gain / took, took / seen.timing.profiled_us
        slowest = max(group, key=lambda one: one.time_us * (1 - (one.roofline or 0.0)))
        text = (
            f"{_layers(len(group), kind)} in {precision}: {share:.0%} of the run, at {reached:.0%} of what this "
            f"machine showed for so many products and bytes, '{slowest.name}' {slowest.roofline or 0.0:.0%}: "
            "another runtime may have a better kernel, --target native lets them compete"
        )
        figures = {"layers": len(group), "time_us": took, "share": share, "roofline": reached}
        yield _change(seen, "slow-kernels", text, gain, layers=_slowest(group), figures=figures)


def _others(seen: Seen) -> Iterator[Change]:
    """Layers without products, which move bytes: by kind."""
    groups: dict[str, list[ExplainedLayer]] = defaultdict(list)
    for one in seen.layers:
        if one.macs == 0 and one.roofline is not None and not one.lays_out and not one.converts_codes:
            groups[one.kind].append(one)
    for kind, group in groups.items():
        took = sum(one.time_us for one in group)
        gain = sum(one.time_us * max(0.0, 1 - (one.roofline or 0.0)) for one in group)
        share = took / seen.timing.profiled_us
        precisions = "/".join(sorted({one.precision for one in group}))
        text = (
            f"{_layers(len(group), kind)} without products ({precisions}): {share:.0%} of the run, "
            f"{1 - gain / took:.0%} of that to move the bytes: fold them into the layers around them, or use a "
            "cheaper operator"
        )
        figures = {"layers": len(group), "time_us": took, "share": share}
        yield _change(seen, "no-products", text, gain, layers=_slowest(group), figures=figures)


def _layers(number: int, kind: str = "") -> str:
    """``1 Conv layer``, ``3 layers``."""
    return f"{number} {kind}{' ' * bool(kind)}layer{'s' * (number != 1)}"


def _slowest(layers: Sequence[ExplainedLayer]) -> list[str]:
    return [one.name for one in sorted(layers, key=lambda one: -one.time_us)]
