"""TensorRT 10, TensorRT 11 and TensorRT-RTX: one typed ONNX file for all, and the engine where one can be built here.

The precision of everything is written in the graph (Cast, QuantizeLinear and DequantizeLinear), so that no flavour
chooses any. TensorRT-RTX builds for GPUs that are not in the machine; the others leave the artifact pending until
:meth:`TensorRt.complete` runs on the device.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _tensorrt_fit as fit
from edgewright.backends._base import Artifact, Availability, Backend, Session, Unsupported, registry
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._onnx_file import onnx_form, save_for_engine
from edgewright.backends._tensorrt_build import Shapes, refused
from edgewright.backends._tensorrt_flavours import (
    AHEAD_OF_TIME,
    TITLES,
    FlavourFound,
    allows,
    builder_for,
    capability_text,
    flavour,
    flavours,
    gpus,
    remedy,
    requirement_name,
    wanted,
)
from edgewright.backends._tensorrt_graph import control_flow, place, profile_shapes, untyped
from edgewright.backends._tensorrt_layers import Layer, computed_in, counted, quantised_products
from edgewright.backends._tensorrt_remarks import documented, float_after_all
from edgewright.backends._tensorrt_timing import cache_file
from edgewright.backends._wire import Json
from edgewright.core.errors import UnavailableError
from edgewright.core.model import Model
from edgewright.targets.cuda import this_cuda
from edgewright.targets.schema import Target

__all__ = ["FlavourFound", "TensorRt", "flavours"]

_CHECK_LIMITS = Limits(deadline_s=120.0)
_BUILD_LIMITS = Limits(deadline_s=3600.0)
"""A Jetson that times every kernel of a large model takes tens of minutes."""
_WORKSPACE_BYTES = 2 << 30
_WORKSPACE_SHARE = 4
"""Of a device's memory, which holds weights and activations too, kernels may take one part in this many."""
_NAMED = 5
_UNASKED = "no parser of this TensorRT is here: whether it takes every operator shows when the device builds the engine"
_ANOTHER_FORM = "Keep those nodes in a form it takes, or choose another runtime."


