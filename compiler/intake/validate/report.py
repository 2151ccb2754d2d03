"""How a refusal is worded: the file, the node or tensor, the rule, the mend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import onnx

from edgewright.core.errors import BadInputError

_LONGEST_NAME = 120
_NAMES_SHOWN = 10


def quoted(name: str) -> str:
    """A name in quotes, shortened: names may be megabytes long.

    >>> quoted("conv1")
    "'conv1'"
    """
    return f"'{name}'" if len(name) <= _LONGEST_NAME else f"'{name[:_LONGEST_NAME]}...' ({len(name)} characters)"


def listed(names: Iterable[str]) -> str:
    """Several names in quotes, the first ten of them."""
    found = list(names)
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return ", ".join(quoted(name) for name in found[:_NAMES_SHOWN]) + more


def node_text(node: onnx.NodeProto) -> str:
    """How messages call a node: its operator, and its name or first output."""
    op = f"{node.domain:.60}::{node.op_type:.60}" if node.domain else f"{node.op_type:.60}"
    if node.name:
        return f"{op} node {quoted(node.name)}"
    made = next((name for name in node.output if name), None)
    return f"{op} node that makes {quoted(made)}" if made else f"an unnamed {op} node"


def refuse(source: str, problem: str, remedy: str = "Export the model again.") -> NoReturn:
    """Raises the refusal of ``source``."""
    raise BadInputError(f"{source}: {problem}", remedy)
