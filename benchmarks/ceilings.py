"""What this machine can do at most, through one runtime with so many threads: products a second, and bytes a second.

A few small models are profiled: chains of square matrix products in each precision, and a pass over tensors of several
sizes, the largest beyond most caches. A ceiling is the fastest of what was seen, so a kernel made for one shape can
exceed it; it is not what a data sheet says. Roofline: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful
visual performance model for multicore architectures", CACM 52(4), 2009.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewright.backends import Artifact, LayerTime, open_isolated
from edgewright.benchmarks._tiny_onnx import BFLOAT16, FLOAT, INT8, INT64, UINT8, TinyModel
from edgewright.core.errors import EdgewrightError
from edgewright.core.tensors import Feeds, TensorSpec
from edgewright.core.workdir import working_folder

SIDE = 512
"""Of the square matrices: large enough for a kernel's best, small enough for milliseconds."""
_CHAIN = 3
_RUNS = 3
ELEMENTS = (1 << 13, 1 << 16, 1 << 19, 1 << 23)
"""Of the tensors that are passed over: 64 kB to 64 MB are read and written."""
_HINT = "INFERENCE_PRECISION_HINT"
"""The property by which an engine is told what to compute reals in; one without it computes in what is written."""
_PRODUCTS = re.compile(r"(?i).*(?:matmul|gemm|fullyconnected)")
"""Kinds of layers that are products, whatever an engine calls them."""


@dataclass(frozen=True)
class Bandwidth:
    """How fast so many bytes, half of them read and half written, can be moved."""

    size_bytes: int
    bytes_per_s: float


@dataclass(frozen=True)
class Ceilings:
    """The most that was seen; what could not be measured is in ``absent`` with the reason."""

    threads: int
    macs_per_s: Mapping[str, float] = field(default_factory=dict)
    """``int8``, ``bf16``, ``fp32`` -> multiply-accumulates a second."""
    bandwidths: tuple[Bandwidth, ...] = ()
    """By size, the smallest first: what fits in a cache moves faster."""
    absent: Mapping[str, str] = field(default_factory=dict)

    def least_us(self, precision: str, macs: int, moved: int) -> float | None:
        """The shortest time for so much work, in microseconds: of products and of bytes, what takes longer.

        Args:
            precision: of the products.
            moved: bytes read and written, weights too.

        Returns:
            None where a ceiling that this needs was not measured, or there is nothing to do.
        """
        speed = self.macs_per_s.get(precision)
        if (macs and speed is None) or (moved and not self.bandwidths) or not (macs or moved):
            return None
        counting = macs / speed if macs and speed else 0.0
        return 1e6 * max(counting, moved / self._bandwidth(moved) if moved else 0.0)

    def _bandwidth(self, moved: int) -> float:
        """Of so many bytes: what is smaller than a probe is at least as fast, but for the time to start it."""
        fitting = [one.bytes_per_s for one in self.bandwidths if one.size_bytes >= moved]
        return max(fitting, default=self.bandwidths[-1].bytes_per_s)

    def to_json(self) -> dict[str, object]:
        """Figures a second, by name."""
        return {
            "threads": self.threads,
            "macs_per_s": {name: round(value) for name, value in sorted(self.macs_per_s.items())},
            "bandwidths": [
                {"size_bytes": one.size_bytes, "bytes_per_s": round(one.bytes_per_s)} for one in self.bandwidths
            ],
            "absent": dict(sorted(self.absent.items())),
        }


def measure_ceilings(backend: str, properties: Mapping[str, str], threads: int) -> Ceilings:
    """Measures for about two seconds, each model in a child process; the caller holds the timing lock.

    Args:
        backend: the runtime's name.
        properties: of the engine that the ceilings are for: its device and threads' ways are kept.
        threads: compute threads.
    """
    speeds: dict[str, float] = {}
    absent: dict[str, str] = {}
    plain = {**properties, **({_HINT: "f32"} if _HINT in properties else {})}
    reduced = {**plain, **({_HINT: "bf16"} if _HINT in properties else {})}
    bandwidths: tuple[Bandwidth, ...] = ()
    with working_folder() as folder:
        subject = _Subject(backend, folder, threads)
        for precision, build in (("fp32", real_products), ("int8", coded_products)):
            _try(precision, lambda: subject.speed(precision, build(), plain), speeds, absent)  # noqa: B023
        build = real_products if _HINT in properties else half_products
        _try("bf16", lambda: subject.speed("bf16", build(), reduced), speeds, absent)
        try:
            bandwidths = subject.bandwidths(plain)
            if not bandwidths:
                absent["memory"] = f"{backend} shows no time of a pass over a tensor"
        except EdgewrightError as error:
            absent["memory"] = error.problem
    return Ceilings(threads, speeds, bandwidths, absent)


def _try(name: str, ask: Callable[[], float | str], found: dict[str, float], absent: dict[str, str]) -> None:
    try:
        value = ask()
    except EdgewrightError as error:
        value = error.problem
    if isinstance(value, str):
        absent[name] = value
    else:
        found[name] = value


