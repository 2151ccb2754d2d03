"""The store: found again, dropped when broken, first publisher wins, least recently used leaves, readers are safe."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.cache import Hit, Key, Miss, Store

GENEROUS = 10**9


def key(number: int = 0, kind: str = "engine") -> Key:
    return Key(kind, {"number": number, "model": {"name": "net", "sha256": "a" * 64}})


def found(store: Store, wanted: Key) -> bytes:
    hit = store.find(wanted)
    assert isinstance(hit, Hit), hit
    with hit:
        return hit.read("data")


def missed(store: Store, wanted: Key) -> Miss:
    miss = store.find(wanted)
    assert isinstance(miss, Miss)
    return miss


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, GENEROUS)


def entry_of(store: Store, wanted: Key) -> Path:
    (path,) = store.folder.glob(f"*/??/{wanted.digest}")
    return path


def test_what_is_published_is_found_with_its_value(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights" * 300_000)
    assert store.publish(key(), {"ms": 1.25}, {"data": source, "note": b"x"}) == ""
    hit = store.find(key())
    assert isinstance(hit, Hit)
    with hit:
        assert (hit.value, list(hit.names), hit.read("note")) == ({"ms": 1.25}, ["data", "note"], b"x")
        assert b"".join(hit.pieces("data")) == source.read_bytes()
    assert not list((store.folder / "tmp").iterdir())


def test_others_cannot_read_it(store: Store) -> None:
    store.publish(key(), None, {"data": b"1"})
    path = entry_of(store, key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_first_to_publish_wins(store: Store) -> None:
    assert store.publish(key(), None, {"data": b"first"}) == ""
    assert store.publish(key(), None, {"data": b"second"}) == ""
    assert found(store, key()) == b"first"


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_broken_entry_is_dropped_said_and_made_again(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    store = Store(tmp_path_factory.mktemp("store"), GENEROUS)
    store.publish(key(), {"a": 1}, {"data": b"0123456789"})
    path = entry_of(store, key())
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= flip
    path.write_bytes(data)
    assert "broken and is dropped" in missed(store, key()).reason
    assert not path.exists()
    assert missed(store, key()).absent
    store.publish(key(), {"a": 1}, {"data": b"0123456789"})
    assert found(store, key()) == b"0123456789"


def test_an_entry_under_another_keys_name_is_not_believed(store: Store) -> None:
    store.publish(key(1), None, {"data": b"1"})
    wrong = store.folder / "engine" / key(2).digest[:2] / key(2).digest
    wrong.parent.mkdir(exist_ok=True)
    entry_of(store, key(1)).rename(wrong)
    assert "another one's" in missed(store, key(2)).reason
    assert not wrong.exists()


def test_a_miss_names_what_is_new(store: Store) -> None:
    store.publish(key(1), None, {"data": b"1"})
    store.publish(Key("engine", {"number": 9, "model": {"name": "other", "sha256": "b" * 64}}), None)
    assert missed(store, key(2)).absent
    assert store.nearest(key(2)) == ("it is not the same as what is kept", ["number: 2, was 1"])
    assert store.nearest(Key("answers", {})) == ("nothing of this kind is kept", ())
    assert store.nearest(Key("engine", {"x": 1, "y": 2})) == ("nothing like it is kept", ())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=24))
def test_the_least_recently_used_leaves_first(uses: list[int]) -> None:
    """Against a list that is the rule itself: what is used moves to its end, what does not fit leaves at its head."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        size = _size_of_one(Path(folder) / "probe")
        store = Store(Path(folder) / "store", 3 * size)
        store.folder.mkdir()
        expected: list[int] = []
        for number in uses:
            hit = store.find(key(number))
            assert isinstance(hit, Hit) == (number in expected)
            if isinstance(hit, Hit):
                with hit:
                    expected.remove(number)
            else:
                assert store.publish(key(number), None, {"data": b"x" * 100}) == ""
            expected = [*expected, number][-3:]
            assert sum(one.size for one in store.entries()) <= store.limit_bytes
        kept = [one.header.key.parts["number"] for one in reversed(store.entries()) if one.header is not None]
        assert kept == expected


