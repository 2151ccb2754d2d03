"""ONNX Runtime for CUDA on a machine without a GPU: what is written, what is refused, and what stands in.

The provider itself never runs here; what it answers is played by fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from edgewright.backends import _onnxruntime_cuda as cuda
from edgewright.backends import _onnxruntime_session as session
from edgewright.backends import onnxruntime as module
from edgewright.backends._onnxruntime_check import left_to_cpu
from edgewright.backends._onnxruntime_profile import _cuda_layers
from edgewright.backends.onnxruntime import OnnxRuntime
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError
from edgewright.targets.cuda import Cuda, CudaDevice
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from .conftest import Subject

    Subjects = Mapping[str, Callable[[], Subject]]

GPU = Cuda((CudaDevice(0, "NVIDIA H200", (9, 0), 1 << 37),), (13, 0), "")
NONE = Cuda((), None, "no NVIDIA driver on this machine")
BOTH = [cuda.PROVIDER, "CPUExecutionProvider"]


@pytest.fixture
def gpu_target(target: Target) -> Target:
    return replace(target, device="CUDA", arch="gpu", isa=frozenset({"sm_90"}))


@pytest.fixture
def artifact(gpu_target: Target, tmp_path: Path, subjects: Subjects):
    return OnnxRuntime().lower(subjects["conv_net"]().model, gpu_target, tmp_path)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """Has the engine list (and a session load) other providers than it does; returns what the session was given."""

    def play(listed: list[str], loaded: list[str], machine: Cuda = NONE) -> dict[str, object]:
        given: dict[str, object] = {}

        class Fake:
            def __init__(self, *_args: object, **options: object) -> None:
                given.update(options)

            def get_providers(self) -> list[str]:
                return loaded

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
        monkeypatch.setattr(onnxruntime, "InferenceSession", Fake)
        monkeypatch.setattr(cuda, "this_cuda", lambda: machine)
        return given

    return play


def test_lowering_for_cuda_needs_no_cuda_and_says_what_it_will_run_on(artifact) -> None:
    assert artifact.properties["provider"] == "CUDAExecutionProvider"
    assert artifact.properties["use_tf32"] == "0"
    assert artifact.properties["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert artifact.pending == ""
    assert artifact.remarks == ()


def test_a_build_without_the_provider_is_refused_with_the_command(artifact) -> None:
    if cuda.PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(UnavailableError, match=r"no CUDA provider, it has .*CPUExecutionProvider") as caught:
        OnnxRuntime().open(artifact, threads=1)
    assert "pip install onnxruntime-gpu" in caught.value.remedy
    told = OnnxRuntime().unfit(artifact)
    assert told is not None
    assert "onnxruntime-gpu" in told


def test_a_session_that_fell_back_to_the_cpu_alone_is_refused(artifact, pretend) -> None:
    pretend(BOTH, ["CPUExecutionProvider"], NONE)
    with pytest.raises(TargetAbsentError, match="no NVIDIA driver"):
        OnnxRuntime().open(artifact, threads=1)
    pretend(BOTH, ["CPUExecutionProvider"], GPU)
    with pytest.raises(UnavailableError, match=r"cannot load it on NVIDIA H200 \(the driver serves CUDA up to 13.0\)"):
        OnnxRuntime().open(artifact, threads=1)


def test_a_session_is_given_cuda_first_with_the_artifacts_options_and_may_not_fall_back(artifact, pretend) -> None:
    given = pretend(BOTH, BOTH, GPU)
    chosen = replace(artifact, properties={**artifact.properties, "cudnn_conv_algo_search": "HEURISTIC"})
    session.load(chosen, session.options(chosen, threads=1))
    (first, options), second = given["providers"]
    assert (first, second) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options == {**cuda.OPTIONS, "cudnn_conv_algo_search": "HEURISTIC"}
    assert given["enable_fallback"] == 0
    assert given["disabled_optimizers"] == []


def test_the_same_file_runs_on_the_cpu_in_its_place(artifact, subjects: Subjects, target: Target, tmp_path) -> None:
    chosen = subjects["conv_net"]()
    (tmp_path / "cpu").mkdir()
    plain = OnnxRuntime().lower(chosen.model, target, tmp_path / "cpu")
    stand_in = OnnxRuntime().on_cpu(artifact)
    assert stand_in.properties == plain.properties
    assert stand_in.path == artifact.path
    with OnnxRuntime().open(stand_in, 1) as there, OnnxRuntime().open(plain, 1) as here:
        assert np.array_equal(*(one.run(chosen.feeds[0])["y"] for one in (there, here)))


def test_it_is_available_where_only_the_file_is_written_and_not_on_a_gpu_it_cannot_use(
    gpu_target: Target, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(module, "is_present", lambda _: "no GPU")
    assert OnnxRuntime().available_for(gpu_target).present
    monkeypatch.setattr(module, "is_present", lambda _: None)
    found = OnnxRuntime().available_for(gpu_target)
    assert not found.present
    assert "no CUDA provider" in found.reason
    assert "onnxruntime-gpu" in found.remedy
    assert OnnxRuntime().available_for(target).present
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: BOTH)
    assert OnnxRuntime().available_for(gpu_target).present


def test_an_operator_check_for_cuda_is_the_cpus_word_here(gpu_target: Target, subjects: Subjects) -> None:
    assert OnnxRuntime().supports(subjects["conv_net"]().model, gpu_target) == []


def test_operators_left_to_the_cpu_are_told(artifact, monkeypatch: pytest.MonkeyPatch, gpu_target, subjects, tmp_path):
    placed = [f"Gather 'g{index}'" for index in range(7)]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: BOTH)
    (tmp_path / "again").mkdir()

    def lower() -> tuple[str, ...]:
        return OnnxRuntime().lower(subjects["conv_net"]().model, gpu_target, tmp_path / "again").remarks

    monkeypatch.setattr(module, "call_isolated", lambda *_, **__: placed)
    (line,) = lower()
    assert line.startswith("CUDA leaves 7 operators to the CPU: Gather 'g0', ")
    assert line.endswith("and 2 more")
    monkeypatch.setattr(module, "call_isolated", lambda *_, **__: [])
    assert lower() == ()

    def fail(*_: object, **__: object) -> None:
        raise EngineError("out of memory")

    monkeypatch.setattr(module, "call_isolated", fail)
    assert lower() == ("which operators CUDA leaves to the CPU is not known: out of memory",)


def test_the_engine_tells_where_it_placed_the_operators(artifact) -> None:
    nodes = left_to_cpu(OnnxRuntime().on_cpu(artifact).to_json())
    assert isinstance(nodes, list)
    assert sum("Conv" in str(node) for node in nodes) == 2


def node(name: str, op: str, provider: str, dur: float) -> dict[str, object]:
    details = {"op_name": op, "provider": provider, "input_type_shape": [{"float16": [1]}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": details}


def kernel(dur: float) -> dict[str, object]:
    return {"cat": "Kernel", "name": "sgemm", "dur": dur, "args": {}}


RUN = {"cat": "Session", "name": "model_run", "dur": 99}


def test_layer_times_on_cuda_are_the_kernels_own() -> None:
    warm = [node("c", "Conv", cuda.PROVIDER, 900), kernel(5), RUN]
    last = [
        *(node("c", "Conv", cuda.PROVIDER, 30), kernel(7), kernel(4)),
        *(node("g", "Gather", "CPUExecutionProvider", 12), node("r", "Relu", cuda.PROVIDER, 20), kernel(2), RUN),
    ]
    layers = _cuda_layers([*warm, *last])
    assert [(item.name, item.kind, item.precision, item.time_us) for item in layers] == [
        ("c", "Conv", "fp16", 11),
        ("g", "Gather (CPU)", "fp16", 12),
        ("r", "Relu", "fp16", 2),
    ]


def test_times_of_starting_kernels_are_not_passed_off_as_theirs() -> None:
    events = [node("c", "Conv", cuda.PROVIDER, 30), node("g", "Gather", "CPUExecutionProvider", 12), RUN]
    with pytest.raises(UnavailableError, match=r"of 2 operators the CPU ran 1: Gather \(CPU\) 'g'"):
        _cuda_layers(events)
