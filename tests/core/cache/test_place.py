"""Where the cache is: the user's variables decide, and what others may write to is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewright.core.cache import NoCache, Store, cache_folder, open_store, place, size_limit
from edgewright.core.errors import UsageError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (place.FOLDER, place.SIZE, place.XDG):
        monkeypatch.delenv(name, raising=False)


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgewright"
    monkeypatch.setenv(place.XDG, str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "edgewright"
    monkeypatch.setenv(place.FOLDER, str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    store = open_store()
    assert isinstance(store, Store)
    assert store.folder == tmp_path / "own" / "store"
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    found = open_store()
    assert isinstance(found, NoCache)
    assert "no home folder" in found.reason


@pytest.mark.parametrize(
    ("text", "limit"), [("", 5 * 10**9), ("0", 0), ("250MB", 250 * 10**6), (" 2GiB ", 2 * 2**30), ("5GB", 5 * 10**9)]
)
def test_the_limit(monkeypatch: pytest.MonkeyPatch, text: str, limit: int) -> None:
    monkeypatch.setenv(place.SIZE, text)
    assert size_limit() == limit


@pytest.mark.parametrize("text", ["much", "-1", "5 GHz"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(place.SIZE, text)
    with pytest.raises(UsageError, match="EDGEWRIGHT_CACHE_SIZE"):
        open_store()


def test_a_size_of_zero_is_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(place.SIZE, "0")
    assert open_store() == NoCache("EDGEWRIGHT_CACHE_SIZE is 0", wished=True)


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(place.FOLDER, str(tmp_path / "file" / "cache"))
    found = open_store()
    assert isinstance(found, NoCache)
    assert "cannot be made" in found.reason


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    monkeypatch.setenv(place.FOLDER, str(tmp_path))
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(mode)
    found = open_store()
    assert isinstance(found, NoCache)
    assert "others" in found.reason


def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(place.FOLDER, str(tmp_path))
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    found = open_store()
    assert isinstance(found, NoCache)
    assert "another user" in found.reason
