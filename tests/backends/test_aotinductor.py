"""AOTInductor: packages built for this CPU, and programs that wait for a GPU. One package is built in the default tier.

The contract's tests feed ONNX models, which it does not take; what they ask of every backend is asked here again.
"""

from __future__ import annotations

import platform
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact, open_isolated
from edgewright.backends import _aotinductor_host as host
from edgewright.backends._aotinductor_build import _require, _scratch
from edgewright.backends.aotinductor import AotInductor
from edgewright.core.errors import BadInputError, EngineError, TargetAbsentError, UnavailableError
from edgewright.core.model import TorchFile
from edgewright.core.tensors import Feeds, Outputs, TensorSpec
from edgewright.targets.detect import this_host
from edgewright.targets.schema import Target

from .conftest import make_target

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

NEEDS_COMPILER = pytest.mark.skipif(host.compiler() is None, reason="no C++ compiler on the PATH")
X86_ONLY = pytest.mark.skipif(platform.machine() != "x86_64", reason="asks about x86-64's instruction sets")

EXACT = 1e-5
"""Float32 against eager torch: sums in another order, of some hundred terms around 1."""
BF16, FP16 = 0.03, 0.004
"""Of the largest output: 2^-8 and 2^-11 for each of some five roundings in a row, and sums of rounded terms."""

INPUTS = (TensorSpec("image", "float32", ("batch", 3, 12, 12)), TensorSpec("tokens", "int64", ("batch", 6)))
OUTPUTS = (TensorSpec("scores", "float32", ("batch", 4)), TensorSpec("shifted", "int64", ("batch", 6)))


class Net(torch.nn.Module):
    """A convolution that folds, an embedding, a normalisation, attention, and two inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8)
        self.table, self.layer = torch.nn.Embedding(10, 8), torch.nn.LayerNorm(8)
        self.head = torch.nn.Linear(8, 4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, image, tokens):
        seen = torch.relu(self.norm(self.conv(image))).flatten(2).transpose(1, 2)
        asked = self.layer(self.table(tokens))
        found = torch.nn.functional.scaled_dot_product_attention(asked, seen, seen)
        return {"scores": self.head(found.mean(1)), "shifted": tokens + 1}


@pytest.fixture(scope="module")
def net() -> Net:
    return Net().eval()


@pytest.fixture(scope="module")
def file(net: Net, tmp_path_factory: pytest.TempPathFactory) -> TorchFile:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    save(net, (torch.randn(2, 3, 12, 12), torch.zeros(2, 6, dtype=torch.int64)), path)
    return TorchFile(path, "net", INPUTS, OUTPUTS)


@pytest.fixture(scope="module")
def cpu() -> Target:
    return target("CPU")


@pytest.fixture(scope="module")
def gpu() -> Target:
    return target("CUDA")


@pytest.fixture(scope="module")
def package(file: TorchFile, cpu: Target, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    if host.compiler() is None:
        pytest.skip("no C++ compiler on the PATH")
    return AotInductor().lower(file, cpu, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def pending(file: TorchFile, gpu: Target, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    if host.gpu():
        pytest.skip("there is a GPU here")
    return AotInductor().lower(file, gpu, tmp_path_factory.mktemp("pending"), "bf16")


def target(device: str) -> Target:
    """This machine's CPU as far as AVX2 goes, or a GPU that is not here."""
    known = make_target("aotinductor", device, frozenset({"bf16", "fp16"}))
    if device == "CUDA":
        return replace(known, arch="gpu", isa=frozenset({"sm_89"}), hardware="rtx-ada")
    arch = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), "any")
    return replace(known, arch=arch, isa=this_host().isa & {"avx", "avx2", "f16c", "fma", "asimd", "asimddp"})


def save(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    batch = torch.export.Dim("batch", max=64)
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=({0: batch},) * len(inputs)), path)


def feeds(batch: int, seed: int = 0) -> Feeds:
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((batch, 3, 12, 12)).astype(np.float32)
    return {"image": image, "tokens": rng.integers(0, 10, (batch, 6))}


def expected(net: Net, fed: Feeds) -> Outputs:
    with torch.no_grad():
        found = net(*(torch.from_numpy(fed[spec.name]) for spec in INPUTS))
    return {name: value.numpy() for name, value in found.items()}


def assert_close(got: Outputs, want: Outputs, tolerance: float) -> None:
    assert list(got) == list(want)
    for name, value in want.items():
        assert (got[name].shape, got[name].dtype) == (value.shape, value.dtype)
        assert np.abs(got[name] - value).max() <= tolerance * max(1.0, float(np.abs(value).max())), name


