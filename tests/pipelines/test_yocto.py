"""The Yocto layer: linted, parsed by BitBake, and its tasks run by BitBake over a base layer of the tests' own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import edgewright
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds

HERE = Path(__file__).resolve().parent
LAYER = HERE.parents[1] / "pipelines" / "yocto" / "meta-edgewright"
SMALL = HERE / "yocto" / "meta-small"
EXAMPLE = LAYER / "recipes-example" / "camera-net" / "camera-net_1.0.bb"
NET = EXAMPLE.parent / "camera-net" / "net.onnx"
RECIPES = sorted(LAYER.rglob("*.bb"))
BUILD = ("do_fetch", "do_unpack", "do_compile", "do_install", "do_install_ptest_base")

SUPPRESSED = {
    "oelint.task.noanonpython": "a recipe that lacks a variable or its wheel is skipped, which only Python can say",
    "oelint.vars.layerconf": "where the layer lies, for the file that its class installs",
    "oelint.vars.mispell.unknown": "names of our own; BitBake itself tells of what is not there",
    "oelint.var.mandatoryvar.HOMEPAGE": "there is no site",
    "oelint.var.suggestedvar.BUGTRACKER": "there is none that a recipe could name",
    "oelint.var.suggestedvar.CVE_PRODUCT": "no product of that name is in the database",
    "oelint.var.licenseremotefile": "wheels are not unpacked before they are installed; the text is the common one",
    "oelint.vars.fileextrapaths": "the wheel is the user's own, and lies where EDGEWRIGHT_DIST says",
    "oelint.vars.outofcontext": "as above",
    "oelint.vars.homepageping": "tests have no network",
    "oelint.vars.insaneskip": "the wheel of ONNX Runtime comes stripped",
    "oelint.var.bbclassextend": "a bundle is for a device; there is no native one",
    "oelint.var.badimagefeature.ptest-pkgs": "the example is an image to test with, and says so",
}

needs_bitbake = pytest.mark.skipif(importlib.util.find_spec("bb") is None, reason="there is no bitbake-setup")


@dataclass(frozen=True)
class Work:
    """A build folder, and a recipe of a model in a folder of its own."""

    folder: Path
    recipe: Path

    def run(self, *tasks: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Its tasks, elsewhere, without a home folder or anything else of this process but the PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        words = [sys.executable, HERE / "yocto" / "tasks.py", self.folder, self.recipe, *tasks]
        return subprocess.run(
            [str(word) for word in words], cwd="/", env={"PATH": path, **env}, timeout=300, text=True, check=False,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip

    def said(self) -> dict[str, Any]:
        done = self.run()
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def built(self) -> Path:
        """The image's files, after all tasks."""
        done = self.run(*BUILD)
        assert done.returncode == 0, done.stderr + self.log()
        return self.place / "image"

    def failed(self) -> str:
        """The log of the compile, which must have failed and installed nothing."""
        done = self.run(*BUILD)
        assert done.returncode == 1, self.log()
        assert not (self.place / "image").exists()
        return self.log()

    @property
    def place(self) -> Path:
        return self.folder / "tmp" / "work" / self.recipe.name.partition("_")[0]

    def log(self) -> str:
        return (self.place / "temp" / "log.do_compile").read_text()


def work(folder: Path, recipe: Path | None = None, **variables: str) -> Work:
    """``variables`` of a recipe that compiles ``net.onnx``, without the beginning ``EDGEWRIGHT_``."""
    (folder / "conf").mkdir(exist_ok=True)
    (folder / "conf" / "bblayers.conf").write_text(
        f'BBPATH = "${{TOPDIR}}"\nBBFILES = ""\nBBLAYERS = "{SMALL} {LAYER}"\n'
    )
    if recipe is None:
        recipe = folder / "recipe" / "net_1.0.bb"
        (recipe.parent / "files").mkdir(parents=True, exist_ok=True)
        if not (recipe.parent / "files" / "net.onnx").exists():
            shutil.copy(NET, recipe.parent / "files")
        names = sorted(path.name for path in (recipe.parent / "files").iterdir())
        chosen = {"MODEL": "net.onnx", "TARGET": "native/onnxruntime", "PRECISION": "fp32", **variables}
        rows = [f'SRC_URI = "{" ".join(f"file://{name}" for name in names)}"', "inherit edgewright"]
        rows += [f'EDGEWRIGHT_{name} = "{value}"' for name, value in chosen.items()]
        recipe.write_text("\n".join([*rows, ""]))
    return Work(folder, recipe)


