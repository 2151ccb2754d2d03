"""Asks ONNX Runtime, in a child process, which of a model's operators it cannot take, and which run where."""

from __future__ import annotations

import re

from edgewright.backends._base import Artifact
from edgewright.backends._onnxruntime_quiet import keep_quiet
from edgewright.backends._onnxruntime_session import CPU_PROVIDER, FATAL_ONLY, first_line, load, options
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


def unsupported(path: str, operators: list[list[str]], provider: str) -> Json:
    """Rows of ``[operator, node, reason]``; [] when the engine loads the file for ``provider`` and the CPU behind it.

    The engine stops at the first fault; so when that is an unknown operator, all of ``operators`` (domain and name) are
    looked up in its table.
    """
    keep_quiet()
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen.log_severity_level = FATAL_ONLY
    chosen.intra_op_num_threads = 1
    # Nothing is run here: a second copy of every weight, in the order its kernel likes, is not needed.
    chosen.add_session_config_entry("session.disable_prepacking", "1")
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        onnxruntime.InferenceSession(
            path, chosen, providers=list(dict.fromkeys([provider, CPU_PROVIDER])), enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001 - the engine's exceptions share no other base
        unknown = _unknown(operators)
        if unknown:
            return [[f"{domain}::{name}", "", "unknown operator"] for domain, name in unknown]
        return [list(explain(str(error)) or ("model", "", first_line(error)))]
    return []


def left_to_cpu(artifact: dict[str, Json]) -> Json:
    """Operators, as ``Kind 'node'``, that a session of a CUDA artifact gives to the CPU.

    Raises:
        TargetAbsentError, UnavailableError, EngineError: as when it is opened.
    """
    described = Artifact.from_json(artifact)
    chosen = options(described, threads=1)
    chosen.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    parts = load(described, chosen).get_provider_graph_assignment_info()
    return [
        f"{node.op_type} '{node.name}'" for part in parts if part.ep_name == CPU_PROVIDER for node in part.get_nodes()
    ]


def _unknown(operators: list[list[str]]) -> list[list[str]]:
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    known = {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    return [operator for operator in operators if tuple(operator) not in known]


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
