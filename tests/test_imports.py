"""What a device needs to install, and what a start of the command costs: imports are checked in fresh interpreters."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgewright
from edgewright.cli._main import verbs

ABSENT_ON_A_DEVICE = (
    "onnx", "onnx_ir", "onnxscript", "torch", "openvino", "tensorrt", "tensorrt_rtx", "sklearn", "scipy", "PIL",
    "jinja2", "markupsafe", "resvg_py", "torch_pruning", "torchao", "optuna", "cryptography",
)  # fmt: skip
# Module (with what is below it) -> why it may need more than a device has installed.
NEEDS_THE_COMPILE_EXTRA = {
    "edgewright.compiler": "it works on ONNX graphs throughout: onnx and onnx_ir are its vocabulary",
    "edgewright.driver.blame": "runs the compiler's passes again",
    "edgewright.driver.cache_memo": "keeps the compiler's statistics",
    "edgewright.driver.cache_models": "keeps what the compiler made",
    "edgewright.driver.chain": "runs the compiler's training stages",
    "edgewright.driver.compile": "runs the compiler",
    "edgewright.driver.conclude": "writes the compiler's journal",
    "edgewright.driver.job": "runs the compiler",
    "edgewright.driver.latency": "judges what the compiler built",
    "edgewright.driver.package": "writes the compiler's journal",
    "edgewright.driver.plan": "plans the compiler's passes",
    "edgewright.driver.plan_check": "asks the compiler's passes for their options",
    "edgewright.driver.plan_estimate": "runs what the compiler read",
    "edgewright.driver.plan_kept": "follows the compiler's pipeline through the cache",
    "edgewright.driver.plan_report": "says what the compiler would do",
    "edgewright.driver.planned": "builds what a plan names",
    "edgewright.driver.proof": "runs the compiler",
    "edgewright.driver.search": "tunes the compiler's passes",
    "edgewright.driver.selection": "runs the compiler",
    "edgewright.driver.settings": "runs the compiler's training stages",
    "edgewright.driver.stage_timing": "runs the compiler's passes",
    "edgewright.driver.trace": "runs the compiler's passes again",
    "edgewright.driver.trace_layers": "looks into the compiled graph",
    "edgewright.driver.trace_steps": "measures what the compiler built",
    "edgewright.driver.training_data": "opens what the compiler trains",
    "edgewright.driver.waypoints": "runs the compiler's passes again",
    "edgewright.driver.workshop": "runs the compiler's pipeline",
}
MAY_NOT_BE_INSTALLED = tuple(f"edgewright.benchmarks.{name}" for name in ("cases", "peers", "records", "studies"))
ENGINES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch")
START_LIMIT_S = 0.3

BLOCKER = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT_ON_A_DEVICE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def modules() -> list[str]:
    found = [
        info.name for info in pkgutil.walk_packages(edgewright.__path__, "edgewright.", onerror=lambda _name: None)
    ]
    return [name for name in found if not name.startswith(MAY_NOT_BE_INSTALLED)]


def compiles(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in NEEDS_THE_COMPILE_EXTRA)


def test_the_walk_sees_every_floor() -> None:
    floors = {name.split(".")[1] for name in modules() if name.count(".") >= 1}
    assert {"core", "targets", "compiler", "backends", "benchmarks", "driver", "cli"} <= floors
    assert len(modules()) >= len(list((Path(edgewright.__file__).parent / "core").rglob("*.py")))


def test_every_module_imports_where_only_numpy_and_onnxruntime_are_installed() -> None:
    names = [name for name in modules() if not compiles(name) and name != "edgewright.__main__"]
    code = f"""{BLOCKER}
import importlib, json
failed = {{}}
for name in {names!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{{type(error).__name__}}: {{error}}"
print(json.dumps(failed))
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_list_of_what_compiles_is_true() -> None:
    """A module that no longer needs the extra must leave the list, so that it stays importable on a device."""
    code = f"""{BLOCKER}
import importlib, json
fine = []
for name in {sorted(NEEDS_THE_COMPILE_EXTRA)!r}:
    try:
        importlib.import_module(name)
        fine.append(name)
    except ModuleNotFoundError:
        pass
print(json.dumps(fine))
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) <= {"edgewright.compiler"}, "the package itself is empty, what is in it is not"


def test_compiling_without_the_extra_says_what_to_install() -> None:
    code = f"""{BLOCKER}
import sys
from edgewright.cli import main
sys.exit(main(["compile", "model.onnx", "--target", "native", "-o", "model.ewb"]))
"""
    done = fresh(code)
    assert done.returncode == 69, done.stderr
    assert 'pip install "edgewright[compile]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_blocker_blocks() -> None:
    done = fresh(f"{BLOCKER}\nimport onnx")
    assert "ModuleNotFoundError" in done.stderr


def test_every_module_imports_without_loading_an_engine() -> None:
    names = [name for name in modules() if name != "edgewright.__main__"]
    code = f"""
import importlib, sys, json
guilty = {{}}
for name in {names!r}:
    importlib.import_module(name)
    loaded = [engine for engine in {ENGINES!r} if engine in sys.modules]
    if loaded and not guilty:
        guilty[name] = loaded
print(json.dumps(guilty))
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}, (
        "these import an engine at module level; move it into the function that needs it"
    )


@pytest.mark.parametrize(
    "start",
    [
        "import edgewright",
        "from edgewright.cli._main import verbs; verbs()",
        "from edgewright.cli import main; main(['run', '--help'])",
        "import edgewright; edgewright.Bundle",
    ],
)
def test_a_start_loads_next_to_nothing(start: str) -> None:
    """Neither the package nor the declaration of every verb's options may load what only the work itself needs."""
    done = fresh(f"{start}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {*ABSENT_ON_A_DEVICE, *ENGINES, "numpy"}


def test_a_verb_loads_no_other() -> None:
    """A device pays for the words of the verb it runs, in memory and in time."""
    done = fresh("from edgewright.cli import main; main(['verify', '--help'])\nimport sys\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    modules = {f"edgewright.cli.{verb.replace('-', '_')}" for verb in verbs()}
    assert modules & loaded == {"edgewright.cli.verify"}


def test_every_verb_shows_help_where_only_numpy_and_onnxruntime_are_installed() -> None:
    code = f"""{BLOCKER}
import contextlib, io, json
from edgewright.cli import main
from edgewright.cli._main import verbs
shown = {{}}
for verb in verbs():
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = main([verb, "--help"])
    shown[verb] = [code, text.getvalue()]
print(json.dumps(shown))
"""
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown.keys() == verbs().keys()
    for verb, (code_, text) in shown.items():
        assert code_ == 0, verb
        assert text.startswith(f"usage: edgewright {verb}"), verb


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_starts_quickly(option: str) -> None:
    """At most 0.3 s, the best of up to ten: a start has one true cost, and a busy machine only adds to it."""
    command = [str(Path(sys.executable).with_name("edgewright")), option]
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        best = min(best, time.perf_counter() - started)
        if best <= START_LIMIT_S:
            return
    pytest.fail(f"edgewright {option} takes {best:.2f} s at best, the limit is {START_LIMIT_S} s")
