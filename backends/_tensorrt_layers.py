"""What an engine is made of: the builder's listing of its layers, or the inspector's, and what computes in integers.

The JSON of the inspector is that of TensorRT 10 (a tensor's format and type in one text, ``Format/Datatype``) or that
of TensorRT 11 and TensorRT-RTX (``Datatype`` of its own). The listing is what TensorRT-RTX logs while it builds.
Source: https://docs.nvidia.com/deeplearning/tensorrt/11.3.0/api/migration/tensorrt-10x-to-11x-IEngineInspector.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import onnx_ir as ir

LISTING = "Layers:\n"
"""How the line of the builder's log begins that holds the listing."""

QUANTISED = frozenset({"int8", "fp8"})

_ROW = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName:.*?Metadata: ?(?P<metadata>.*)$",
    re.M,
)
_DATATYPE = re.compile(r"Datatype: (\w+)")
_FROM_ONNX = re.compile(r"\[ONNX Layer: (.*?)\](?=$|[\x1e\x1f\[])")
_WORDS = (
    ("fp8", re.compile(r"\bfp8\b|\bfloat8|\be4m3", re.I)),
    ("int8", re.compile(r"\bint8\b", re.I)),
    ("bf16", re.compile(r"\bbf16\b|\bbfloat16\b", re.I)),
    ("fp16", re.compile(r"\bfp16\b|\bhalf\b|\bfloat16\b", re.I)),
    ("fp32", re.compile(r"\bfp32\b|\bfloat\b|\bfloat32\b", re.I)),
)
_GENERATED = frozenset({"kgen", "PointWise", "PointWiseV2"})
"""Kernels that are generated for a run of elementwise operators."""
_CARRIED = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool"})
"""Operators that codes pass through."""
_MOVES = re.compile(r"reformat|noop|shape_call|constant|shuffle|signal|wait|copy", re.I)


@dataclass(frozen=True)
class Layer:
    """One kernel of an engine: its name and kind, the type of what it computes from, and the ONNX nodes in it."""

    name: str
    kind: str
    precision: str
    nodes: tuple[str, ...]

    def to_json(self) -> list[object]:
        """For the way out of a child process."""
        return [self.name, self.kind, self.precision, list(self.nodes)]

    @classmethod
    def from_json(cls, row: object) -> Layer:
        """Reads what :meth:`to_json` wrote."""
        name, kind, precision, nodes = cast("tuple[str, str, str, list[str]]", row)
        return cls(name, kind, precision, tuple(nodes))


def listed(log: Iterable[str]) -> list[Layer]:
    """The layers in a builder's log; [] when it holds no listing."""
    return [
        Layer(
            row["name"],
            row["kind"],
            _first_precision(_DATATYPE.findall(row["inputs"]) or _DATATYPE.findall(row["constants"])),
            tuple(dict.fromkeys(_FROM_ONNX.findall(row["metadata"]))),
        )
        for text in log
        if text.startswith(LISTING)
        for row in _ROW.finditer(text)
    ]


def inspected(text: str) -> list[Layer]:
    """The layers in the JSON of an engine inspector; [] when the engine was built without details.

    Raises:
        ValueError: when it is not such JSON.
    """
    found = json.loads(text)
    rows = found.get("Layers", []) if isinstance(found, dict) else []
    return [_inspected_layer(row) for row in rows if isinstance(row, dict)]


def precision_of(words: str) -> str:
    """Our name of the type in one of TensorRT's descriptions; the words themselves where it is none of ours.

    >>> precision_of("Channel major FP16 format where channel % 8 == 0"), precision_of("Int8"), precision_of("Int64")
    ('fp16', 'int8', 'Int64')
    """
    return next((name for name, sign in _WORDS if sign.search(words)), words)


def quantised_products(graph: ir.Graph) -> dict[str, str]:
    """The layers (by TensorRT's names) whose data and weights are both written as codes, and which: int8 or fp8."""
    import onnx_ir as ir

    kinds = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
    products = [node for node in ir.traversal.RecursiveGraphIterator(graph) if node.op_type in kinds]
    written = {layer_name(node): [_codes(value) for value in node.inputs[:2]] for node in products}
    return {name: codes[0] for name, codes in written.items() if codes[0] is not None and None not in codes}


def layer_name(node: ir.Node) -> str:
    """What TensorRT's parser calls a node: its own name, or one after its first output."""
    return node.name or f"node_of_{node.outputs[0].name}"


def computed_in(products: Iterable[str], layers: Iterable[Layer]) -> dict[str, str]:
    """For each product the precision it computes in; ``unknown`` where no kernel of the listing says so.

    A product appears in several kernels: what follows it is fused into generated ones. The kernel that is not
    generated decides. Where there is none, a generated one that reads floats computes in them; one that reads codes
    may turn them into floats first, and does not say so.
    """
    by_node: dict[str, list[Layer]] = {}
    for layer in layers:
        for name in layer.nodes:
            by_node.setdefault(name, []).append(layer)
    found = {}
    for name in products:
        kernels = [layer for layer in by_node.get(name, ()) if not _MOVES.search(layer.kind)]
        types = [layer.precision for layer in kernels if layer.kind not in _GENERATED]
        if not types:
            types = ["unknown" if layer.precision in QUANTISED else layer.precision for layer in kernels]
        found[name] = next((kind for kind in types if kind in QUANTISED), types[0] if types else "unknown")
    return found


def counted(precisions: Mapping[str, str]) -> str:
    """``int8 52, fp16 1``, the most frequent first."""
    counts: dict[str, int] = {}
    for precision in precisions.values():
        counts[precision] = counts.get(precision, 0) + 1
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _inspected_layer(row: Mapping[str, object]) -> Layer:
    types = [*_types(row.get("Inputs")), *_types(row.get("Constants"))] or list(_types(row.get("Outputs")))
    return Layer(
        str(row.get("Name", "")),
        str(row.get("LayerType", "")),
        _first_precision(types),
        tuple(dict.fromkeys(_FROM_ONNX.findall(str(row.get("Metadata", ""))))),
    )


def _types(tensors: object) -> Iterator[str]:
    for tensor in tensors if isinstance(tensors, list) else ():
        if isinstance(tensor, dict):
            told = tensor.get("Datatype", tensor.get("DataType", tensor.get("Format/Datatype")))
            if told:
                yield str(told)


def _first_precision(types: list[str]) -> str:
    """Of the data it computes from: the first input that is of a type of ours (indices and masks are not)."""
    named = [precision_of(text) for text in types]
    ours = {name for name, _ in _WORDS}
    return next((name for name in named if name in ours), named[0] if named else "unknown")


def _codes(value: ir.Value | None) -> str | None:
    """The kind of eight bits that a value comes out of, moved about at most since its DequantizeLinear; else None."""
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            return _eight_bits(node)
        if node.op_type not in _CARRIED:
            return None
        value = node.inputs[0]
    return None


def _eight_bits(dequantize: ir.Node) -> str | None:
    # Types may be known of the zero point alone: what gives the codes need not have been inferred.
    kinds = [value.dtype for value in (dequantize.inputs[0], *dequantize.inputs[2:]) if value is not None]
    known = [kind for kind in kinds if kind is not None]
    if not known:
        return "int8"
    if known[0].itemsize != 1:
        return None
    return "fp8" if known[0].is_floating_point() else "int8"
