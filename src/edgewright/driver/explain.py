"""Why a bundle takes as long as it does on this machine: what its engine executes, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.backends import Artifact, Profiles
from edgewright.benchmarks.ceilings import Ceilings, measure_ceilings
from edgewright.benchmarks.harness.machine import disturbances, this_machine
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.preparing import Prepared, prepare
from edgewright.core.bundle import open_bundle
from edgewright.core.errors import TargetAbsentError, UnavailableError
from edgewright.core.tensors import Feeds, TensorSpec
from edgewright.core.workdir import working_folder
from edgewright.driver.explain_changes import Change, Seen, changes
from edgewright.driver.explain_findings import EIGHT_BITS, Fallback, Unfused, Written, fallbacks, unfused
from edgewright.driver.explain_layers import ExplainedLayer, Timing, explained, timing_of
from edgewright.driver.profiling import profile_engine

SCHEMA = "edgewright.explain/1"
_TOLERATED = 0.1
"""Layers and overhead beside the profiled run: further off, the figures are said to be shaky."""
_DISTORTED = 0.2
"""Slower than a plain run by this share: the layers' times are not taken at their word."""
_ONNX = ".onnx"


@dataclass(frozen=True)
class Explanation:
    """All that was found out; names are untrusted text."""

    bundle: str
    digest: str
    model: str
    target: str
    backend: str
    version: str
    """Of the runtime that is here."""
    precision: str
    """What the bundle was compiled to."""
    threads: int
    timing: Timing
    layers: tuple[ExplainedLayer, ...]
    """In the order of execution."""
    fallbacks: tuple[Fallback, ...]
    unfused: tuple[Unfused, ...]
    changes: tuple[Change, ...]
    ceilings: Ceilings
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``."""
        listed: Mapping[str, tuple[ExplainedLayer | Fallback | Unfused | Change, ...]] = {
            "layers": self.layers,
            "fallbacks": self.fallbacks,
            "unfused": self.unfused,
            "changes": self.changes,
        }
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "digest": self.digest,
            "model": self.model,
            "target": self.target,
            "backend": self.backend,
            "version": self.version,
            "precision": self.precision,
            "threads": self.threads,
            "timing": self.timing.to_json(),
            "ceilings": self.ceilings.to_json(),
            **{name: [one.to_json() for one in items] for name, items in listed.items()},
            "notes": list(self.notes),
        }


def explain_bundle(
    path: Path,
    threads: int | None = None,
    *,
    key: Path | None = None,
    trust_native_code: bool = False,
    log: Callable[[str], None] = lambda _line: None,
) -> Explanation:
    """Profiles a bundle or its unzipped folder on this machine, fed with its first golden sample; writes nothing.

    Args:
        threads: compute threads; None is the target's number, at most this machine's cores.
        key: a public key that must have signed the bundle.
        trust_native_code: open an engine that is machine code, which runs when it is opened.
        log: takes one line of talk at a time.

    Raises:
        BadInputError: a bundle that is damaged or not one, or machine code that is not trusted.
        TargetAbsentError: this machine is not what it is for.
        UnavailableError: its runtime is not installed, or does not show what it executes.
        UsageError: threads below 1.
        EngineError: the engine fails.
    """
    bundle = open_bundle(path, key)
    try:
        ready = prepare(bundle, threads, trust_native_code=trust_native_code)
    except TargetAbsentError as error:
        raise TargetAbsentError(error.problem, "Run explain on the device itself.") from error
    feeds = bundle.golden().inputs[0]
    with working_folder() as folder:
        artifact = ready.extracted(folder / "engine")
        with timing_lock(ready.device, log):
            log("profiling")
            shaky = disturbances(this_machine(), ready.target.threads)
            profiles = _profiles(ready, artifact, feeds)
            log("measuring what this machine can do")
            ceilings = measure_ceilings(artifact.backend, artifact.properties, ready.target.threads)
        model = artifact.path if artifact.path.suffix == _ONNX else None
        written = Written.from_journal(bundle.manifest.precision, bundle.journal)
        batch, notes = _batch(bundle.manifest.inputs, feeds)
        layers, missing = explained(profiles, written.products, batch, model, ceilings)
    timing = timing_of(profiles)
    notes += [*missing, *_remarks(written, timing, proxy=ready.target.host_proxy), *shaky]
    manifest = bundle.manifest
    inputs, outputs = (frozenset(one.name for one in specs) for specs in (manifest.inputs, manifest.outputs))
    stayed, alone = fallbacks(layers, written), unfused(layers, inputs, outputs)
    return Explanation(
        bundle=bundle.path.name,
        digest=bundle.digest,
        model=manifest.model.name,
        target=manifest.target.name,
        backend=ready.backend.name,
        version=ready.versions[ready.backend.name],
        precision=manifest.precision,
        threads=ready.target.threads,
        timing=timing,
        layers=layers,
        fallbacks=stayed,
        unfused=alone,
        changes=changes(Seen(layers, timing, ceilings, manifest.precision, stayed, alone)),
        ceilings=ceilings,
        notes=tuple(notes),
    )


def _profiles(ready: Prepared, artifact: Artifact, feeds: Feeds) -> Profiles:
    """As many as fit into about a second, in one child process.

    Raises:
        UnavailableError: the engine does not show what it executes.
    """
    try:
        return profile_engine(artifact, feeds, ready.target.threads)
    except UnavailableError as error:
        raise UnavailableError(
            f"{artifact.backend} on {ready.device} cannot be explained: {error.problem}",
            "explain looks into onnxruntime and openvino on a CPU; edgewright bench measures any engine.",
        ) from error


def _batch(inputs: tuple[TensorSpec, ...], feeds: Feeds) -> tuple[int, list[str]]:
    """Samples in one inference, which the journal counts multiplications for one of."""
    sizes = {
        feeds[spec.name].shape[0]
        for spec in inputs
        if spec.shape and not isinstance(spec.shape[0], int) and feeds[spec.name].ndim
    }
    batch = sizes.pop() if len(sizes) == 1 else 1
    return batch, [f"multiplications are counted for the {batch} samples of one inference"] if batch > 1 else []


def _remarks(written: Written, timing: Timing, *, proxy: bool) -> list[str]:
    found = []
    if proxy:
        found.append("this machine stands in for the target: its own times are others")
    if not written.products:
        found.append("the bundle's journal counts no multiplications, so no layer has any")
    if abs(timing.accounted - 1) > _TOLERATED:
        found.append(f"layers and overhead are {timing.accounted:.0%} of the profiled run: its layers come and go")
    if timing.slower_by > _DISTORTED:
        found.append(f"timing the layers made the run {timing.slower_by:.0%} slower: small ones take less without it")
    if timing.overhead_us < -_TOLERATED * timing.profiled_us:
        found.append("the layers take longer than the run: the engine executes some of them at the same time")
    if written.precision not in EIGHT_BITS:
        found.append(f"the bundle was compiled to {written.precision}: nothing was to leave floating point")
    return found
