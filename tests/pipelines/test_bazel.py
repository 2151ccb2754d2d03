"""The Bazel rules: their scripts as they are, and builds and tests of the example where there is a Bazel."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgewright
from edgewright.driver.depfile import write_depfile
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE / "bazel"
RULES = HERE.parents[1] / "pipelines" / "bazel"
PROGRAM = Path(sys.executable).with_name("edgewright")
BAZEL = os.environ.get("EDGEWRIGHT_BAZEL") or shutil.which("bazel")
COMPILED = "INFO: From Compiling a model for"

needs_bazel = pytest.mark.skipif(BAZEL is None, reason="no bazel is on the path, and EDGEWRIGHT_BAZEL names none")


def test_the_files_are_starlark() -> None:
    """Which is a subset of Python's grammar, as far as these go."""
    defined = ast.parse((RULES / "defs.bzl").read_text())
    functions = {node.name for node in defined.body if isinstance(node, ast.FunctionDef)}
    for folder in (RULES, EXAMPLE):
        for name in ("BUILD.bazel", "MODULE.bazel", "WORKSPACE"):
            tree = ast.parse((folder / name).read_text())
            loads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "load"]
            words = [str(ast.literal_eval(word)) for node in loads for word in node.args[1:]]
            assert set(words) <= functions | {"edgewright_program"}
    assert f'version = "{edgewright.__version__}"' in (RULES / "MODULE.bazel").read_text()


def test_the_example_has_what_it_shares_with_that_of_cmake() -> None:
    for name in ("net.onnx", "samples.csv"):
        assert (EXAMPLE / name).read_bytes() == (HERE / "cmake" / name).read_bytes()


