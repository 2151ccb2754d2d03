"""What OpenVINO executes and how long each part takes: its execution graph joined with its counters.

A counter keeps whole microseconds, summed over all inferences since the model was compiled, and shows their mean, cut
off. So the first inferences, which compile kernels, are counted in: what they took is taken off again, and a few
inferences are one profile. What takes less than a microsecond shows no time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from edgewright.backends import _openvino_session as session
from edgewright.backends._base import Artifact, LayerTime
from edgewright.backends._profiles import ProfiledRun, product_macs, wall_times
from edgewright.core.tensors import Feeds

if TYPE_CHECKING:
    import openvino

Sizes = tuple[int, ...]
_PROFILES = 5
"""At most; each by a model that is compiled anew: within one, rounding errors grow with every inference."""
_SETTLE = 2
_FEWEST = 4
_KINDS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "f64": "fp64", "i8": "int8", "u8": "int8"}
_KINDS |= {"i32": "int32", "i64": "int64", "boolean": "bool"}  # as ONNX Runtime calls them
_BITS = {"f64": 64, "i64": 64, "u64": 64, "f16": 16, "bf16": 16, "i16": 16, "u16": 16, "i8": 8, "u8": 8, "boolean": 8}
_BITS |= {"f8e4m3": 8, "f8e5m2": 8, "i4": 4, "u4": 4, "nf4": 4, "f4e2m1": 4, "u1": 1, "bin": 1}
_NO_LAYERS = frozenset({"Const", "Constant", "Input", "Parameter", "Output", "Result"})
_WORDS = "Broadcast|Constant|Convert|Divide|FakeQuantize|Multiply|Power|StridedSlice|Subtract|VariadicSplit"
"""Its own kinds, which ONNX calls otherwise or has no layers of."""
_OWN = re.compile(rf"[A-Z]\w*/\d+|(?:{_WORDS})_\d+")
"""Names that it gives to what it made itself."""
_OWN_NUMBER = re.compile(rf"(?<![A-Za-z0-9])({_WORDS})_\d+")
_PART = re.compile(r"/(?:WithoutBiases|DequantizationMultiply|fq_(?:in|out)put_\d|sink_port_\d+)(?:/.*)?\Z", re.DOTALL)


def precision(exec_type: str, otherwise: str = "") -> str:
    """What a kernel computes in; its name ends with the type: ``brgconv_avx512_i8``.

    Args:
        otherwise: the type that the execution graph has for a kernel whose name does not tell.
    """
    kind, known = exec_type.rpartition("_")[2].lower(), otherwise.lower()
    return _KINDS.get(kind) or _KINDS.get(known) or known or kind


def profiled_runs(artifact: Artifact, config: Mapping[str, object], feeds: Feeds, runs: int) -> tuple[ProfiledRun, ...]:
    """Means over a few inferences each, about ``runs`` in all.

    Raises:
        EngineError: when the engine refuses the artifact or fails.
    """
    found = []
    each = max(_FEWEST, -(-runs // _PROFILES))
    for _ in range(min(runs, _PROFILES)):
        engine = session.Engine(artifact, {**config, "PERF_COUNT": True})
        wall, took = settled(engine, feeds, each)
        graph = engine.request.get_compiled_model().get_runtime_model()
        found.append(ProfiledRun(wall, _executed(graph, took)))
    return tuple(found)


def settled(engine: session.Engine, feeds: Feeds, runs: int) -> tuple[float, dict[str, float]]:
    """Mean microseconds of ``runs`` inferences, and of the parts by name, without those that came before them.

    Args:
        engine: compiled with counters; it has made no inference yet.
    """
    wall_times(lambda: engine.run(feeds), 0, settle=_SETTLE)
    before = _counters(engine)
    walls = wall_times(lambda: engine.run(feeds), runs, settle=0)
    count = _SETTLE + runs
    took = {name: (count * mean - _SETTLE * before.get(name, 0.0)) / runs for name, mean in _counters(engine).items()}
    return math.fsum(walls) / runs, {name: max(0.0, time) for name, time in took.items()}


def _counters(engine: session.Engine) -> dict[str, float]:
    """Microseconds: the mean over all inferences so far."""
    return {item.node_name: item.real_time.total_seconds() * 1e6 for item in engine.request.profiling_info}


def _executed(graph: openvino.Model, took: Mapping[str, float]) -> tuple[LayerTime, ...]:
    """The layers of an execution graph in order, without what is worked out while compiling."""
    constant: set[str] = set()
    found: dict[str, LayerTime] = {}
    for node in graph.get_ordered_ops():
        name, kind = node.get_friendly_name(), _said(node, "layerType")
        sources = [port.get_source_output() for port in node.inputs()]
        fixed = [source.get_node().get_friendly_name() in constant for source in sources]
        if kind in ("Const", "Constant") or (sources and all(fixed)):
            constant.add(name)
            continue
        if kind in _NO_LAYERS:
            continue
        sizes = [_bytes(source) for source in sources]
        operators = _operators(_said(node, "originalLayersNames"))
        shown = _stable(name, operators, found.keys())
        found[shown] = LayerTime(
            name=shown,
            kind=kind,
            precision=precision(_said(node, "primitiveType"), _said(node, "runtimePrecision")),
            time_us=took.get(name, 0.0),
            operators=operators,
            read_bytes=_total([size for size, is_fixed in zip(sizes, fixed, strict=True) if not is_fixed]),
            written_bytes=_total([_bytes(port) for port in node.outputs()]),
            weight_bytes=_total([size for size, is_fixed in zip(sizes, fixed, strict=True) if is_fixed]),
            macs=_macs(kind, [_sizes(source) for source in sources], [_sizes(port) for port in node.outputs()]),
        )
    return tuple(found.values())


def _stable(name: str, operators: tuple[str, ...], taken: Collection[str]) -> str:
    """A layer's name without the numbers that each compilation counts anew, and like no other."""
    base = operators[0] if operators and _OWN.fullmatch(name) else name
    if base not in operators:
        base = _OWN_NUMBER.sub(r"\1", base)
    shown, number = base, 1
    while shown in taken:
        number += 1
        shown = f"{base}.{number}"
    return shown


