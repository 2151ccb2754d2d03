"""The CMake package as a firmware project uses it: the example beside this, real compiles, both generators."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgewright
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "cmake"
MOMENTS = HERE.parent / "moments"
PACKAGE = Path(edgewright.__file__).resolve().parent / "cmake"
NINJA, MAKE = "Ninja", "Unix Makefiles"
PROGRAMS = {NINJA: "ninja", MAKE: "make"}
ELSEWHERE = "rpi5"
"""Hardware that this is not: its ONNX Runtime bundles are skipped here."""
FLOAT = "TARGET native/onnxruntime PRECISION fp32"
EM_AARCH64 = 183
COMPILING = "Compiling a model for"
OURS = ("CMAKE_", "MAKE", "MFLAGS", "NINJA", "CTEST_", "PYTEST_", "EDGEWRIGHT_")

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("cc") is None, reason="there is no cmake, or no C compiler"
)


def version_of_cmake() -> tuple[int, ...]:
    text = subprocess.run(["cmake", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return tuple(map(int, text.split("-")[0].split(".")))


@dataclass(frozen=True)
class Project:
    """A source folder and a build folder, each with a space in its path."""

    source: Path
    build: Path
    generator: str = NINJA
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        temporary = self.source.parent / "tmp"  # of its own: it waits for nobody else who is timing on this machine
        temporary.mkdir(exist_ok=True)
        ours = {"PATH": path, "PYTHONPATH": str(MOMENTS), "TMPDIR": str(temporary), "EDGEWRIGHT_CACHE_SIZE": "0"}
        env = {**kept, **ours, **self.env}
        return subprocess.run(
            [str(word) for word in words], cwd=cwd or self.source, env=env, timeout=300, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def try_configure(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        if shutil.which(PROGRAMS[self.generator]) is None:
            pytest.skip(f"there is no {PROGRAMS[self.generator]} here")
        package = f"-DEdgewright_DIR={PACKAGE}"
        return self.run("cmake", "-G", self.generator, "-S", self.source, "-B", self.build, package, *words)

    def configure(self, *words: str | Path) -> None:
        done = self.try_configure(*words)
        assert done.returncode == 0, done.stdout
        assert "CMake Warning" not in done.stdout, done.stdout

    def try_make(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("cmake", "--build", self.build, *words)

    def make(self, *words: str) -> str:
        done = self.try_make(*words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def is_idle(self) -> bool:
        said = self.make()
        nothing = "no work to do" in said if self.generator == NINJA else "Building" not in said
        return nothing and COMPILING not in said and "Embedding" not in said

    def ctest(self, *words: str) -> dict[str, str]:
        """Test -> ``Passed``, ``Failed`` or ``Skipped``."""
        done = self.run("ctest", *words, cwd=self.build)
        return dict(re.findall(r"Test +#\d+: (\S+) \.+\s*(?:\*\*\*)?(\w+)", done.stdout))


def project(folder: Path, text: str = "", generator: str = NINJA, **env: str) -> Project:
    """The example, or a project of ``text`` alone that needs no compiler."""
    source = folder / "the source"
    if text:
        source.mkdir(exist_ok=True)
        begin = "cmake_minimum_required(VERSION 3.20)\nproject(small LANGUAGES NONE)\nenable_testing()\n"
        (source / "CMakeLists.txt").write_text(f"{begin}find_package(Edgewright 0.1 REQUIRED)\n{text}")
    elif not (source / "CMakeLists.txt").exists():
        shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(source, folder / f"a build by {PROGRAMS[generator]}", generator, env)


def test_the_examples_model_is_what_its_script_makes(tmp_path: Path) -> None:
    made = tmp_path / "net.onnx"
    subprocess.run([sys.executable, EXAMPLE / "make_net.py", made], check=True, timeout=60)
    assert made.read_bytes() == (EXAMPLE / "net.onnx").read_bytes()


@pytest.mark.parametrize("generator", [NINJA, MAKE])
def test_a_build_compiles_what_changed_and_nothing_else(generator: str, tmp_path: Path) -> None:
    one = project(tmp_path, generator=generator)
    samples = one.source / "samples.csv"
    one.configure()

    said = one.make("-j4")
    assert said.count(COMPILING) == 1
    bundle, program = one.build / "net.ewb", one.build / "gadget"
    first, made = one.run(program, one.build / "engine").stdout, bundle.stat().st_mtime_ns
    assert "input x: float32 [-1, 16], -1 bytes\noutput y: float32 [-1, 4], -1 bytes\n" in first
    assert f"SHA-256 {hashlib.sha256((one.build / 'engine').read_bytes()).hexdigest()}\n" in first
    assert one.is_idle()
    assert bundle.stat().st_mtime_ns == made

    # A file that no word of the project names: the factory opens it, and the depfile says so. The page on CMake has the
    # first case with Ninja.
    if generator == MAKE:
        samples.touch()
        said = one.make()
        assert COMPILING in said
        assert "unchanged" in said
        assert "Building" not in said, "the same bundle gives the same C, which is not compiled again"
    else:
        samples.write_text(samples.read_text() + ",".join(["1.5"] * 16) + "\n")
        said = one.make()
        assert COMPILING in said
        assert "net.c.o" in said
        assert one.run(program).stdout.splitlines()[0] != first.splitlines()[0], "another bundle, another digest"
    assert one.is_idle()
    if generator == NINJA:
        assert one.ctest("-j2") == {"gadget": "Passed", "same-numbers": "Passed", "small-enough": "Passed"}
        assert one.is_idle(), "the record that a gate adds to is no input"
    one.make("--target", "clean")
    assert not [path for path in one.build.rglob("net.*") if not path.name.endswith((".words", ".d"))]


@pytest.fixture
def bundles(tmp_path: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> Path:
    """``here.ewb`` and ``elsewhere.ewb``, for this machine and for one that it is not, in the source folder."""
    folder = tmp_path / "the source"
    folder.mkdir()
    write_mlp_bundle(mlp_path, mlp_feeds, folder / "here.ewb")
    write_mlp_bundle(mlp_path, mlp_feeds, folder / "elsewhere.ewb", hardware=ELSEWHERE)
    return folder


GATES = """
edgewright_add_gate(NAME here BUNDLE here.ewb THREADS 1 LABELS nightly)
edgewright_add_gate(NAME elsewhere BUNDLE elsewhere.ewb)
edgewright_add_gate(NAME small BUNDLE here.ewb LIMITS small.toml)
edgewright_add_gate(NAME prefixed BUNDLE elsewhere.ewb DEVICE board COMMAND_PREFIX "${CMAKE_SOURCE_DIR}/on board" board)
edgewright_add_gate(NAME gone BUNDLE gone.ewb)
"""


@pytest.mark.skipif(shutil.which("ninja") is None, reason="there is no ninja here")
def test_gates_pass_fail_and_are_skipped(bundles: Path, tmp_path: Path) -> None:
    limits = 'schema = "edgewright.gates/1"\n[defaults]\npreset = "rapid"\n[defaults.size]\nmax = "1kB"\n'
    (bundles / "small.toml").write_text(limits)
    prefix = bundles / "on board"
    prefix.write_text('#!/bin/sh\nshift\necho "on the board: $@" >"$(dirname "$0")/said"\n')
    prefix.chmod(0o755)
    one = project(tmp_path, GATES)
    one.configure()
    assert one.ctest() == {
        "here": "Passed",
        "elsewhere": "Skipped",
        "small": "Failed",
        "prefixed": "Passed",
        "gone": "Failed",
    }
    log = (one.build / "Testing" / "Temporary" / "LastTest.log").read_text()
    assert "size of the engine's files 3 kB; the limit is 1 kB" in log
    assert "gone.ewb does not exist" in log
    assert (bundles / "said").read_text() == f"on the board: edgewright verify {bundles / 'elsewhere.ewb'}\n"
    listed = (one.build / "CTestTestfile.cmake").read_text()
    properties = dict(re.findall(r"set_tests_properties\(\W*(\w+)\W* (.*)", listed))
    assert 'LABELS "edgewright;nightly"' in properties["here"]
    assert 'RESOURCE_LOCK "edgewright-board"' in properties["prefixed"]
    assert {name for name, rest in properties.items() if "RUN_SERIAL" in rest} == {"small"}
    assert all('SKIP_RETURN_CODE "77"' in rest for rest in properties.values())


@pytest.mark.full
def test_a_gate_against_what_was_shipped_runs_both(bundles: Path, tmp_path: Path) -> None:
    (bundles / "last").mkdir()
    shutil.copy(bundles / "here.ewb", bundles / "last")
    gate = "edgewright_add_gate(NAME same BUNDLE here.ewb AGAINST last/here.ewb PRESET rapid THREADS 1)"
    one = project(tmp_path, gate)
    one.configure()
    assert one.ctest() == {"same": "Passed"}


TWO = "edgewright_compile(two MODEL n.onnx TARGET a b)"


def answering(folder: Path, version: str = edgewright.__version__) -> str:
    """A stand-in for the command where a test is about CMake alone: it knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "edgewright"
    command.write_text(f"#!/bin/sh\necho edgewright {version}\n")
    command.chmod(0o755)
    return f"-DEDGEWRIGHT_EXECUTABLE={command}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("edgewright_compile(net TARGET native)", "there is no MODEL. Write: edgewright_compile(NAME MODEL net.onnx"),
        ("edgewright_compile(net MODEL n.onnx)", "there is no TARGET"),
        ("edgewright_compile(net MODEL n.onnx TARGET native DATA)", "DATA has no value"),
        ("edgewright_compile(net MODEL n.onnx TARGET native PRECISON int8)", "unknown argument 'PRECISON'"),
        ("edgewright_compile(net MODEL n.onnx PRECISON int8 TARGET native)", "unknown argument 'PRECISON'. It takes"),
        ("edgewright_compile(net MODEL n.onnx TARGET native OPTIONS --json)", "--json is not for OPTIONS"),
        ("edgewright_add_gate(BUNDLE n.ewb)", "there is no NAME"),
        ("edgewright_add_gate(NAME n)", "there is no BUNDLE"),
        ("edgewright_add_gate(NAME n BUNDLE n.ewb DATA d.npz)", "--data needs something to judge by"),
        ("edgewright_add_gate(NAME n BUNDLE n.ewb AGAINST a.ewb BASELINE b.json)", "exclude one another"),
        ("edgewright_embed(BUNDLE n.ewb)", "there is no TARGET"),
        ("edgewright_embed(TARGET lib BUNDLE n.ewb)", "there is no target 'lib'"),
        ("add_custom_target(t)\nedgewright_embed(TARGET t BUNDLE net)", "'net' is neither a target nor a file"),
        ("add_custom_target(t)\nedgewright_embed(TARGET t BUNDLE t)", "the target 't' makes no bundle"),
        ("add_custom_target(t)\nedgewright_embed(TARGET t BUNDLE n.ewb NAME 1)", "no beginning of a C identifier"),
        ("add_custom_target(t)\nedgewright_embed(TARGET t BUNDLE n.ewb)", "Write project(... LANGUAGES C)"),
        (f"{TWO}\nedgewright_embed(TARGET two BUNDLE two)", "two makes 2 bundles"),
        (f"{TWO}\nedgewright_compile(net MODEL n.onnx TARGET a PLAN two)", "two makes 2 bundles, a plan is one"),
    ],
)
def test_what_is_written_wrongly_is_told_at_once(text: str, says: str, tmp_path: Path) -> None:
    done = project(tmp_path, text).try_configure(answering(tmp_path / "bin"))
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert says in said, said


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("0.1", True), ("0", True), ("0.1.0 EXACT", True), ("0.0", False), ("0.2", False), ("1", False),
        ("0.1...<0.2", True), ("0.0...0.1.0", True), ("0.2...0.3", False), ("0.0...<0.1.0", False),
    ],
)  # fmt: skip
def test_versions_are_held_to_what_is_asked(wanted: str, found: bool, tmp_path: Path) -> None:
    assert edgewright.__version__ == "0.1.0", "the versions of this test are those around 0.1.0"
    script = tmp_path / "find.cmake"
    script.write_text(f'find_package(Edgewright {wanted} QUIET)\nmessage(STATUS "found ${{Edgewright_FOUND}}")\n')
    source = project(tmp_path, "include(../find.cmake)")
    text = (source.source / "CMakeLists.txt").read_text().replace("find_package(Edgewright 0.1 REQUIRED)\n", "")
    (source.source / "CMakeLists.txt").write_text(text)
    done = source.try_configure(answering(tmp_path / "bin"))
    assert ("found 1" in done.stdout or "found TRUE" in done.stdout) == found, done.stdout


