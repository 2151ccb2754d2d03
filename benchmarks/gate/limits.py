"""What a gate is asked: which bundle, held against what, on which data, and what may get worse by how much.

Schema ``edgewright.gates/1``, a TOML file; ``docs/gate.md`` is its reference. Paths in it are relative to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edgewright.benchmarks.gate.latency import DELTA
from edgewright.benchmarks.harness.protocol import PRESETS
from edgewright.benchmarks.statistics import SAMPLE_FLOORS
from edgewright.core.budget import DEFAULT_MAX_DROP
from edgewright.core.errors import UsageError
from edgewright.core.toml import Table, read_toml
from edgewright.core.units import parse_bytes, parse_milliseconds, parse_share
from edgewright.core.user_code import is_reference

SCHEMA = "edgewright.gates/1"
SESSION_ALLOWANCE = 0.05
"""How much two sessions on one machine may differ though nothing has changed: what a stored latency is believed to."""
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What may get worse, and by how much; None is what was not stated, and a limit without a default is then none."""

    max_regression: float | None = None
    """How much slower than its baseline is still the same, as a share; ``DELTA`` where none is stated."""
    max_latency_ms: float | None = None
    percentile: str = "p50"
    """Which percentile ``max_latency_ms`` is for."""
    session_allowance: float = SESSION_ALLOWANCE
    """How much sessions differ, as a share; of a stored baseline alone."""
    max_drop: float | None = None
    """How much worse a metric may be, in its own unit; ``DEFAULT_MAX_DROP`` where none is stated."""
    max_bytes: int | None = None
    max_growth: float | None = None
    """Of the engine's files, as a share of the baseline's size."""
    max_memory_bytes: int | None = None
    max_memory_growth: float | None = None
    """Of peak memory, as a share of the baseline's."""

    @property
    def allowed_regression(self) -> float:
        """``max_regression``, or the default."""
        return DELTA if self.max_regression is None else self.max_regression

    @property
    def allowed_drop(self) -> float:
        """``max_drop``, or the default."""
        return DEFAULT_MAX_DROP if self.max_drop is None else self.max_drop

    @property
    def has_own(self) -> bool:
        """Whether anything is stated that needs no baseline."""
        return any(limit is not None for limit in (self.max_latency_ms, self.max_bytes, self.max_memory_bytes))

    @property
    def has_relative(self) -> bool:
        """Whether anything is stated that says nothing without a baseline."""
        stated = (self.max_regression, self.max_drop, self.max_growth, self.max_memory_growth)
        return any(limit is not None for limit in stated)

    @property
    def absolute(self) -> Limits:
        """Without those that say nothing without a baseline."""
        return replace(self, max_regression=None, max_drop=None, max_growth=None, max_memory_growth=None)


@dataclass(frozen=True)
class Gate:
    """One bundle and what it is held against."""

    name: str
    """What reports call it and a file of baselines keeps it under; foreign text."""
    bundle: Path
    against: Path | None = None
    """The bundle it is run against, in interleaved pairs."""
    baseline: Path | None = None
    """The file of stored baselines it is looked up in."""
    data: str | None = None
    metric: str | None = None
    threads: int | None = None
    limits: Limits = Limits()
    key: Path | None = None
    """A public key that must have signed both bundles; no file can say so."""
    trust_native_code: bool = False
    """Open an engine that is machine code, which runs when it is opened; no file can say so."""

    @property
    def is_compared(self) -> bool:
        """Whether there is anything that it is held against beside limits of its own."""
        return self.against is not None or self.baseline is not None

    @property
    def is_judged(self) -> bool:
        """Whether anything is asked but that it be measured."""
        return self.is_compared or self.limits.has_own


@dataclass(frozen=True)
class Gates:
    """A file of gates."""

    gates: tuple[Gate, ...]
    defaults: Limits
    """Of whatever is named on the command line."""
    data: str | None = None
    metric: str | None = None
    threads: int | None = None
    preset: str | None = None


def read_gates(path: Path) -> Gates:
    """The gates in ``path``.

    Raises:
        UsageError: listing every mistake with its path in the file.
    """
    top = Table(read_toml(path, "gates"), "", [])
    top.choice("schema", (SCHEMA,), SCHEMA)
    folder = path.resolve().parent
    defaults = _defaults(top.table("defaults"), folder)
    gates = tuple(_gate(table, defaults, folder) for table in top.tables("gate"))
    names = [one.name for one in gates]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        top.complain("gate", f"two are called {name!r}; give each a name of its own")
    top.close()
    if top.problems:
        mistakes = "\n".join(f"  {problem}" for problem in top.problems)
        plural = "mistake" if len(top.problems) == 1 else "mistakes"
        raise UsageError(f"gates {path} has {len(top.problems)} {plural}:\n{mistakes}", "Mend it and try again.")
    return replace(defaults, gates=gates)


