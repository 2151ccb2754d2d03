"""Parallel compiles by the installed command: equal ones compute once, and whoever is killed holds nobody up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.tensors import Feeds

COMMAND = Path(sys.executable).with_name("edgewright")
SOON_S = 120
HERE, ELSEWHERE = "native/onnxruntime", "rpi5/onnxruntime"
"""Elsewhere nothing is timed, so that int8 takes seconds."""
PLAIN = ("--target", HERE, "--precision", "fp32")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("EDGEWRIGHT_CACHE_DIR", str(folder))
    monkeypatch.setenv("EDGEWRIGHT_CACHE_SIZE", "1GB")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """``edgewright compile`` of these words; what it says goes to files beside its output."""
    out = Path(words[words.index("-o") + 1])
    with out.with_suffix(".json").open("w") as told, out.with_suffix(".log").open("w") as said:
        command = [str(COMMAND), "compile", *map(str, words), "--json"]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=said, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def until(what: Callable[[], object], child: subprocess.Popen[str] | None = None) -> None:
    begun = time.monotonic()
    while not what():
        assert child is None or child.poll() is None, "it ended meanwhile"
        assert time.monotonic() < begun + SOON_S
        time.sleep(0.01)


def waits(out: Path) -> bool:
    return "is at work; its result is waited for" in out.with_suffix(".log").read_text()


def from_cache(out: Path) -> str | None:
    (target,) = json.loads(out.with_suffix(".json").read_text())["targets"]
    assert target["from_cache"] is None or isinstance(target["from_cache"], str)
    return target["from_cache"]


def temporary(cache: Path) -> list[Path]:
    return list((cache / "store" / "tmp").glob("*"))


def test_of_sixteen_overlapping_compiles_at_once_each_distinct_one_is_compiled_once(
    mlp_path: Path, conv_net_path: Path, conv_net_data: Path, mlp_feeds: list[Feeds], cache: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=np.concatenate([one["x"] for one in mlp_feeds]))
    int8 = ("--target", ELSEWHERE, "--precision", "int8", "--max-drop", "50%", "--data")
    distinct = [
        (mlp_path, *PLAIN),
        (conv_net_path, *PLAIN),
        (mlp_path, *int8, rows),
        (conv_net_path, *int8, conv_net_data),
    ]
    children: dict[Path, subprocess.Popen[bytes]] = {}
    for copy in range(4):
        for number, words in enumerate(distinct):
            out = tmp_path / f"{number}-{copy}.ewb"
            command = [COMMAND, "compile", *words, "-o", out, "--depfile", out.with_suffix(".d"), "--json"]
            with out.with_suffix(".json").open("w") as told, out.with_suffix(".log").open("w") as said:
                children[out] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=said)
    for out, child in children.items():
        assert child.wait(SOON_S) == 0, out.with_suffix(".log").read_text()
    for number, words in enumerate(distinct):
        copies = [tmp_path / f"{number}-{copy}.ewb" for copy in range(4)]
        assert len({out.read_bytes() for out in copies}) == 1
        assert [from_cache(out) for out in copies].count(None) == 1, "compiled once, taken from the cache by the others"
        for out in copies:
            target, _, read = out.with_suffix(".d").read_text().partition(":")
            assert target == str(out)
            assert all(str(word) in read for word in words if isinstance(word, Path))
    assert not temporary(cache)


def test_a_killed_holder_is_replaced_and_a_terminated_waiter_leaves(
    mlp_path: Path, cache: Path, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / f"{name}.ewb" for name in ("first", "second", "third"))
    with started(mlp_path, *PLAIN, "-o", first) as holder:
        until(lambda: temporary(cache), holder)
        holder.send_signal(signal.SIGSTOP)
        with started(mlp_path, *PLAIN, "-o", second) as heir, started(mlp_path, *PLAIN, "-o", third) as leaver:
            until(lambda: waits(second) and waits(third))
            leaver.send_signal(signal.SIGTERM)
            assert leaver.wait(SOON_S) == 143
            assert json.loads(third.with_suffix(".json").read_text())["exit_class"] == "terminated"
            assert not third.exists()
            assert heir.poll() is None
            holder.kill()
            assert heir.wait(SOON_S) == 0
    assert not first.exists()
    assert from_cache(second) is None
    assert "the other compile kept nothing (it failed, or missed a limit)" in second.with_suffix(".log").read_text()
    assert not temporary(cache)


def test_a_holder_that_misses_its_limit_keeps_nothing_from_who_waits(
    mlp_path: Path, cache: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.ewb", tmp_path / "second.ewb"
    words = (mlp_path, *PLAIN, "--max-size", "1B", "-o")
    with started(*words, first) as holder:
        until(lambda: temporary(cache), holder)
        holder.send_signal(signal.SIGSTOP)
        with started(*words, second) as waiter:
            until(lambda: waits(second), waiter)
            holder.send_signal(signal.SIGCONT)
            assert holder.wait(SOON_S) == 1
            assert waiter.wait(SOON_S) == 1
    said = second.with_suffix(".log").read_text()
    assert "the other compile kept nothing (it failed, or missed a limit)" in said
    assert "the smallest candidate has" in said, "its own attempt, and its own message"
    assert not temporary(cache)


def test_without_a_cache_nobody_waits(mlp_path: Path, cache: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.ewb", tmp_path / "second.ewb"
    with started(mlp_path, *PLAIN, "-o", first) as holder:
        until(lambda: temporary(cache), holder)
        holder.send_signal(signal.SIGSTOP)
        with started(mlp_path, *PLAIN, "-o", second, "--no-cache") as other:
            assert other.wait(SOON_S) == 0
        assert from_cache(second) is None
        assert not waits(second)
