from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.core import jsontext
from edgewright.core.bundle import Bundle, Golden, Manifest, open_bundle, write_bundle
from edgewright.core.bundle.archive import add_member
from edgewright.core.errors import BadInputError, UsageError


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden) -> Path:
    out = tmp_path / "tiny.ewb"
    write_bundle(out, manifest.to_json(), {"passes": [{"name": "x"}]}, engine, golden)
    return out


def unzip(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def rezip(path: Path, change: Callable[[dict[str, bytes]], None], *, relist: bool = False) -> Path:
    """The bundle with other members; ``relist`` makes the manifest agree with them again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if relist:
        import hashlib

        content = json.loads(members.pop("manifest.json"))
        content["files"] = [
            {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(members.items())
        ]
        members["manifest.json"] = jsontext.canonical(content)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted(members.items()):
            add_member(archive, name, [data], len(data))
    return path


def refused(path: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        open_bundle(path)
    assert caught.value.remedy
    return str(caught.value)


def test_everything_comes_back(path: Path, manifest: Manifest, golden: Golden, tmp_path: Path) -> None:
    bundle = open_bundle(path)
    assert bundle.manifest.files
    assert Manifest.from_json({**bundle.manifest.to_json(), "files": []}) == manifest
    assert bundle.journal == {"passes": [{"name": "x"}]}
    back = bundle.golden()
    for want, have in ((golden.inputs, back.inputs), (golden.original, back.original), (golden.engine, back.engine)):
        assert len(want) == len(have) == 4
        for one, other in zip(want, have, strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)
    entry = bundle.extract_engine(tmp_path / "engine")
    assert entry.read_bytes() == b"not onnx"
    assert (tmp_path / "engine/data/weights.bin").read_bytes() == b"w"
    assert sorted(bundle.engine_files) == ["data/weights.bin", "model.onnx"]


def test_an_unzipped_folder_is_the_same_bundle(path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    zipped, unzipped = open_bundle(path), open_bundle(folder)
    assert zipped.digest == unzipped.digest
    assert zipped.manifest == unzipped.manifest
    assert np.array_equal(zipped.golden().engine[3]["y"], unzipped.golden().engine[3]["y"])


def test_a_member_that_changes_after_opening_is_noticed(path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    bundle = open_bundle(folder)
    (folder / "engine/model.onnx").write_bytes(b"not ONNX")
    with pytest.raises(BadInputError, match=r"engine/model\.onnx"):
        bundle.check()
    with pytest.raises(BadInputError, match=r"engine/model\.onnx"):
        bundle.extract_engine(tmp_path / "engine")


def test_keys_of_a_later_minor_version_are_tolerated(
    tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden
) -> None:
    out = tmp_path / "a.ewb"
    write_bundle(out, {**manifest.to_json(), "signature": {"by": "x"}}, {}, engine, golden)
    assert open_bundle(out).manifest.precision == "int8"


def _edited(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: data})


def _schema(text: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        content = {**json.loads(members["manifest.json"]), "schema": text}
        members["manifest.json"] = jsontext.canonical(content)

    return change


DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "edited": (_edited("engine/model.onnx", b"NOT onnx"), r"'engine/model.onnx'.*edited"),
    "resized": (_edited("engine/model.onnx", b"x"), "has 1 bytes"),
    "missing": (lambda members: members.pop("golden/engine.npz"), "'golden/engine.npz' is missing"),
    "no manifest": (lambda members: members.pop("manifest.json"), "no manifest.json"),
    "no journal": (lambda members: members.pop("journal.json"), "no journal.json"),
    "extra": (_edited("engine/more", b"x"), "'engine/more' is not in the manifest"),
    "traversal": (_edited("../x", b"x"), "'../x'"),
    "inner traversal": (_edited("engine/../../x", b"x"), r"engine/\.\./\.\./x"),
    "absolute": (_edited("/etc/x", b"x"), "absolute"),
    "windows": (_edited("C:\\x", b"x"), "absolute"),
    "case": (_edited("ENGINE/model.onnx", b"not onnx"), "differs in case only"),
    "file as folder": (_edited("engine/model.onnx/x", b"x"), "the folder of"),
    "next major": (_schema("edgewright.bundle/2"), "Upgrade edgewright"),
    "foreign": (_schema("wheel/1"), "wheel/1"),
    "not json": (_edited("manifest.json", b"{"), "not valid JSON"),
    "not utf-8": (_edited("manifest.json", b'{"\xff": 1}'), "not valid JSON"),
    "not an object": (_edited("manifest.json", b"[]\n"), "not a JSON object"),
    "deep json": (_edited("manifest.json", b"[" * 200_000), "not valid JSON"),
    "nan": (_edited("manifest.json", b'{"schema":NaN}'), "not valid JSON"),
    "huge number": (_edited("manifest.json", b'{"schema":1e999}'), "not valid JSON"),
    "oversized": (_edited("manifest.json", b" " * ((16 << 20) + 1)), "more than 16777216"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_refused_with_its_member_and_rule(case: str, path: Path) -> None:
    change, words = DAMAGE[case]
    message = refused(rezip(path, change))
    import re

    assert str(path) in message
    assert re.search(words, message), message


@pytest.mark.parametrize("name", ["../x", "/x", "engine/MODEL.onnx", "manifest.json"])
def test_a_manifest_that_lists_bad_names_is_refused_for_folders_too(name: str, path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    content = json.loads((folder / "manifest.json").read_bytes())
    content["files"].append({"path": name, "sha256": "0" * 64, "bytes": 0})
    (folder / "manifest.json").write_bytes(jsontext.canonical(content))
    refused(folder)


def test_a_reformatted_manifest_is_refused(path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(json.dumps(json.loads(text), indent=1))
    assert "canonical" in refused(folder)


def test_all_manifest_mistakes_come_at_once(path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        content = json.loads(members["manifest.json"])
        content["model"]["digest"] = "x"
        content["accuracy"]["mark"] = "unmeasured"
        content["inputs"][0]["shape"] = [-1]
        content["size_bytes"] = True
        del content["backend"]
        members["manifest.json"] = jsontext.canonical(content)

    message = refused(rezip(path, change))
    for part in ("model.digest", "accuracy.value", "inputs[0]", "size_bytes", "backend: is missing"):
        assert part in message, part


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"PK\x05\x06" + b"\0" * 18, b"\0" * 5000])
def test_what_is_no_bundle_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ewb"
    path.write_bytes(content)
    assert str(path) in refused(path)


def test_nothing_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_bundle(tmp_path / "none.ewb")


def test_fifo_and_empty_folder_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "FIFO" in refused(tmp_path / "fifo")
    assert "manifest.json" in refused(tmp_path)
    assert "device" in refused(Path("/dev/zero"))


def test_links_are_refused_zipped_and_unzipped(path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    member = folder / "engine/model.onnx"
    member.rename(tmp_path / "outside")
    member.symlink_to(tmp_path / "outside")
    assert "not a regular file" in refused(folder)
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in members.items():
            if entry.filename == "engine/model.onnx":
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, data)
    assert "not a regular file" in refused(path)


def test_compressed_members_are_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert "is compressed" in refused(path)


def test_a_bundle_that_was_zipped_again_is_told_so_and_its_folder_is_good(path: Path, tmp_path: Path) -> None:
    folder = unzip(path, tmp_path / "folder")
    names = sorted(item.relative_to(folder).as_posix() for item in folder.rglob("*") if item.is_file())
    for order in (names, names[::-1]):
        with zipfile.ZipFile(path, "w") as archive:
            for name in order:
                archive.write(folder / name, name)
        message = refused(path)
        assert "edited" in message or "zipped again" in message
        assert "unzipped into a folder" in message
    assert open_bundle(folder).manifest


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_members_are_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("journal.json"), b"{}\n")
    assert "twice" in refused(path)


def test_sizes_that_lie_and_shared_bytes_are_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    where = data.rindex(b"PK\1\2", 0, data.rindex(b"engine/model.onnx"))
    for offset in (20, 24):  # compressed and real size in the directory
        struct.pack_into("<L", data, where + offset, 0x7FFFFFFF)
    path.write_bytes(data)
    assert "truncated" in refused(path) or "overlaps" in refused(path)
    struct.pack_into("<L", data, where + 20, 4)
    path.write_bytes(data)
    assert "claims" in refused(path)


def test_wrong_crc_and_appended_bytes_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"not onnx", b"NOT onnx"))
    assert "CRC" in refused(path)
    path.write_bytes(whole + b"x")
    refused(path)
    path.write_bytes(b"x" + whole)
    refused(path)
    path.write_bytes(whole[:-2] + b"\1\0c")
    refused(path)


def _npz(**arrays: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(f"0000/{name}.npy", data)
    return buffer.getvalue()


def _npy(header: str, payload: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + payload


@pytest.mark.parametrize(
    "array",
    [
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (152921504606846976,), }"),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
        _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n."),
        _npy("{'descr': '<U0', 'fortran_order': False, 'shape': (152921504606846976,), }"),
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }", b"\0" * 16),
        _npy("[" * 5000),
        _npy("__import__('os').abort()"),
        b"",
        b"\x80\x04.",
    ],
    ids=["huge", "negative", "pickle", "no width", "other type", "deep", "code", "empty", "raw pickle"],
)
def test_arrays_that_are_not_plain_are_refused_even_when_the_digests_agree(array: bytes, path: Path) -> None:
    rezip(path, _edited("golden/original.npz", _npz(**{"000": array})), relist=True)
    bundle = open_bundle(path)
    with pytest.raises(BadInputError, match=r"golden/original\.npz"):
        bundle.golden()


def test_golden_lists_of_unlike_length_are_refused(path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        array = _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }", b"\0\0\0\0")
        members["golden/original.npz"] = _npz(**{"000": array})

    with pytest.raises(BadInputError, match="golden samples"):
        open_bundle(rezip(path, change, relist=True)).golden()


def _use(bundle: Bundle) -> object:
    golden = bundle.golden()
    return (bundle.digest, bundle.journal, [item["y"].tobytes() for item in golden.engine])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_any_other_byte_is_refused(data: st.DataObject, path: Path, tmp_path: Path) -> None:
    """There is one file for one content: times, owners and fields that readers skip are no place to hide anything."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
    other = tmp_path / "fuzzed.ewb"
    other.write_bytes(damaged[:cut])
    if damaged[:cut] == whole:
        assert open_bundle(other)
    else:
        refused(other)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_manifests_and_arrays_behind_good_digests_are_refused_or_read(data: st.DataObject, path: Path) -> None:
    """The digests prove nothing against whoever made them: everything behind them is parsed with the same suspicion."""
    whole = path.read_bytes()
    name = data.draw(st.sampled_from(["golden/inputs.npz", "golden/engine.npz", "journal.json", "manifest.json"]))

    def change(members: dict[str, bytes]) -> None:
        damaged = bytearray(members[name])
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        members[name] = bytes(damaged)

    try:
        _use(open_bundle(rezip(path, change, relist=name != "manifest.json")))
    except BadInputError:
        pass
    finally:
        path.write_bytes(whole)