class TestAPackageForThisCpu:
    @pytest.mark.parametrize("batch", [1, 2, 5])
    def test_it_computes_what_torch_computes_at_every_batch(self, package: Artifact, net: Net, batch: int) -> None:
        with AotInductor().open(package, threads=1) as session:
            for seed in range(3):
                assert_close(session.run(feeds(batch, seed)), expected(net, feeds(batch, seed)), EXACT)

    def test_a_child_process_answers_the_same(self, package: Artifact) -> None:
        with AotInductor().open(package, 1) as here, open_isolated("aotinductor", package, 1) as there:
            assert (there.inputs, there.outputs) == (here.inputs, here.outputs) == (INPUTS, OUTPUTS)
            assert_close(there.run(feeds(3)), here.run(feeds(3)), 0.0)
            assert [layer.name for layer in there.profile(feeds(3))] == [one.name for one in here.profile(feeds(3))]

    def test_it_is_its_file_wherever_that_lies_and_names_no_folder(
        self, package: Artifact, file: TorchFile, net: Net, tmp_path: Path
    ) -> None:
        assert [path.name for path in package.folder.iterdir()] == ["package.pt2"] == list(package.files)
        assert package.entry == "package.pt2"
        with zipfile.ZipFile(package.path) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
            assert not [name for name in archive.namelist() if name.endswith(".cpp")]
        for folder in (file.path.parent, package.folder, Path(torch.__file__).parent, Path.cwd(), "edgewright-"):
            assert str(folder).encode() not in content
        moved = tmp_path / "a folder with a space"
        shutil.copytree(package.folder, moved)
        again = Artifact.from_json({**package.to_json(), "folder": str(moved)})
        with AotInductor().open(again, threads=1) as session:
            assert_close(session.run(feeds(2)), expected(net, feeds(2)), EXACT)

    def test_it_says_what_it_was_built_for(self, package: Artifact, cpu: Target) -> None:
        assert package.properties["device"] == "cpu"
        assert package.properties["precision"] == "fp32"
        assert package.properties["machine"] == platform.machine()
        assert package.versions == {"torch": host.torch_version()}
        assert package.pending == ""
        assert AotInductor().on_cpu(package) is package

    @X86_ONLY
    def test_vector_code_keeps_to_the_targets_instructions(self, package: Artifact, cpu: Target) -> None:
        assert cpu.isa <= host.used_by("x86-64-v3"), "the target of these tests has AVX2 and no more"
        assert package.properties["march"] == ("x86-64-v3" if "avx2" in cpu.isa else "x86-64")
        assert not [name for name in package.properties["isa"].split() if "512" in name or "amx" in name]
        with zipfile.ZipFile(package.path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("wrapper_metadata.json")]
            assert b"512" not in archive.read(name)

    def test_feeds_are_checked_before_the_engine_sees_them(self, package: Artifact) -> None:
        good = feeds(2)
        wrong = [
            {},
            {**good, "z": good["image"]},
            {**good, "image": good["image"][0]},
            {**good, "tokens": good["tokens"].astype(np.int32)},
            {**good, "image": good["image"][:, :2]},
        ]
        with AotInductor().open(package, threads=1) as session:
            for fed in wrong:
                with pytest.raises(BadInputError, match=r"input '(image|tokens|z)'"):
                    session.run(fed)
            session.run(good)

    def test_arrays_of_any_layout_can_be_fed(self, package: Artifact) -> None:
        fed = feeds(2)
        image = fed["image"]
        locked = image.copy()
        locked.flags.writeable = False
        with AotInductor().open(package, threads=1) as session:
            want = session.run(fed)
            for variant in (np.asfortranarray(image), locked, np.ascontiguousarray(image[..., ::-1])[..., ::-1]):
                assert_close(session.run({**fed, "image": variant}), want, 0.0)

    def test_results_are_the_callers_to_keep(self, package: Artifact) -> None:
        with AotInductor().open(package, threads=1) as session:
            first = session.run(feeds(2))
            kept = {name: array.copy() for name, array in first.items()}
            for array in session.run(feeds(2, seed=1)).values():
                array[...] = 0
            assert_close(first, kept, 0.0)
            assert_close(session.run(feeds(2)), kept, 0.0)

    def test_two_sessions_at_once_and_threads_by_number(self, package: Artifact) -> None:
        before = torch.get_num_threads()
        try:
            with AotInductor().open(package, threads=1) as one, AotInductor().open(package, threads=2) as two:
                for batch in (1, 4):
                    assert_close(two.run(feeds(batch)), one.run(feeds(batch)), EXACT)
                    assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(before)

    def test_a_closed_session_says_so(self, package: Artifact) -> None:
        session = AotInductor().open(package, threads=1)
        session.close()
        session.close()
        for ask in (session.run, session.profile):
            with pytest.raises(EngineError, match="closed"):
                ask(feeds(2))

    def test_a_profile_accounts_for_the_kernels(self, package: Artifact) -> None:
        with AotInductor().open(package, threads=1) as session:
            layers = session.profile(feeds(2))
            assert session.device_ns is None
        assert any("convolution" in layer.kind for layer in layers)
        assert {layer.precision for layer in layers} == {"fp32"}
        assert 0 < sum(layer.time_us for layer in layers) < 1e6  # a net of 0.1 MFLOP; a second would be another unit

    def test_a_file_that_is_no_package_is_one_message(self, package: Artifact, tmp_path: Path) -> None:
        broken = replace(package, folder=tmp_path)
        (tmp_path / "package.pt2").write_bytes(b"nonsense" * 100)
        with pytest.raises(EngineError, match=r"refuses package\.pt2") as caught:
            AotInductor().open(broken, threads=1)
        assert "\n" not in caught.value.problem


