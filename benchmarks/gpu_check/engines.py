"""Engines of Edgewright's own backends, opened for an arm; what a machine lacks is said with what to type."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgewright.backends import Artifact, Backend, Session, registry
from edgewright.benchmarks.gpu_check.models import NETWORKS, OUTPUT, network
from edgewright.benchmarks.gpu_check.plan import CellPlan, onnx_name
from edgewright.core.errors import UnavailableError
from edgewright.core.model import TorchFile
from edgewright.targets.load import described_targets, hardware_names
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram

CUDA_PROVIDER, CPU_PROVIDER = "CUDAExecutionProvider", "CPUExecutionProvider"


@dataclass(frozen=True)
class Opened:
    """A session, what opened it, and what its builder found that must be known."""

    session: Session
    versions: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def onnxruntime(plan: CellPlan, precision: str) -> Opened:
    """ONNX Runtime on the plan's device.

    Raises:
        UnavailableError: it is not here, it has no CUDA provider, or there is no ONNX file.
        EngineError: it refuses the file.
    """
    backend, version = _present("onnxruntime")
    provider = CUDA_PROVIDER if plan.device == "cuda" else CPU_PROVIDER
    devices = backend.probe().devices
    if provider not in devices:
        raise UnavailableError(
            f"onnxruntime {version} has no {provider}, only {', '.join(devices)}",
            "pip uninstall onnxruntime && pip install onnxruntime-gpu",
        )
    properties = {"execution": "sequential", "optimization": "all", "provider": provider, "spinning": "1"}
    artifact = _onnx_artifact("onnxruntime", plan, precision, properties, versions={"onnxruntime": version})
    return Opened(backend.open(artifact, plan.threads), artifact.versions)


def tensorrt(plan: CellPlan, precision: str) -> Opened:
    """The flavour of TensorRT that builds for this GPU; the engine is built here.

    Raises:
        UnavailableError: no flavour is here, none builds for this GPU, or there is no ONNX file.
        EngineError: it fails to build.
    """
    if plan.device == "cpu":
        raise UnavailableError("TensorRT needs an NVIDIA GPU", "Run it with --device cuda.")
    backend, _ = _present("tensorrt")
    target = target_here("tensorrt", "cuda")
    capability = target.compute_capability
    assert capability is not None
    properties = {"compute_capability": f"{capability[0]}.{capability[1]}", "typed": "model.onnx"}
    typed = _onnx_artifact("tensorrt", plan, precision, properties, pending="built on this machine")
    built = backend.complete(typed, target, _fresh(Path(plan.work) / f"tensorrt-{precision}-engine"))
    return Opened(backend.open(built, plan.threads), built.versions, built.remarks)


def aotinductor(plan: CellPlan, program: ExportedProgram, precision: str, folder: Path) -> tuple[Artifact, Opened]:
    """A package for the plan's device, made by our backend, and opened by it.

    Args:
        plan: which device.
        program: float32; the backend itself casts what it computes in other precisions.
        precision: what to compute in.
        folder: where it is built.

    Raises:
        UnavailableError: this machine cannot build it.
        EngineError: it fails to build.
    """
    backend, version = _present("aotinductor")
    import torch

    target = target_here("aotinductor", plan.device)
    _fresh(folder)
    torch.export.save(program, folder / "program.pt2")
    shape = NETWORKS[plan.network]
    model = TorchFile(
        folder / "program.pt2", plan.network, shape.input_specs(plan.batch), shape.output_specs(plan.batch)
    )
    artifact = backend.lower(model, target, _fresh(folder / "engine"), precision)
    return artifact, Opened(backend.open(artifact, plan.threads), {"torch": version}, artifact.remarks)


OPENERS: Mapping[str, Callable[[CellPlan, str], Opened]] = {"onnxruntime": onnxruntime, "tensorrt": tensorrt}
"""Way -> what opens it from an ONNX file."""


def target_here(runtime: str, device: str) -> Target:
    """The description of this machine's GPU (or CPU) for a runtime.

    Raises:
        UnavailableError: none of the targets that ship is this machine.
    """
    if device == "cpu":
        for target in described_targets("native"):
            if target.runtime == runtime:
                return target
        raise UnavailableError(f"there is no target native/{runtime}", "See edgewright targets.")
    import torch

    capability = torch.cuda.get_device_capability()
    for name in hardware_names():
        for target in described_targets(name):
            if target.runtime == runtime and target.compute_capability == capability:
                return target
    raise UnavailableError(
        f"no target describes compute capability {capability[0]}.{capability[1]} for {runtime}",
        "See edgewright targets.",
    )


def export_onnx(name: str, batch: int, precision: str, folder: Path, seed: int) -> Path:
    """Writes the ONNX file of a network, as the arms that need one read it.

    Raises:
        UnavailableError: the exporter is not installed.
    """
    import torch

    path = folder / onnx_name(name, batch, precision)
    feeds = NETWORKS[name].samples(batch, 1, seed)[0]
    try:
        torch.onnx.export(
            network(name, precision, seed),
            tuple(torch.from_numpy(array) for array in feeds.values()),
            path,
            input_names=list(feeds),
            output_names=[OUTPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"no ONNX file, and none can be exported here: {error}",
            "pip install onnx onnxscript, or export elsewhere (--export DIR) and give --onnx-folder DIR.",
        ) from error
    return path


def _present(name: str) -> tuple[Backend, str]:
    if name not in registry().names():
        raise UnavailableError(f"this copy of Edgewright has no backend {name}", "Update it.")
    backend = registry().find(name)()
    found = backend.probe()
    if found.version is None:
        raise UnavailableError(found.reason, found.remedy)
    return backend, found.version


def _onnx_artifact(
    backend: str,
    plan: CellPlan,
    precision: str,
    properties: Mapping[str, str],
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
    pending: str = "",
) -> Artifact:
    """An artifact whose file is the network's ONNX file, made here or brought along."""
    folder = _fresh(Path(plan.work) / f"{backend}-{precision}")
    if plan.onnx_folder is None:
        export_onnx(plan.network, plan.batch, precision, folder, plan.seed).rename(folder / "model.onnx")
    else:
        brought = Path(plan.onnx_folder) / onnx_name(plan.network, plan.batch, precision)
        if not brought.is_file():
            raise UnavailableError(f"the folder of ONNX files has no {brought.name}", "Write it with --export DIR.")
        shutil.copyfile(brought, folder / "model.onnx")
    shape = NETWORKS[plan.network]
    return Artifact(
        backend=backend,
        folder=folder,
        entry="model.onnx",
        files=("model.onnx",),
        inputs=shape.input_specs(plan.batch),
        outputs=shape.output_specs(plan.batch),
        properties=properties,
        versions=versions,
        pending=pending,
    )


def _fresh(folder: Path) -> Path:
    """The folder, empty: what an attempt that crashed has left is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
