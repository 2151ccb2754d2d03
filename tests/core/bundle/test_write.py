from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from edgewright.core.bundle import Golden, Manifest, open_bundle, write_bundle
from edgewright.core.errors import BadInputError, UsageError


def test_same_content_gives_the_same_bytes_at_another_time_and_place(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    first, second = tmp_path / "a.ewb", tmp_path / "other.ewb"
    digest = write_bundle(first, manifest.to_json(), {"passes": []}, engine, golden)
    for path in engine.values():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    again = write_bundle(second, manifest.to_json(), {"passes": []}, dict(reversed(engine.items())), golden)
    assert first.read_bytes() == second.read_bytes()
    assert digest == again


def test_members_are_stored_sorted_and_nameless_of_the_host(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    path = tmp_path / "a.ewb"
    digest = write_bundle(path, manifest.to_json(), {}, engine, golden)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
        assert hashlib.sha256(archive.read("manifest.json")).hexdigest() == digest
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert str(tmp_path).encode() not in path.read_bytes()


def test_an_existing_bundle_survives_a_failure_and_no_temporary_is_left(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = out / "a.ewb"
    path.write_bytes(b"old")
    broken = Golden(golden.inputs, [{} for _ in golden.original], golden.engine)
    with pytest.raises(ValueError, match="no tensor 'y'"):  # half-way through the archive
        write_bundle(path, manifest.to_json(), {}, engine, broken)
    assert path.read_bytes() == b"old"
    assert list(out.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../x", "/abs", "a/../b", "C:x", "a\\b", ".hidden", "a//b", "", "nul\0", "é"])
def test_engine_names_that_are_not_plain_are_refused(
    name: str, tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    with pytest.raises(BadInputError):
        write_bundle(tmp_path / "a.ewb", manifest.to_json(), {}, {**engine, name: engine["model.onnx"]}, golden)
    assert not (tmp_path / "a.ewb").exists()


def test_created_comes_from_the_environment_alone(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    path = tmp_path / "a.ewb"
    write_bundle(path, manifest.to_json(), {}, engine, golden)
    assert open_bundle(path).manifest.created is None
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write_bundle(path, manifest.to_json(), {}, engine, golden)
    assert open_bundle(path).manifest.created == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="yesterday"):
        write_bundle(path, manifest.to_json(), {}, engine, golden)


def test_golden_samples_must_have_every_tensor(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    broken = Golden([{"ids": item["ids"]} for item in golden.inputs], golden.original, golden.engine)
    with pytest.raises(ValueError, match="no tensor"):
        write_bundle(tmp_path / "a.ewb", manifest.to_json(), {}, engine, broken)


@pytest.mark.full
def test_an_engine_beyond_4_gib_is_written_and_read(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate((1 << 32) + 5)
    path = tmp_path / "a.ewb"
    write_bundle(path, manifest.to_json(), {}, {**engine, "big.bin": big, "z.bin": engine["model.onnx"]}, golden)
    bundle = open_bundle(path)
    assert {item.path: item.bytes for item in bundle.manifest.files}["engine/big.bin"] == (1 << 32) + 5