class TestWhatDoesNotFit:
    @pytest.fixture
    def described(self, tmp_path: Path) -> Artifact:
        """A package as its manifest has it; nothing of it may be read."""
        properties = {"device": "cpu", "precision": "fp32", "isa": "", "machine": platform.machine()}
        version = host.torch_version()
        assert version is not None
        return Artifact(
            "aotinductor", tmp_path, "package.pt2", ("package.pt2",), INPUTS, OUTPUTS, properties, {"torch": version}
        )

    def refused(self, artifact: Artifact) -> str:
        problem = AotInductor().unfit(artifact)
        assert problem is not None
        with pytest.raises(UnavailableError) as caught:
            AotInductor().open(artifact, threads=1)
        assert problem in caught.value.problem
        return problem

    def test_one_that_was_built_here_fits(self, described: Artifact) -> None:
        assert AotInductor().unfit(described) is None

    @pytest.mark.parametrize("version", ["2.1.0", "2.99.1+cu130", "3.13.0"])
    def test_another_release_of_torch_is_refused_older_or_newer(self, described: Artifact, version: str) -> None:
        assert f"built with torch {version}" in self.refused(replace(described, versions={"torch": version}))

    def test_a_patch_of_the_same_release_is_not(self, described: Artifact) -> None:
        version = f"{host.release(described.versions['torch'])}.99+cu130"
        assert AotInductor().unfit(replace(described, versions={"torch": version})) is None

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"isa": "sse9 avx1024"}, "it uses avx1024, sse9, which this machine's CPU lacks"),
            ({"machine": "riscv128"}, "machine code for riscv128"),
            ({"compute_capability": "sm_89"}, "built for sm_89"),
        ],
    )
    def test_other_hardware_is_refused_before_anything_is_read(
        self, described: Artifact, changed: dict[str, str], says: str
    ) -> None:
        if host.gpu() and "compute_capability" in changed:
            pytest.skip("there is a GPU here")
        assert says in self.refused(replace(described, properties={**described.properties, **changed}))

    def test_no_version_and_no_torch_are_told(self, described: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "which version" in self.refused(replace(described, versions={}))
        monkeypatch.setattr(host, "torch_version", lambda: None)
        assert AotInductor().unfit(described) == "torch is not installed"
        found = AotInductor().probe()
        assert (found.present, found.remedy) == (False, 'pip install "edgewright[torch]"')

    def test_a_program_may_be_older_than_torch_but_not_newer(self, pending: Artifact) -> None:
        assert AotInductor().unfit(replace(pending, versions={"torch": "2.1.0"})) is None
        told = AotInductor().unfit(replace(pending, versions={"torch": "2.99.0"}))
        assert told is not None
        assert "older" in told


class TestWithoutItsTools:
    def test_a_program_with_other_inputs_than_its_specs_is_refused(self, file: TorchFile) -> None:
        program = torch.export.load(file.path)
        _require(program, 2, 2)
        with pytest.raises(EngineError, match="takes 2 tensors and gives 2, its ONNX form 1 and 2"):
            _require(program, 1, 2)

    def test_no_compiler_is_told_with_the_package_to_install(
        self, file: TorchFile, cpu: Target, gpu: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        found = AotInductor().available_for(cpu)
        assert "C++ compiler" in found.reason
        assert found.remedy == "apt-get install g++"
        with pytest.raises(UnavailableError, match="C\\+\\+ compiler"):
            AotInductor().lower(file, cpu, tmp_path)
        assert list(tmp_path.iterdir()) == []
        if not host.gpu():
            assert AotInductor().available_for(gpu).present, "a program for a GPU elsewhere is only written down"

    @pytest.mark.parametrize(("device", "precision"), [("CPU", "fp16"), ("CPU", "int8"), ("CUDA", "fp8")])
    def test_a_precision_it_does_not_have_is_refused(
        self, file: TorchFile, tmp_path: Path, device: str, precision: str
    ) -> None:
        with pytest.raises(UnavailableError, match=f"{precision} on"):
            AotInductor().lower(file, target(device), tmp_path, precision)
        assert list(tmp_path.iterdir()) == []

    def test_supports_looks_at_form_and_types_alone(self, file: TorchFile, cpu: Target, subjects) -> None:
        assert AotInductor().supports(file, cpu) == []
        texts = replace(file, inputs=(TensorSpec("words", "string", (1,)),))
        (fault,) = AotInductor().supports(texts, cpu)
        assert (fault.op, fault.node) == ("element type string", "words")
        with pytest.raises(UnavailableError, match="takes torch programs"):
            AotInductor().supports(subjects["conv_net"]().model, cpu)


class TestAProgramThatWaitsForItsGpu:
    def test_it_is_the_program_alone_and_says_why(self, pending: Artifact) -> None:
        assert pending.pending
        assert pending.files == ("model.pt2",)
        assert pending.properties == {"device": "cuda", "precision": "bf16"}

    def test_it_remembers_nothing_of_the_machine_that_wrote_it(self, pending: Artifact) -> None:
        with zipfile.ZipFile(pending.path) as archive:
            names = archive.namelist()
            content = b"".join(map(archive.read, names))
        assert str(Path(__file__).parent).encode() not in content
        assert b"torch.relu(self.norm" not in content
        program = torch.export.load(pending.path)
        assert program.example_inputs is None

    def test_it_cannot_be_opened_nor_completed_here(self, pending: Artifact, gpu: Target, tmp_path: Path) -> None:
        with pytest.raises(UnavailableError, match="not built yet") as caught:
            AotInductor().open(pending, threads=1)
        assert "edgewright finish" in caught.value.remedy
        with pytest.raises(TargetAbsentError):
            AotInductor().complete(pending, gpu, tmp_path)

    @pytest.mark.parametrize(("precision", "tolerance"), [("fp32", EXACT), ("bf16", BF16), ("fp16", FP16)])
    def test_this_cpu_computes_it_in_the_same_precision_in_its_place(
        self, pending: Artifact, net: Net, precision: str, tolerance: float
    ) -> None:
        chosen = replace(pending, properties={**pending.properties, "precision": precision})
        with AotInductor().open(AotInductor().on_cpu(chosen), threads=1) as session:
            got = session.run(feeds(3))
        assert_close(got, expected(net, feeds(3)), tolerance)
        if precision != "fp32":
            assert not np.array_equal(got["scores"], expected(net, feeds(3))["scores"])


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    return (folder for folder in map(tmp_path.joinpath, ("one", "another-one")) if folder.mkdir() is None)


@pytest.mark.full
@NEEDS_COMPILER
class TestMorePackages:
    def test_bf16_keeps_its_bound_and_halves_the_weights(
        self, file: TorchFile, cpu: Target, net: Net, pending: Artifact, folders: Iterator[Path]
    ) -> None:
        artifact = AotInductor().lower(file, cpu, next(folders), "bf16")
        with AotInductor().open(artifact, 1) as session, AotInductor().open(AotInductor().on_cpu(pending), 1) as eager:
            for batch in (1, 3):
                got = session.run(feeds(batch))
                assert_close(got, expected(net, feeds(batch)), BF16)
                assert_close(got, eager.run(feeds(batch)), BF16)
                assert not np.array_equal(got["scores"], expected(net, feeds(batch))["scores"])

    def test_two_builds_give_the_same_bytes(
        self, file: TorchFile, cpu: Target, package: Artifact, folders: Iterator[Path]
    ) -> None:
        again = AotInductor().lower(file, cpu, next(folders))
        assert again.path.read_bytes() == package.path.read_bytes()
        assert again.properties == package.properties


def test_a_temporary_folder_with_spaces_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a folder").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a folder"))
    with pytest.raises(EngineError, match="torch takes a space for the end of a name"):
        _scratch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _scratch().parent == tmp_path