def test_the_layer_has_what_a_layer_has() -> None:
    conf = (LAYER / "conf" / "layer.conf").read_text()
    assert re.search(r'^LAYERSERIES_COMPAT_edgewright = "[a-z ]+"$', conf, re.M)
    assert re.search(r'^LAYERDEPENDS_edgewright = "core meta-python"$', conf, re.M)
    assert (LAYER / "README.md").exists()
    version = re.escape(edgewright.__version__)
    assert [name for name in RECIPES if re.fullmatch(rf"python3-edgewright_{version}\.bb", name.name)], RECIPES
    assert os.access(LAYER / "files" / "run-ptest", os.X_OK)
    assert NET.read_bytes() == (HERE / "cmake" / "net.onnx").read_bytes()


def lint(*files: Path, cwd: Path) -> list[str]:
    words = ["--quiet", "--mode", "all", "--release", "wrynose", "--jobs", "1", "--hide", "info"]
    command = [Path(sys.executable).with_name("oelint-adv"), *words, *files]
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    return [row for row in done.stderr.splitlines() if row]


@pytest.mark.skipif(importlib.util.find_spec("oelint_adv") is None, reason="there is no oelint-adv")
def test_the_linter_finds_nothing_but_what_has_its_reason(tmp_path: Path) -> None:
    found = lint(*RECIPES, LAYER / "conf" / "layer.conf", cwd=tmp_path)
    rules = [(re.findall(r":(oelint\.[\w.-]+):", row) or [row])[0] for row in found]
    assert [row for row, rule in zip(found, rules, strict=True) if rule not in SUPPRESSED] == []
    bad = tmp_path / "bad_1.0.bb"
    bad.write_text('LICENSE = "Apache-2.0"\nSRC_URI += "file://${S}/a"\n')
    assert lint(bad, cwd=tmp_path)


@needs_bitbake
def test_bitbake_takes_every_recipe(tmp_path: Path) -> None:
    wheel = LAYER.parents[2] / "dist" / f"edgewright-{edgewright.__version__}-py3-none-any.whl"
    for recipe in RECIPES:
        one = work(tmp_path, recipe)
        if recipe.name.startswith("python3-edgewright") and not wheel.exists():
            done = one.run()
            assert done.returncode == 2
            assert "there is no " in done.stderr
            continue
        said = one.said()
        assert said["LICENSE"]
        assert said["network"]["do_compile"] is None
        if recipe.name.startswith("python3-onnxruntime"):
            assert "cp313-cp313-manylinux_2_28_x86_64.whl" in said["SRC_URI"]
            assert re.fullmatch(r"[0-9a-f]{64}", said["sha256sum"])
    said = work(tmp_path, EXAMPLE).said()
    assert said["DEPENDS"] == "python3-edgewright-native"
    assert said["RDEPENDS-ptest"].split() == ["python3-edgewright"]
    assert f"{NET}:True" in said["checksums"]


@needs_bitbake
def test_only_what_changes_the_bundle_is_part_of_a_tasks_hash(tmp_path: Path) -> None:
    def hashes(name: str, **variables: str) -> dict[str, str]:
        (tmp_path / name).mkdir()
        told = work(tmp_path / name, **variables).said()["hashes"]
        return {task.rpartition(":")[2]: digest for task, digest in told.items()}

    one = hashes("one")
    assert hashes("another folder", CACHE_DIR="/srv/cache") == one
    precision = hashes("precision", PRECISION="int8")
    assert {task for task in one if precision[task] != one[task]} == {"do_compile"}
    latency = hashes("latency", MAX_LATENCY="8ms")
    assert {task for task in one if latency[task] != one[task]} == {"do_install_ptest_base"}