def test_a_command_that_is_missing_or_broken_is_one_message(tmp_path: Path) -> None:
    one = project(tmp_path, "")
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy)
    without = {"PATH": "/usr/bin:/bin"}
    if shutil.which("edgewright", path=without["PATH"]):
        pytest.skip("an edgewright is installed for everybody here")
    one = Project(one.source, one.build, env=without)
    done = one.try_configure(f"-DEdgewright_DIR={copy}")
    assert done.returncode != 0
    assert 'pip install "edgewright[compile]"' in " ".join(done.stdout.split())
    broken = one.try_configure("-DEDGEWRIGHT_EXECUTABLE=/bin/false")
    assert broken.returncode != 0
    assert "'/bin/false --version' does not answer (1)" in " ".join(broken.stdout.split())
    other = one.try_configure(answering(tmp_path / "bin", "0.0.9"))
    assert other.returncode == 0
    assert "is 0.1.0, the command" in " ".join(other.stdout.split())


@pytest.mark.parametrize("generator", [NINJA, MAKE])
def test_a_failing_compile_says_why_in_the_log(generator: str, tmp_path: Path) -> None:
    one = project(tmp_path, f"edgewright_compile(net MODEL net.onnx {FLOAT})", generator)
    (one.source / "net.onnx").write_text("broken")
    one.configure()
    done = one.try_make()
    assert done.returncode != 0
    assert "net.onnx is no ONNX model" in done.stdout
    assert "edgewright: exit code 65: bad-input\n" in done.stdout
    assert not (one.build / "net.ewb").exists()


