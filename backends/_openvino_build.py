"""What OpenVINO does to a user's ONNX file while building: always in a child process, for it can crash there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.backends._openvino_session import gist, import_openvino
from edgewright.backends._wire import Json
from edgewright.core.errors import EngineError

if TYPE_CHECKING:
    import openvino

_NO_RULE = re.compile(r"No conversion rule found for operations: (?P<ops>.*)")
_FAILED = re.compile(r"^-- (?P<op>\S+)-(?P<opset>\d+) with a message:\n(?P<text>.*?)(?=^-- |^Summary:|\Z)", re.M | re.S)
_NODE = re.compile(r"<Node\((?P<op>[^)]*)\): (?P<node>.*?)>'")
_DYNAMIC_RANK = re.compile(r"doesn't support (?P<op>\S+) operation with dynamic rank. Operation name: (?P<node>.*)")


def unsupported(path: str, device: str) -> Json:
    """Rows of ``[operator, node, reason]`` of what cannot be converted, or compiled for ``device``; [] when all can.

    A device that is not on this machine is judged by conversion alone.
    """
    core = import_openvino().Core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        rows = list(explain(str(error)))
        return [list(row) for row in rows] or [["model", "", gist(error)]]
    if device not in core.available_devices:
        return []
    try:
        core.compile_model(
            model, device, {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1} if device == "CPU" else {}
        )
    except RuntimeError as error:
        return [list(row) for row in _not_compiled(core, model, device, error)]
    return []


def build(path: str, folder: str) -> Json:
    """Converts to ``model.xml`` and ``model.bin`` in ``folder``; returns the names of inputs and outputs.

    The bytes depend on the file and the version alone: OpenVINO names what has no name after a process-wide counter, so
    those names are replaced by the operator's kind and place.

    Raises:
        EngineError: when the model cannot be converted.
    """
    core = import_openvino().Core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise EngineError(
            f"openvino cannot convert the model: {gist(error)}", "Run with --dry-run to see why."
        ) from error
    for index, operator in enumerate(model.get_ordered_ops()):
        if operator.get_friendly_name() == operator.get_name():  # it has only the automatic one
            operator.set_friendly_name(f"{operator.get_type_name()}/{index}")
    model.set_friendly_name("model")
    import_openvino().save_model(model, str(Path(folder) / "model.xml"), compress_to_fp16=False)
    return {
        "inputs": [sorted(port.names) for port in model.inputs],
        "outputs": [sorted(port.names) for port in model.outputs],
    }


def explain(message: str) -> Iterator[tuple[str, str, str]]:
    """Operator, node and reason of every fault in the report of a failed conversion."""
    if found := _NO_RULE.search(message):
        for op in found["ops"].split(", "):
            # A foreign domain's is written domain.Name, a standard operator's Name-opset.
            domain, _, name = op.strip().rpartition(".")
            name, _, opset = name.partition("-")
            yield (
                f"{domain}::{name}" + (f" (opset {opset})" if opset else ""),
                "",
                "no conversion rule for it in OpenVINO",
            )
        return  # what else failed may only have lacked the results of these
    for fault in _FAILED.finditer(message):
        node = _NODE.search(fault["text"])
        reason = gist(RuntimeError(_NODE.sub("", fault["text"]).replace("While validating ONNX node '", "")))
        yield f"::{fault['op']} (opset {fault['opset']})", node["node"] if node else "", reason


def _not_compiled(
    core: openvino.Core, model: openvino.Model, device: str, error: RuntimeError
) -> Iterator[tuple[str, str, str]]:
    if found := _DYNAMIC_RANK.search(str(error)):
        yield found["op"], found["node"].strip(), f"OpenVINO's {device} needs to know the number of dimensions"
        return
    try:
        taken = core.query_model(model, device)
    except RuntimeError:
        taken = {}
    refused = [op for op in model.get_ordered_ops() if op.get_friendly_name() not in taken] if taken else []
    for op in refused:
        yield op.get_type_name(), op.get_friendly_name(), f"OpenVINO's {device} does not execute it"
    if not refused:
        yield "model", "", gist(error)
