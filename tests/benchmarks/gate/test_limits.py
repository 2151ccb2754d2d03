from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.gate.limits import Limits, read_gates
from edgewright.core.errors import UsageError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    return path


def test_everything_there_is(tmp_path: Path) -> None:
    found = read_gates(
        written(
            tmp_path,
            """
            schema = "edgewright.gates/1"
            [defaults]
            preset = "standard"
            data = "eval.npz"
            threads = 2
            [defaults.latency]
            max_regression = "3%"
            percentile = "p90"
            [defaults.memory]
            max_growth = "10%"

            [[gate]]
            name = "door"
            bundle = "out/door.ewb"
            against = "last/door.ewb"
            metric = "task.py:score"
            threads = 1
            [gate.latency]
            max = "8ms"
            percentile = "p99"
            [gate.accuracy]
            max_drop = "0.5%"
            [gate.size]
            max = "4MB"
            max_growth = "0%"
            [gate.memory]
            max = "1GiB"

            [[gate]]
            bundle = "out/b.v2.ewb"
            baseline = "baseline.json"
            data = "pkg.data:make"
            [gate.latency]
            session_allowance = "2%"
            """,
        )
    )
    folder = tmp_path.resolve()
    door, second = found.gates
    assert (found.preset, found.threads, found.data) == ("standard", 2, str(folder / "eval.npz"))
    assert (door.bundle, door.against, door.baseline) == (folder / "out/door.ewb", folder / "last/door.ewb", None)
    assert (door.metric, door.threads) == (f"{folder}/task.py:score", 1)
    assert door.limits == Limits(
        max_regression=0.03,
        max_latency_ms=8.0,
        percentile="p99",
        max_drop=0.005,
        max_bytes=4_000_000,
        max_growth=0.0,
        max_memory_bytes=2**30,
        max_memory_growth=0.1,
    )
    assert (second.name, second.baseline, second.against) == ("b.v2", folder / "baseline.json", None)
    assert (second.data, second.threads) == ("pkg.data:make", 2)
    assert second.limits == Limits(max_regression=0.03, session_allowance=0.02, max_memory_growth=0.1, percentile="p90")


def test_what_is_stated_is_told_from_a_default() -> None:
    """A limit that somebody wrote down must be shown; the default of one that nobody did asks for nothing."""
    assert not Limits().has_relative
    assert not Limits(max_bytes=1).has_relative
    assert (Limits().allowed_drop, Limits().allowed_regression) == (0.01, 0.02)
    assert Limits(max_drop=0.0).has_relative
    assert Limits(max_drop=0.0).allowed_drop == 0.0
    assert not Limits(max_drop=0.0, max_regression=0.1).has_own
    assert Limits(max_drop=0.0, max_growth=0.1, max_bytes=1).absolute == Limits(max_bytes=1)


def test_every_mistake_at_once_with_its_path(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        schema = "edgewright.gates/2"
        [defaults]
        prest = "quick"
        [defaults.latency]
        max_regression = "150%"
        [[gate]]
        bundle = "a.ewb"
        against = "b.ewb"
        baseline = "c.json"
        [gate.latency]
        percentile = "p98"
        [[gate]]
        name = "a"
        threads = 0
        [gate.latency]
        max = "8"
        percentile = "p90"
        [gate.accuracy]
        max_drop = 0.01
        [gate.size]
        max_grwth = "1%"
        [gate.memory]
        max = "lots"
        """,
    )
    with pytest.raises(UsageError) as caught:
        read_gates(path)
    lines = [line.strip() for line in caught.value.problem.splitlines()[1:]]
    assert [line.partition(": ")[0] for line in lines] == [
        "schema",
        "defaults.latency.max_regression",
        "defaults.prest",
        "gate[0].baseline",
        "gate[0].latency.percentile",
        "gate[0].latency.percentile",
        "gate[1].bundle",
        "gate[1].threads",
        "gate[1].latency.max",
        "gate[1].accuracy.max_drop",
        "gate[1].memory.max",
        "gate[1].latency.percentile",
        "gate[1].size.max_grwth",
        "gate",
    ]
    assert "such as 8ms" in next(line for line in lines if line.startswith("gate[1].latency.max:"))
    assert "did you mean preset?" in next(line for line in lines if line.startswith("defaults.prest"))
    assert caught.value.problem.startswith(f"gates {path} has {len(lines)} mistakes")


def test_nothing_is_said_of_what_is_inherited(tmp_path: Path) -> None:
    """A mistake in the defaults is reported once, and not again for every gate that inherits it."""
    gates = '[defaults.latency]\nmax = "soon"\n[[gate]]\nbundle = "a.ewb"\n[[gate]]\nbundle = "b.ewb"\n'
    with pytest.raises(UsageError, match="1 mistake:"):
        read_gates(written(tmp_path, gates))


VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(-5, 10**9), st.floats(), st.booleans(), st.sampled_from(["2%", "8ms"])),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
KEYS = st.sampled_from(
    ["max", "max_regression", "max_growth", "max_drop", "percentile", "session_allowance", "threads", "name", "data"]
)


@given(st.sampled_from(["latency", "accuracy", "size", "memory", ""]), st.dictionaries(KEYS, VALUES, max_size=4))
def test_whatever_stands_there_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: str, content: dict[str, object]
) -> None:
    lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
    text = "\n".join(["[[gate]]", 'bundle = "a.ewb"', *([f"[gate.{table}]"] if table else []), *lines])
    tomllib.loads(text)  # the test's own TOML is sound
    try:
        found = read_gates(written(tmp_path_factory.mktemp("gates"), text))
    except UsageError as error:
        problem = error.problem
    else:
        limits = found.gates[0].limits
        assert 0 <= limits.allowed_regression < 1
        assert limits.allowed_drop >= 0
        return
    assert "gate[0]" in problem


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
