"""Equal compiles and equal steps at once: threads stand for processes, since each opens the lock for itself."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.core.cache import Flights, Key, Store
from edgewright.core.cache import flight as module
from edgewright.core.errors import ExitCode
from edgewright.driver.cache_compile import Compiles, open_compiles
from edgewright.driver.cache_flight import flight_key, take_or_own
from edgewright.driver.cache_steps import Steps
from edgewright.driver.depfile import Depfile
from edgewright.driver.outputs import output_groups
from edgewright.driver.report import TargetReport
from edgewright.driver.request import CompileRequest

SOON_S = 30
TARGETS = ("x86-avx2/onnxruntime", "arm64-dotprod/onnxruntime")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    monkeypatch.setenv("EDGEWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEWRIGHT_CACHE_SIZE", "1GB")
    return tmp_path / "cache"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def request(folder: Path, out: str, log: Callable[[str], None], targets: tuple[str, ...] = TARGETS) -> CompileRequest:
    (folder / out).mkdir()
    (folder / "net.onnx").write_bytes(b"model")
    place = folder / out if len(targets) > 1 else folder / out / "net.ewb"
    return CompileRequest(str(folder / "net.onnx"), targets, place, cache=True, depfile=folder / f"{out}.d", log=log)


def opened(asked: CompileRequest) -> tuple[Compiles, Depfile]:
    groups = output_groups(asked)
    found = open_compiles(asked, groups)
    assert found is not None
    return found, Depfile(asked, [group.out for group in groups])


def keep(cache: Compiles, index: int) -> None:
    """As a compile that met every limit."""
    group = cache.groups[index]
    group.out.write_bytes(group.name.encode())
    cache.keep(group, TargetReport(group.name, ExitCode.OK, bundle=group.out, digest="0" * 64), "net", (), ())


class Waiting:
    """An equal compile beside, in a thread: what it says, and what comes of it."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path, targets: tuple[str, ...] = TARGETS) -> None:
        self.lines: list[str] = []
        self.waits = threading.Event()
        self.cache, self.depfile = opened(request(folder, "second", self._log, targets))
        self.done: Future[None] = pool.submit(take_or_own, self.cache, self.depfile)

    def _log(self, line: str) -> None:
        self.lines.append(line)
        if "another compile" in line:
            self.waits.set()


