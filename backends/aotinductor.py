"""AOTInductor: torch's own compiler, ahead of time, for CPUs and CUDA. The artifact is a package of machine code."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _aotinductor_host as host
from edgewright.backends import _aotinductor_session as session
from edgewright.backends._aotinductor_precision import DTYPES
from edgewright.backends._base import Artifact, Availability, Backend, LayerTime, Session, Unsupported
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError
from edgewright.core.model import Model, TorchFile
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import Target

_PROGRAM, _PACKAGE = "model.pt2", "package.pt2"
_BUILD_LIMITS = Limits(deadline_s=1800.0)
_INSTALL_TORCH = 'pip install "edgewright[torch]"'
_INSTALL_COMPILER = "apt-get install g++"


class AotInductor(Backend):
    """Compiles an exported torch program; no graph passes, no int8, float32 or half precision inside.

    A package holds native code: opening one runs what lies in it, and reading a program can too. Open only what you
    built yourself or have from somebody you would run a program of.
    """

    name = "aotinductor"
    accepts = frozenset({"torch"})
    native_code = True
    completing_runs_code = True

    def probe(self) -> Availability:
        """torch's version, and whether it and this machine have CUDA; torch itself is not imported."""
        version = host.torch_version()
        if version is None:
            return Availability(None, (), "torch is not installed", _INSTALL_TORCH)
        cuda = host.torch_has_cuda() and bool(host.gpu())
        return Availability(version, ("CPU", "CUDA") if cuda else ("CPU",))

    def available_for(self, target: Target) -> Availability:
        """As :meth:`probe`; where the package is built here, the compilers it takes must be here too."""
        found = self.probe()
        if not found.present or host.not_here(target):
            return found  # the program is all that is written here
        lacks = _missing(target)
        return Availability(None, found.devices, *lacks) if lacks else found

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """Looks at element types and torch alone; what cannot be compiled shows when it is built."""
        del target
        file = _torch_form(model)
        return [
            Unsupported(f"element type {spec.dtype}", spec.name, "torch has no tensors of it")
            for spec in (*file.inputs, *file.outputs)
            if spec.dtype == "string"
        ]

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Writes ``package.pt2`` where it can be built: on the device itself. Elsewhere ``model.pt2``, to be completed.

        A package for CUDA has the program beside it, so that another release of torch can build it again. Vector code
        uses the target's instruction sets alone, whatever this machine has. Two builds of one program for a CPU, with
        the same torch and compiler, give the same bytes; for CUDA, kernels are chosen by timing them.

        Raises:
            UnavailableError: a precision the target is not told, or no C++ compiler.
            EngineError: torch cannot read, trace or compile the program.
        """
        file = _torch_form(model)
        _require_precision(precision, target)
        why_not = host.not_here(target)
        if why_not is None:
            return self._build(file, target, workdir, precision)
        self._save_program(file.path, workdir)
        return Artifact(
            backend=self.name,
            folder=workdir,
            entry=_PROGRAM,
            files=(_PROGRAM,),
            inputs=file.inputs,
            outputs=file.outputs,
            properties={"device": target.device.lower(), "precision": precision},
            versions=_versions(),
            pending=why_not,
        )

    def complete(self, artifact: Artifact, target: Target, workdir: Path) -> Artifact:
        """Builds the package on the device, or again with the torch that is installed there.

        Raises:
            TargetAbsentError: this machine is not the target.
            UnavailableError: a compiler is missing, or the artifact has no program to build from.
        """
        program = artifact.folder / _PROGRAM
        if not program.is_file():
            raise UnavailableError("the artifact holds no torch program to build from", "Compile the model again.")
        if reason := host.not_here(target):
            raise TargetAbsentError(reason, "Finish the bundle on the device it was made for.")
        file = TorchFile(program, "model", artifact.inputs, artifact.outputs)
        return self._build(file, target, workdir, artifact.properties.get("precision", "fp32"))

    def on_cpu(self, artifact: Artifact) -> Artifact:
        """For what is not a CPU's: the program itself, run operator by operator, its types cast as in the package."""
        if not artifact.pending and artifact.properties.get("device") == "cpu":
            return artifact
        properties = {**artifact.properties, "device": session.STAND_IN}
        return replace(artifact, entry=_PROGRAM, files=(_PROGRAM,), properties=properties, pending="")

    def unfit(self, artifact: Artifact) -> str | None:
        """Packages link with the very release of torch that built them, and hold one machine's instructions."""
        installed, built = host.torch_version(), artifact.versions.get("torch")
        if installed is None:
            return "torch is not installed"
        if built is None:
            return "it does not say which version of torch it was built with"
        if artifact.pending or artifact.properties.get("device") == session.STAND_IN:
            older = [int(part) for part in host.release(installed).split(".")] < [
                int(part) for part in host.release(built).split(".")
            ]
            return f"it was written by torch {built}, here is {installed}, which is older" if older else None
        if host.release(installed) != host.release(built):
            return f"it was built with torch {built} and links with it, here is {installed}"
        needs = artifact.properties
        return host.lacking(needs.get("isa", ""), needs.get("machine", ""), needs.get("compute_capability", ""))

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the package in this process: its code runs here, so only for artifacts that are trusted.

        Raises:
            TargetAbsentError: it is for a GPU, and torch sees none.
            UnavailableError: it is not built yet, or not for this machine or torch.
            EngineError: when torch refuses it.
        """
        if artifact.pending:
            raise UnavailableError(
                f"the engine is not built yet: {artifact.pending}", "Run edgewright finish on the device."
            )
        if problem := self.unfit(artifact):
            raise UnavailableError(f"aotinductor cannot open {artifact.entry}: {problem}", "Build it again here.")
        return _Session(artifact, threads)

    def _build(self, file: TorchFile, target: Target, workdir: Path, precision: str) -> Artifact:
        if lacks := _missing(target):
            raise UnavailableError(*lacks)
        device, level = target.device.lower(), host.march(target)
        isa = host.used_by(level)
        told = call_isolated(
            "edgewright.backends._aotinductor_build:build",
            {
                "program": str(file.path.absolute()),
                "out": str((workdir / _PACKAGE).absolute()),
                "device": device,
                "precision": precision,
                "compiler": host.compiler(),
                "march": level,
                "isa": [*sorted(target.isa | isa)],
                "inputs": len(file.inputs),
                "outputs": len(file.outputs),
            },
            engine=self.name,
            doing="building the model",
            limits=_BUILD_LIMITS,
        )
        assert isinstance(told, dict)
        vector, kept = cast("list[str]", told["isa"]), cast("list[str]", told["kept"])
        properties = {
            "device": device,
            "isa": " ".join(sorted({*vector, *isa})),
            "machine": platform.machine(),
            "march": level,
            "precision": precision,
        }
        files: tuple[str, ...] = (_PACKAGE,)
        if device == "cuda":
            properties["compute_capability"] = host.gpu()
            self._save_program(file.path, workdir)
            files = (_PROGRAM, _PACKAGE)
        return Artifact(
            backend=self.name,
            folder=workdir,
            entry=_PACKAGE,
            files=files,
            inputs=file.inputs,
            outputs=file.outputs,
            properties=properties,
            versions=_versions(),
            remarks=tuple(f"'{name}' stays in fp32: its values are beyond {precision}" for name in kept),
        )

    def _save_program(self, path: Path, workdir: Path) -> None:
        call_isolated(
            "edgewright.backends._aotinductor_build:save_program",
            {"program": str(path.absolute()), "out": str((workdir / _PROGRAM).absolute())},
            engine=self.name,
            doing="reading the program",
            limits=_BUILD_LIMITS,
        )


class _Session(Session):
    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.inputs, self.outputs = artifact.inputs, artifact.outputs
        self._engine: session.Engine | None = session.Engine(artifact, threads)

    def close(self) -> None:
        self._engine = None

    def _run(self, feeds: Feeds) -> Outputs:
        results = self._open().run(feeds)
        self.device_ns = self._open().device_ns
        return results

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        return self._open().layer_times(feeds)

    def _open(self) -> session.Engine:
        if self._engine is None:
            raise EngineError("aotinductor is closed", "Open it again.")
        return self._engine


def _torch_form(model: Model) -> TorchFile:
    if not isinstance(model, TorchFile):
        raise UnavailableError(
            f"aotinductor takes torch programs, '{model.name}' is not in that form",
            "Give the torch module or its .pt2 file, or choose a runtime that takes ONNX.",
        )
    if not model.path.is_file():
        raise UnavailableError(f"there is no torch program at {model.path}", "Export the model again.")
    return model


def _require_precision(precision: str, target: Target) -> None:
    taken = {"fp32", *target.hinted_precisions} & DTYPES.keys()
    if target.device == "CPU":
        taken -= {"fp16"}  # CPUs convert it to float32 and back at every step: slower and less exact
    if precision not in taken:
        raise UnavailableError(
            f"aotinductor does not compute in {precision} on {target.name}",
            f"Choose one of: {', '.join(sorted(taken))}.",
        )


def _missing(target: Target) -> tuple[str, str] | None:
    """What building for ``target`` here lacks, and the command that brings it."""
    if host.compiler() is None:
        return "AOTInductor needs a C++ compiler, there is none on the PATH", _INSTALL_COMPILER
    if target.device == "CUDA" and not host.torch_has_cuda():
        version = host.torch_version()
        return (
            f"torch {version} is a build without CUDA",
            "pip uninstall torch; pip install torch (PyPI's torch for Linux has CUDA)",
        )
    return None


def _versions() -> dict[str, str]:
    version = host.torch_version()
    if version is None:
        raise UnavailableError("torch is not installed", _INSTALL_TORCH)
    return {"torch": version}