class TensorRt(Backend):
    """Builds strongly typed engines; the flavour of TensorRT is the first of the target's that can build for it."""

    name = "tensorrt"
    native_code = True
    """NVIDIA counts opening an engine as running its maker's code, on the GPU and on the host:
    https://docs.nvidia.com/deeplearning/tensorrt/11.4.0/reference/security.html."""

    def probe(self) -> Availability:
        """The version of the first flavour that is installed, and the GPUs here; a bundle may still need another."""
        found = [item for item in flavours() if item.version is not None]
        if not found:
            reasons = "; ".join(item.reason for item in flavours())
            return Availability(None, (), reasons, remedy("tensorrt_rtx"))
        return Availability(found[0].version, _devices())

    def available_for(self, target: Target) -> Availability:
        """Whether a flavour here builds for the target, or the target's engine is built on the device anyway."""
        if target.compute_capability is None:
            return Availability(None, (), *_no_capability(target))
        builder = builder_for(target)
        if builder is not None:
            return Availability(builder.version, _devices())
        if not any(requirement_name(item) in AHEAD_OF_TIME for item in wanted(target)):
            return Availability("none needed here", (), _built_on_device(target))
        return Availability(None, (), *_why_not(target))

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        """The parser's verdict on every node, in a child process; the stand-in's where no flavour here builds it."""
        onnx_model = onnx_form(model, self.name)
        builder = builder_for(target)
        if builder is None:  # what stands in for the engine until it is built must take the model too
            return [*untyped(onnx_model), *registry().find("onnxruntime")().supports(onnx_model, target)]
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            path = Path(folder) / "model.onnx"
            save_for_engine(onnx_model, path)
            rows = call_isolated(
                "edgewright.backends._tensorrt_build:unsupported",
                {"flavour": builder.name, "path": str(path)},
                engine=builder.name,
                doing="reading the model",
                limits=_CHECK_LIMITS,
            )
        return [*place(cast("list[list[Json]]", rows), onnx_model), *untyped(onnx_model)]

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        """Writes the typed ``model.onnx`` (same model, same bytes), and ``model.engine`` where it can be built.

        Raises:
            UnavailableError: for a precision other than fp32, for a node the parser refuses, for a missing flavour.
            UsageError: when an input has open dimensions whose range is not known.
        """
        if precision != "fp32":
            raise UnavailableError(
                f"tensorrt computes in the types of the graph, not in {precision}",
                "Have the model itself cast (the half-precision pass), or choose fp32.",
            )
        onnx_model = onnx_form(model, self.name)
        available = self.available_for(target)
        if not available.present:
            raise UnavailableError(available.reason, available.remedy)
        assert target.compute_capability is not None
        if foreign := untyped(onnx_model):
            raise UnavailableError(_refused(foreign, "TensorRT"), _ANOTHER_FORM)
        shapes = profile_shapes(onnx_model)
        products = quantised_products(onnx_model.ir.graph)
        files = save_for_engine(onnx_model, workdir / "model.onnx")
        properties = {
            "compute_capability": capability_text(target.compute_capability),
            "typed": "model.onnx",
            "workspace_bytes": str(_workspace(target)),
            **({"profile": json.dumps(shapes, sort_keys=True)} if shapes else {}),
            **({"in_8_bits": json.dumps(products)} if products else {}),
        }
        typed = Artifact(
            backend=self.name,
            folder=workdir,
            entry="model.onnx",
            files=tuple(file.name for file in files),
            inputs=onnx_model.inputs,
            outputs=onnx_model.outputs,
            properties=properties,
            pending=_built_on_device(target),
            remarks=tuple(
                line for item in wanted(target) for line in documented(products, {}, requirement_name(item), target)
            ),
        )
        builder = builder_for(target)
        if builder is None:
            return replace(typed, remarks=(*typed.remarks, _UNASKED))
        try:
            built = _build(typed, builder, target)
        except UnavailableError as error:
            raise UnavailableError(error.problem + control_flow(error.problem, onnx_model), error.remedy) from error
        if isinstance(built, Artifact):
            return built
        title = f"{TITLES[builder.name]} {builder.version}"
        raise UnavailableError(_refused(place(built, onnx_model), title), _ANOTHER_FORM)

    def complete(self, artifact: Artifact, target: Target, workdir: Path) -> Artifact:
        """Builds the engine of a pending artifact with the flavour on this machine.

        Raises:
            UnavailableError: no flavour here builds for the target, or its parser refuses a node.
            EngineError: the engine failed to build.
        """
        if not artifact.pending:
            raise UnavailableError("the engine has been built already", f"Open {artifact.entry} as it is.")
        builder = builder_for(target)
        if builder is None:
            raise UnavailableError(*_why_not(target))
        for name in artifact.files:
            shutil.copyfile(artifact.folder / name, workdir / name)
        built = _build(replace(artifact, folder=workdir), builder, target)
        if isinstance(built, Artifact):
            return built
        rows = [Unsupported(str(row[0]) or "model", str(row[1]), str(row[3])) for row in built]
        raise UnavailableError(_refused(rows, f"{TITLES[builder.name]} {builder.version}"), _ANOTHER_FORM)

    def unfit(self, artifact: Artifact) -> str | None:
        """Why its engine cannot be opened here: flavour, version, system, GPU; and the engine's own header."""
        problem = fit.problem(artifact)
        return None if problem is None else str(problem)

    def on_cpu(self, artifact: Artifact) -> Artifact:
        """The typed model as ONNX Runtime's CPU provider computes it, every 16-bit result rounded to its type."""
        from edgewright.backends._emulation import emulated

        return emulated(artifact)

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Loads the engine on the first GPU; ``threads`` means nothing to it.

        Raises:
            TargetAbsentError: when the GPU it was built for is not here.
            UnavailableError: when its flavour is not installed.
            EngineError: when it was built with another version, or the engine refuses it.
        """
        del threads
        problem = fit.problem(artifact)
        if problem is not None:
            raise problem
        from edgewright.backends._tensorrt_session import EngineSession

        return EngineSession(artifact)


def _build(typed: Artifact, builder: FlavourFound, target: Target) -> Artifact | list[list[Json]]:
    """The artifact with its engine, or the rows of what the parser refused."""
    capability = target.compute_capability
    assert capability is not None
    assert builder.version is not None
    shapes = cast("Shapes", json.loads(typed.properties.get("profile", "{}")))
    products = cast("dict[str, str]", json.loads(typed.properties.get("in_8_bits", "{}")))
    ahead = builder.name in AHEAD_OF_TIME
    driver = ".".join(map(str, this_cuda().version or ()))
    answer = call_isolated(
        "edgewright.backends._tensorrt_build:build",
        {
            "flavour": builder.name,
            "path": str(typed.path.absolute()),
            "engine": str((typed.folder / "model.engine").absolute()),
            "capability": list(capability),
            "workspace": _workspace(target),
            "shapes": cast("Json", shapes),
            "cache": None if ahead else str(cache_file(builder.name, builder.version, capability, driver)),
        },
        engine=builder.name,
        doing="building the engine",
        limits=_BUILD_LIMITS,
    )
    if rows := refused(answer):
        return rows
    assert isinstance(answer, dict)
    layers = [Layer.from_json(row) for row in cast("list[Json]", answer["layers"])]
    planned = computed_in(products, layers)
    properties = {name: value for name, value in typed.properties.items() if name != "in_8_bits"}
    return replace(
        typed,
        entry="model.engine",
        files=(*typed.files, "model.engine"),
        properties={
            **properties,
            "flavour": builder.name,
            "platform": f"{sys.platform}-{platform.machine()}",
            **({"planned": counted(planned)} if planned else {}),
        },
        versions={builder.name: builder.version},
        pending="",
        remarks=(
            *float_after_all(planned, builder, capability),
            *documented(products, planned, builder.name, target),
            *cast("list[str]", answer["remarks"]),
        ),
    )


def _refused(faults: list[Unsupported], title: str) -> str:
    named = "; ".join(f"{fault.op} '{fault.node}': {fault.reason}" for fault in faults[:_NAMED])
    return f"{title} refuses {named}" + (f" (and {len(faults) - _NAMED} more)" if len(faults) > _NAMED else "")


def _devices() -> tuple[str, ...]:
    return tuple(f"{gpu.name} ({gpu.sm})" for gpu in gpus())


def _workspace(target: Target) -> int:
    return _WORKSPACE_BYTES if target.memory_bytes is None else target.memory_bytes // _WORKSPACE_SHARE


def _built_on_device(target: Target) -> str:
    needs = " or ".join(wanted(target))
    return f"an engine for {target.hardware} is built on the device itself, with {needs}: run edgewright finish there"


def _no_capability(target: Target) -> tuple[str, str]:
    return f"{target.name} names no compute capability", 'Give the target isa = ["sm_89"], or the number of its GPU.'


def _why_not(target: Target) -> tuple[str, str]:
    """The reason that no flavour here builds for the target, and what to type."""
    capability = target.compute_capability
    if capability is None:
        return _no_capability(target)
    reasons = []
    for requirement in wanted(target):
        found = flavour(requirement_name(requirement))
        if found.version is None:
            reasons.append(found.reason)
        elif not allows(requirement, found.version):
            reasons.append(f"{TITLES[found.name]} {found.version} is installed, {requirement} is wanted")
        elif found.name in AHEAD_OF_TIME:
            reasons.append(f"{TITLES[found.name]} {found.version} does not build for sm_{capability[0]}{capability[1]}")
        else:
            here = "".join(_devices()[:1]) or "no NVIDIA GPU is seen here"
            if any(gpu.compute_capability == capability for gpu in gpus()):
                here += ", the first of several: choose by CUDA_VISIBLE_DEVICES"
            reasons.append(f"{TITLES[found.name]} builds for the GPU in the machine only ({here})")
    return f"nothing here builds an engine for {target.name}: {'; '.join(reasons)}", remedy(wanted(target)[0])
