"""Asks ONNX Runtime, in a child process, which of a model's operators it cannot take."""

from __future__ import annotations

import re

from edgewright.backends._onnxruntime_session import FATAL_ONLY, first_line
from edgewright.backends._wire import Json

_NO_KERNEL = re.compile(
    r"Could not find an implementation for (?P<op>\S+)\((?P<since>\d+)\) node with name '(?P<node>.*)'"
)
_BAD_TYPE = re.compile(
    r"Type '(?P<type>[^']+)' of (?:input|output) parameter \((?P<tensor>.*)\) of operator \((?P<op>\S+)\) in node "
    r"\((?P<node>.*)\) is invalid"
)
_NO_OP = re.compile(r"In Node, \(\"(?P<node>.*)\", (?P<op>\S+), \"(?P<domain>\S*)\", -?\d+\) .*No Op registered")
_NO_FUNCTION = re.compile(r"(?P<domain>\S*):(?P<op>\S+?)\(-?\d+\) is not a registered function/op")
_OPSET = re.compile(
    r"Opset (?P<version>\d+) is under development.*domain (?P<domain>\S+) is till opset (?P<most>\d+)", re.S
)
_IR = re.compile(r"Unsupported model IR version: (?P<version>\d+), max supported IR version: (?P<most>\d+)")


def unsupported(path: str) -> Json:
    """Rows of ``[operator, node, reason]``, one for each kind of fault the engine names; [] when it loads the file.

    Raises:
        EngineError: the engine refuses the file for another reason than an operator, a type or a version.
    """
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen.log_severity_level = FATAL_ONLY
    chosen.intra_op_num_threads = 1
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        onnxruntime.InferenceSession(path, chosen, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the engine's exceptions share no other base
        row = explain(str(error))
        return [list(row) if row else ["model", "", first_line(error)]]
    return []


def explain(message: str) -> tuple[str, str, str] | None:
    """Operator, node and reason from the engine's message; None when it is about something else."""
    if found := _NO_KERNEL.search(message):
        op = f"{found['op']} (opset {found['since']})"
        return op, found["node"], "the CPU provider has no kernel for these element types"
    if found := _BAD_TYPE.search(message):
        return (
            found["op"],
            found["node"],
            f"{found['type']} of '{found['tensor']}' is not taken by this opset's {found['op']}",
        )
    if found := _NO_OP.search(message):
        return f"{found['domain']}::{found['op']}", found["node"], "unknown operator"
    if found := _NO_FUNCTION.search(message):
        return f"{found['domain']}::{found['op']}", "", "unknown operator"
    if found := _OPSET.search(message):
        return f"opset {found['version']} of {found['domain']}", "", f"the highest it takes is {found['most']}"
    if found := _IR.search(message):
        return f"IR version {found['version']}", "", f"the highest it takes is {found['most']}"
    return None
