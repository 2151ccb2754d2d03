from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.backends import registry
from edgewright.core.errors import BadInputError, ExitCode, UsageError
from edgewright.targets import load
from edgewright.targets.detect import Host
from edgewright.targets.load import described_targets, hardware_names, load_targets, native_targets
from edgewright.targets.parse import KNOWN_ISA, parse_targets, target_from_json
from edgewright.targets.schema import Target

PROMISED = {
    *("native", "onnx", "rpi5", "arm64-dotprod", "x86-avx2", "x86-avx512-vnni", "x86-amx", "intel-gpu", "intel-npu"),
    *("jetson-orin", "rtx-ampere", "rtx-ada", "rtx-blackwell", "t4", "a100", "hopper"),
}
ANNOUNCED = {"tensorrt", "aotinductor"}  # loads; a compile for it says that there is no such backend yet
TARGETS = [target for name in hardware_names() for target in described_targets(name)]
TENSORRT = [target for target in TARGETS if target.runtime == "tensorrt"]

GOOD = """
title = "board"
arch = "x86_64"
isa = ["avx2"]
threads = 3
[runtimes.openvino]
device = "CPU"
precisions = ["fp32", "int8"]
opset = [7, 21]
[runtimes.openvino.int8]
activation = "uint8"
activation_symmetric = false
weight = "int8"
weight_symmetric = true
reduce_range = true
saturates_int16 = true
source = "a page"
[[runtimes.openvino.int8.schemes]]
name = "one"
kind = "static"
op_kinds = ["Conv"]
[[runtimes.openvino.int8.schemes]]
name = "two"
kind = "dynamic"
op_kinds = ["MatMul"]
"""

