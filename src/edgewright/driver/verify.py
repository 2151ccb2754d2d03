"""Proves a bundle again where it stands: digests first, then numbers, then whether this machine is what it is for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.backends import Artifact, Backend, open_isolated, require_trust
from edgewright.benchmarks.preparing import artifact_of
from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.compare import varying_axes, worst_error
from edgewright.core.errors import EngineError, ExitCode
from edgewright.core.tensors import Outputs
from edgewright.core.workdir import working_folder
from edgewright.driver.presence import backend_for
from edgewright.targets.detect import is_present, stands_in, this_host
from edgewright.targets.parse import target_from_json
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``state`` is ``ok``, ``failed``, ``skipped`` or ``note``."""

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class VerifyReport:
    """What was found; the first failing check decides the exit code."""

    bundle: str
    digest: str
    checks: tuple[Check, ...]
    exit_code: ExitCode

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``."""
        return {
            "schema": "edgewright.verify/1",
            "bundle": self.bundle,
            "digest": self.digest,
            "checks": [vars(check) for check in self.checks],
            **self.exit_code.to_json(),
        }


def verify_bundle(
    path: Path,
    threads: int | None = None,
    *,
    key: Path | None = None,
    signature: Path | None = None,
    trust_native_code: bool = False,
) -> VerifyReport:
    """Checks a bundle or its unzipped folder on this machine.

    Args:
        threads: compute threads; None is what the engine was fastest with.
        key: a public key that must have signed it.
        signature: the file of its signatures; None for the one beside it.
        trust_native_code: open an engine that is machine code, which runs when it is opened.

    Raises:
        BadInputError: a bundle that is damaged or not one, or has no good signature of ``key``, before anything in it
            is deserialised; machine code that is not trusted.
        UsageError: a file that is not there.
    """
    bundle = open_bundle(path, key, signature=signature)
    bundle.check()
    checks = [Check("signature", "ok", f"key id {key_id}") for key_id in bundle.signed_by]
    checks += [Check("digests", "ok", f"all {len(bundle.manifest.files)} members are as the manifest says")]
    target = target_from_json(bundle.manifest.target.description)
    absent = is_present(target)
    if absent is not None:
        checks.append(Check("machine", "skipped", f"{target.name} is not here: {absent}"))
        return _report(path, bundle, checks, ExitCode.TARGET_ABSENT)
    proxy = stands_in(target)
    checks.append(Check("machine", "note" if proxy else "ok", proxy or f"this is {target.title}"))
    backend = backend_for(target)
    if pending := bundle.manifest.backend.pending:
        checks.append(Check("engine", "failed", f"there is none yet, edgewright finish builds it here: {pending}"))
        return _report(path, bundle, checks, ExitCode.UNAVAILABLE)
    require_trust(backend, trust_native_code)
    with working_folder() as workdir:
        bundle.extract_engine(workdir / "engine")
        artifact = artifact_of(bundle, workdir / "engine")
        if problem := backend.unfit(artifact):
            checks.append(Check("versions", "failed", problem))
            return _report(path, bundle, checks, ExitCode.UNAVAILABLE)
        checks.append(_versions(bundle, backend))
        try:
            numbers = _numbers(bundle, artifact, _threads(artifact, threads, target))
        except EngineError as error:
            checks.append(Check("engine", "failed", error.problem))
            return _report(path, bundle, checks, ExitCode.UNAVAILABLE)
    checks.extend(numbers)
    failed = any(check.state == "failed" for check in checks)
    return _report(path, bundle, checks, ExitCode.LIMIT_MISSED if failed else ExitCode.OK)


def _threads(artifact: Artifact, asked: int | None, target: Target) -> int:
    most = min(asked or target.threads, this_host().cores)
    return most if asked else artifact.threads(most)


def _report(path: Path, bundle: Bundle, checks: list[Check], code: ExitCode) -> VerifyReport:
    return VerifyReport(path.name, bundle.digest, tuple(checks), code)


def _versions(bundle: Bundle, backend: Backend) -> Check:
    """What it was built with beside what is here; whether that will do, :meth:`Backend.unfit` has said before."""
    built = {name: version for name, version in bundle.manifest.backend.versions.items() if name != "edgewright"}
    here = backend.installed().version or ""
    shown = ", ".join(f"{name} {version}" for name, version in sorted(built.items()))
    if not built or here in built.values():
        return Check("versions", "ok", f"{shown or f'{backend.name} {here}'}, as when it was built")
    return Check("versions", "note", f"built with {shown}, this machine has {here}: the numbers decide")


def _numbers(bundle: Bundle, artifact: Artifact, threads: int) -> list[Check]:
    golden = bundle.golden()
    with open_isolated(artifact.backend, artifact, threads) as session:
        answers = [dict(outputs) for outputs in session.run_many(golden.inputs)]
    tolerances = bundle.manifest.tolerances
    varying = varying_axes(artifact.inputs, artifact.outputs)
    original = _compare("original", answers, [dict(one) for one in golden.original], tolerances.original, varying)
    if not golden.engine:
        return [Check("engine", "skipped", "the bundle was built where its engine could not run"), original]
    return [_compare("engine", answers, [dict(one) for one in golden.engine], tolerances.engine, varying), original]


def _compare(
    name: str,
    answers: list[Outputs],
    expected: list[Outputs],
    tolerance: float,
    varying: Mapping[str, frozenset[int]],
) -> Check:
    errors = [worst_error(answer, right, varying) for answer, right in zip(answers, expected, strict=True)]
    output, error = max(errors, key=lambda item: item[1])
    text = f"{len(answers)} golden samples within {error:.2g} of the {name}'s answers (allowed {tolerance:g})"
    if error <= tolerance:
        return Check(name, "ok", text)
    shown = "another shape, or NaN" if math.isinf(error) else f"{error:.3g}"
    return Check(name, "failed", f"output '{output}' is {shown} off the {name}'s answer, allowed is {tolerance:g}")