TOOLCHAIN = """
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER "{compiler}")
set(CMAKE_ASM_COMPILER "{compiler}")
set(CMAKE_MAKE_PROGRAM "{ninja}" CACHE FILEPATH "")
set(CMAKE_FIND_ROOT_PATH "{root}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
"""
FIRMWARE = """
cmake_minimum_required(VERSION 3.20)
project(firmware LANGUAGES C ASM)
find_package(Edgewright REQUIRED)
add_compile_options(-Wall -Wextra -pedantic -Werror)
foreach(form IN ITEMS array string incbin)
  add_library(model-${form} SHARED)
  edgewright_embed(TARGET model-${form} BUNDLE here.ewb NAME net FORM ${form})
endforeach()
"""


def test_a_cross_build_uses_this_machines_command_and_the_devices_compiler(bundles: Path, tmp_path: Path) -> None:
    """Where there is no cross compiler the host's stands in; CMake is told the same and looks in the same places."""
    cross = shutil.which("aarch64-linux-gnu-gcc")
    words = {"compiler": cross or shutil.which("cc"), "ninja": shutil.which("ninja"), "root": tmp_path / "sysroot"}
    text = TOOLCHAIN.format(**words)
    (tmp_path / "toolchain.cmake").write_text(text)
    (bundles / "CMakeLists.txt").write_text(FIRMWARE)
    one = project(tmp_path)
    one.configure(f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'toolchain.cmake'}")
    one.make("-j4")
    assert one.is_idle()
    for form in ("array", "string", "incbin"):
        library = (one.build / f"libmodel-{form}.so").read_bytes()
        assert zipfile.ZipFile(bundles / "here.ewb").read("engine/model.onnx") in library
        machine = int.from_bytes(library[18:20], sys.byteorder)  # e_machine of an ELF header
        assert cross is None or machine == EM_AARCH64


