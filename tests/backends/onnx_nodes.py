"""ONNX's own node tests, each through a backend's whole route: supports, lower, open, run.

Runs in a child process (``run_cases``) that writes each case's end to a file, so that one that crashes costs itself
alone. ``python tests/backends/onnx_nodes.py BACKEND...`` writes the list of what does not pass anew.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.backends import Backend, Limits, call_isolated, registry
from edgewright.core.errors import EdgewrightError, EngineError
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from onnx.backend.test.case.test_case import TestCase

HERE = Path(__file__).parent
PASSED = "passed"
KNOWN = {
    "bernoulli": "random numbers differ between engines",
    "training_dropout": "random numbers differ between engines",
}
"""Part of a case's name -> why its numbers cannot agree."""

_HIDDEN = "a hidden score in the fourth output is the lowest number, not minus infinity"
_ALIGNED = "the case keeps a fractional size (scale * width), the engine the rounded one; onnxruntime excludes it too"
_MASKED_ROW = "softmax of a row that is masked whole"
UPSTREAM = {
    "onnxruntime": {
        "attention_4d_with_past_and_present_qk": _HIDDEN,
        "maxunpool_export_with_output_shape": "the case is disputed: github.com/onnx/onnx/issues/2398",
        "align_corners": _ALIGNED,
    },
    "openvino": {
        "fullymasked": _MASKED_ROW,
        "boolmask_nan": _MASKED_ROW,
        "mode3_softmax": _MASKED_ROW,
        "structural_empty": _MASKED_ROW,
        "causal_padded_kv_bf16_expanded": _MASKED_ROW,
        "local_window_gqa_rank4_mask_expanded": _MASKED_ROW,
        "bf16": "bfloat16, rounded more often",
        "bitshift": "computed in a wider type and saturated; shifts beyond the width are undefined",
        "castlike": "infinities become the largest number, or overflow becomes infinity in float8",
        "cast": "infinities become the largest number, or overflow becomes infinity in float8",
        "dynamicquantizelinear": "a tie is rounded to the other side",
        "ceil_output_size": "a last window that starts in the padding is kept, as in ONNX before opset 22",
        "iou_threshold_boundary": "a box exactly at the threshold is dropped",
        "reduce_max_empty": "the maximum of nothing is the lowest number, not minus infinity",
        "align_corners": _ALIGNED,
        "top_k_same": "equal values come in any order",
        "ext_cache_float16_mask": "the rule is for any window; this one masks it too",
        "tile_precomputed": "the rule is for any size; this one happens to work",
    },
    "reference": {"range": "the loop of the expanded function keeps a dimension"},
}
"""Backend -> part of a case's name -> what is behind its wrong numbers, as far as it is known."""

BATCH = 1000
BATCH_LIMITS = Limits(deadline_s=240.0, memory_bytes=4 << 30)


def node_target(runtime: str) -> Target:
    return Target(
        hardware="test",
        runtime=runtime,
        title="A CPU for tests",
        arch="any",
        isa=frozenset(),
        device="CPU",
        precisions=("fp32",),
        hinted_precisions=frozenset(),
        int8=None,
        opset=(1, 99),
        fused_ops=frozenset(),
        channel_multiple=1,
        threads=1,
        memory_bytes=None,
    )


def run_all(backend_name: str) -> dict[str, str]:
    """Every case's name -> ``passed``, or what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        ends: dict[str, str] = {}
        died: set[str] = set()
        while True:
            report.write_text("")
            ended = ""
            try:
                arguments: dict[str, Any] = {"backend_name": backend_name, "skip": sorted(ends), "report": str(report)}
                left = call_isolated(
                    "onnx_nodes:run_cases",
                    arguments,
                    engine=backend_name,
                    doing="running node tests",
                    limits=BATCH_LIMITS,
                )
            except EngineError as error:
                left, ended = 1, f"{error.kind}: {error.problem}"
            found = _read(report, ended)
            # Once can be the machine's doing: the system kills children like this one first when memory is short.
            new = {name for name, end in found.items() if end == ended} - died
            died |= new
            ends |= {name: end for name, end in found.items() if name not in new}
            if left == 0:
                return ends


def _read(report: Path, ended: str) -> dict[str, str]:
    """A case that was begun and has no end is the one the worker died of."""
    found: dict[str, str] = {}
    for line in report.read_text().splitlines():
        name, end = json.loads(line)
        found[name] = end or ended
    return found


def run_cases(backend_name: str, skip: list[str], report: str) -> int:
    """Runs a batch of what is not in ``skip``; returns how many cases are left after it."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for case in collect_testcases(None) if case.name not in set(skip)]
    backend = registry().find(backend_name)()
    with Path(report).open("a") as file:
        for case in cases[:BATCH]:
            print(json.dumps([case.name, ""]), file=file, flush=True)
            print(json.dumps([case.name, _outcome(backend, case)]), file=file, flush=True)
    return max(0, len(cases) - BATCH)


