"""One computes, the others wait: whoever ends however, nobody waits for ever and nothing is left behind."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from edgewright.core.cache import Flights, Hit, Key, Store
from edgewright.core.cache import flight as module

CONTEXT = multiprocessing.get_context("fork")
SOON_S = 30


def key(number: int = 0) -> Key:
    return Key("flight", {"number": number})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    return Store(tmp_path, 10**9)


def locks(store: Store) -> list[str]:
    return [path.name for path in (store.folder / "tmp").glob("*")]


def never() -> None:
    pytest.fail("there is nobody to wait for")


@contextmanager
def beside(target: Callable[..., None], *args: object) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another process, which has begun its work when the block starts."""
    begun = CONTEXT.Event()
    child = CONTEXT.Process(target=target, args=(begun, *args))
    child.start()
    assert begun.wait(SOON_S)
    try:
        yield child
    finally:
        child.kill()
        child.join(SOON_S)


def _hold(begun: Event, folder: str, until: Event) -> None:
    with Flights(Store(Path(folder), 10**9)) as flights:
        assert flights.begin(key(), never)
        begun.set()
        until.wait(SOON_S)


def test_it_is_held_until_its_end_and_leaves_nothing(store: Store) -> None:
    with Flights(store) as flights:
        assert flights.begin(key(), never)
        assert flights.begin(key(), never), "what is one's own stays so"
        assert flights.begin(key(1), never)
        flights.end(key(1))
        flights.end(key(2))
        assert locks(store) == [f"flight-{key().digest}"]
    assert not locks(store)


def test_who_comes_second_says_so_waits_and_looks_again(store: Store) -> None:
    until, said = CONTEXT.Event(), []

    def waits() -> None:
        said.append("waits")
        until.set()

    with beside(_hold, str(store.folder), until), Flights(store) as flights:
        assert flights.begin(key(1), never), "another thing is another lock"
        assert not flights.begin(key(), waits)
        assert said == ["waits"]
        assert flights.begin(key(), never)
    assert not locks(store)


def test_a_holder_that_is_killed_is_waited_for_no_longer(store: Store) -> None:
    with beside(_hold, str(store.folder), CONTEXT.Event()) as child:
        pid = child.pid
        assert pid is not None
        with Flights(store) as flights:
            assert not flights.begin(key(), lambda: os.kill(pid, signal.SIGKILL))
            assert locks(store) == [f"flight-{key().digest}"], "what it left serves the next"
            assert flights.begin(key(), never)
    assert not locks(store)


def test_what_killed_holders_left_is_swept(store: Store) -> None:
    with beside(_hold, str(store.folder), CONTEXT.Event()) as child:
        child.kill()
        child.join(SOON_S)
    (left,) = (store.folder / "tmp").iterdir()
    os.utime(left, (1, 1))
    with Flights(store) as flights:
        assert flights.begin(key(1), never)
        held = store.folder / "tmp" / f"flight-{key(1).digest}"
        os.utime(held, (1, 1))
        store.publish(Key("engine", {}), None)
        assert not left.exists()
        assert held.exists(), "a lock that is held is no leftover"


def test_a_lock_file_that_was_deleted_while_one_opened_it_is_not_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.folder / "tmp" / f"flight-{key().digest}"
    lock, seen = fcntl.flock, []

    def deleted_meanwhile(handle: int, how: int) -> None:
        seen.append(handle)
        if len(seen) == 1:
            path.unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", deleted_meanwhile)
    with Flights(store) as flights:
        assert flights.begin(key(), never)
        assert len(seen) == 2
        assert path.exists()


def test_the_end_deletes_no_lock_but_its_own(store: Store) -> None:
    path = store.folder / "tmp" / f"flight-{key().digest}"
    with Flights(store) as flights:
        flights.begin(key(), never)
        path.unlink()
        path.write_text("another's")
    assert path.exists()


def test_children_do_not_inherit_it(store: Store) -> None:
    with Flights(store) as flights:
        flights.begin(key(), never)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with Flights(store) as flights:
            assert flights.begin(key(), never)
    finally:
        child.communicate(b"\n", timeout=SOON_S)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_nobody_waits(store: Store, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def none(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    with Flights(store) as one, Flights(store) as other:
        assert one.begin(key(), never)
        assert other.begin(key(), never)


def test_a_folder_that_takes_no_file_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Flights(Store(tmp_path / "file", 10**9)) as flights:
        assert flights.begin(key(), never)


def _compute(begun: Event, folder: str, go: Event, computed: multiprocessing.Queue[int], number: int) -> None:
    """What a compile does: looks, begins, looks again, computes for a while and keeps."""
    store = Store(Path(folder), 10**9)
    begun.set()
    go.wait(SOON_S)
    with Flights(store) as flights:
        while not isinstance(hit := store.find(key(number)), Hit):
            if flights.begin(key(number), lambda: None) and not isinstance(store.find(key(number)), Hit):
                time.sleep(0.05)
                store.publish(key(number), None, {"data": b"1"})
                computed.put(number)
        hit.__exit__(None, None, None)


def test_of_sixteen_at_once_each_distinct_thing_is_computed_once(store: Store) -> None:
    go, computed = CONTEXT.Event(), CONTEXT.Queue()
    children = []
    for index in range(16):
        begun = CONTEXT.Event()
        child = CONTEXT.Process(target=_compute, args=(begun, str(store.folder), go, computed, index % 4))
        child.start()
        assert begun.wait(SOON_S)
        children.append(child)
    go.set()
    found = sorted(computed.get(timeout=SOON_S) for _ in range(4))
    for child in children:
        child.join(SOON_S)
    assert [child.exitcode for child in children] == [0] * 16
    assert found == [0, 1, 2, 3]
    assert computed.empty()
    assert not locks(store)