LIMIT = """
[[runtimes.openvino.limits]]
flavour = "other"
precision = "int8"
text = "it does not"
source = "a page"
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "board.toml"
    path.write_text(text)
    return str(path)


def host(arch: str, *isa: str) -> Host:
    return Host(arch, "a chip", frozenset(isa), cores=6, memory_bytes=5 << 30)


def test_every_promised_name_is_there() -> None:
    assert set(hardware_names()) >= PROMISED


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
class TestEveryTarget:
    def test_each_figure_cites_its_source(self, target: Target) -> None:
        figures = {"opset", *(["isa"] if target.isa else [])}
        figures |= {"channel_multiple"} if target.channel_multiple != 1 else set()
        figures |= {"threads"} if target.threads != 1 else set()
        figures |= {"memory_bytes"} if target.memory_bytes else set()
        figures |= {"fused_ops"} if target.fused_ops else set()
        assert figures <= set(target.sources)
        assert all(source.strip() for source in target.sources.values())

    def test_instruction_sets_are_linux_names(self, target: Target) -> None:
        assert target.arch not in KNOWN_ISA or target.isa <= set(KNOWN_ISA[target.arch])

    def test_its_runtime_exists_or_is_announced(self, target: Target) -> None:
        assert target.runtime in {*registry().names(), "onnxruntime", "openvino", *ANNOUNCED}

    def test_its_schemes_fit_its_precisions(self, target: Target) -> None:
        assert ("int8" in target.precisions) == (target.int8 is not None)
        if target.int8 is not None:
            assert target.int8.schemes
            assert all(scheme.op_kinds and scheme.float_rest in target.precisions for scheme in target.int8.schemes)
            assert target.int8.saturates_int16 <= target.int8.reduce_range, "what saturates must keep weights to 7 bits"

    def test_json_gives_it_back(self, target: Target) -> None:
        assert target_from_json(json.loads(json.dumps(target.to_json()))) == target

    def test_it_is_found_by_its_full_name(self, target: Target) -> None:
        assert load_targets(target.name) == (target,)


def test_integer_saturation_follows_the_instruction_set() -> None:
    for target in TARGETS:
        if target.arch == "x86_64" and target.int8 is not None:
            has_vnni = bool(target.isa & {"avx512_vnni", "avx_vnni", "amx_int8"})
            assert target.int8.saturates_int16 is not has_vnni, target.name


def test_bfloat16_only_where_the_cpu_computes_in_it() -> None:
    for target in TARGETS:
        if target.arch == "x86_64":
            computes = bool(target.isa & {"avx512_bf16", "amx_bf16"})
            takes = target.runtime in ("openvino", "aotinductor")
            assert ("bf16" in target.precisions) == (computes and takes), target.name


class TestNvidia:
    CAPABILITIES = {  # noqa: RUF012 - https://developer.nvidia.com/cuda-gpus
        "t4": (7, 5),
        "a100": (8, 0),
        "rtx-ampere": (8, 6),
        "jetson-orin": (8, 7),
        "rtx-ada": (8, 9),
        "hopper": (9, 0),
        "rtx-blackwell": (12, 0),
    }

    def test_every_card_has_its_compute_capability(self) -> None:
        found = {target.hardware: target.compute_capability for target in TARGETS if target.device == "CUDA"}
        assert found == self.CAPABILITIES

    @pytest.mark.parametrize("target", TENSORRT, ids=lambda target: target.name)
    def test_tensorrt_is_symmetric_and_adds_residuals_inside_the_convolution(self, target: Target) -> None:
        for rule in (target.int8, target.fp8):
            if rule is not None:
                assert (rule.activation_symmetric, rule.weight_symmetric, rule.bias) == (True, True, "float")
                assert all(item.residual_adds == ("Add" in item.op_kinds) for item in rule.schemes)
                assert not any(item.quantize_outputs for item in rule.schemes)
        assert target.int8 is not None
        assert target.int8.activation == target.int8.weight == "int8"
        assert "Add" in target.int8.schemes[0].op_kinds
        assert "Add" not in target.int8.schemes[1].op_kinds

    def test_a_precision_follows_the_compute_capability(self) -> None:
        for target in TARGETS:
            capability = target.compute_capability
            if capability is not None:
                assert ("fp8" in target.precisions) == (target.runtime == "tensorrt" and capability >= (8, 9))
                computes_bf16 = capability >= (8, 0) and target.runtime != "onnxruntime"
                assert ("bf16" in target.precisions) == computes_bf16
                if target.fp8 is not None:
                    assert (target.fp8.activation, target.fp8.weight) == ("float8e4m3fn", "float8e4m3fn")

    def test_only_cards_that_tensorrt_rtx_lists_name_it_and_its_limits_are_told(self) -> None:
        for target in TENSORRT:
            listed = target.compute_capability in {(8, 6), (8, 9), (12, 0)}
            assert any(word.startswith("tensorrt_rtx") for word in target.flavours) == listed, target.name
            assert bool(target.limits_of("tensorrt_rtx", "int8")) == listed
            assert not target.limits_of("tensorrt", "int8")
            assert not target.limits_of("tensorrt_rtx", "fp16")

    def test_tensorrt_comes_first_and_a_cpu_is_not_compiled_for_by_inductor_unasked(self) -> None:
        assert [target.runtime for target in load_targets("rtx-ada")] == ["tensorrt", "onnxruntime", "aotinductor"]
        assert [target.runtime for target in load_targets("jetson-orin")] == ["tensorrt"]
        assert "aotinductor" not in {target.runtime for target in load_targets("native")}
        (named,) = load_targets("x86-avx2/aotinductor")
        assert (named.competes, named.precisions) == (False, ("fp32",))
        assert named in described_targets("x86-avx2")


class TestNative:
    CANDIDATES = ("x86-amx", "x86-avx512-vnni", "x86-avx-vnni", "x86-avx2", "arm64-dotprod", "onnx")
    AVX2 = ("avx", "avx2", "f16c", "fma", "sse4_2", "lahf_lm")
    AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")

    @pytest.mark.parametrize(
        ("machine", "expected"),
        [
            (host("x86_64", *AVX2), "x86-avx2"),
            (host("x86_64", *AVX2, "avx_vnni"), "x86-avx-vnni"),
            (host("x86_64", *AVX512), "x86-avx512-vnni"),
            (host("x86_64", *AVX512, "avx_vnni", "avx512_bf16"), "x86-avx512-vnni"),
            (host("x86_64", *AVX512, "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"), "x86-amx"),
            (host("x86_64", "sse2"), "onnx"),
            (host("aarch64", "asimd", "asimddp"), "arm64-dotprod"),
            (host("aarch64", "asimd"), "onnx"),
        ],
    )
    def test_the_best_description_it_satisfies_lends_its_runtimes(self, machine: Host, expected: str) -> None:
        targets = native_targets("native", "here", self.CANDIDATES, machine)
        assert {target.resembles for target in targets} == {expected}
        assert all(target.detected and target.hardware == "native" for target in targets)
        assert {(target.threads, target.memory_bytes, target.arch) for target in targets} == {
            (6, 5 << 30, machine.arch)
        }

    def test_a_precision_comes_with_the_instruction_set_it_needs(self) -> None:
        without = native_targets("native", "", self.CANDIDATES, host("x86_64", *self.AVX512))
        with_it = native_targets("native", "", self.CANDIDATES, host("x86_64", *self.AVX512, "avx512_bf16"))
        assert [target.precisions for target in without if target.runtime == "openvino"] == [("fp32", "int8")]
        (found,) = [target for target in with_it if target.runtime == "openvino"]
        assert found.precisions == ("fp32", "bf16", "int8")
        assert found.int8 is not None
        assert {scheme.float_rest for scheme in found.int8.schemes} == {"fp32", "bf16"}

    def test_flags_that_do_not_matter_are_not_recorded(self) -> None:
        (target, *_) = native_targets("native", "", self.CANDIDATES, host("x86_64", *self.AVX2))
        assert "lahf_lm" not in target.isa

    def test_a_machine_like_nothing_described_says_so(self) -> None:
        with pytest.raises(UsageError, match="riscv64"):
            native_targets("native", "", ("x86-avx2",), host("riscv64"))


class TestUsersFile:
    def test_by_path_and_by_path_with_runtime(self, tmp_path: Path) -> None:
        path = written(tmp_path, GOOD)
        (target,) = load_targets(path)
        assert (target.name, target.threads, target.opset) == ("board/openvino", 3, (7, 21))
        assert load_targets(f"{path}/openvino") == (target,)

    def test_like_borrows_everything_it_does_not_say(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            'like = "rpi5"\ntitle = "my board"\nthreads = 2\n[runtimes.onnxruntime.int8]\nreduce_range = true\n',
        )
        target = next(item for item in load_targets(path) if item.runtime == "onnxruntime")
        (base,) = load_targets("rpi5/onnxruntime")
        assert (target.title, target.threads, target.hardware) == ("my board", 2, "board")
        assert base.int8 is not None
        assert target.int8 is not None
        assert (base.int8.reduce_range, target.int8.reduce_range) == (False, True)
        assert target.int8.schemes == base.int8.schemes

    def test_every_mistake_comes_back_at_once(self, tmp_path: Path) -> None:
        text = GOOD.replace('kind = "dynamic"', 'kind = "statik"').replace(
            "threads = 3", "thread = 3\nmemory_bytes = -1"
        )
        text = text.replace('"avx2"', '"avx3"').replace("[7, 21]", "[21, 7]").replace('device = "CPU"', "device = nan")
        with pytest.raises(UsageError) as caught:
            load_targets(written(tmp_path, text))
        assert caught.value.exit_code == ExitCode.USAGE
        for line in (
            "6 mistakes",
            "runtimes.openvino.int8.schemes[1].kind: 'statik' is not one of static, dynamic",
            "thread: unknown key; did you mean threads?",
            "memory_bytes: -1 is below 1",
            "isa[0]: 'avx3' is not known; did you mean avx",
            "runtimes.openvino.opset: [21, 7] must have 1 <= first <= second",
            "runtimes.openvino.device: nan is not a text",
        ):
            assert line in caught.value.problem

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("title = ", "is not TOML"),
            ('title = "x"\narch = "any"\n', "runtimes: is missing"),
            ('title = "x"\narch = "any"\n[runtimes]\n', "has no runtime"),
            ('like = "rpi6"', "Did you mean rpi5"),
            (GOOD.replace('"fp32", "int8"', '"fp32"'), "both or neither"),
            (GOOD.replace('"fp32", "int8"', '"int8"'), "must include fp32"),
            (GOOD.replace('name = "two"', 'name = "one"'), "two schemes are called 'one'"),
            (GOOD.replace("threads = 3", "threads = true"), "threads: True is not a whole number"),
            (GOOD.replace("threads = 3", "threads = 0"), "threads: 0 is below 1"),
            (GOOD.replace('op_kinds = ["Conv"]', 'op_kinds = "Conv"'), "schemes[0].op_kinds: 'Conv' is not a list"),
            (GOOD.replace("opset =", 'fused_ops = ["Gelu"]\nopset ='), "is not domain::Name"),
            (
                GOOD.replace("opset =", 'flavours = ["tensorrt 10"]\nopset ='),
                "'tensorrt 10' is not an import name with",
            ),
            (GOOD.replace("opset =", "competes = false\nopset ="), "Name one: board/openvino"),
            (GOOD + '[runtimes.openvino.not_in]\nbf61 = ["::Mish"]\n', "not_in.bf61: is none of fp32"),
            (GOOD + '[runtimes.openvino.not_in]\nfp32 = ["Mish"]\n', "not_in.fp32[0]: 'Mish' is not domain::Name"),
            (GOOD + LIMIT, "limits[0].flavour: 'other' is not one of"),
            (GOOD + LIMIT.replace("int8", "fp8"), "limits[0].precision: 'fp8' is not one of fp32, int8"),
        ],
    )
    def test_one_mistake(self, tmp_path: Path, text: str, says: str) -> None:
        with pytest.raises(UsageError) as caught:
            load_targets(written(tmp_path, text))
        assert says in str(caught.value)

    def test_a_circle_of_likes_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.toml").write_text('like = "b"')
        (tmp_path / "b.toml").write_text('like = "a"')
        monkeypatch.setattr(load, "_files", lambda: {"a": tmp_path / "a.toml", "b": tmp_path / "b.toml"})
        with pytest.raises(UsageError, match="circle"):
            load_targets("a")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nativ", "Did you mean native"),
        ("native/openvin", "Did you mean native/openvino"),
        ("rpi5/tensorrt", "There are: rpi5/onnxruntime, rpi5/openvino"),
        ("/no/such.toml", "Give the path"),
        ("", "There are: "),
    ],
)
def test_an_unknown_name_offers_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_targets(name)
    assert hint in caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted(load_targets("x86-avx2/openvino")[0].to_json())


@given(key=st.sampled_from(FIELDS), value=JSON)
def test_a_damaged_manifest_is_bad_input_and_nothing_else(key: str, value: object) -> None:
    data = load_targets("x86-avx2/openvino")[0].to_json() | {key: value}
    try:
        target_from_json(data)
    except BadInputError as error:
        assert key in error.problem or "precisions" in error.problem or "isa" in error.problem  # noqa: PT017


@given(st.dictionaries(st.sampled_from(["title", "arch", "isa", "threads", "runtimes", "signs", "sources", "x"]), JSON))
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    try:
        parse_targets(document, "x", "file")
    except UsageError as error:
        assert error.problem.count("\n") >= 1  # noqa: PT017
