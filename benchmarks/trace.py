"""What became of a model pass by pass: schema ``edgewright.trace/1``, in the file of records under ``traces``.

Made by ``compile --trace`` and shown by ``report``. Sizes are bytes, times nanoseconds of the full protocol (fresh
processes), accuracies in the metric's own unit on the samples that prove. A figure that was not measured is None, and
``notes`` say why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, cast, get_args, get_origin, get_type_hints

from edgewright.benchmarks.record import append_to, read_document
from edgewright.core.errors import BadInputError

SCHEMA = "edgewright.trace/1"
_REMEDY = "Compile with --trace again, or take this entry out of the file."
StepKind = Literal["original", "pass", "engine"]

NO_TIMES = "no times: "
NO_ACCURACIES = "no accuracies: "
NO_LAYER_ERRORS = "no errors of layers: "
NO_LAYER_TIMES = "no times of layers: "
"""How a note of a trace begins that says why none of its figures of a kind is there."""
NO_ERROR = "no error: "
NO_TIME = "no time of its own: "
"""How a part of a layer's reason begins that says why this figure is not there; parts are joined by ``; ``."""
NO_STEP_TIME = "no time: "
SAME_AS = "the same computation as: "
NEVER_SETTLED = "the warm-up never settled"
"""How notes of steps begin: of no time, of the figures of an earlier step, of a time that is shaky."""
_PARTS = re.compile(f"; (?={NO_ERROR}|{NO_TIME})")
_MOST_WHOLE = 2**63


@dataclass(frozen=True)
class TraceStep:
    """The model as it was after one pass that changed it, lowered and run as the final one is."""

    name: str
    """The pass, or what the model was at the beginning and the end."""
    kind: StepKind
    size_bytes: int | None
    """Of the engine's files."""
    accuracy: float | None
    p50_ns: float | None
    p50_ci95: tuple[float, float] | None = None
    note: str = ""
    """Why a figure is missing."""


@dataclass(frozen=True)
class LayerTrace:
    """One layer of the compiled model."""

    name: str
    op: str
    precision: str
    """As written in the model: ``int8``, ``float32``, ..."""
    error: float | None
    """``max|compiled - float| / max(1, max|float|)`` of its output, accumulated from the input on; over all samples."""
    time_ns: float | None
    """Median time by the engine's own profile; a layer fused into another has none."""
    reason: str = ""
    """Why it stayed float, or has no figure."""
    noise: float | None = None
    """``|compiled - float| / |float|``, norms over all elements of all samples: what most values lose, where ``error``
    is the worst one's."""

    def why_none(self, figure: Literal["error", "time"]) -> str:
        """The part of ``reason`` that says why there is no such figure; empty where none does."""
        begins = NO_ERROR if figure == "error" else NO_TIME
        return next((part for part in _PARTS.split(self.reason) if part.startswith(begins)), "")

    @property
    def remark(self) -> str:
        """``reason`` without what says why figures are missing."""
        return "; ".join(part for part in _PARTS.split(self.reason) if not part.startswith((NO_ERROR, NO_TIME)))


@dataclass(frozen=True)
class ClassDelta:
    """One class's share of right answers, before and after."""

    label: str
    n: int
    reference: float
    value: float


@dataclass(frozen=True)
class Flips:
    """Samples on which the compiled model answers otherwise than the original."""

    n: int
    """Samples compared."""
    lost: int
    """Right before, wrong after."""
    gained: int
    """Wrong before, right after."""
    changed: int
    """Another answer, wrong both times; or, where ``labelled`` is False, simply another answer."""
    lost_samples: tuple[int, ...] = ()
    """Places of the first of them in the data as it was given, for a look at what they are."""
    labelled: bool = True


