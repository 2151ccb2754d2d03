"""What can be said about pruning, and the goal as a recipe writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edgewright.compiler.site import Goal
from edgewright.core.units import parse_bytes, parse_latency, parse_share

CUTS = ("both", "channels", "blocks")
IMPORTANCES = ("activation", "magnitude", "bn", "taylor")


@dataclass(frozen=True)
class PruneOptions:
    """How a model is made narrower. ``goal`` gives way to ``--max-latency`` and ``--max-size``."""

    goal: str = ""
    """``latency=0.5x`` (of the float32 original), ``latency=3ms``, ``size=1MB`` (parameters in float32), ``macs=0.5``
    (share of the multiplications that is left) or ``ratio=0.4`` (share that goes)."""
    importance: str = "activation"
    """What orders the units of a group: ``activation``, ``magnitude``, ``bn`` or ``taylor``."""
    keep: tuple[str, ...] = ()
    """Glob patterns of modules that must not lose channels, beside those of ``--keep``."""
    steps: int = 4
    """In how many rounds the goal is approached; each is measured."""
    floor: float = 0.1
    """Least share of a group's units that stays."""
    cuts: str = "both"
    """``channels`` (heads and hidden units among them), whole residual ``blocks``, or ``both``: what harms less for the
    same gain. Where data is scarce ``blocks`` are safer: what narrowing harms is made up for, and judged, on data."""
    compensate: bool = True
    """Whether what the removed channels carried is regressed on those that stay, and added to the next layer."""
    samples: int = 256
    """Samples that are looked at, at most, to make up for cuts, and as many to see by what they do."""
    undercut: float = 0.08
    """By what share of the limit a latency goal is undercut: what is timed quickly while pruning differs from what the
    whole protocol measures in the end."""
    margin: float = 0.03
    """How much slower than a wider one a width must measure before it is called slower."""
    widths: tuple[str, ...] = ()
    """``GROUP=UNITS`` repeats a plan without measuring; ``GROUP=48,32`` repeats its rounds, the widths after each. Of a
    block, 0 units leave it out."""

    def __post_init__(self) -> None:
        if self.goal:
            parse_goal(self.goal)
        if self.importance not in IMPORTANCES:
            raise ValueError(f"importance: '{self.importance:.100}' is none of {', '.join(IMPORTANCES)}")
        if self.cuts not in CUTS:
            raise ValueError(f"cuts: '{self.cuts:.100}' is none of {', '.join(CUTS)}")
        if not 1 <= self.steps <= 100:
            raise ValueError(f"steps: {self.steps} is not between 1 and 100")
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor: {self.floor} is not above 0 and at most 1")
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is less than 1")
        if not 0 <= self.undercut < 0.5:
            raise ValueError(f"undercut: {self.undercut} is not at least 0 and below 0.5")
        if not 0 <= self.margin < 0.5:
            raise ValueError(f"margin: {self.margin} is not at least 0 and below 0.5")
        parse_widths(self.widths)


def parse_goal(text: str) -> Goal:
    """The goal that ``text`` states.

    Raises:
        ValueError: it states none; the message starts with the option's name.

    >>> parse_goal("latency=0.5x").latency_ratio, parse_goal("size=1MB").max_bytes, parse_goal("macs=0.25").ratio
    (0.5, 1000000, 0.75)
    """
    kind, _, value = (part.strip() for part in text.partition("="))
    try:
        if kind == "latency":
            limit_ms, ratio = parse_latency(value)
            return Goal(latency_ms=limit_ms, latency_ratio=None if ratio is None else _share(kind, ratio))
        if kind == "size":
            return Goal(max_bytes=parse_bytes(value))
        if kind in ("macs", "ratio"):
            share = _share(kind, parse_share(value))
            return Goal(ratio=1 - share if kind == "macs" else share)
    except ValueError as error:
        raise ValueError(f"goal: {error}") from None
    raise ValueError(
        f"goal: '{text:.100}' states no goal: write latency=0.5x, latency=3ms, size=1MB, macs=0.5, ratio=0.4"
    )


def effective_goal(given: Goal, options: PruneOptions) -> Goal | None:
    """The command line's goal where it states one, else the recipe's; None where neither does."""
    stated = (given.latency_ms, given.latency_ratio, given.max_bytes, given.ratio)
    if any(value is not None for value in stated) or given.limits_ms:
        return given
    return replace(parse_goal(options.goal), float32_ms=given.float32_ms) if options.goal else None


def parse_widths(lines: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Group -> units that are left after each round.

    Raises:
        ValueError: a line is no ``GROUP=UNITS``, or the groups differ in their rounds.

    >>> parse_widths(["a.conv=48,32", "b=8"])
    {'a.conv': (48, 32), 'b': (8,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for line in lines:
        name, equals, numbers = line.rpartition("=")
        counts = numbers.split(",")
        if not equals or not name or not all(count.strip().isdecimal() for count in counts):
            raise ValueError(f"widths: '{line:.100}' is not of the form GROUP=UNITS or GROUP=UNITS,UNITS")
        rounds = tuple(int(count) for count in counts)
        if any(after > before for before, after in pairwise(rounds)):
            raise ValueError(f"widths: '{line:.100}' must fall")
        found[name.strip()] = rounds
    return found


def format_widths(rounds: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """The lines that :func:`parse_widths` reads, by name."""
    return tuple(f"{name}={','.join(str(count) for count in rounds[name])}" for name in sorted(rounds))


def _share(kind: str, number: float) -> float:
    if not 0 < number < 1:
        raise ValueError(f"{kind}={number:g} is not a share between 0 and 1")
    return number