def test_who_waits_takes_what_was_kept(cache: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    first, depfile = opened(request(tmp_path, "first", print))
    with first.flights:
        take_or_own(first, depfile)
        assert len(first.missing) == 2
        second = Waiting(pool, tmp_path)
        assert second.waits.wait(SOON_S)
        for index in (0, 1):
            keep(first, index)
        second.done.result(SOON_S)
    assert not second.cache.missing
    for group in second.cache.groups:
        assert group.out.read_text() == group.name
        assert second.cache.given[group.name].from_cache is not None
    assert "net.onnx" in (tmp_path / "second.d").read_text()
    assert [line for line in second.lines if "waited for" in line], second.lines
    assert not list((cache / "store" / "tmp").iterdir())


def test_a_target_is_let_go_of_as_soon_as_it_is_kept(cache: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    first, depfile = opened(request(tmp_path, "first", print))
    with first.flights:
        take_or_own(first, depfile)
        second = Waiting(pool, tmp_path, TARGETS[:1])
        assert second.waits.wait(SOON_S)
        keep(first, 0)
        second.done.result(SOON_S)
        assert not second.cache.missing, "while the other target is still at work"


def test_what_failed_or_missed_is_computed_by_the_next(cache: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    first, depfile = opened(request(tmp_path, "first", print))
    with first.flights:
        take_or_own(first, depfile)
        second = Waiting(pool, tmp_path)
        assert second.waits.wait(SOON_S)
        group = first.groups[0]
        first.keep(group, TargetReport(group.name, ExitCode.LIMIT_MISSED, bundle=group.out), "net", (), ())
    second.done.result(SOON_S)
    assert {group.name for group in second.cache.missing} == set(TARGETS)
    assert any("kept nothing (it failed, or missed a limit); compiled here" in line for line in second.lines)
    with second.cache.flights:
        for group in second.cache.groups:
            path = cache / "store" / "tmp" / f"flight-{flight_key(second.cache.parts, group).digest}"
            with path.open() as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_that_want_each_others_targets_do_not_wait_in_a_circle(
    cache: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    def compiled(name: str, targets: tuple[str, ...]) -> list[str]:
        made, depfile = opened(request(tmp_path, name, lambda _line: None, targets))
        with made.flights:
            take_or_own(made, depfile)
            for group in made.missing:
                keep(made, made.groups.index(group))
        return [group.name for group in made.missing]

    both = [pool.submit(compiled, f"turn-{turn}", TARGETS[::turn]) for turn in (1, -1)]
    made = [one.result(SOON_S) for one in both]
    assert sorted(map(len, made)) == [0, 2], "one made both, the other took both"


def test_inputs_that_change_while_one_waits_are_other_inputs(
    cache: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    first, depfile = opened(request(tmp_path, "first", print, TARGETS[:1]))
    with first.flights:
        take_or_own(first, depfile)
        second = Waiting(pool, tmp_path, TARGETS[:1])
        assert second.waits.wait(SOON_S)
        (tmp_path / "net.onnx").write_bytes(b"another model")
        keep(first, 0)
    second.done.result(SOON_S)
    assert second.cache.missing
    assert second.cache.parts["model"] != first.parts["model"]


def test_of_equal_steps_at_once_one_computes(cache: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    del cache
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store", 10**9)
    said: list[str] = []
    asked = CompileRequest("net.onnx", ("native",), tmp_path, log=said.append)
    computed: list[int] = []
    gate, waits = threading.Event(), threading.Event()
    asked = replace(asked, log=lambda line: (said.append(line), waits.set())[0])

    def step(number: int) -> object:
        steps = Steps(store, {"edgewright": "1"}, asked)
        with steps.found_or_owned("answers", {"of": "net"}, "what net answers") as hit:
            if hit is not None:
                return hit.value
            computed.append(number)
            gate.wait(SOON_S)
            steps.keep("answers", {"of": "net"}, {"by": number}, took_s=1.0)
            return {"by": number}

    both = [pool.submit(step, number) for number in (1, 2)]
    assert waits.wait(SOON_S)
    gate.set()
    assert both[0].result(SOON_S) == both[1].result(SOON_S) == {"by": computed[0]}
    assert len(computed) == 1
    assert said == ["  what net answers: another compile is at work on it, which is waited for"]
    assert not list((store.folder / "tmp").iterdir())


def test_a_step_that_is_not_kept_is_waited_for_once(cache: Path, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """What is quick, or large for the time it took: then all who waited compute at once, not in a row."""
    del cache
    store, both = Store(tmp_path, 10**9), threading.Barrier(2)
    waiting = threading.Semaphore(0)
    asked = CompileRequest("net.onnx", ("native",), tmp_path, log=lambda _line: waiting.release())

    def step() -> None:
        with Steps(store, {}, asked).found_or_owned("engine", {"of": "net"}, "the engine") as hit:
            assert hit is None
            both.wait(SOON_S)

    with Steps(store, {}, asked).found_or_owned("engine", {"of": "net"}, "the engine"):
        others = [pool.submit(step) for _ in range(2)]
        for _ in others:
            assert waiting.acquire(timeout=SOON_S)
    for one in others:
        one.result(SOON_S)


def test_a_step_that_fails_is_computed_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path, 10**9)
    steps = Steps(store, {})
    with pytest.raises(ZeroDivisionError), steps.found_or_owned("answers", {"of": "net"}, "it"):
        raise ZeroDivisionError
    assert not list((tmp_path / "tmp").iterdir())
    with Flights(store) as flights:
        assert flights.begin(Key("answers", {"of": "net"}), print)


def test_without_a_store_or_with_parts_that_are_no_json_nobody_waits(tmp_path: Path) -> None:
    for steps, parts in ((Steps(), {"a": 1}), (Steps(Store(tmp_path, 10**9)), {"a": float("nan")})):
        with steps.found_or_owned("answers", parts, "it") as hit:
            assert hit is None
