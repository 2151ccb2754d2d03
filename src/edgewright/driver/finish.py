"""``edgewright finish``: on the device, builds the engine a bundle could not bring, proves it and measures it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import edgewright
from edgewright.backends import Artifact, Backend, open_isolated, require_trusted_source
from edgewright.benchmarks.bench import bench_bundle
from edgewright.benchmarks.preparing import artifact_of
from edgewright.benchmarks.record import Record, append_record, record_path
from edgewright.core.bundle import Bundle, Golden, open_bundle, write_bundle
from edgewright.core.bundle.manifest import BackendRecord, Manifest
from edgewright.core.compare import varying_axes, worst_error
from edgewright.core.errors import ExitCode, TargetAbsentError, UsageError
from edgewright.core.tensors import Outputs
from edgewright.core.units import show_bytes
from edgewright.core.workdir import working_folder
from edgewright.driver.executed import Executed, executed
from edgewright.driver.outputs import check_output
from edgewright.driver.presence import backend_for
from edgewright.driver.tolerances import ENGINE_TOLERANCE
from edgewright.targets.detect import is_present, this_host
from edgewright.targets.parse import target_from_json
from edgewright.targets.schema import Target

_ADVICE = (
    "Allow more, or compile again: a simpler precision is closer to the original, a narrower one smaller and faster."
)


@dataclass(frozen=True)
class FinishReport:
    """What became of the bundle. ``out`` has ``.missed`` in its name where a limit was missed."""

    target: str
    out: Path
    digest: str
    parent: str
    size_bytes: int
    error: float
    """The largest difference from the original's answers on the golden samples, relative to their largest value."""
    executed: Executed
    record: Record | None
    notes: tuple[str, ...]
    problem: str = ""
    remedy: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """1 where a limit was missed."""
        return ExitCode.LIMIT_MISSED if self.problem else ExitCode.OK

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``."""
        p50 = None if self.record is None else self.record.summary.percentiles["p50"].value / 1e6
        return {
            "schema": "edgewright.finish/1",
            "target": self.target,
            "bundle": str(self.out),
            "digest": self.digest,
            "parent": self.parent,
            "size_bytes": self.size_bytes,
            "error": self.error,
            "executed": self.executed.to_json(),
            "p50_ms": p50,
            "notes": list(self.notes),
            "problem": self.problem or None,
            "remedy": self.remedy or None,
            **self.exit_code.to_json(),
        }


def finish_bundle(
    path: Path,
    out: Path,
    *,
    key: Path | None = None,
    max_latency_ms: float | None = None,
    preset: str = "rapid",
    trust_native_code: bool = False,
    log: Callable[[str], None] = lambda _line: None,
) -> FinishReport:
    """Builds the engine of the bundle at ``path``, holds it to the original's golden answers, and measures it.

    Args:
        path: a bundle whose engine is pending.
        out: the new bundle; its record stands beside it.
        key: a public key that must have signed the bundle; the new one is to be signed anew.
        max_latency_ms: limit of the median, in milliseconds, met by its upper bound.
        preset: how long is measured, as ``bench`` has it.
        trust_native_code: build from what can run code when it is read, such as a program of torch's.
        log: takes one line of talk at a time.

    Raises:
        UsageError: a bundle that has its engine, or ``out`` is the bundle itself.
        BadInputError: a damaged bundle, or one that is not trusted or signed, before anything in it is deserialised.
        TargetAbsentError: this machine is not the device.
        UnavailableError: what builds the engine is not installed.
        EngineError: the engine cannot be built or run.
        CannotWriteError, IOFailureError: ``out`` cannot be written; what was there stays.
    """
    bundle = open_bundle(path, key)
    bundle.check()
    backend, target = _ready(bundle, out)
    require_trusted_source(backend, trust_native_code)
    threads = min(target.threads, this_host().cores)
    with working_folder() as workdir:
        bundle.extract_engine(workdir / "pending")
        (workdir / "engine").mkdir()
        log(f"building for {target.title}")
        artifact = backend.complete(artifact_of(bundle, workdir / "pending"), target, workdir / "engine")
        golden, error = _answers(bundle, artifact, threads)
        found = executed(artifact, golden.inputs[0], threads, _products(_written(bundle)))
        draft = _Draft(bundle, artifact, golden, error, found)
        measured = workdir / "measured.ewb"
        draft.write(measured)
        record = bench_bundle(open_bundle(measured, made_here=True), preset, trust_native_code=True, log=log)
        problem = _missed(draft, record, max_latency_ms)
        place = out.with_name(f"{out.stem}.missed{out.suffix}") if problem else out
        digest = draft.write(place)
        report = draft.report(target, place, digest, record, problem)
    append_record(record_path(place), record)
    return report


def _ready(bundle: Bundle, out: Path) -> tuple[Backend, Target]:
    """The backend and the target, when everything that finishing takes is here."""
    manifest = bundle.manifest
    if not manifest.backend.pending:
        raise UsageError(f"{bundle.path.name} has its engine already", "Use it as it is: edgewright verify, bench.")
    if out.resolve() == bundle.path.resolve():
        raise UsageError(f"{out} is the bundle itself, which is never changed", "Give -o another name.")
    check_output(out, folder=False)
    target = target_from_json(manifest.target.description)
    if absent := is_present(target):
        raise TargetAbsentError(f"{target.name} is not here: {absent}", "Type this on the device itself.")
    return backend_for(target), target


def _answers(bundle: Bundle, artifact: Artifact, threads: int) -> tuple[Golden, float]:
    """The golden samples with the new engine's answers, and how far those are from the original's."""
    golden = bundle.golden()
    with open_isolated(artifact.backend, artifact, threads) as session:
        answers: list[Outputs] = [dict(outputs) for outputs in session.run_many(golden.inputs)]
    varying = varying_axes(artifact.inputs, artifact.outputs)
    errors = [worst_error(one, dict(right), varying)[1] for one, right in zip(answers, golden.original, strict=True)]
    return replace(golden, engine=answers), max(errors)


@dataclass(frozen=True)
class _Draft:
    """The new bundle before it is written."""

    parent: Bundle
    artifact: Artifact
    golden: Golden
    error: float
    executed: Executed

    def write(self, out: Path) -> str:
        artifact, old = self.artifact, self.parent.manifest
        versions = {"edgewright": edgewright.__version__, **artifact.versions}
        limits, most = old.limits, old.limits.max_bytes
        manifest: Manifest = replace(
            old,
            backend=BackendRecord(artifact.backend, versions, artifact.entry, dict(artifact.properties)),
            size_bytes=artifact.size_bytes,
            limits=replace(limits, bytes_met=None if most is None else artifact.size_bytes <= most),
            tolerances=replace(old.tolerances, engine=ENGINE_TOLERANCE[old.precision]),
            parent=self.parent.digest,
            files=(),
        )
        journal: Mapping[str, object] = {
            **self.parent.journal,
            "finish": {"executed": self.executed.to_json(), "notes": list(artifact.remarks)},
        }
        engine = {name: artifact.folder / name for name in artifact.files}
        return write_bundle(out, manifest.to_json(), journal, engine, self.golden)

    def report(self, target: Target, place: Path, digest: str, record: Record, problem: str) -> FinishReport:
        precision = self.parent.manifest.precision
        shortfall = self.executed.shortfall(precision, _share(_written(self.parent), precision))
        return FinishReport(
            target=target.name,
            out=place,
            digest=digest,
            parent=self.parent.digest,
            size_bytes=self.artifact.size_bytes,
            error=self.error,
            executed=self.executed,
            record=record,
            notes=(*self.artifact.remarks, *([shortfall] if shortfall else [])),
            problem=problem,
            remedy=f"It is in {place}. {_ADVICE}" if problem else "",
        )


def _missed(draft: _Draft, record: Record, max_latency_ms: float | None) -> str:
    """Which limit the engine missed here; empty when none."""
    allowed = draft.parent.manifest.tolerances.original
    problems = []
    if draft.error > allowed:
        problems.append(f"the engine is {draft.error:.3g} off the original's golden answers, allowed is {allowed:g}")
    most = draft.parent.manifest.limits.max_bytes
    if most is not None and draft.artifact.size_bytes > most:
        problems.append(f"the engine has {show_bytes(draft.artifact.size_bytes)}, --max-size was {show_bytes(most)}")
    p50 = record.summary.percentiles["p50"]
    bound_ms = (p50.value if p50.ci95 is None else p50.ci95[1]) / 1e6
    if max_latency_ms is not None and bound_ms > max_latency_ms:
        problems.append(
            f"p50 is at most {bound_ms:.3g} ms with 95 % confidence, --max-latency is {max_latency_ms:g} ms"
        )
    return "; ".join(problems)


def _written(bundle: Bundle) -> Mapping[str, object]:
    """What the journal says of the precision that the model is written in; nothing where it says nothing."""
    precisions = bundle.journal.get("precisions")
    written = precisions.get("written") if isinstance(precisions, Mapping) else None
    return written if isinstance(written, Mapping) else {}


def _products(written: Mapping[str, object]) -> dict[str, int]:
    """Name of an operator -> its multiply-accumulates."""
    found = written.get("products")
    return {str(name): int(macs) for name, macs in found.items()} if isinstance(found, Mapping) else {}


def _share(written: Mapping[str, object], precision: str) -> float:
    """Share of the multiplications that is written in ``precision``."""
    shares = written.get("shares")
    return float(shares.get(precision, 0.0)) if isinstance(shares, Mapping) else 0.0