@dataclass(frozen=True)
class _Subject:
    """Profiles small models with one runtime."""

    backend: str
    folder: Path
    threads: int

    def speed(self, precision: str, model: TinyModel, properties: Mapping[str, str]) -> float | str:
        """Multiply-accumulates a second of the fastest product; or why they are not in that precision."""
        values = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
        layers = self._layers(model, {"x": values}, (1, 1), properties)
        products = [layer for layer in layers if _PRODUCTS.match(layer.kind)]
        other = {layer.precision for layer in products} - {precision}
        if other or not products:
            shown = ", ".join(sorted(other)) or "something that it does not name"
            return f"{self.backend} computes a product that is written in {precision} in {shown}"
        return SIDE**3 / min(layer.time_us for layer in products) * 1e6

    def bandwidths(self, properties: Mapping[str, str]) -> tuple[Bandwidth, ...]:
        """Of layers that write as much as they read, whichever an engine makes of a pass: the fastest of each size."""
        feeds = {f"x{index}": np.ones(size // 2, np.float32) for index, size in enumerate(ELEMENTS)}
        best: dict[int, float] = {}
        for layer in self._layers(passes(), feeds, (1,), properties):
            if layer.read_bytes and layer.read_bytes == layer.written_bytes:
                size = 2 * layer.read_bytes
                best[size] = max(best.get(size, 0.0), size / layer.time_us * 1e6)
        return tuple(Bandwidth(size, best[size]) for size in sorted(best))

    def _layers(
        self, model: TinyModel, feeds: Feeds, result: tuple[int, ...], properties: Mapping[str, str]
    ) -> list[LayerTime]:
        """The layers of all profiles, where they show a time."""
        (self.folder / "model.onnx").write_bytes(model.to_bytes())
        inputs = tuple(TensorSpec(name, "float32", array.shape) for name, array in feeds.items())
        outputs = tuple(TensorSpec(f"y{index}", "float32", result) for index in range(len(model.outputs)))
        artifact = Artifact(self.backend, self.folder, "model.onnx", ("model.onnx",), inputs, outputs, dict(properties))
        with open_isolated(self.backend, artifact, self.threads) as session:
            found = session.profiles(feeds, _RUNS)
        return [layer for run in found.runs for layer in run.layers if layer.time_us > 0]


def real_products() -> TinyModel:
    """A chain of float32 matrix products."""
    model = TinyModel()
    value = model.input("x", (SIDE, SIDE))
    weight = model.reals("w", _weight())
    for index in range(_CHAIN):
        value = model.node("MatMul", f"product.{index}", (value, weight))
    return _reduced(model, value)


def half_products() -> TinyModel:
    """A chain of matrix products that is written in bfloat16."""
    model = TinyModel()
    value = model.node("Cast", "narrowed", [model.input("x", (SIDE, SIDE))], ("to", BFLOAT16))
    halves = (_weight().view(np.uint32) >> 16).astype("<u2")
    weight = model.constant("w", BFLOAT16, (SIDE, SIDE), halves.tobytes())
    for index in range(_CHAIN):
        value = model.node("MatMul", f"product.{index}", (value, weight))
    return _reduced(model, model.node("Cast", "widened", [value], ("to", FLOAT)))


def coded_products() -> TinyModel:
    """A chain of matrix products between pairs of QuantizeLinear and DequantizeLinear: unsigned times signed bytes."""
    model = TinyModel()
    scale = model.reals("scale", np.array(4 / 127, np.float32))
    middle = model.constant("middle", UINT8, (), bytes([128]))
    codes = np.clip(np.rint(_weight() * 4 * np.sqrt(SIDE)), -127, 127).astype(np.int8)
    weight = model.constant("w.codes", INT8, (SIDE, SIDE), codes.tobytes())
    step = model.reals("w.scale", np.array(1 / (4 * np.sqrt(SIDE)), np.float32))
    zero = model.constant("w.zero", INT8, (), bytes(1))
    value = model.input("x", (SIDE, SIDE))
    for index in range(_CHAIN + 1):
        coded = model.node("QuantizeLinear", f"quantize.{index}", (value, scale, middle))
        value = model.node("DequantizeLinear", f"dequantize.{index}", (coded, scale, middle))
        if index < _CHAIN:
            factor = model.node("DequantizeLinear", f"weight.{index}", (weight, step, zero))
            value = model.node("MatMul", f"product.{index}", (value, factor))
    return _reduced(model, value)


def passes() -> TinyModel:
    """One pass over a tensor of each size, which was made just before, as in a model: what fits is in a cache.

    It is made of its half, which is fed: an engine that knows a tensor for one number passes over that one number.
    """
    model = TinyModel()
    first = model.constant("first", INT64, (1,), bytes(8))
    for index, size in enumerate(ELEMENTS):
        half = model.input(f"x{index}", (size // 2,))
        whole = model.node("Concat", f"made.{index}", [half, half], ("axis", 0))
        model.output(model.node("Gather", f"y{index}", [model.node("Abs", f"pass.{index}", [whole]), first]), (1,))
    return model


def _reduced(model: TinyModel, value: str) -> TinyModel:
    """With one number as result, so that nothing large is returned."""
    model.output(model.node("ReduceMax", "y0", [value]), (1, 1))
    return model


def _weight() -> npt.NDArray[np.float32]:
    """Random, and such that a product keeps its factor's size: nothing overflows, nothing becomes denormal."""
    values = np.random.default_rng(1).normal(0, 1 / np.sqrt(SIDE), (SIDE, SIDE))
    return values.astype(np.float32)