def _size_of_one(folder: Path) -> int:
    folder.mkdir()
    probe = Store(folder, GENEROUS)
    probe.publish(key(0), None, {"data": b"x" * 100})
    return probe.entries()[0].size


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, 1000)
    assert "more than the cache may hold" in store.publish(key(), None, {"data": b"x" * 1000})
    assert not store.entries()


def test_an_entry_that_is_read_is_not_evicted_and_stays_readable(tmp_path: Path) -> None:
    store = Store(tmp_path, GENEROUS)
    store.publish(key(1), None, {"data": b"one"})
    store.publish(key(2), None, {"data": b"two"})
    hit = store.find(key(1))
    assert isinstance(hit, Hit)
    with hit:
        assert found(store, key(2)) == b"two"  # now the first is the one that was not used for longest
        assert Store(tmp_path, 1).evict() == 1
        assert [one.digest for one in store.entries()] == [key(1).digest]
        assert not store.clear()
        entry_of(store, key(1)).unlink()  # somebody deletes the folder by hand
        assert hit.read("data") == b"one"


def test_clear_by_kind_and_by_last_use(store: Store) -> None:
    for kind in ("engine", "answers"):
        for number in (1, 2):
            store.publish(key(number, kind), None, {"data": b"1"})
    os.utime(entry_of(store, key(1)), (1, 1))
    assert [one.digest for one in store.clear(unused_since=time.time() - 60)] == [key(1).digest]
    assert {one.kind for one in store.clear("answers")} == {"answers"}
    assert [one.digest for one in store.entries()] == [key(2).digest]
    assert len(store.clear()) == 1
    assert not store.entries()


def test_verify_drops_what_is_broken_and_says_which(store: Store) -> None:
    for number in range(3):
        store.publish(key(number), None, {"data": b"0123456789"})
    with entry_of(store, key(1)).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    entry_of(store, key(2)).write_bytes(b"")
    problems = {one.kept.digest: one.problem for one in store.verify()}
    assert problems[key(0).digest] == ""
    assert problems[key(1).digest] == "its file 'data' is not what was written"
    assert problems[key(2).digest] == "its header is not what was written"
    assert [one.problem for one in store.verify()] == [""]


def test_a_folder_that_cannot_be_written_keeps_nothing_and_says_why(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot be written" in Store(blocked, GENEROUS).publish(key(), None)
    assert isinstance(Store(blocked, GENEROUS).find(key()), Miss)


def test_a_file_system_without_links(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    assert store.publish(key(), None, {"data": b"1"}) == ""
    assert found(store, key()) == b"1"
    assert not list((store.folder / "tmp").iterdir())


def test_what_a_killed_process_left_is_swept(store: Store) -> None:
    store.publish(key(1), None)
    left = store.folder / "tmp" / "tmpold"
    left.write_bytes(b"half")
    store.publish(key(2), None)
    assert left.exists(), "another process may have made it this instant"
    os.utime(left, (1, 1))
    store.publish(key(3), None)
    assert not left.exists()


def _hammer(folder: str, seed: int, failures: multiprocessing.Queue[str]) -> None:
    """Publishes, reads and evicts the same few keys as the other process does."""
    store = Store(Path(folder), 40_000)
    for step in range(150):
        number = (step * 7 + seed * 3) % 6
        content = bytes([number]) * 9000
        hit = store.find(key(number))
        if isinstance(hit, Hit):
            with hit:
                if hit.read("data") != content:
                    failures.put(f"{number} is another one's")
        elif "broken" in hit.reason or "cannot" in hit.reason:
            failures.put(hit.reason)
        elif problem := store.publish(key(number), None, {"data": content}):
            failures.put(problem)


def test_two_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    failures: multiprocessing.Queue[str] = context.Queue()
    both = [context.Process(target=_hammer, args=(str(tmp_path), seed, failures)) for seed in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    assert failures.empty(), failures.get()
    assert all(not one.problem for one in Store(tmp_path, GENEROUS).verify())
