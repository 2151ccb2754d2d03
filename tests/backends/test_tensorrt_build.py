"""How TensorRT is told what to build, and how its words and its lists of layers are read."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewright.backends import _tensorrt_build as subject
from edgewright.backends._tensorrt_layers import Layer, computed_in, counted, inspected, listed, precision_of
from edgewright.backends._tensorrt_messages import cleaned, failure, refusal, remarks
from edgewright.backends._tensorrt_timing import cache_file
from edgewright.core.errors import UnavailableError
from edgewright.core.files import sha256_file

from .fake_tensorrt import InputTensor, module

DYNAMIC = InputTensor("x", (-1, 3))
RANGE = {"x": [[1, 3], [2, 3], [4, 3]]}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"its parser finds what the test says")
    return path


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(monkeypatch: pytest.MonkeyPatch, model: Path, version: str, *inputs: InputTensor, **changes: Any) -> Any:
    fake = module(version, list(inputs))
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    told: dict[str, Any] = {"workspace": 1 << 20, "shapes": {}, "cache": None, **changes}
    answer = subject.build(
        flavour="tensorrt", path=str(model), engine=str(model.with_name("model.engine")), capability=[9, 0], **told
    )
    return fake, answer


@pytest.mark.parametrize(("version", "flags"), [("10.13.3.9", 2), ("11.4.0.12", 0)])
def test_networks_are_strongly_typed_in_every_version(
    version: str, flags: int, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, answer = build(monkeypatch, model, version, DYNAMIC, shapes=RANGE)
    network, config = fake.built
    assert network.flags == flags
    assert config.limits == {"WORKSPACE": 1 << 20}
    assert config.profiling_verbosity.name == "DETAILED"
    assert config.profiles == [{"x": [(1, 3), (2, 3), (4, 3)]}]
    assert answer["remarks"] == ["Skipping tactic 0x12 due to insufficient memory on requested size of 99"]
    layers = [Layer.from_json(row) for row in answer["layers"]]
    assert layers[0] == Layer("conv1 + relu", "CaskConvolution", "int8", ("conv1", "relu"))
    assert model.with_name("model.engine").exists()


def test_a_model_of_fixed_sizes_needs_no_profile(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, _ = build(monkeypatch, model, "10.13.3.9", InputTensor("x", (1, 3)))
    assert fake.built[1].profiles == []


def test_an_input_whose_values_are_sizes_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="input 'n': its values decide"):
        build(monkeypatch, model, "10.13.3.9", InputTensor("n", (2,), shape_tensor=True))
    assert subject.unsupported("tensorrt", str(model)) == [
        ["input", "n", -1, "its values decide the sizes of other tensors, and nothing tells TensorRT their range"]
    ]


def test_a_build_without_an_engine_says_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Untold(InputTensor):  # open only once the profile has been made
        seen = 0

        @property
        def shape(self) -> tuple[int, ...]:
            self.seen += 1
            return (1,) if self.seen == 1 else (-1,)

        @shape.setter
        def shape(self, value: tuple[int, ...]) -> None: ...

    with pytest.raises(UnavailableError, match="cannot build it: no optimization profile has been defined"):
        build(monkeypatch, model, "10.13.3.9", Untold("x", (1,)))


def test_times_of_kernels_are_kept_privately_for_the_next_build(
    model: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache_file("tensorrt", "10.13.3.9", (9, 0), "13.0")
    assert caches in path.parents
    build(monkeypatch, model, "10.13.3.9", cache=str(path))
    assert path.read_bytes() == b"times of nothing"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    engine = sha256_file(model.with_name("model.engine"))
    build(monkeypatch, model, "10.13.3.9", cache=str(path))
    assert path.read_bytes() == b"times of times of nothing"
    assert sha256_file(model.with_name("model.engine")) == engine
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_damaged_times_are_dropped_and_made_again(model: Path, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_file("tensorrt", "10.13.3.9", (9, 0), "13.0")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged on its way to the disk")
    build(monkeypatch, model, "10.13.3.9", cache=str(path))
    assert path.read_bytes() == b"times of nothing"


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = model / "below a file" / "x.timing"
    _, answer = build(monkeypatch, model, "10.13.3.9", cache=str(blocked))
    assert "layers" in answer


def test_times_hold_for_one_version_gpu_and_driver(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cache_file("tensorrt", "10.13.3.9", (9, 0), "13.0")
    others = {
        cache_file("tensorrt", "10.13.3.10", (9, 0), "13.0"),
        cache_file("tensorrt", "10.13.3.9", (8, 9), "13.0"),
        cache_file("tensorrt", "10.13.3.9", (9, 0), "12.8"),
    }
    assert len({one, *others}) == 4
    assert cache_file("tensorrt", "../../x", (9, 0), "/").parent == one.parent
    monkeypatch.delenv("EDGEWRIGHT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches / "xdg"))
    assert cache_file("tensorrt", "1", (9, 0), "").parent == caches / "xdg" / "edgewright" / "tensorrt"


LISTING = (
    "Layers:\n"
    "Name: __myl_Cast_0, LayerType: kgen, Inputs: [ { Name: x, Datatype: Float, Format: (Linear) }],"
    " Constants: [], Outputs: [ { Name: q, Datatype: Int8 }], TacticName: __myl_0x53, StreamId: 0,"
    " Metadata: [ONNX Layer: cast]\x1f[ONNX Layer: q]\n"
    "Name: conv_1, LayerType: correlation, Inputs: [ { Name: q, Dimensions: [1,64], Datatype: Int8, Format: (NHWC) }],"
    " Constants: [ { Name: w, Datatype: Int8 }, { Name: s, Datatype: Float }], Outputs: [ { Name: o }],"
    " TacticName: stub, StreamId: 0, Metadata: [ONNX Layer: /a/conv[0]]\x1f[ONNX Layer: d]\n"
    "Name: after, LayerType: kgen, Inputs: [ { Name: o, Datatype: Float }], Constants: [], Outputs: [ { Name: y }],"
    " TacticName: t, StreamId: 0, Metadata: [ONNX Layer: /a/conv[0]]\x1f[ONNX Layer: y]\n"
    "Name: dw, LayerType: kgen, Inputs: [ { Name: i, Datatype: Int32 }, { Name: y, Datatype: Half }], Constants: [],"
    " Outputs: [ { Name: z }], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: dw]\n"
    "\nI/O Tensors:\n Name: x, IOMode: Input, DataType: Float\n"
)


def test_the_builders_listing_is_read() -> None:
    layers = listed(["other words", LISTING])
    assert [(layer.name, layer.kind, layer.precision) for layer in layers] == [
        ("__myl_Cast_0", "kgen", "fp32"),
        ("conv_1", "correlation", "int8"),
        ("after", "kgen", "fp32"),
        ("dw", "kgen", "fp16"),
    ]
    assert layers[1].nodes == ("/a/conv[0]", "d")
    assert listed(["nothing of the kind"]) == []


def test_the_kernel_that_is_not_generated_says_what_a_product_computes_in() -> None:
    found = computed_in(["/a/conv[0]", "dw", "nowhere"], listed([LISTING]))
    assert found == {"/a/conv[0]": "int8", "dw": "fp16", "nowhere": "unknown"}
    assert counted(found) == "fp16 1, int8 1, unknown 1"
    reads_codes = Layer("generated", "kgen", "int8", ("p",))
    assert computed_in(["p"], [reads_codes, Layer("copy", "Reformat", "fp16", ("p",))]) == {"p": "unknown"}


@pytest.mark.parametrize(
    "tensor",
    [{"Format/Datatype": "Channel major INT8 format"}, {"Datatype": "Int8", "Format": "Row major linear FP16"}],
)
def test_the_inspector_is_read_as_ten_and_as_eleven_write_it(tensor: dict[str, str]) -> None:
    import json

    text = json.dumps(
        {"Layers": [{"Name": "a", "LayerType": "gemm", "Inputs": [tensor], "Metadata": "[ONNX Layer: m]"}]}
    )
    assert inspected(text) == [Layer("a", "gemm", "int8", ("m",))]
    assert inspected(json.dumps({"Layers": ["a name alone"], "Bindings": []})) == []


@pytest.mark.parametrize(
    ("words", "precision"),
    [("Half", "fp16"), ("Float", "fp32"), ("BFloat16", "bf16"), ("FP8", "fp8"), ("Row major linear FP32", "fp32")],
)
def test_types_have_one_name(words: str, precision: str) -> None:
    assert precision_of(words) == precision


DRIVERLESS = (
    "Invalid Node - my node\nITensor::getDimensions: Error Code 4: API Usage Error (my node: input has type Int32)\n"
    "Error Code 1: Cuda Runtime (In x at /_src/a.cpp:25 (cudaError 35: CUDA driver version is insufficient))"
)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'In node 3 with name: c and operator: Foo (check): creator && "Plugin not found, is the name right?"',
            "unknown operator, and no plugin has its name",
        ),
        (
            DRIVERLESS,
            "input has type Int32",
        ),
        (
            "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported.",
            "Non-zero zero point is not supported.",
        ),
        (
            "creator && version(creator) == CreatorVersion::kV3ONE: failed to load the plugin.",
            "failed to load the plugin.",
        ),
        ("inputs.at(2).is_weights(): It must be an initializer.", "It must be an initializer."),
        ("Its type is UInt8 (and not: Float).", "Its type is UInt8 (and not: Float)."),
        ("Assertion failed: false", "TensorRT does not have it in this form"),
    ],
)
def test_refusals_lose_the_places_in_nvidias_sources(said: str, told: str) -> None:
    assert refusal(said, "my node") == told


def test_a_missing_driver_is_no_reason_unless_it_is_the_only_one() -> None:
    driver = "Error Code 1: Cuda Runtime (In x at /a/b.cpp:1 (cudaError 35: CUDA driver version is insufficient))"
    real = "IBuilder::buildIt: Error Code 10: Internal Error (no kernel for conv. In f at /s/o.cpp:9)"
    assert failure([("ERROR", driver), ("ERROR", real), ("ERROR", real)]) == "no kernel for conv."
    assert "driver version" in failure([("ERROR", driver)])
    assert failure([]) == "it gave no reason"


def test_warnings_that_differ_in_figures_are_told_once() -> None:
    lines = [
        ("WARNING", f"Skipping tactic 0x{n}f due to insufficient memory on requested size of {n}.") for n in (1, 2, 3)
    ]
    noise = [("WARNING", "(foreignNode) Converting conv activation scales to fp32."), ("INFO", "out of memory")]
    assert remarks([*lines, *noise]) == [
        "Skipping tactic 0x1f due to insufficient memory on requested size of 1. (3 times)"
    ]
    many = [("WARNING", f"{word} is not supported") for word in "abcdefghi"]
    assert remarks(many)[-1] == "3 more warnings of the builder"
    assert cleaned("x" * 9999) == "x" * 400
