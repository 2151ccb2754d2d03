"""The manifest: what a bundle says about itself. Its canonical form's SHA-256 is the bundle's digest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal, cast

from edgewright.core.bundle.fields import Fields
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import TensorSpec

SCHEMA = "edgewright.bundle/1"
"""Grows by optional keys within the same major number; a reader ignores the keys it does not know."""
_SCHEMA_FORM = re.compile(r"edgewright\.bundle/(\d{1,9})(\.\d{1,9})?")
_MAJOR = 1

Mark = Literal["measured", "host-proxy", "unmeasured"]
_MARKS: tuple[Mark, ...] = ("measured", "host-proxy", "unmeasured")
_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class ModelRecord:
    """The model that was compiled: what people call it, and its digest."""

    name: str
    digest: str


@dataclass(frozen=True)
class TargetRecord:
    """The target's name and its whole frozen description, so that a later edit of a TOML file changes no bundle."""

    name: str
    description: Mapping[str, object]


@dataclass(frozen=True)
class BackendRecord:
    """Who built the engine, and what opening it takes."""

    name: str
    versions: Mapping[str, str]
    entry: str
    """The file to open, relative to ``engine/``."""
    properties: Mapping[str, str]
    pending: str | None = None
    """Why there is no engine yet, where only the device can build it (``edgewright finish``): ``entry`` is the model it
    is then built from."""


@dataclass(frozen=True)
class PassRecord:
    """A pass that ran, with the options it ran with."""

    name: str
    options: Mapping[str, object]


@dataclass(frozen=True)
class StateLink:
    """A recurrent model's state: the output that is fed back to an input."""

    output: str
    input: str


@dataclass(frozen=True)
class Accuracy:
    """The original's and the engine's value of one metric on ``n`` proof samples; numbers only where measured.

    ``mark`` is ``host-proxy`` when another machine stood in for the target, and ``unmeasured`` (every figure of the
    engine is None) when nobody ran it.
    """

    metric: str
    reference: float | None
    value: float | None
    drop: float | None
    n: int
    data_digest: str | None
    mark: Mark = "measured"


@dataclass(frozen=True)
class DataRecord:
    """Digests of the samples that were given, by what they were for; None where there were none."""

    calibrate: str | None = None
    select: str | None = None
    """What choices were made by."""
    prove: str | None = None
    train: str | None = None
    """What passes could train on."""


@dataclass(frozen=True)
class Limits:
    """The reproducible limits the user stated, and whether each was met; None is no limit, or nobody could judge."""

    max_drop: float | None = None
    drop_met: bool | None = None
    max_bytes: int | None = None
    bytes_met: bool | None = None


@dataclass(frozen=True)
class Tolerances:
    """The largest allowed ``max|a - b| / max(1, max|b|)`` over an output, against each set of golden answers."""

    engine: float
    original: float


@dataclass(frozen=True)
class FileRecord:
    """One member of the bundle."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """All of ``manifest.json``. ``files`` is filled in by the writer and names every member but the manifest."""

    model: ModelRecord
    target: TargetRecord
    backend: BackendRecord
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    passes: tuple[PassRecord, ...]
    accuracy: Accuracy | None
    """None when there was no data to measure it on."""
    limits: Limits
    size_bytes: int
    """Bytes of the engine's files."""
    recipe_digest: str
    plan_digest: str
    tolerances: Tolerances
    data: DataRecord | None = None
    preprocessing: Mapping[str, object] | None = None
    state: tuple[StateLink, ...] = ()
    parent: str | None = None
    """Digest of the bundle this one was built from on its device."""
    created: str | None = None
    """UTC, ``2026-01-31T12:00:00Z``, from SOURCE_DATE_EPOCH and nothing else."""
    files: tuple[FileRecord, ...] = ()
    schema: str = SCHEMA

    def to_json(self) -> dict[str, object]:
        """The JSON object that :meth:`from_json` reads."""
        return cast("dict[str, object]", _plain(self))

    @classmethod
    def from_json(cls, data: object, source: str = "manifest.json") -> Manifest:
        """Reads and validates; keys it does not know are left alone.

        Args:
            data: the parsed JSON.
            source: what the message calls it.

        Raises:
            BadInputError: another schema, or naming every field that is wrong with its path.
        """
        top = Fields(data, "", [])
        _check_schema(top.raw.get("schema"), source)
        manifest = cls(
            schema=top.text("schema"),
            model=_model(top.record("model")),
            target=_target(top.record("target")),
            backend=_backend(top.record("backend")),
            precision=top.text("precision"),
            inputs=tuple(_tensor(item) for item in top.records("inputs")),
            outputs=tuple(_tensor(item) for item in top.records("outputs")),
            passes=tuple(PassRecord(item.text("name"), item.mapping("options")) for item in top.records("passes")),
            accuracy=_accuracy(top.optional_record("accuracy")),
            limits=_limits(top.record("limits")),
            size_bytes=top.count("size_bytes"),
            recipe_digest=top.sha256("recipe_digest"),
            plan_digest=top.sha256("plan_digest"),
            tolerances=_tolerances(top.record("tolerances")),
            data=_data(top.optional_record("data")),
            preprocessing=top.optional_mapping("preprocessing"),
            state=tuple(StateLink(item.text("output"), item.text("input")) for item in _optional_list(top, "state")),
            parent=top.optional_sha256("parent"),
            created=top.optional_text("created"),
            files=tuple(_file(item) for item in _optional_list(top, "files")),
        )
        if top.problems:
            shown = [*top.problems[:_PROBLEMS_SHOWN], *["..."][: len(top.problems) > _PROBLEMS_SHOWN]]
            raise BadInputError(f"{source} is not a valid manifest: {'; '.join(shown)}", "Compile the model again.")
        return manifest


