"""ONNX's own node tests through every backend; what does not pass is named, with its reason, in a committed list.

After a change that is meant, ``python tests/backends/onnx_nodes.py BACKEND`` writes the list anew; the lists are those
of an x86-64 CPU with AVX-512 and the pinned versions of the engines.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgewright.backends import registry

HERE = Path(__file__).parent


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module beside this one, which the worker imports by its name too."""
    monkeypatch.syspath_prepend(str(HERE))
    spec = importlib.util.spec_from_file_location("onnx_nodes", HERE / "onnx_nodes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "onnx_nodes", module)
    spec.loader.exec_module(module)
    return module


def skip_unless_it_runs_here(name: str) -> None:
    answer = registry().find(name)().probe()
    if not answer.present:
        pytest.skip(f"{name} is not installed")
    if not answer.devices:
        pytest.skip(f"{name} {answer.version} sees no device here that could open its engines")


def names() -> list[str]:
    """The backends that take ONNX."""
    return [name for name in registry().names() if "onnx" in registry().find(name).accepts]


@pytest.mark.full
@pytest.mark.parametrize("name", names())
def test_node_tests_end_as_the_list_says(nodes: ModuleType, name: str) -> None:
    skip_unless_it_runs_here(name)
    ends = nodes.run_all(name)
    print(f"{name}: {len(ends)} cases, {nodes.tally(ends)}")
    listed = {line.partition(":")[0] for line in nodes.list_of(name).read_text().splitlines() if line[:1] != "#"}
    failing = {case: end for case, end in ends.items() if end != nodes.PASSED}
    new = {case: end for case, end in failing.items() if case not in listed}
    assert not new, f"not in the list: {new}"
    mended = listed - set(failing)
    assert not mended, f"in the list, but passing or gone: {sorted(mended)}"


@pytest.mark.parametrize("name", names())
def test_no_backend_breaks_its_contract_or_gives_wrong_numbers_without_a_known_reason(
    nodes: ModuleType, name: str
) -> None:
    if not nodes.list_of(name).exists():  # of what has never run on such a machine there is none
        skip_unless_it_runs_here(name)
    lines = nodes.list_of(name).read_text().splitlines()[1:]
    assert not [line for line in lines if ": broken: " in line or ": crashed: " in line or ": timeout: " in line]
    assert not [line for line in lines if ": wrong: " in line and not line.endswith(")")]
