"""Ways to tamper with a signed bundle: each makes one altered copy, zipped or unzipped, with a signature beside it."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgewright.core import jsontext
from edgewright.core.bundle import open_bundle
from edgewright.core.bundle.archive import add_member
from edgewright.core.bundle.keys import read_private_key
from edgewright.core.bundle.signature import Signatures, sign_digest

Members = dict[str, bytes]
MANIFEST = "manifest.json"
STATED = (
    "accuracy",
    "backend",
    "inputs",
    "limits",
    "model",
    "parent",
    "precision",
    "recipe_digest",
    "target",
    "tolerances",
)
"""Fields of a manifest that somebody could want to be otherwise."""


@dataclass(frozen=True)
class Signed:
    """A good bundle, and what is needed to tamper with it."""

    path: Path
    signature: bytes
    public: Path
    stranger: Path
    """Another private key; its public one is beside it."""
    positions: int = 3
    """Bytes drawn at random per member, beside its first, middle and last."""
    every: int = 1
    """Of the bytes of the signature and of the zip's headers, one in so many is changed."""
    seed: int = 0

    def members(self) -> Members:
        """Its content."""
        with zipfile.ZipFile(self.path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@dataclass(frozen=True)
class Altered:
    """One alteration, made in a folder of its own that is gone when the next is made."""

    kind: str
    what: str
    form: str
    path: Path
    only_signature: bool = False
    """Whether it is a whole bundle, so that nothing but the signature can tell."""
    key: Path | None = None
    """The key to check with, where it is not the signer's."""


def alterations(signed: Signed, folder: Path) -> Iterator[Altered]:
    """Every way, over every member, in both forms."""
    for form in ("zipped", "unzipped"):
        yield from _of_members(signed, folder, form)
        yield from _consistent(signed, folder, form)
        yield from _of_signatures(signed, folder, form)
    yield from _of_containers(signed, folder)
    yield from _of_folders(signed, folder)


def _of_members(signed: Signed, folder: Path, form: str) -> Iterator[Altered]:
    """Contents that are not what the manifest says, in a container that is sound."""
    whole, draw = signed.members(), random.Random(signed.seed)
    for name, data in whole.items():
        last = len(data) - 1
        places = sorted({0, last // 2, last, *(draw.randint(0, last) for _ in range(signed.positions))})
        for place in places:
            changed = bytearray(data)
            changed[place] ^= draw.randint(1, 255)
            yield _written(
                signed,
                folder,
                form,
                "byte changed",
                f"{name}[{place}]",
                {**whole, name: bytes(changed)},
                only_signature=name == MANIFEST,  # one that still reads well is another manifest, with its own digest
            )
        for cut in sorted({0, len(data) // 2, last}):
            yield _written(signed, folder, form, "truncated", f"{name} at {cut}", {**whole, name: data[:cut]})
        yield _written(signed, folder, form, "appended to", name, {**whole, name: data + b"\0"})
        rest = {other: content for other, content in whole.items() if other != name}
        yield _written(signed, folder, form, "removed", name, rest)
        yield _written(signed, folder, form, "renamed", name, {**rest, f"{name}.bak": data})
    for one, other in itertools.combinations(whole, 2):
        if whole[one] != whole[other]:
            swapped = {**whole, one: whole[other], other: whole[one]}
            yield _written(signed, folder, form, "swapped", f"{one} and {other}", swapped)
    yield _written(signed, folder, form, "added", "engine/more.bin", {**whole, "engine/more.bin": b"x"})


def _consistent(signed: Signed, folder: Path, form: str) -> Iterator[Altered]:
    """What somebody does who knows the format and lacks the key: every digest is made to fit."""
    whole = signed.members()
    for name in whole:
        if name != MANIFEST:
            changed = _relisted({**whole, name: whole[name] + b"\n"})
            yield _written(signed, folder, form, "rewritten with its digest", name, changed, only_signature=True)
    manifest = json.loads(whole[MANIFEST])
    for field in STATED:
        other = {**manifest, field: _otherwise(manifest[field])}
        changed = {**whole, MANIFEST: jsontext.canonical(other)}
        yield _written(signed, folder, form, "manifest states otherwise", field, changed, only_signature=True)


def _otherwise(value: object) -> object:
    """Another value of the same type, wherever its first leaf is."""
    if isinstance(value, dict):
        key = min(value)
        return {**value, key: _otherwise(value[key])}
    if isinstance(value, list):
        return [_otherwise(value[0]), *value[1:]]
    if isinstance(value, bool | None):
        return "0" * 64 if value is None else not value
    if isinstance(value, str):
        return f"{'1' if value.startswith('0') else '0'}{value[1:]}"
    assert isinstance(value, int | float)
    return value + 1


def _relisted(members: Members) -> Members:
    manifest = json.loads(members[MANIFEST])
    manifest["files"] = [
        {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in members.items()
        if name != MANIFEST
    ]
    return {**members, MANIFEST: jsontext.canonical(manifest)}


def _of_signatures(signed: Signed, folder: Path, form: str) -> Iterator[Altered]:
    """A good bundle whose signature is not."""
    whole, draw = signed.members(), random.Random(signed.seed)

    def made(kind: str, what: str, signature: bytes | None, key: Path | None = None) -> Altered:
        found = _written(signed, folder, form, kind, what, whole, only_signature=True)
        where = found.path.with_name(f"{found.path.name}.sig")
        where.unlink()
        if signature is not None:
            where.write_bytes(signature)
        return Altered(kind, what, form, found.path, only_signature=True, key=key)

    yield made("signature removed", "the file", None)
    for place in range(0, len(signed.signature), signed.every):
        changed = bytearray(signed.signature)
        changed[place] ^= draw.randint(1, 255)
        yield made("signature changed", f"byte {place}", bytes(changed))
    for cut in (0, 1, len(signed.signature) // 2, len(signed.signature) - 1):
        yield made("signature truncated", f"at {cut}", signed.signature[:cut])
    yield made("signature appended to", "one byte", signed.signature + b"\n")
    digest, stranger = open_bundle(signed.path, made_here=True).digest, read_private_key(signed.stranger)
    yield made("signed by a stranger", "their key", Signatures(digest, (sign_digest(stranger, digest),)).to_bytes())
    posing = {**json.loads(Signatures(digest, (sign_digest(stranger, digest),)).to_bytes())}
    posing["signatures"][0]["key_id"] = json.loads(signed.signature)["signatures"][0]["key_id"]
    yield made("signed by a stranger", "under the signer's key id", jsontext.canonical(posing))
    yield made("checked with a stranger's key", "", signed.signature, signed.stranger.with_suffix(".pub.pem"))
    other = "0" * 64
    yield made("another bundle's signature", "", Signatures(other, (sign_digest(stranger, other),)).to_bytes())
    renamed = {**json.loads(signed.signature), "bundle_digest": other}
    yield made("another bundle's signature", "of the signer", jsontext.canonical(renamed))


def _of_containers(signed: Signed, folder: Path) -> Iterator[Altered]:
    """A zip that is not the one that was written, whatever a reader makes of it."""
    data, draw = signed.path.read_bytes(), random.Random(signed.seed)

    def made(kind: str, what: str, content: bytes) -> Altered:
        path = _fresh(folder) / signed.path.name
        path.write_bytes(content)
        path.with_name(f"{path.name}.sig").write_bytes(signed.signature)
        return Altered(kind, what, "zipped", path)

    for what, place in itertools.islice(_header_bytes(signed.path), 0, None, signed.every):
        changed = bytearray(data)
        changed[place] ^= draw.randint(1, 255)
        yield made("zip header changed", f"{what}, byte {place}", bytes(changed))
    for cut in sorted({0, 1, 100, len(data) // 2, len(data) - 100, len(data) - 22, len(data) - 1}):
        yield made("zip truncated", f"at {cut}", data[:cut])
    yield made("zip appended to", "one byte", data + b"\0")
    yield made("zip prepended to", "one byte", b"\0" + data)
    yield made("zip appended to", "a comment", data[:-2] + b"\3\0abc")
    yield from (made(kind, what, content) for kind, what, content in _zipped_otherwise(signed))


def _header_bytes(path: Path) -> Iterator[tuple[str, int]]:
    """Every byte of the file that is no member's content."""
    with zipfile.ZipFile(path) as archive:
        rows, start = archive.infolist(), archive.start_dir
    for row in rows:
        size = 30 + len(row.filename)
        yield from ((f"before {row.filename}", row.header_offset + place) for place in range(size))
    yield from (("directory", place) for place in range(start, path.stat().st_size))


def _zipped_otherwise(signed: Signed) -> Iterator[tuple[str, str, bytes]]:
    whole, path = signed.members(), signed.path.parent / "otherwise.zip"

    def zipped(write: Callable[[zipfile.ZipFile], None]) -> bytes:
        with zipfile.ZipFile(path, "w") as archive:
            write(archive)
        return path.read_bytes()

    def entries(change: Callable[[zipfile.ZipInfo], None]) -> bytes:
        def write(archive: zipfile.ZipFile) -> None:
            for name, data in whole.items():
                add_member(archive, name, [data], len(data))
            for entry in archive.infolist():
                change(entry)

        return zipped(write)

    def again(archive: zipfile.ZipFile) -> None:
        for name, data in [*whole.items(), ("engine/" + next(iter(whole)).split("/")[-1], b"other")]:
            archive.NameToInfo.clear()  # which would warn
            add_member(archive, name, [data], len(data))

    def backwards(archive: zipfile.ZipFile) -> None:
        for name, data in reversed(whole.items()):
            add_member(archive, name, [data], len(data))

    def packed(archive: zipfile.ZipFile) -> None:
        for name, data in whole.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)

    yield "zipped otherwise", "a member twice", zipped(again)
    yield "zipped otherwise", "backwards", zipped(backwards)
    yield "zipped otherwise", "compressed", zipped(packed)
    yield "zip metadata", "times", entries(lambda entry: setattr(entry, "date_time", (2020, 1, 1, 0, 0, 0)))
    yield "zip metadata", "comments", entries(lambda entry: setattr(entry, "comment", b"hello"))
    yield "zip metadata", "extra fields", entries(lambda entry: setattr(entry, "extra", struct.pack("<HHL", 9, 4, 7)))
    yield "zip metadata", "permissions", entries(lambda entry: setattr(entry, "external_attr", 0o777 << 16))
    yield "zip metadata", "links", entries(lambda entry: setattr(entry, "external_attr", 0o120777 << 16))
    yield "zip metadata", "system", entries(lambda entry: setattr(entry, "create_system", 0))
    path.unlink()


def _of_folders(signed: Signed, folder: Path) -> Iterator[Altered]:
    """An unzipped bundle that is no plain folder of its members."""
    whole = signed.members()
    for name, data in whole.items():
        found = _written(signed, folder, "unzipped", "link in place", name, whole)
        outside = found.path.parent / "outside"
        outside.write_bytes(data)
        (found.path / name).unlink()
        (found.path / name).symlink_to(outside)
        yield found


def _written(
    signed: Signed, folder: Path, form: str, kind: str, what: str, members: Members, *, only_signature: bool = False
) -> Altered:
    """These members in a sound container, with the good bundle's signature beside it."""
    path = _fresh(folder) / (signed.path.name if form == "zipped" else "unzipped")
    if form == "zipped":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in sorted(members.items()):
                add_member(archive, name, [data], len(data))
    else:
        for name, data in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    path.with_name(f"{path.name}.sig").write_bytes(signed.signature)
    return Altered(kind, what, form, path, only_signature=only_signature)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