def sh(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": "/usr/bin:/bin", "EDGEWRIGHT_CACHE_SIZE": "0", "EDGEWRIGHT_OFFLINE": "1", **env}
    return subprocess.run(
        ["sh", *map(str, words)], cwd=cwd, env=bare, timeout=300, text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def compiled(folder: Path, *declared: str, model: str = "net.onnx") -> subprocess.CompletedProcess[str]:
    """As an action does it: in a folder of links, with nothing of this process in the environment."""
    real, work = folder / "real", folder / "a sandbox"
    if not real.exists():
        shutil.copytree(EXAMPLE, real, ignore=shutil.ignore_patterns("__pycache__"))
        work.mkdir()
        for path in real.iterdir():
            (work / path.name).symlink_to(path)
    (work / "declared").write_text("".join(f"{name}\n" for name in declared))
    words = [model, "--target", "native/onnxruntime", "--precision", "fp32", "--out", "net.ewb", "--record", "net.json"]
    data = ["--data", "data.py:samples", "--max-drop", "50%"]
    return sh(RULES / "compile.sh", "declared", PROGRAM, "compile", *words, *data, cwd=work)


def test_a_compile_that_reads_what_is_declared_is_left_alone(tmp_path: Path) -> None:
    done = compiled(tmp_path, "net.onnx", "data.py", "samples.csv")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "a sandbox" / "net.ewb").exists()
    assert (tmp_path / "a sandbox" / "net.json").exists()


def test_a_file_that_is_not_declared_is_named(tmp_path: Path) -> None:
    names = ["known #1.csv", "a $name: 100%.csv", "gone.csv", "images", "images/1.png"]
    (tmp_path / "images").mkdir()
    for name in names[:3]:
        (tmp_path / name).touch()
    (tmp_path / "images" / "1.png").symlink_to("../gone.csv")
    write_depfile(tmp_path / "said", [Path("net.ewb")], [*map(Path, names), tmp_path / names[0]])
    command = tmp_path / "command"
    command.write_text('#!/bin/sh\nwhile [ "$1" != --depfile ]; do shift; done\ncp said "$2"\n')
    command.chmod(0o755)

    def told(*declared: str) -> tuple[int, list[str]]:
        (tmp_path / "declared").write_text("".join(f"{name}\n" for name in declared))
        done = sh(RULES / "compile.sh", "declared", command, "compile", cwd=tmp_path)
        return done.returncode, re.findall(rf"^  {re.escape(str(tmp_path))}/(.*)$", done.stdout, re.M)

    assert told(*names[:3]) == (0, [])
    assert told(*names[:2], "images/1.png") == (0, [])  # the file that it leads to
    assert told(*names[:1]) == (1, [names[1], "gone.csv", "gone.csv"])


def test_a_model_that_is_broken_keeps_its_message_and_code(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_text("broken")
    done = compiled(tmp_path, "net.onnx", model=str(tmp_path / "broken.onnx"))
    assert done.returncode == 65
    assert "broken.onnx is no ONNX model" in done.stdout
    assert done.stdout.endswith("edgewright: exit code 65\n")


def test_a_test_runs_on_a_copy_and_says_what_became_of_it(
    tmp_path: Path, mlp_path: Path, mlp_feeds: list[Feeds]
) -> None:
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "a net.ewb", hardware="rpi5")
    for allowed, code, words in (("0", 77, "edgewright: exit code 77"), ("1", 0, "not judged: the target is not on")):
        done = sh(RULES / "gate.sh", allowed, bundle, PROGRAM, "verify", cwd=tmp_path, TEST_TMPDIR=str(tmp_path))
        assert done.returncode == code, done.stdout
        assert words in done.stdout
    broken = tmp_path / "broken.ewb"
    broken.write_text("broken")
    assert sh(RULES / "gate.sh", "1", broken, PROGRAM, "verify", cwd=tmp_path).returncode == 65
    assert not list(tmp_path.glob("gate.*"))


@dataclass(frozen=True)
class Workspace:
    """A copy of the example, with a Bazel server of its own."""

    folder: Path

    def run(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        quiet = ["--color=no", "--curses=no", "--noshow_progress", f"--@edgewright//:program={PROGRAM}"]
        # Debian's Bazel asks the network for what measures coverage; nothing here does.
        quiet += [f"--override_repository=remote_coverage_tools={self.folder.parent / 'coverage'}"]
        return subprocess.run(
            [str(BAZEL), *self.startup, verb, *quiet, *words], cwd=self.folder, timeout=300, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def startup(self) -> list[str]:
        return [f"--output_user_root={self.folder.parent / 'root'}", "--max_idle_secs=60"]

    def build(self, *words: str) -> str:
        done = self.run("build", *words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bazel")
    (folder / "coverage").mkdir()
    (folder / "coverage" / "WORKSPACE").touch()
    rule = 'filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])\n'
    (folder / "coverage" / "BUILD").write_text(rule)
    yield folder
    subprocess.run([str(BAZEL), *Workspace(folder / "w").startup, "shutdown"], cwd=folder / "w", check=False)


@pytest.fixture
def workspace(server: Path) -> Workspace:
    folder = server / "w"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("WORKSPACE", "MODULE.bazel"):
        (folder / name).write_text((folder / name).read_text().replace("../../../pipelines/bazel", str(RULES)))
    return Workspace(folder)


@needs_bazel
@pytest.mark.full
def test_a_build_compiles_what_changed_and_nothing_else(workspace: Workspace) -> None:
    workspace.run("clean")
    assert COMPILED in workspace.build("//:camera-net", "--output_groups=+record")
    assert (workspace.folder / "bazel-bin" / "camera-net.record.json").exists()
    bundle = (workspace.folder / "bazel-bin" / "camera-net.ewb").read_bytes()
    assert COMPILED not in workspace.build("//:camera-net")
    os.utime(workspace.folder / "samples.csv")
    assert COMPILED not in workspace.build("//:camera-net")  # the same bytes
    rows = (workspace.folder / "samples.csv").read_text().splitlines(keepends=True)
    (workspace.folder / "samples.csv").write_text("".join(rows[:-1]))
    assert COMPILED in workspace.build("//:camera-net")
    assert (workspace.folder / "bazel-bin" / "camera-net.ewb").read_bytes() != bundle


@needs_bazel
@pytest.mark.full
def test_what_is_not_declared_fails_by_name(workspace: Workspace) -> None:
    workspace.change("BUILD.bazel", '    srcs = ["samples.csv"],\n', "")
    for sandboxed in (True, False):
        done = workspace.run("build", "//:camera-net", *([] if sandboxed else ["--spawn_strategy=local"]))
        assert done.returncode == 1
        assert "samples.csv" in done.stdout
        assert ("does not declare" in done.stdout) != sandboxed, done.stdout


@needs_bazel
@pytest.mark.full
def test_a_failure_keeps_its_message(workspace: Workspace) -> None:
    (workspace.folder / "net.onnx").write_text("broken")
    done = workspace.run("build", "//:board-net")
    assert done.returncode == 1
    assert "error: net.onnx is no ONNX model" in done.stdout
    assert "edgewright: exit code 65" in done.stdout
    workspace.change("BUILD.bazel", '"rpi5/onnxruntime"', '"rpi5/nothing"')
    assert "edgewright: exit code 2" in workspace.run("build", "//:board-net").stdout


@needs_bazel
@pytest.mark.full
def test_tests_judge_bundles(workspace: Workspace) -> None:
    words = ["//...", "--test_output=errors", f"--test_env=PYTHONPATH={HERE.parent / 'moments'}"]
    done = workspace.run("test", *words)
    verdicts = dict(re.findall(r"^//:(\S+) +(?:\(cached\) )?(PASSED|FAILED)", done.stdout, re.M))
    wanted = {"fits": "PASSED", "on-board": "FAILED", "on-board-where-it-is": "PASSED", "same-answers": "PASSED"}
    assert verdicts == wanted, done.stdout
    workspace.change("gates.toml", "10kB", "1kB")
    done = workspace.run("test", "//:fits", *words[1:])
    assert done.returncode == 3
    assert "regressed" in done.stdout
    logs = workspace.folder / "bazel-testlogs" / "fits"
    assert "<failure" in (logs / "test.xml").read_text()


OTHERS = """
edgewright_bundle(
    name = "again",
    model = "net.onnx",
    plan = ":camera-net",
    target = "native/onnxruntime",
)

edgewright_bundle(
    name = "own",
    srcs = glob(["images/**"]),
    data = "images/",
    eval_data = "data.py:samples",
    golden = "samples.csv",
    max_size = "4MB",
    metric = "data.py:metric",
    model = "data.py:net",
    options = ["--seed", "7", "--keep=$(location images/1.png)"],
    program = "command.sh",
    target = "gates.toml",
)
"""
COMMAND = """#!/bin/sh
# Writes its words where the bundle would be, and that it read a folder of data.
before=
for word; do
    case $before in
        --out) out=$word ;;
        --record) : > "$word" ;;
        --depfile) printf '%s: \\\\\n  images \\\\\n  images/1.png\n' "$out" > "$word" ;;
    esac
    before=$word
done
[ "${HOME-none}" = none ] && echo "$@" > "$out"
"""


@needs_bazel
@pytest.mark.full
def test_plans_targets_folders_and_a_command_of_ones_own(workspace: Workspace) -> None:
    folder = workspace.folder
    (folder / "images").mkdir()
    (folder / "images" / "1.png").touch()
    (folder / "command.sh").write_text(COMMAND)
    (folder / "command.sh").chmod(0o755)
    (folder / "BUILD.bazel").write_text((folder / "BUILD.bazel").read_text() + OTHERS)
    workspace.build("//:again", "//:own")
    assert (folder / "bazel-bin" / "again.ewb").stat().st_size > 1000
    words = re.sub(r"bazel-out/[^/]*/bin/", "", (folder / "bazel-bin" / "own.ewb").read_text()).split()
    assert words[:-2] == [
        *["compile", "data.py:net", "--target", "gates.toml", "--eval-data", "data.py:samples"],
        *["--metric", "data.py:metric", "--data", "images", "--golden", "samples.csv", "--max-size", "4MB"],
        *["--seed", "7", "--keep=images/1.png", "--out", "own.ewb", "--record", "own.record.json"],
    ]
    assert words[-2] == "--depfile"


@needs_bazel
@pytest.mark.full
def test_a_command_that_is_nowhere_is_told(workspace: Workspace) -> None:
    done = workspace.run("build", "//:camera-net", "--@edgewright//:program=")
    assert "there is no edgewright: build with --@edgewright//:program=/path/to/edgewright" in done.stdout
    assert "write an absolute path" in workspace.run("build", "//:camera-net", "--@edgewright//:program=ew").stdout
