"""Makes the graph fit to be handed to a runtime, and to anyone.

1. Every value and node has a name of its own; inputs and outputs keep theirs.
2. Doc strings and the metadata of nodes, values and graphs go: exporters put stack traces and paths of the author's
   machine there. The model's own metadata (class names, dictionaries) stays, unless it holds a traceback; trained
   grids, whose codes are written by then, go too.
3. Imports of operator sets that no node uses go. The opset is kept within what the target takes: raised when it is
   below; when it is above, stamped down if no operator that is used has changed since.
4. The IR version is the lowest that the opset and the element types allow, but 8 at least: runtimes refuse what is
   newer than themselves, and every current one loads 8.
"""

from __future__ import annotations

from typing import ClassVar

import onnx
import onnx.helper
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedOpsetsPass

from edgewright.compiler.graphs import STANDARD_DOMAINS, all_graphs, rename
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.compiler.torch_stage.exporting import GRIDS_KEY
from edgewright.core.model import OnnxModel

_LOWEST_IR = 8
_IR_OF_TYPES = {
    ir.DataType.FLOAT8E4M3FN: 9,
    ir.DataType.FLOAT8E4M3FNUZ: 9,
    ir.DataType.FLOAT8E5M2: 9,
    ir.DataType.FLOAT8E5M2FNUZ: 9,
    ir.DataType.INT4: 10,
    ir.DataType.UINT4: 10,
    ir.DataType.FLOAT4E2M1: 11,
}
"""The IR version that brought each element type: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (Version)."""


class Finish(Pass[OnnxModel, OnnxModel]):
    """Names, strips and stamps the graph."""

    name: ClassVar[str] = "finish"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FINISH

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation, presentable."""
        work = Rewriting(model)
        _strip(work)
        _stamp_opset(work, *site.target.opset)
        _drop_unused_imports(work)
        _name(work)
        _stamp_ir_version(work)
        return work.outcome()


def _strip(work: Rewriting) -> None:
    stripped = 0
    model = work.model
    holders: list[ir.Graph | ir.Node | ir.Value | ir.Function] = [*model.functions.values()]
    for graph in all_graphs(model):
        holders.append(graph)
        holders.extend(graph)
        holders.extend((*graph.inputs, *graph.initializers.values()))
        holders.extend(value for node in graph for value in node.outputs)
    for holder in holders:
        if holder.metadata_props or holder.doc_string:
            holder.metadata_props.clear()
            holder.doc_string = None
            stripped += 1
    if model.doc_string:
        model.doc_string, stripped = None, stripped + 1
    doomed = [key for key, text in model.metadata_props.items() if 'File "' in text or "Traceback" in text]
    for key in {*doomed, *({GRIDS_KEY} & set(model.metadata_props))}:
        del model.metadata_props[key]
        stripped += 1
    if stripped:
        work.did("graph", f"stripped doc strings and metadata from {stripped} places", stripped)


def _stamp_opset(work: Rewriting, lowest: int, highest: int) -> None:
    opset = work.opset
    if opset < lowest:
        if problem := work.reach_opset(lowest, highest):
            work.tally.add("warning", "graph", f"the target takes opset {lowest} and above: {problem}")
        else:
            work.did("graph", f"raised the opset from {opset} to {lowest}")
    elif opset > highest:
        newer = _newer_than(work, opset, highest)
        if newer:
            text = f"the model has opset {opset}, the target takes {highest} at most, and these changed since: {newer}"
            work.tally.add("warning", "graph", text)
        else:
            work.model.graph.opset_imports.pop("ai.onnx", None)
            work.model.graph.opset_imports[""] = highest
            work.did("graph", f"stamped opset {highest} instead of {opset}: no operator used has changed since")


def _newer_than(work: Rewriting, opset: int, highest: int) -> str:
    """The operators used whose definition at ``opset`` is younger than ``highest``."""
    used = {node.op_type for node in work.model.graph.all_nodes() if node.domain in STANDARD_DOMAINS}
    found = []
    for name in sorted(used):
        try:
            since = onnx.defs.get_schema(name, opset, "").since_version
        except onnx.defs.SchemaError:
            since = opset
        if since > highest:
            found.append(name)
    return ", ".join(found)


def _drop_unused_imports(work: Rewriting) -> None:
    before = sorted(work.model.graph.opset_imports)
    RemoveUnusedOpsetsPass()(work.model)
    dropped = [domain for domain in before if domain not in work.model.graph.opset_imports]
    if dropped:
        work.did("graph", f"dropped the unused imports of {', '.join(dropped)}", len(dropped))


def _name(work: Rewriting) -> None:
    """Gives names to what has none and new ones to what shares one; main inputs and outputs come first."""
    renamed = 0
    graph = work.model.graph
    fixed = list(dict.fromkeys([*graph.inputs, *graph.outputs]))
    taken = {value.name for value in fixed}
    seen = set(fixed)
    for owner in [graph, *graph.subgraphs()]:
        values = [*owner.inputs, *owner.initializers.values(), *(value for node in owner for value in node.outputs)]
        for value in values:
            if value in seen or (value.name == "" and not value.uses() and not value.is_graph_output()):
                continue  # an optional output that is left out has no name
            seen.add(value)
            if not value.name or value.name in taken:
                rename(value, _free(taken, value.name or "value"))
                renamed += 1
            taken.add(value.name)
    nodes: set[str | None] = set()
    for node in [node for owner in [graph, *graph.subgraphs()] for node in owner]:
        if not node.name or node.name in nodes:
            node.name = _free(nodes, node.name or node.op_type)
            renamed += 1
        nodes.add(node.name)
    if renamed:
        work.did("graph", f"gave {renamed} nodes and values names of their own", renamed)


def _free(taken: set[str | None], hint: str) -> str:
    name, count = hint, 0
    while name in taken:
        count += 1
        name = f"{hint}_{count}"
    return name


def _stamp_ir_version(work: Rewriting) -> None:
    model = work.model
    known = {domain or "ai.onnx" for domain, _ in onnx.helper.OP_SET_ID_VERSION_MAP}
    imports = [
        onnx.helper.make_opsetid(domain, version)
        for domain, version in model.graph.opset_imports.items()
        if (domain or "ai.onnx") in known
    ]
    needed = max(_LOWEST_IR, onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True))
    for graph in all_graphs(model):
        values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
        for dtype in {value.dtype for value in values}:
            needed = max(needed, _IR_OF_TYPES.get(dtype, 0) if dtype is not None else 0)
    if model.ir_version != needed:
        work.did("graph", f"stamped IR version {needed} instead of {model.ir_version}")
        model.ir_version = needed
