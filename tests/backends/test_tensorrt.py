"""TensorRT: what it builds for GPUs that are not here, what it refuses, and which engines it will not even read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from edgewright.backends import Artifact, registry
from edgewright.backends import _tensorrt_fit as fit
from edgewright.backends import _tensorrt_flavours as found
from edgewright.backends import tensorrt as subject
from edgewright.backends.tensorrt import FlavourFound, TensorRt
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, SizeRange
from edgewright.targets.cuda import CudaDevice
from edgewright.targets.load import load_targets
from edgewright.targets.schema import Limit, Target

HALF, INT8 = np.float16, np.int8
BACKEND = TensorRt()


def parsed(body: str, **weights: Array) -> OnnxModel:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]>\n{body}')
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return OnnxModel(ir.from_proto(proto), "net")


def in_half(batch: str = "1") -> OnnxModel:
    body = f"""net (float[{batch},4,16,16] x) => (float[{batch},8,16,16] y) {{
        h = Cast <to = 10> (x)
        c = Conv <pads = [1,1,1,1]> (h, w, b)
        r = Relu (c)
        y = Cast <to = 1> (r)
    }}"""
    rng = np.random.default_rng(0)
    return parsed(body, w=rng.normal(size=(8, 4, 3, 3)).astype(HALF), b=rng.normal(size=8).astype(HALF))


def in_codes() -> OnnxModel:
    """Two convolutions on codes, scales of 16 bits, biases that are none."""
    body = """net (float[1,32,16,16] x) => (float[1,32,16,16] y) {
        h = Cast <to = 10> (x)
        q = QuantizeLinear (h, s, z)
        d = DequantizeLinear (q, s, z)
        wd = DequantizeLinear <axis = 0> (w, sw, zw)
        c = Conv <pads = [1,1,1,1]> (d, wd, b)
        r = Relu (c)
        q2 = QuantizeLinear (r, s, z)
        d2 = DequantizeLinear (q2, s, z)
        e = Conv <pads = [1,1,1,1]> (d2, wd, b)
        y = Cast <to = 1> (e)
    }"""
    weights = np.random.default_rng(0).integers(-127, 128, (32, 32, 3, 3)).astype(INT8)
    scales = {"s": np.array(0.05, HALF), "sw": np.full(32, 0.01, HALF), "b": np.zeros(32, HALF)}
    model = parsed(body, w=weights, z=np.array(0, INT8), zw=np.zeros(32, INT8), **scales)
    for index, node in enumerate(model.ir.graph):
        node.name = f"node{index}"
    return model


def target(name: str) -> Target:
    return load_targets(f"{name}/tensorrt")[0]


needs_rtx = pytest.mark.skipif(
    next(item for item in found.flavours() if item.name == "tensorrt_rtx").version is None,
    reason="TensorRT-RTX is not installed",
)


def installed(monkeypatch: pytest.MonkeyPatch, *gpus: CudaDevice, **versions: str) -> None:
    """Has the machine look as if it had these flavours and GPUs and no others."""
    ahead = ((7, 5), (8, 6), (8, 9), (12, 0))
    told = tuple(
        FlavourFound(name, versions[name], builds_for=ahead if name == "tensorrt_rtx" else ())
        if name in versions
        else FlavourFound(name, None, f"{found.TITLES[name]} is not installed", found.remedy(name))
        for name in found.NAMES
    )
    for module in (found, subject):
        monkeypatch.setattr(module, "flavours", lambda: told)
    for module in (found, fit, subject):
        monkeypatch.setattr(module, "gpus", lambda: gpus)


@needs_rtx
@pytest.mark.parametrize("name", ["rtx-ampere", "rtx-ada", "rtx-blackwell"])
@pytest.mark.parametrize("model", [in_half, in_codes])
def test_it_builds_for_gpus_that_are_not_here(name: str, model, tmp_path: Path) -> None:
    chosen = target(name)
    capability = chosen.compute_capability
    assert capability is not None
    assert BACKEND.supports(model(), chosen) == []
    made = BACKEND.lower(model(), chosen, tmp_path)
    assert not made.pending
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(made.files) == ["model.engine", "model.onnx"]
    assert made.entry == "model.engine"
    assert made.properties["flavour"] == "tensorrt_rtx"
    assert made.properties["compute_capability"] == f"{capability[0]}.{capability[1]}"
    assert made.properties["typed"] == "model.onnx"
    assert made.versions.keys() == {"tensorrt_rtx"}
    assert made.properties.get("planned") == ("int8 2" if model is in_codes else None)
    assert str(tmp_path).encode() not in made.path.read_bytes()


@needs_rtx
@pytest.mark.parametrize("model", [in_half, in_codes])
def test_the_same_model_gives_the_same_bytes(model, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
        BACKEND.lower(model(), target("rtx-ada"), folder)
    for name in ("model.onnx", "model.engine"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


@needs_rtx
def test_codes_that_the_gpu_computes_in_float_are_told(tmp_path: Path) -> None:
    """Turing has no int8 kernels in TensorRT-RTX: the engine builds, and would say nothing."""
    turing = replace(target("rtx-ada"), isa=frozenset({"sm_75"}), limits=())
    made = BACKEND.lower(in_codes(), turing, tmp_path)
    assert made.properties["planned"] == "fp16 2"
    assert len(made.remarks) == 1
    assert "for sm_75 computes in fp16 2, of 2 layers written in 8 bits: node4, node8" in made.remarks[0]


@needs_rtx
def test_the_documented_limits_of_the_flavour_are_told_beside_what_it_planned(tmp_path: Path) -> None:
    limit = Limit("tensorrt_rtx", "int8", "it lists int8 for weights alone", "its documentation")
    chosen = replace(target("rtx-ada"), limits=(limit, replace(limit, precision="fp8")))
    made = BACKEND.lower(in_codes(), chosen, tmp_path)
    assert made.remarks == (
        "it lists int8 for weights alone; of this model's 2 layers in int8 its builder has kept 2 so",
    )


def codes_with_integer_bias() -> OnnxModel:
    body = """net (float[1,4,8,8] x) => (float[1,8,8,8] y) {
        q = QuantizeLinear (x, s, z)
        d = DequantizeLinear (q, s, z)
        wd = DequantizeLinear <axis = 0> (w, sw)
        bd = DequantizeLinear <axis = 0> (b, sw)
        y = Conv <pads = [1,1,1,1]> (d, wd, bd)
    }"""
    weights = {"w": np.ones((8, 4, 3, 3), INT8), "b": np.zeros(8, np.int32)}
    scales = {"s": np.array(0.1, np.float32), "sw": np.full(8, 0.1, np.float32), "z": np.array(0, INT8)}
    model = parsed(body, **weights, **scales)
    for node in model.ir.graph:
        node.name = f"make {node.outputs[0].name}"
    return model


@needs_rtx
def test_a_bias_in_codes_is_refused_by_operator_and_node(tmp_path: Path) -> None:
    model = codes_with_integer_bias()
    (fault,) = BACKEND.supports(model, target("rtx-ada"))
    assert fault.op == "::DequantizeLinear (opset 19)"
    assert fault.node == "make bd"
    assert fault.reason.startswith("input has type Int32 but must have type")
    with pytest.raises(UnavailableError, match=r"refuses ::DequantizeLinear \(opset 19\) 'make bd': input has") as told:
        BACKEND.lower(model, target("rtx-ada"), tmp_path)
    assert not {".cpp", "cudaError", "Error Code"} & set(str(told.value).split())


@needs_rtx
def test_every_operator_it_does_not_know_is_named_at_once() -> None:
    model = parsed("net (float[4] x) => (float[4] y) { a = Relu (x)\n b = Relu (a)\n c = Neg (b)\n y = Relu (c) }")
    for index in (1, 3):
        model.ir.graph[index].op_type, model.ir.graph[index].domain = f"Novel{index}", "their.own"
        model.ir.graph[index].name = f"node{index}"
    model.ir.opset_imports["their.own"] = 3
    faults = BACKEND.supports(model, target("rtx-ada"))
    assert [(fault.op, fault.node) for fault in faults] == [
        ("their.own::Novel1 (opset 3)", "node1"),
        ("their.own::Novel3 (opset 3)", "node3"),
    ]
    assert {fault.reason for fault in faults} == {"unknown operator, and no plugin has its name"}


@needs_rtx
def test_a_zero_point_and_a_value_that_is_a_size_are_told() -> None:
    shifted = parsed(
        "net (float[4] x) => (float[4] y) { q = QuantizeLinear (x, s, z)\n y = DequantizeLinear (q, s, z) }",
        s=np.array(0.1, np.float32),
        z=np.array(3, np.uint8),
    )
    (fault,) = BACKEND.supports(shifted, target("rtx-ada"))
    assert fault.op == "::QuantizeLinear (opset 19)"
    assert fault.reason.startswith("Non-zero zero point is not supported")
    sized = parsed("net (float[4,4] x, int64[2] n) => (float[A,B] y) { y = Reshape (x, n) }")
    (fault,) = BACKEND.supports(sized, target("rtx-ada"))
    assert (fault.op, fault.node) == ("input", "n")
    assert "sizes of other tensors" in fault.reason


def test_types_that_tensorrt_does_not_have_are_told(tmp_path: Path) -> None:
    """Its parser takes float64 for float32 without a word: the engine would read half of each number."""
    model = parsed("net (double[2] x) => (double[2] y) { y = Add (x, x) }")
    chosen = target("hopper")
    assert [fault.op for fault in BACKEND.supports(model, chosen)] == ["element type float64"] * 2
    with pytest.raises(UnavailableError, match="element type float64 'x'"):
        BACKEND.lower(model, chosen, tmp_path)


@needs_rtx
def test_open_sizes_become_a_profile(tmp_path: Path) -> None:
    sizes = {"x": (SizeRange(1, 2, 8), *(SizeRange(size, size, size) for size in (4, 16, 16)))}
    made = BACKEND.lower(replace(in_half("N"), sizes=sizes), target("rtx-ada"), tmp_path)
    assert json.loads(made.properties["profile"]) == {"x": [[n, 4, 16, 16] for n in (1, 2, 8)]}


@needs_rtx
def test_an_input_of_open_size_may_be_an_output_too(tmp_path: Path) -> None:
    model = parsed("net (float[N] x, float[3] k) => (float[N] x, float[3] k, float[N] y) { y = Relu (x) }")
    made = BACKEND.lower(replace(model, sizes={"x": (SizeRange(1, 2, 3),)}), target("rtx-ada"), tmp_path)
    assert [spec.name for spec in made.outputs] == ["x", "k", "y"]
    assert made.entry == "model.engine"


@pytest.mark.parametrize("name", ["hopper", pytest.param("rtx-ada", marks=needs_rtx)])
def test_open_sizes_without_a_range_say_what_to_type(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--shape x=1\.\.8,4,16,16$") as told:
        BACKEND.lower(in_half("N"), target(name), tmp_path)
    assert "'x' (Nx4x16x16)" in told.value.problem
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["jetson-orin", "hopper"])
def test_what_only_the_device_builds_is_left_pending(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch)  # nothing at all
    chosen = replace(target(name), limits=(Limit("tensorrt", "int8", "it may not do so", "its documentation"),))
    available = BACKEND.available_for(chosen)
    assert available.present
    assert "edgewright finish" in available.reason
    assert BACKEND.supports(in_codes(), chosen) == []
    made = BACKEND.lower(in_codes(), chosen, tmp_path)
    assert made.pending
    assert made.entry == "model.onnx"
    assert made.files == ("model.onnx",)
    assert made.remarks[0] == "it may not do so"
    assert "no parser of this TensorRT is here" in made.remarks[1]
    assert json.loads(made.properties["in_8_bits"]) == {"node4": "int8", "node8": "int8"}
    assert "edgewright finish" in (BACKEND.unfit(made) or "")
    with pytest.raises(UnavailableError, match="no engine yet"):
        BACKEND.open(made, threads=1)
    with pytest.raises(UnavailableError, match="TensorRT is not installed"):
        BACKEND.complete(made, chosen, tmp_path)
    assert Artifact.from_json(made.to_json()).pending == made.pending


@needs_rtx
def test_a_pending_engine_is_completed_from_its_typed_model_alone(tmp_path: Path) -> None:
    """On the device, as if it were one that TensorRT-RTX builds for; the same bytes as building it at once."""
    device = replace(target("hopper"), flavours=("tensorrt_rtx",), isa=frozenset({"sm_89"}))
    folders = {name: tmp_path / name for name in ("pending", "done", "direct")}
    for folder in folders.values():
        folder.mkdir()
    sizes = {"x": (SizeRange(1, 2, 8), *(SizeRange(size, size, size) for size in (4, 16, 16)))}
    model = replace(in_half("N"), sizes=sizes)
    pending = replace(BACKEND.lower(model, target("hopper"), folders["pending"]))
    assert pending.pending
    done = BACKEND.complete(Artifact.from_json(pending.to_json()), device, folders["done"])
    direct = BACKEND.lower(model, device, folders["direct"])
    assert not done.pending
    assert done.files == direct.files
    for name in done.files:
        assert (folders["done"] / name).read_bytes() == (folders["direct"] / name).read_bytes(), name
    with pytest.raises(UnavailableError, match="built already"):
        BACKEND.complete(done, device, tmp_path)


def test_a_missing_flavour_is_told_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    available = BACKEND.available_for(target("rtx-ada"))
    assert not available.present
    assert "TensorRT-RTX is not installed" in available.reason
    assert available.remedy == 'pip install "edgewright[tensorrt-rtx]"'
    with pytest.raises(UnavailableError, match=r'pip install "edgewright\[tensorrt-rtx\]"'):
        BACKEND.lower(in_half(), target("rtx-ada"), tmp_path)
    probed = BACKEND.probe()
    assert not probed.present
    assert probed.reason
    assert probed.remedy


def test_the_flavour_is_the_first_that_can_build(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = CudaDevice(0, "an Ada card", (8, 9), 1 << 34)
    chosen = replace(target("rtx-ada"), flavours=("tensorrt_rtx>=1.5", "tensorrt>=10"))

    def name() -> str | None:
        builder = found.builder_for(chosen)
        return None if builder is None else builder.name

    installed(monkeypatch, ada, tensorrt="11.0.0.1", tensorrt_rtx="1.7.1.116")
    assert name() == "tensorrt_rtx"
    installed(monkeypatch, ada, tensorrt="11.0.0.1", tensorrt_rtx="1.4.0.76")
    assert name() == "tensorrt"
    installed(monkeypatch, CudaDevice(0, "another card", (8, 6), 1 << 34), tensorrt="11.0.0.1")
    assert name() is None
    assert "builds for the GPU in the machine only (another card (sm_86))" in BACKEND.available_for(chosen).reason
    installed(monkeypatch, CudaDevice(0, "another card", (8, 6), 1 << 34), replace(ada, index=1), tensorrt="11.0.0.1")
    assert name() is None, "it would build for the first of them"
    assert "choose by CUDA_VISIBLE_DEVICES" in BACKEND.available_for(chosen).reason
    installed(monkeypatch, ada, tensorrt="9.3.0.1")
    assert "TensorRT 9.3.0.1 is installed, tensorrt>=10 is wanted" in BACKEND.available_for(chosen).reason
    assert found.builder_for(replace(chosen, isa=frozenset())) is None


@pytest.mark.parametrize(
    ("requirement", "version", "good"),
    [
        ("tensorrt>=10,<11", "10.0.0.6", True),
        ("tensorrt>=10,<11", "11.0.0.1", False),
        ("tensorrt >= 10.15, < 12", "10.9.0.1", False),
        ("tensorrt-rtx==1.7", "1.7.1.116", True),
        ("tensorrt_rtx>1.7,!=1.8", "1.8.0.2", False),
        ("tensorrt_rtx>=1.7.1.116", "1.7", False),
    ],
)
def test_requirements_compare_as_far_as_they_are_written(requirement: str, version: str, good: bool) -> None:
    assert found.allows(requirement, version) is good


def test_what_is_no_requirement_is_said() -> None:
    with pytest.raises(UsageError, match="'tensorrt~=10' is not a requirement"):
        found.allows("tensorrt~=10", "10.1")


@pytest.fixture
def built(tmp_path: Path) -> Artifact:
    (tmp_path / "model.engine").write_bytes(b"whatever lies in it must not be read")
    system = f"{fit.sys.platform}-{fit.platform.machine()}"
    properties = {"flavour": "tensorrt_rtx", "compute_capability": "8.9", "platform": system, "typed": "model.onnx"}
    versions = {"tensorrt_rtx": "1.7.1.116"}
    return Artifact("tensorrt", tmp_path, "model.engine", ("model.engine",), (), (), properties, versions)


ADA = CudaDevice(0, "an Ada card", (8, 9), 1 << 34)
UNFIT = {
    "no flavour": ((ADA,), {}, UnavailableError, r"1.7.1.116: TensorRT-RTX is not .*\n.*edgewright\[tensorrt-rtx\]"),
    "another build": ((ADA,), {"tensorrt_rtx": "1.7.1.117"}, EngineError, r"built with TensorRT-RTX 1.7.1.116, here"),
    "no GPU": ((), {"tensorrt_rtx": "1.7.1.116"}, TargetAbsentError, "capability 8.9, and there is no NVIDIA GPU"),
    "another GPU": (
        (CudaDevice(0, "a Hopper card", (9, 0), 1 << 34), ADA),
        {"tensorrt_rtx": "1.7.1.116"},
        TargetAbsentError,
        "capability 8.9, the a Hopper card here has 9.0",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_engine_that_does_not_fit_is_refused_before_it_is_read(
    case: str, built: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus, versions, kind, message = UNFIT[case]
    installed(monkeypatch, *gpus, **versions)
    built.path.unlink()  # whoever read it would fail in another way
    assert BACKEND.unfit(built) is not None
    with pytest.raises(kind, match=message):
        BACKEND.open(built, threads=1)


def test_tensorrt_engines_run_under_their_own_release_and_system(
    built: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = {**built.properties, "flavour": "tensorrt"}
    older = replace(built, properties=properties, versions={"tensorrt": "10.13.3.9"})
    monkeypatch.setattr(fit, "call_isolated", lambda *_, **__: [])
    for version, good in (("10.13.3.11", True), ("10.13.2.1", False), ("11.0.0.1", False)):
        installed(monkeypatch, ADA, tensorrt=version)
        assert (BACKEND.unfit(older) is None) is good, version
    installed(monkeypatch, ADA, tensorrt="10.13.3.9")
    assert "built for win32-AMD64" in str(
        BACKEND.unfit(replace(older, properties={**properties, "platform": "win32-AMD64"}))
    )
    assert "which TensorRT" in str(BACKEND.unfit(replace(older, versions={})))


@needs_rtx
def test_a_damaged_engine_is_told_by_its_header(built: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    version = next(item.version for item in found.flavours() if item.name == "tensorrt_rtx")
    assert version is not None
    installed(monkeypatch, ADA, tensorrt_rtx=version)
    told = replace(built, versions={"tensorrt_rtx": version})
    with pytest.raises(EngineError, match=r"does not take model\.engine: the file is damaged, or no engine"):
        BACKEND.open(told, threads=1)


def test_only_what_is_written_in_the_graph_is_computed(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not in fp16"):
        BACKEND.lower(in_half(), target("hopper"), tmp_path, "fp16")


def test_on_a_cpu_it_is_an_onnx_runtime_model(tmp_path: Path) -> None:
    made = BACKEND.on_cpu(BACKEND.lower(in_half(), target("jetson-orin"), tmp_path))
    assert made.backend == "onnxruntime"
    x = np.random.default_rng(0).normal(size=(1, 4, 16, 16)).astype(np.float32)
    with registry().find("onnxruntime")().open(made, threads=1) as session:
        y = session.run({"x": x})["y"]
    np.testing.assert_array_equal(y, y.astype(HALF).astype(np.float32))


@needs_rtx
def test_a_type_that_the_gpu_does_not_have_is_told(tmp_path: Path) -> None:
    """Turing has no bfloat16: the parser takes it, the builder does not."""
    body = """net (float[1,4,16,16] x) => (float[1,4,16,16] y) {
        h = Cast <to = 16> (x)
        r = Mul (h, h)
        y = Cast <to = 1> (r)
    }"""
    turing = replace(target("rtx-ada"), isa=frozenset({"sm_75"}))
    with pytest.raises(UnavailableError, match=r"cannot build it: Cannot compile for target.*sm75.*b16"):
        BACKEND.lower(parsed(body), turing, tmp_path)