CPP = """
cmake_minimum_required(VERSION 3.20)
project(cpp LANGUAGES CXX)
find_package(Edgewright REQUIRED)
set(CMAKE_UNITY_BUILD ON)
add_executable(gadget one.cpp two.cpp)
target_compile_options(gadget PRIVATE -Wall -Wextra -pedantic -Werror)
edgewright_embed(TARGET gadget BUNDLE here.ewb NAME one FORM string)
edgewright_embed(TARGET gadget BUNDLE elsewhere.ewb NAME two)
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler here")
def test_a_project_of_cpp_alone_links_two_models(bundles: Path, tmp_path: Path) -> None:
    (bundles / "CMakeLists.txt").write_text(CPP)
    for name in ("one", "two"):
        (bundles / f"{name}.cpp").write_text(f'#include "{name}.h"\n{CPP_MAIN if name == "one" else ""}')
    one = project(tmp_path)
    one.configure()
    one.make("-j4")
    assert one.run(one.build / "gadget").stdout == "native/onnxruntime\nrpi5/onnxruntime\n"
    text = (bundles / "CMakeLists.txt").read_text()
    (bundles / "CMakeLists.txt").write_text(text.replace("FORM string", "FORM incbin"))
    done = one.try_configure()
    assert done.returncode != 0
    assert "Write project(... LANGUAGES C ASM)" in " ".join(done.stdout.split())


CPP_MAIN = """
#include <cstdio>
#include "two.h"
int main() { return std::printf("%s\\n%s\\n", one_model.target, two_model.target) < 0; }
"""
FLEET = f"""
set(LIMIT 1MB CACHE STRING "")
edgewright_compile(net MODEL net.onnx {FLOAT} MAX_SIZE ${{LIMIT}})
edgewright_compile(again MODEL net.onnx TARGET native/onnxruntime PLAN net SHAPE x=1,16)
edgewright_compile(fleet MODEL net.onnx TARGET native/onnxruntime rpi5/onnxruntime board.toml PRECISION fp32)
edgewright_compile(later MODEL gone.onnx TARGET native EXCLUDE_FROM_ALL)
edgewright_add_gate(NAME fleet BUNDLE fleet)
edgewright_add_gate(NAME both BUNDLE fleet LIMITS limits.toml)
"""
BOARD = """
title = "A board like this one"
arch = "any"
isa = []