def _check_schema(schema: object, source: str) -> None:
    form = _SCHEMA_FORM.fullmatch(schema) if isinstance(schema, str) else None
    if form is None:
        raise BadInputError(f"{source} has the schema {schema!r:.80}, not '{SCHEMA}'", "This is not a bundle of ours.")
    if int(form[1]) != _MAJOR:
        newer = int(form[1]) > _MAJOR
        remedy = "Upgrade edgewright on this machine." if newer else "Compile the model again with this version."
        raise BadInputError(f"{source} has the schema '{schema}', this version reads '{SCHEMA}'", remedy)


def _optional_list(top: Fields, key: str) -> list[Fields]:
    return [] if top.raw.get(key) is None else top.records(key)


def _model(fields_: Fields) -> ModelRecord:
    return ModelRecord(fields_.text("name"), fields_.sha256("digest"))


def _target(fields_: Fields) -> TargetRecord:
    return TargetRecord(fields_.text("name"), fields_.mapping("description"))


def _backend(fields_: Fields) -> BackendRecord:
    return BackendRecord(
        fields_.text("name"),
        fields_.texts("versions"),
        fields_.text("entry"),
        fields_.texts("properties"),
        fields_.optional_text("pending"),
    )


def _tensor(fields_: Fields) -> TensorSpec:
    try:
        return TensorSpec.from_json(fields_.raw)
    except BadInputError as error:
        fields_.complain("", error.problem)
        return TensorSpec("", "unknown", None)


def _accuracy(fields_: Fields | None) -> Accuracy | None:
    if fields_ is None:
        return None
    found = Accuracy(
        metric=fields_.text("metric"),
        reference=fields_.optional_number("reference"),
        value=fields_.optional_number("value"),
        drop=fields_.optional_number("drop"),
        n=fields_.count("n"),
        data_digest=fields_.optional_sha256("data_digest"),
        mark=cast("Mark", fields_.one_of("mark", _MARKS)),
    )
    if found.mark == "unmeasured" and (found.value is not None or found.drop is not None):
        fields_.complain("value", "an unmeasured accuracy has a figure")
    if found.mark != "unmeasured" and None in (found.reference, found.value, found.drop):
        fields_.complain("value", f"an accuracy marked '{found.mark}' needs reference, value and drop")
    return found


def _data(fields_: Fields | None) -> DataRecord | None:
    if fields_ is None:
        return None
    return DataRecord(**{name: fields_.optional_sha256(name) for name in ("calibrate", "select", "prove", "train")})


def _limits(fields_: Fields) -> Limits:
    return Limits(
        fields_.optional_number("max_drop"),
        fields_.optional_flag("drop_met"),
        fields_.optional_count("max_bytes"),
        fields_.optional_flag("bytes_met"),
    )


def _tolerances(fields_: Fields) -> Tolerances:
    found = Tolerances(fields_.number("engine"), fields_.number("original"))
    if min(found.engine, found.original) < 0:
        fields_.complain("", "a tolerance is negative")
    return found


def _file(fields_: Fields) -> FileRecord:
    return FileRecord(fields_.text("path"), fields_.sha256("sha256"), fields_.count("bytes"))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
