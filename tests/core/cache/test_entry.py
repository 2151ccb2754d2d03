"""An entry's file: what goes in comes out, and no byte of it can change unseen."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.cache.entry import BrokenEntryError, Key, check_whole, pack, read_header, unpack

leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    leaves | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
parts = st.dictionaries(st.text(), values, max_size=4)
contents = st.dictionaries(st.text(max_size=8), st.binary(max_size=64), max_size=3)


def packed(key: Key, value: object, files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    assert pack(file, key, "2026-01-01T00:00:00Z", value, files) == len(file.getvalue())
    return file.getvalue()


def whole(data: bytes, into: Path) -> tuple[object, dict[str, bytes]]:
    path = into / "entry"
    path.write_bytes(data)
    with path.open("rb") as file:
        header = check_whole(file)
        return header.value, {one.name: b"".join(unpack(file, header, one.name)) for one in header.files}


@given(parts, values, contents)
def test_what_goes_in_comes_out(parts: dict[str, object], value: object, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert whole(packed(Key("k", parts), value, files), Path(folder)) == (value, files)


@given(contents, st.data())
def test_any_byte_that_changes_is_found(files: dict[str, bytes], data: st.DataObject) -> None:
    good = packed(Key("k", {"seed": 0}), {"figure": 1.5}, files)
    place = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :]
    with tempfile.TemporaryDirectory() as folder, pytest.raises(BrokenEntryError):
        whole(bad, Path(folder))


@given(contents, st.data())
def test_an_entry_that_is_cut_or_longer_is_found(files: dict[str, bytes], data: st.DataObject) -> None:
    good = packed(Key("k", {"seed": 0}), None, files)
    bad = data.draw(st.just(good + b"\0") | st.integers(0, len(good) - 1).map(lambda size: good[:size]))
    with tempfile.TemporaryDirectory() as folder, pytest.raises(BrokenEntryError):
        whole(bad, Path(folder))


def test_every_single_byte_of_one_entry(tmp_path: Path) -> None:
    """Not a sample of them: a byte that nothing covers would be one of the header's few."""
    good = packed(Key("compile", {"model": "a", "seed": 0}), {"size": 3}, {"bundle": b"PK\3\4", "empty": b""})
    for place in range(len(good)):
        for flip in (0x01, 0x20, 0x80):  # 0x20 turns a digest's letter into a capital
            with pytest.raises(BrokenEntryError):
                whole(good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :], tmp_path)


@given(parts, parts, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]))
def test_keys_are_equal_exactly_where_kind_and_parts_are(
    one: dict[str, object], other: dict[str, object], kind: str, other_kind: str
) -> None:
    assert Key(kind, one).digest == Key(kind, dict(reversed(one.items()))).digest
    same = kind == other_kind and repr(sorted(one.items())) == repr(sorted(other.items()))
    if same:
        assert Key(kind, one).digest == Key(other_kind, other).digest
    elif kind != other_kind or one != other:
        assert Key(kind, one).digest != Key(other_kind, other).digest


def test_a_header_is_read_without_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    path.write_bytes(packed(Key("k", {"seed": 7}), "v", {"big": b"x" * 1000})[:-999])
    with path.open("rb") as file:
        header = read_header(file)
    assert header.key.parts == {"seed": 7}
    assert header.files[0].bytes == 1000


def test_a_file_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    path.write_bytes(packed(Key("k", {}), None, {"a": b"1"}))
    with path.open("rb") as file:
        header = check_whole(file)
        with pytest.raises(KeyError):
            list(unpack(file, header, "b"))