[runtimes.onnxruntime]
device = "CPU"
precisions = ["fp32"]
opset = [7, 24]
"""


@pytest.mark.full
@pytest.mark.parametrize("generator", [NINJA, MAKE])
def test_many_bundles_are_built_side_by_side(generator: str, tmp_path: Path) -> None:
    one = project(tmp_path, FLEET, generator)
    shutil.copy(EXAMPLE / "net.onnx", one.source)
    shutil.copy(EXAMPLE / "gates.toml", one.source / "limits.toml")
    (one.source / "board.toml").write_text(BOARD)
    one.configure()
    assert one.make("-j4").count(COMPILING) == 5
    assert one.is_idle()
    names = {path.name for path in (one.build / "fleet").glob("*.ewb")}
    assert names == {"native-onnxruntime.ewb", "rpi5-onnxruntime.ewb", "board.ewb"}
    assert one.ctest() == {
        "fleet-native-onnxruntime": "Passed",
        "fleet-rpi5-onnxruntime": "Skipped",
        "fleet-board": "Passed",
        "both": "Passed",
    }
    (one.source / "board.toml").write_text(BOARD.replace("like", "unlike"))
    assert one.make().count(COMPILING) == 1
    # Makefiles do not watch a command's words by themselves.
    one.configure("-DLIMIT=1kB")
    done = one.try_make("--target", "net")
    assert done.returncode != 0
    assert "edgewright: exit code 1: limit-missed\n" in done.stdout
    done = one.try_make("--target", "later")
    assert done.returncode != 0
    assert "gone.onnx" in done.stdout