@needs_bitbake
def test_a_wheel_is_installed_with_its_command(tmp_path: Path) -> None:
    wheel = tmp_path / "dist" / f"edgewright-{edgewright.__version__}-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("edgewright/cli/__init__.py", "def main():\n    print('here')\n    return 77\n")
        file.writestr("edgewright-0.1.0.dist-info/RECORD", "")
        file.writestr("edgewright-0.1.0.dist-info/METADATA", "")
    (recipe,) = (path for path in RECIPES if path.name.startswith("python3-edgewright_"))
    one = work(tmp_path, recipe)
    with (tmp_path / "conf" / "bblayers.conf").open("a") as conf:
        conf.write(f'EDGEWRIGHT_DIST = "{wheel.parent}"\n')
    python = tmp_path / "bin" / "nativepython3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    done = one.run("do_fetch", "do_unpack", "do_install", PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    image = one.place / "image"
    packages = image / "usr/lib/python3.13/site-packages"
    assert sorted(path.name for path in packages.rglob("*") if path.is_file()) == ["METADATA", "__init__.py"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
    said = subprocess.run([image / "usr/bin/edgewright"], env=env, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (77, "here\n"), said.stderr


@needs_bitbake
def test_a_program_of_the_build_machine_needs_no_native_recipe(tmp_path: Path) -> None:
    assert work(tmp_path, PROGRAM="/opt/edgewright/bin/edgewright").said()["DEPENDS"] == ""


@needs_bitbake
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MODEL": "", "TARGET": ""}, "needs EDGEWRIGHT_MODEL and EDGEWRIGHT_TARGET"),
        ({"GATES": "gates.toml", "MAX_LATENCY": "8ms"}, "EDGEWRIGHT_MAX_LATENCY belongs into"),
    ],
)
def test_a_recipe_that_cannot_be_is_skipped_with_the_reason(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    done = work(tmp_path, **variables).run()
    assert done.returncode == 2
    assert words in done.stderr


def judged(image: Path, name: str, bundle: Path | None = None, **env: str) -> tuple[int, list[str]]:
    """Runs the ptest as the device would; its bundle is looked for below ``image``."""
    ptest = image / "usr" / "lib" / name / "ptest"
    if bundle is None:
        named = (ptest / "bundle").read_text().strip()
        bundle = Path(named) if named.startswith(str(image)) else image / named.removeprefix("/")
    assert bundle.exists()
    (ptest / "bundle").write_text(f"{bundle}\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "EDGEWRIGHT_CACHE_SIZE": "0", **env}
    done = subprocess.run(
        [ptest / "run-ptest"], cwd="/", env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, re.findall(r"^(?:PASS|FAIL|SKIP): .*$", done.stdout, re.M)


GATE = "gate /usr/share/edgewright/net.ewb --limits gates.toml"
DATA = """
import os
import socket
from pathlib import Path

import numpy as np


def samples():
    assert "HOME" not in os.environ and os.environ["EDGEWRIGHT_OFFLINE"] == "1"
    assert os.environ["SOURCE_DATE_EPOCH"] == "1600000000"
    assert [name for _, name in socket.if_nameindex()] == INTERFACES
    table = np.loadtxt(Path(__file__).with_name("samples.csv"), delimiter=",", dtype=np.float32)
    return [({"x": row[None]}, None) for row in table]
"""


@needs_bitbake
def test_a_bundle_is_built_verified_installed_and_judged(tmp_path: Path) -> None:
    gates = tmp_path / "recipe" / "files" / "gates.toml"
    gates.parent.mkdir(parents=True)
    gates.write_text('schema = "edgewright.gates/1"\n[defaults]\npreset = "rapid"\n[defaults.size]\nmax = "1kB"\n')
    # BitBake goes on where the system lets nobody cut off a process.
    alone = shutil.which("unshare") and subprocess.run(["unshare", "-rn", "true"], check=False).returncode == 0
    interfaces = ["lo"] if alone else [name for _, name in socket.if_nameindex()]
    (gates.parent / "data.py").write_text(f"INTERFACES = {interfaces}\n{DATA}")
    shutil.copy(HERE / "cmake" / "samples.csv", gates.parent)
    limits = {"MAX_SIZE": "10kB", "MAX_DROP": "50%"}
    one = work(tmp_path, GATES="gates.toml", DATA="data.py:samples", OPTIONS="--seed 7", **limits)
    image = one.built()
    assert "ok      original: 4 golden samples" in one.log()
    assert (image / "usr" / "share" / "edgewright" / "net.ewb").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "tmp" / "work-shared" / "edgewright").is_dir()
    assert sorted(path.name for path in (one.place / "sources").iterdir()) == sorted(
        path.name for path in gates.parent.iterdir()
    )
    limits_there = image / "usr/lib/net/ptest/gates.toml"
    assert limits_there.read_text() == gates.read_text()
    limits_there.unlink()
    assert judged(image, "net") == (0, ["PASS: net verify"])


@needs_bitbake
def test_the_example_builds_for_hardware_that_is_not_here(tmp_path: Path) -> None:
    one = work(tmp_path, EXAMPLE)
    image = one.built()
    assert "NOTE: camera-net: rpi5/onnxruntime is not this machine" in one.log()
    limits = (image / "usr/lib/camera-net/ptest/gates.toml").read_text()
    assert limits == 'schema = "edgewright.gates/1"\n\n[defaults.latency]\nmax = "8ms"\n'
    assert judged(image, "camera-net") == (0, ["SKIP: camera-net verify", "SKIP: camera-net gate"])


@needs_bitbake
def test_a_broken_bundle_fails_the_ptest(tmp_path: Path) -> None:
    image = tmp_path / "image"
    ptest = image / "usr" / "lib" / "net" / "ptest"
    ptest.mkdir(parents=True)
    shutil.copy(LAYER / "files" / "run-ptest", ptest)
    (image / "net.ewb").write_bytes(b"broken")
    (ptest / "bundle").write_text("/net.ewb\n")
    assert judged(image, "net") == (1, ["FAIL: net verify"])


@pytest.mark.parametrize(
    ("verified", "gated", "code", "lines"),
    [
        (0, 0, 0, ["PASS: net verify", "PASS: net gate"]),
        (0, 1, 1, ["PASS: net verify", "FAIL: net gate"]),
        (0, 75, 1, ["PASS: net verify", "FAIL: net gate"]),
        (65, 0, 1, ["FAIL: net verify", "PASS: net gate"]),
        (77, 77, 0, ["SKIP: net verify", "SKIP: net gate"]),
    ],
)
def test_the_ptest_says_what_the_exit_codes_mean(
    tmp_path: Path, verified: int, gated: int, code: int, lines: list[str]
) -> None:
    ptest = tmp_path / "ptest"
    ptest.mkdir()
    shutil.copy(LAYER / "files" / "run-ptest", ptest)
    (ptest / "bundle").write_text("/usr/share/edgewright/net.ewb\n")
    (ptest / "gates.toml").touch()
    command = tmp_path / "bin" / "edgewright"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\n[ "$1" = verify ] && exit {verified}\n[ "$*" = "{GATE}" ] && exit {gated}\nexit 9\n'
    )
    command.chmod(0o755)
    done = subprocess.run(
        [ptest / "run-ptest"], cwd="/", env={"PATH": f"{command.parent}:/usr/bin:/bin"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, re.findall(r"^(?:PASS|FAIL|SKIP): .*$", done.stdout, re.M)) == (code, lines)


@pytest.mark.full
def test_the_ptest_gates(tmp_path: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> None:
    ptest = tmp_path / "usr" / "lib" / "net" / "ptest"
    ptest.mkdir(parents=True)
    shutil.copy(LAYER / "files" / "run-ptest", ptest)
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "net.ewb")
    moments = str(HERE.parent / "moments")
    for most, verdict in (("1kB", "FAIL"), ("1MB", "PASS")):
        text = f'schema = "edgewright.gates/1"\n[defaults]\npreset = "rapid"\n[defaults.size]\nmax = "{most}"\n'
        (ptest / "gates.toml").write_text(text)
        said = judged(tmp_path, "net", bundle, PYTHONPATH=moments)
        assert said == (int(verdict == "FAIL"), ["PASS: net verify", f"{verdict}: net gate"])


def test_the_ptest_verifies_numbers(tmp_path: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> None:
    ptest = tmp_path / "usr" / "lib" / "net" / "ptest"
    ptest.mkdir(parents=True)
    shutil.copy(LAYER / "files" / "run-ptest", ptest)
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "a net.ewb")
    assert judged(tmp_path, "net", bundle) == (0, ["PASS: a net verify"])


@needs_bitbake
@pytest.mark.parametrize(
    ("broken", "variables", "words"),
    [
        (False, {"MAX_SIZE": "1kB"}, "ERROR: net: the model was not compiled: exit code 1."),
        (True, {}, "ERROR: net: the model was not compiled: exit code 65. error: net.onnx is no ONNX model"),
    ],
)
def test_a_failure_ends_the_build_with_its_message(
    tmp_path: Path, broken: bool, variables: dict[str, str], words: str
) -> None:
    if broken:
        (tmp_path / "recipe" / "files").mkdir(parents=True)
        (tmp_path / "recipe" / "files" / "net.onnx").write_text("broken")
    assert words in work(tmp_path, **variables).failed()


@needs_bitbake
def test_a_file_that_no_src_uri_brings_ends_the_build(tmp_path: Path) -> None:
    model = shutil.copy(NET, tmp_path / "elsewhere.onnx")
    said = work(tmp_path, MODEL=str(model)).failed()
    assert f"ERROR: net: the compile read what is not in SRC_URI: {model}" in said