@dataclass(frozen=True)
class Trace:
    """All of it, for one bundle on one machine."""

    bundle_sha256: str
    model: str
    target: str
    precision: str
    metric: str
    """Empty without data."""
    higher_is_better: bool
    machine_identity: str
    steps: tuple[TraceStep, ...]
    layers: tuple[LayerTrace, ...]
    classes: tuple[ClassDelta, ...]
    flips: Flips | None
    notes: tuple[str, ...] = ()
    samples: int | None = None
    """Over how many samples the layers' errors are."""
    created: str | None = None
    """UTC."""
    schema: str = SCHEMA

    def to_json(self) -> Mapping[str, object]:
        """The JSON object of the schema."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Trace:
        """Reads what :meth:`to_json` wrote, by this version or a later one of the major version 1: keys that are not
        known are ignored, those that are missing are as if nothing had been measured.

        Raises:
            BadInputError: when a key holds something of another kind, a number without which the rest says nothing is
                missing, or the schema is another.
        """
        schema = data.get("schema")
        if schema != SCHEMA and not str(schema).startswith(f"{SCHEMA}."):
            raise BadInputError(f"a trace has the schema {schema!r:.80}, not '{SCHEMA}'", _REMEDY)
        return cast("Trace", _read(cls, {**data, "schema": SCHEMA}, "trace"))


def read_traces(path: Path) -> list[Trace]:
    """The traces in a file of records, oldest first; none when there is no file.

    Raises:
        BadInputError, IOFailureError: as :func:`edgewright.benchmarks.record.read_document`, and for a broken trace.
    """
    listed = read_document(path).get("traces", [])
    return [Trace.from_json(one) for one in cast("list[Mapping[str, object]]", listed)]


def append_trace(path: Path, trace: Trace) -> None:
    """Adds ``trace`` to the file of records at ``path``, which is made when absent.

    Raises:
        BadInputError, CannotWriteError, IOFailureError: as :func:`edgewright.benchmarks.record.append_record`.
    """
    append_to(path, "traces", trace.to_json())


def _read(kind: type, data: object, where: str) -> object:
    """A dataclass of this module from its JSON object."""
    if not isinstance(data, Mapping):
        raise BadInputError(f"{where} is {_shown(data)}, not an object", _REMEDY)
    hints = get_type_hints(kind)
    found = {}
    for item in fields(kind):
        if data.get(item.name) is not None:
            found[item.name] = _value(hints[item.name], data[item.name], f"{where}.{item.name}")
        elif item.default is MISSING:
            found[item.name] = _nothing(hints[item.name], f"{where}.{item.name}")
    return kind(**found)


def _value(hint: object, value: object, where: str) -> object:
    """``value`` as the annotation ``hint`` wants it, which JSON has as an object, a list, a word or a number."""
    choices = [one for one in get_args(hint) if one is not NoneType] if get_origin(hint) is UnionType else [hint]
    kind = choices[0]
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise BadInputError(f"{where} is {_shown(value)}, not a list", _REMEDY)
        parts = get_args(kind)
        if Ellipsis not in parts and len(parts) != len(value):
            raise BadInputError(f"{where} has {len(value)} entries, not {len(parts)}", _REMEDY)
        return tuple(_value(parts[0], one, f"{where}[{place}]") for place, one in enumerate(value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise BadInputError(f"{where} is {_shown(value)}, none of {', '.join(get_args(kind))}", _REMEDY)
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return _read(kind, value, where)
    if kind in (str, bool) and type(value) is kind:
        return value
    if kind is int and type(value) is int and abs(value) < _MOST_WHOLE:
        return value
    if kind is float and (type(value) is float or type(value) is int) and _is_finite(value):
        return float(value)
    raise BadInputError(f"{where} is {_shown(value)}, which it cannot be", _REMEDY)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _nothing(hint: object, where: str) -> object:
    """What stands for a missing value: None where that is allowed, an empty list or word; never a zero."""
    if get_origin(hint) is UnionType:
        return None
    if get_origin(hint) is tuple:
        return ()
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if hint in (int, float):
        raise BadInputError(f"{where} is missing", _REMEDY)
    return {str: "", bool: True}[cast("type", hint)]


def _shown(value: object) -> str:
    return f"{value!r:.60}"
