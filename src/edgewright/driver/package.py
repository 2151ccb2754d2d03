"""Puts a proven engine into its bundle: manifest, journal, golden samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import edgewright
from edgewright.backends import Artifact, open_isolated
from edgewright.compiler.journal import JournalEntry
from edgewright.compiler.pass_base import Stage
from edgewright.compiler.precisions import PrecisionShares
from edgewright.core.bundle import DataRecord, Golden, write_bundle
from edgewright.core.bundle.manifest import (
    Accuracy,
    BackendRecord,
    Limits,
    Manifest,
    ModelRecord,
    PassRecord,
    TargetRecord,
    Tolerances,
)
from edgewright.core.compare import varying_axes, worst_error
from edgewright.core.errors import BadInputError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.driver.executed import Executed
from edgewright.driver.tolerances import ENGINE_TOLERANCE, round_up
from edgewright.driver.workshop import Built
from edgewright.targets.schema import Target

JOURNAL_SCHEMA = "edgewright.journal/1"
GOLDEN_SAMPLES = 4
_HEADROOM = 1.5
_DRAWN_HEADROOM = 4.0
"""How much further apart two answers may be than the two seen here, where the model draws random numbers."""


@dataclass(frozen=True)
class Proof:
    """What was found out about the engine that is going to be shipped."""

    accuracy: Accuracy | None
    limits: Limits
    golden: Golden
    tolerances: Tolerances
    executed: Executed = field(default_factory=lambda: Executed(unknown="the engine was not asked"))
    """In which precision its layers compute, where the engine ran and can tell."""
    written: PrecisionShares | None = None
    """What the model that went to the runtime says of precision; None for one in torch form."""


def golden_samples(
    built: Built, engine: Artifact | None, feeds: Sequence[Feeds], originals: Sequence[Outputs], threads: int
) -> tuple[Golden, Tolerances]:
    """Runs the engine on ``feeds`` (None where it cannot run here) and derives what ``verify`` will allow.

    The tolerance against the original is the largest error seen here with half of it added, rounded up to two digits:
    it says how far *this* engine is from the original, and a device that is further off has a problem of its own.
    An engine that answers the same question differently, because the model draws random numbers, is allowed that too.

    Raises:
        EngineError: when the engine fails.
        BadInputError: when an engine's answer has another shape than the original's, or is not finite where it is.
    """
    varying = varying_axes(built.artifact.inputs, built.artifact.outputs)
    answers: list[Outputs] = []
    worst = drawn = 0.0
    if engine is not None:
        with open_isolated(engine.backend, engine, engine.threads(threads)) as session:
            answers = [dict(outputs) for outputs in session.run_many(feeds)]
            again = [dict(outputs) for outputs in session.run_many(feeds)]
        drawn = max(worst_error(one, other, varying)[1] for one, other in zip(again, answers, strict=True))
        for answer, original in zip(answers, originals, strict=True):
            name, error = worst_error(answer, original, varying)
            if math.isinf(error):
                raise BadInputError(
                    f"output '{name}' of the compiled engine has another shape than the original's, or NaN",
                    "Compile with --precision fp32; if that fails too, please report the model.",
                )
            worst = max(worst, error)
    if not math.isfinite(drawn):
        drawn = 0.0
    tolerance = Tolerances(
        ENGINE_TOLERANCE[built.choice.precision] + round_up(drawn * _DRAWN_HEADROOM),
        round_up(worst * _HEADROOM + drawn * _DRAWN_HEADROOM + 1e-4),
    )
    return Golden(list(feeds), list(originals), answers), tolerance


def write(
    out: Path,
    original: OnnxModel,
    target: Target,
    built: Built,
    proof: Proof,
    *,
    recipe_digest: str,
    preprocessing: Mapping[str, object],
    because: object,
    data: DataRecord | None = None,
) -> str:
    """Writes the bundle whole or not at all and gives its digest. Nothing in it depends on time or place.

    Raises:
        CannotWriteError, IOFailureError: when ``out`` cannot be written; what was there stays.
    """
    manifest = Manifest(
        model=ModelRecord(original.name, original.digest),
        target=TargetRecord(target.name, target.to_json()),
        backend=_backend(built.artifact),
        precision=built.choice.precision,
        inputs=built.artifact.inputs,
        outputs=built.artifact.outputs,
        passes=tuple(PassRecord(one.pass_name, dict(one.options)) for one in built.journal if not one.rejected),
        accuracy=proof.accuracy,
        limits=proof.limits,
        size_bytes=built.artifact.size_bytes,
        recipe_digest=recipe_digest,
        plan_digest=built.choice.digest,
        tolerances=proof.tolerances,
        data=data,
        preprocessing=preprocessing or None,
    )
    journal = {
        "schema": JOURNAL_SCHEMA,
        "passes": [entry.to_json() for entry in built.journal],
        "precisions": {"written": _written(built, proof.written), "executed": proof.executed.to_json()},
        "plan": {"choice": built.choice.to_json(), "because": because},
    }
    engine = {name: built.artifact.folder / name for name in built.artifact.files}
    return write_bundle(out, manifest.to_json(), journal, engine, proof.golden)


def float_notes(journal: Sequence[JournalEntry]) -> list[str]:
    """What the quantising passes left in float, and every warning of any pass, as lines for people."""
    quantising = Stage.QUANTIZE.name.lower()
    return [
        f"{entry.pass_name}: {note.subject}: {note.text}"
        for entry in journal
        for note in entry.notes
        if note.kind == "warning" or (note.kind == "skipped" and entry.stage == quantising)
    ]


def _written(built: Built, shares: PrecisionShares | None) -> dict[str, object]:
    """What the model that went to the runtime says of precision; what the engine executes is another matter."""
    if shares is None:
        return {"source": "torch program", "precision": built.choice.precision}
    return {"source": "typed model", **shares.to_json()}


def _backend(artifact: Artifact) -> BackendRecord:
    versions = {"edgewright": edgewright.__version__, **artifact.versions}
    return BackendRecord(
        artifact.backend, versions, artifact.entry, dict(artifact.properties), artifact.pending or None
    )
