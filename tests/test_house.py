"""Rules of the house that no linter has: how long things get, what the repository may mention, what its API is."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgewright

ROOT = Path(__file__).resolve().parent.parent
LINKED_FOLDERS = ("compiler", "backends", "benchmarks", "targets")
LONGEST_FILE, LONGEST_TEST_FILE, LONGEST_FUNCTION = 330, 450, 70

# Path, or path::function, and why it may be longer.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}

# What would tie the repository to one machine, put together here so that this file does not hold it.
MACHINE_BOUND = re.compile(
    "|".join([r"\.\./" + "shared", *(rf"(?<![\w.\-$}}])/{folder}/\w" for folder in ("work", "home", "root"))])
)
# Path and why it may.
MAY_MENTION: dict[str, str] = {
    "tests/compiler/intake/test_onnx_file.py": "a foreign path in a model, to see that it does not come through",
}

# import-linter cannot see what is imported by a name in a variable: who does that, and what.
IMPORTS_BY_NAME = {
    "backends/_child.py": "the function its parent asks it to call",
    "backends/_reference_check.py": "the operator tables of onnx's evaluator, one module a domain",
    "backends/_openvino_session.py": "openvino, with its telemetry kept out",
    "backends/_tensorrt_flavours.py": "tensorrt or tensorrt_rtx, whichever a child process is to use",
    "benchmarks/chain/__main__.py": "the cases beside it, which are no package by name",
    "benchmarks/studies/collapse.py": "the example whose model it rescales",
    "benchmarks/studies/repeated.py": "a case's factory, in a process of its own",
    "benchmarks/studies/common.py": "the cases beside it, which are no package by name",
    "benchmarks/metrics/_sklearn.py": "the metrics extra, with a message where it is not installed",
    "compiler/torch_stage/child.py": "the function of the stage it was started for",
    "src/edgewright/__init__.py": "the public names, on first use",
    "src/edgewright/cli/_main.py": "the verbs of its own folder",
    "src/edgewright/core/registry.py": "the plug-ins of one folder",
    "src/edgewright/core/user_code.py": "module:function as the user wrote it",
}

PUBLIC_NAMES = {"Budget", "Bundle", "EdgewrightError", "__version__", "compile", "load"}


@pytest.mark.parametrize("name", LINKED_FOLDERS)
def test_a_bare_import_of_a_linked_folder_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the root on the path, as ``python -m pytest`` has it, a second copy of every module would be at hand."""
    monkeypatch.syspath_prepend(str(ROOT))
    assert name not in sys.modules
    with pytest.raises(ModuleNotFoundError, match=f"import edgewright.{name}"):
        importlib.import_module(name)


def python_files(files: list[Path]) -> Iterator[tuple[str, str]]:
    for path in files:
        if path.suffix == ".py":
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_files_stay_short(repository_files: list[Path]) -> None:
    lengths = {name: text.count("\n") for name, text in python_files(repository_files)}
    assert len(lengths) > 50
    limits = {name: LONGEST_TEST_FILE if name.startswith("tests/") else LONGEST_FILE for name in lengths}
    too_long = {name: lines for name, lines in lengths.items() if lines > limits[name]}
    assert too_long.keys() == LONGER_FILES.keys(), too_long


def test_functions_stay_short(repository_files: list[Path]) -> None:
    too_long = {}
    for name, text in python_files(repository_files):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    too_long[f"{name}::{node.name}"] = lines
    assert too_long.keys() == LONGER_FUNCTIONS.keys(), too_long


def test_imports_by_name_are_these(repository_files: list[Path]) -> None:
    by_name = re.compile(r"\b(import_module|__import__|spec_from_file_location)\(")
    guilty = {name for name, text in python_files(repository_files) if by_name.search(text)}
    ours = {name for name in guilty if not name.startswith(("tests/", "benchmarks/cases/", "benchmarks/peers/"))}
    assert ours == IMPORTS_BY_NAME.keys()


def test_nothing_is_tied_to_one_machine(repository_files: list[Path]) -> None:
    found = {}
    for path in repository_files:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # weights and the like
        lines = [number for number, line in enumerate(text.splitlines(), 1) if MACHINE_BOUND.search(line)]
        if lines:
            found[path.relative_to(ROOT).as_posix()] = lines
    assert found.keys() == MAY_MENTION.keys(), found


@pytest.mark.parametrize("text", ["see ../" + "shared/x.md", "open('/" + "work/a')", "/" + "home/me", "x=/" + "root/y"])
def test_the_check_for_machine_bound_text_finds_it(text: str) -> None:
    assert MACHINE_BOUND.search(text)


def test_the_links_point_into_the_checkout() -> None:
    package = ROOT / "src" / "edgewright"
    links = {path.name: path.readlink().as_posix() for path in package.iterdir() if path.is_symlink()}
    assert links == {name: f"../../{name}" for name in LINKED_FOLDERS}


def test_the_public_names_are_these() -> None:
    """Adding one is a decision and a line in the changelog; taking one away is a new major version."""
    assert set(edgewright.__all__) == set(dir(edgewright)) == PUBLIC_NAMES
    for name in sorted(PUBLIC_NAMES):
        assert getattr(edgewright, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        _ = edgewright.compil  # type: ignore[attr-defined]
