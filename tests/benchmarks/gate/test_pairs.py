from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.benchmarks.gate.limits import Gate, Limits
from edgewright.benchmarks.gate.pairs import paired
from edgewright.core.errors import ExitCode, UsageError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    new, base = tmp_path / "new", tmp_path / "base"
    for folder, names in ((new, ("a.ewb", "fresh.ewb", "c.v2.ewb")), (base, ("a.ewb", "gone.ewb"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"x")
        (folder / "a.record.json").write_text("{}")
    (base / "c.v2").mkdir()
    (base / "c.v2" / "manifest.json").write_text("{}")
    return new, base


def test_folders_pair_by_file_name(folders: tuple[Path, Path]) -> None:
    new, base = folders
    found = paired([Gate("new", new, against=base, data="d.npz")])
    assert [(one.name, one.bundle, one.against) for one in found.gates] == [
        ("a", new / "a.ewb", base / "a.ewb"),
        ("c.v2", new / "c.v2.ewb", base / "c.v2"),
        ("fresh", new / "fresh.ewb", None),
    ]
    assert {one.data for one in found.gates} == {"d.npz"}
    assert found.notes == ("fresh: not in base, so held against nothing",)
    assert found.fresh == {"fresh"}
    (failure,) = found.failures
    assert (failure.subject, failure.exit_code) == ("gone", ExitCode.UNAVAILABLE)
    assert "new has no counterpart" in failure.problem


def test_what_is_new_is_held_against_its_own_limits(folders: tuple[Path, Path]) -> None:
    new, base = folders
    found = paired([Gate("new", new, against=base, limits=Limits(max_bytes=1))])
    assert found.notes == ("fresh: not in base, so held against its own limits alone",)


def test_a_bundle_is_found_in_a_folder(folders: tuple[Path, Path]) -> None:
    new, base = folders
    (found,) = paired([Gate("a", new / "a.ewb", against=base)]).gates
    assert found.against == base / "a.ewb"
    with pytest.raises(UsageError, match=r"base has no fresh\.ewb"):
        paired([Gate("fresh", new / "fresh.ewb", against=base)])


def test_a_folder_against_a_baseline(folders: tuple[Path, Path]) -> None:
    new, base = folders
    found = paired([Gate("new", new, baseline=base / "b.json")])
    assert [one.name for one in found.gates] == ["a", "c.v2", "fresh"]
    assert {one.baseline for one in found.gates} == {base / "b.json"}
    assert found.failures == ()


def test_what_cannot_be_paired(folders: tuple[Path, Path], tmp_path: Path) -> None:
    new, base = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="without bundles"):
        paired([Gate("x", empty, against=base)])
    with pytest.raises(UsageError, match=r"is a folder of bundles and .* is not"):
        paired([Gate("x", new, against=base / "a.ewb")])
    with pytest.raises(UsageError, match="two bundles are called 'a'"):
        paired([Gate("a", new / "a.ewb"), Gate("a", base / "a.ewb")])
    (base / "a").mkdir()
    (base / "a" / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="zipped and unzipped"):
        paired([Gate("x", new, against=base)])
