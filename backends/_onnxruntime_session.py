"""How a session of ONNX Runtime is made and run, shared by running, profiling and checking."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.backends import _onnxruntime_cuda as cuda
from edgewright.backends._base import Artifact
from edgewright.backends._onnxruntime_quiet import keep_quiet
from edgewright.backends._wire import dtype_named
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

CPU_PROVIDER = "CPUExecutionProvider"

FATAL_ONLY = 4
"""Log severity: the engine's own messages come back as exceptions, nothing needs to be printed."""

_VERSION = re.compile(r'^__version__ = "([0-9][^"]*)"', re.MULTILINE)
_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed: ?|Exception during initialization: |"
    r"/onnxruntime_src/\S+:\d+ [^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? "
)
"""Numbers, folders and places in the engine's own sources that tell a user nothing."""

FOREIGN = {"bfloat16": 16, "float8_e4m3fn": 17, "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20}
"""Types numpy does not have -> ONNX's number (``TensorProto.DataType``): they pass as raw bytes."""


def version_unloaded() -> str | None:
    """The version of the engine that would be imported, whichever package brought it; None if it is not told."""
    if (loaded := sys.modules.get("onnxruntime")) is not None:
        return str(loaded.__version__)
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return None
    try:
        text = Path(found.origin).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    told = _VERSION.search(text)
    return told and told[1]


def options(artifact: Artifact, threads: int) -> onnxruntime.SessionOptions:
    """Options for measuring: explicit threads, one inter-op thread, sequential, silent."""
    keep_quiet()
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    level = {"none": levels.ORT_DISABLE_ALL, "extended": levels.ORT_ENABLE_EXTENDED}
    chosen.graph_optimization_level = level.get(artifact.properties.get("optimization", "all"), levels.ORT_ENABLE_ALL)
    chosen.log_severity_level = FATAL_ONLY
    chosen.add_session_config_entry("session.intra_op.allow_spinning", artifact.properties.get("spinning", "1"))
    return chosen


SLOWER_FUSIONS = ["SkipLayerNormFusion"]
"""Left off on CPUs: with onnxruntime 1.31 the fused kernel takes several times as long as Add and LayerNormalization, a
quarter of an int8 MiniLM's time (measured, one thread, AVX-512)."""


def load(artifact: Artifact, chosen: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """Opens the artifact's file with exactly its provider; on CUDA the CPU takes what operators CUDA has no kernel for.

    Raises:
        TargetAbsentError: it is for CUDA, and there is no GPU.
        UnavailableError: it is for CUDA, and the provider is not in this build of the engine, or cannot be loaded.
        EngineError: when the engine refuses it.
    """
    keep_quiet()
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # of Windows' own; the rest was switched off before the import
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    on_cuda = cuda.is_for(artifact)
    if on_cuda:
        cuda.require_provider(onnxruntime.get_available_providers())
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()
    try:
        loaded = onnxruntime.InferenceSession(
            str(artifact.path),
            chosen,
            providers=cuda.providers(artifact) if on_cuda else [CPU_PROVIDER],
            disabled_optimizers=[] if on_cuda else SLOWER_FUSIONS,
            enable_fallback=0,  # it would go on with another provider, and say so on stdout
        )
    except Exception as error:
        problem = f"onnxruntime {onnxruntime.__version__} refuses {artifact.entry}: {first_line(error)}"
        made_with = artifact.versions.get("onnxruntime", "an unknown version")
        raise EngineError(problem, f"It was made for onnxruntime {made_with}.") from error
    if on_cuda:
        cuda.require_loaded(loaded.get_providers())
    return loaded


class Engine:
    """A loaded session; what does not change from one inference to the next is worked out once.

    Raises:
        EngineError: as :func:`load`.
    """

    def __init__(self, artifact: Artifact, chosen: onnxruntime.SessionOptions) -> None:
        self.loaded = load(artifact, chosen)
        self._outputs = artifact.outputs
        self._names = [spec.name for spec in artifact.outputs]
        self._foreign = any(spec.dtype in FOREIGN for spec in (*artifact.inputs, *artifact.outputs))

    def run(self, feeds: Feeds) -> Outputs:
        """One inference.

        Raises:
            EngineError: when the engine fails.
        """
        try:
            if self._foreign:
                return _run_foreign(self.loaded, self._outputs, feeds)
            return dict(zip(self._names, self.loaded.run(self._names, dict(feeds)), strict=True))
        except Exception as error:
            raise EngineError(f"onnxruntime failed: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The engine's message without its source paths and the lines after the first."""
    text = _NOISE.sub("", str(error)).strip() or type(error).__name__
    return " ".join(text.splitlines()[0].split())[:500]


def _run_foreign(engine: onnxruntime.InferenceSession, outputs: tuple[TensorSpec, ...], feeds: Feeds) -> Outputs:
    """The engine's Python face knows no bfloat16 or float8 arrays: those go in and out by binding their memory."""
    keep_quiet()
    import onnxruntime

    binding = engine.io_binding()
    kept = []
    for name, array in feeds.items():
        kind = FOREIGN.get(array.dtype.name)
        if kind is None:
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
            continue
        raw = np.ascontiguousarray(array).view(np.dtype(f"u{array.dtype.itemsize}"))
        value = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, kind)
        kept.append(value)
        binding.bind_ortvalue_input(name, value)
    for spec in outputs:
        binding.bind_output(spec.name, "cpu")
    engine.run_with_iobinding(binding)
    values = binding.get_outputs()
    return {spec.name: _array_of(value, spec) for spec, value in zip(outputs, values, strict=True)}


def _array_of(value: onnxruntime.OrtValue, spec: TensorSpec) -> Array:
    if spec.dtype not in FOREIGN:
        array: Array = value.numpy()
        return array
    import ctypes

    kind = dtype_named(spec.dtype)
    shape = tuple(value.shape())
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), kind).reshape(shape)