def name_of(bundle: Path) -> str:
    """What a bundle is called that was given no name: its file's, without the suffix.

    >>> name_of(Path("out/net.v2.ewb")), name_of(Path("out/net.v2"))
    ('net.v2', 'net.v2')
    """
    return bundle.name.removesuffix(".ewb") or bundle.resolve().name


def _defaults(table: Table, folder: Path) -> Gates:
    found = Gates(
        (),
        _limits(table, Limits(), complete=False),
        data=_reference(table, "data", None, folder),
        metric=_reference(table, "metric", None, folder),
        threads=table.optional_count("threads", lowest=1),
        preset=table.optional_choice("preset", tuple(PRESETS)),
    )
    table.close()
    return found


def _gate(table: Table, defaults: Gates, folder: Path) -> Gate:
    against, baseline = (folder / table.text(key) if table.has(key) else None for key in ("against", "baseline"))
    if against is not None and baseline is not None:
        table.complain("baseline", "there is also 'against'; a bundle is held against one of them")
    bundle = folder / table.text("bundle")
    gate = Gate(
        name=table.text("name", name_of(bundle)),
        bundle=bundle,
        against=against,
        baseline=baseline,
        data=_reference(table, "data", defaults.data, folder),
        metric=_reference(table, "metric", defaults.metric, folder),
        threads=table.count("threads", lowest=1) if table.has("threads") else defaults.threads,
        limits=_limits(table, defaults.defaults, complete=True),
    )
    table.close()
    return gate


def _limits(table: Table, inherited: Limits, *, complete: bool) -> Limits:
    """The four tables of limits; what one of them leaves out is as in ``inherited``.

    Args:
        table: which has them.
        inherited: the defaults.
        complete: whether nothing is added to them any more, so that what says nothing is a mistake.
    """
    latency, accuracy, size, memory = (table.table(key) for key in ("latency", "accuracy", "size", "memory"))
    percentile = latency.optional_choice("percentile", tuple(SAMPLE_FLOORS))
    found = Limits(
        max_regression=_parsed(latency, "max_regression", parse_share, inherited.max_regression),
        max_latency_ms=_parsed(latency, "max", parse_milliseconds, inherited.max_latency_ms),
        percentile=percentile or inherited.percentile,
        session_allowance=_parsed(latency, "session_allowance", parse_share, inherited.session_allowance),
        max_drop=_parsed(accuracy, "max_drop", parse_share, inherited.max_drop),
        max_bytes=_parsed(size, "max", parse_bytes, inherited.max_bytes),
        max_growth=_parsed(size, "max_growth", parse_share, inherited.max_growth),
        max_memory_bytes=_parsed(memory, "max", parse_bytes, inherited.max_memory_bytes),
        max_memory_growth=_parsed(memory, "max_growth", parse_share, inherited.max_memory_growth),
    )
    if complete and percentile is not None and found.max_latency_ms is None:
        latency.complain("percentile", "says nothing without 'max'")
    if latency.has("max_regression") and found.allowed_regression >= 1:
        latency.complain("max_regression", "is twice as slow or worse; write 2% or 0.02")
    for each in (latency, accuracy, size, memory):
        each.close()
    return found


def _parsed(table: Table, key: str, parse: Callable[[str], T], inherited: T) -> T:
    """A limit with its unit, as on the command line."""
    if not table.has(key):
        return inherited
    before = len(table.problems)
    text = table.text(key)
    if len(table.problems) > before:
        return inherited
    try:
        return parse(text)
    except ValueError as error:
        table.complain(key, str(error))
        return inherited


def _reference(table: Table, key: str, inherited: str | None, folder: Path) -> str | None:
    """A file's path made independent of the current folder; ``module:function`` and registered names stay."""
    if not table.has(key):
        return inherited
    text = table.text(key)
    if is_reference(text):
        source, _, name = text.rpartition(":")
        return f"{folder / source}:{name}" if source.endswith(".py") else text
    return str(folder / text) if key == "data" else text