def _call_here(function: str, arguments: Mapping[str, object], **_: object) -> object:
    """This process is the isolation already: a child for each conversion would take half an hour."""
    module, _, name = function.partition(":")
    call: Callable[..., object] = getattr(importlib.import_module(module), name)
    return call(**arguments)


def _call_nothing(*_: object, **__: object) -> object:
    return []


def _route_calls_of(backend: Backend, replacement: Callable[..., object]) -> None:
    module = importlib.import_module(type(backend).__module__)
    if hasattr(module, "call_isolated"):
        module.call_isolated = replacement  # type: ignore[attr-defined]


def _outcome(backend: Backend, case: TestCase) -> str:
    import onnx_ir as ir

    known = next((reason for part, reason in KNOWN.items() if part in case.name), None)
    if known is not None:
        return f"excluded: {known}"
    inputs, outputs = ([_array(value) for value in values] for values in case.data_sets[0])
    if any(value is None for value in (*inputs, *outputs)):
        return "refused: sequences and optionals are not tensors"
    model = OnnxModel(ir.from_proto(case.model), "node")
    _route_calls_of(backend, _call_here)
    end = _run(backend, model, inputs, outputs, case)
    if end == PASSED:
        # What the backend says without asking the engine must not refuse what works.
        _route_calls_of(backend, _call_nothing)
    faults = backend.supports(model, node_target(backend.name))
    if faults and end == PASSED:
        return f"needlessly refused: {faults[0].op}: {faults[0].reason}"
    return f"refused: {faults[0].op}: {faults[0].reason}" if faults else end


def _run(backend: Backend, model: OnnxModel, inputs: list[Any], outputs: list[Any], case: TestCase) -> str:
    try:
        with tempfile.TemporaryDirectory() as folder:
            artifact = backend.lower(model, node_target(backend.name), Path(folder))
            with backend.open(artifact, 1) as session:
                results = session.run(dict(zip((spec.name for spec in model.inputs), inputs, strict=True)))
    except EdgewrightError as error:
        return f"refused late: {type(error).__name__}: {error.problem}"
    except Exception as error:  # noqa: BLE001 - what gets past the backend's own classes is what this looks for
        return f"broken: {type(error).__name__}: {error}"
    return _verdict(list(results.values()), outputs, case)


def _array(value: object) -> Any:
    import onnx

    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if value is None or isinstance(value, list):
        return None
    return np.asarray(value)


def _verdict(results: list[Any], expected: list[Any], case: TestCase) -> str:
    for have, want in zip(results, expected, strict=True):
        if have.shape != want.shape:
            return f"wrong: shape {have.shape}, not {want.shape}"
        if want.dtype.kind in "OUS":
            if have.tolist() != want.tolist():
                return "wrong: other texts"
            continue
        if have.dtype != want.dtype:
            return f"wrong: type {have.dtype}, not {want.dtype}"
        wide = np.complex128 if want.dtype.kind == "c" else np.float64
        close = np.isclose(have.astype(wide), want.astype(wide), rtol=case.rtol, atol=case.atol, equal_nan=True)
        if not close.all():
            return _difference(have.astype(wide), want.astype(wide), str(want.dtype))
    return PASSED


def _difference(have: Any, want: Any, dtype: str) -> str:
    """Tolerances of the cases are relative to each number, so that one near zero can fail on the last bit of a sum."""
    finite = np.isfinite(have) & np.isfinite(want)
    if finite.all():
        off = float(np.abs(have - want).max() / max(np.abs(want).max(), 1e-30))
        # Rounding of sums in float32; one unit in the last place of the narrow types.
        if off <= {"float16": 2**-10, "bfloat16": 2**-7}.get(dtype, 1e-5) and dtype.lstrip("b").startswith("float"):
            return f"near: off by less than {10 ** np.ceil(np.log10(off)):.0e} of the largest number"
        return f"wrong: off by {off:.1g} of the largest number"
    return "wrong: infinite or undefined numbers differ"


def list_of(backend_name: str) -> Path:
    return HERE / f"onnx_nodes_{backend_name}.txt"


def tally(ends: Mapping[str, str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for end in ends.values():
        kind = end.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def listing(backend_name: str, ends: Mapping[str, str]) -> str:
    """The committed form: a count on top, then ``name: reason`` for what does not pass."""
    rows = []
    for name, end in sorted(ends.items()):
        known = [text for part, text in UPSTREAM.get(backend_name, {}).items() if part in name]
        why = f" ({known[0]})" if known and not end.startswith("refused:") else ""
        if end != PASSED:
            rows.append(f"{name}: {' '.join(end.split())[:160]}{why}")
    counted = ", ".join(f"{number} {kind}" for kind, number in tally(ends).items())
    return "\n".join([f"# {len(ends)} cases: {counted}", *rows]) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    for wanted in sys.argv[1:]:
        text = listing(wanted, run_all(wanted))
        list_of(wanted).write_text(text)
        print(wanted, text.splitlines()[0])