def _operators(text: str) -> tuple[str, ...]:
    """The model's own among the names that a layer was made of."""
    names = [_PART.sub("", name) for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if name and not _OWN.fullmatch(name)))


def _said(node: openvino.Node, key: str) -> str:
    info = node.get_rt_info()
    return str(getattr(info[key], "value", info[key])) if key in info else ""


def _macs(kind: str, inputs: list[Sizes | None], outputs: list[Sizes | None]) -> int | None:
    """Multiply-accumulates of a layer whose second input are weights, or whose inputs are both computed."""
    known = [sizes for sizes in (*inputs[:2], *outputs[:1]) if sizes]
    if len(known) != len(("first", "second", "result")):
        return None
    first, second, result = known
    if kind == "MatMul":
        return product_macs(first, second, result)
    if kind.startswith("FullyConnected"):
        return math.prod(result) * math.prod(second) // result[-1]
    if "Convolution" in kind and len(result) > 1:
        return math.prod(result) * math.prod(second) // result[1]
    if kind.startswith("Deconv") and len(first) > 1:
        return math.prod(first) * math.prod(second) // first[1]
    return None


def _sizes(port: openvino.Output) -> Sizes | None:
    """Of one tensor; None where they are open."""
    shape = port.get_partial_shape()
    return tuple(int(size) for size in shape.to_shape()) if shape.is_static else None


def _bytes(port: openvino.Output) -> int | None:
    sizes = _sizes(port)
    if sizes is None:
        return None
    kinds = _said(port.get_node(), "outputPrecisions").split(",")
    kind = kinds[min(port.get_index(), len(kinds) - 1)].strip().lower()
    return -(-math.prod(sizes) * _BITS.get(kind, 32) // 8)


def _total(sizes: list[int | None]) -> int | None:
    return None if any(size is None for size in sizes) else sum(size for size in sizes if size is not None)
