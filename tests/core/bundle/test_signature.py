from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.core import jsontext
from edgewright.core.bundle import Golden, Manifest, open_bundle, write_bundle
from edgewright.core.bundle import read as bundle_read
from edgewright.core.bundle.keys import PASSWORD_VARIABLE, new_keys, read_private_key, read_public_key
from edgewright.core.bundle.signature import (
    REQUIRED_KEY_VARIABLE,
    Signatures,
    message,
    read_signatures,
    sign_digest,
    signature_path,
)
from edgewright.core.errors import BadInputError, CannotWriteError, UnavailableError, UsageError


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest, engine: dict[str, Path], golden: Golden) -> Path:
    out = tmp_path / "tiny.ewb"
    write_bundle(out, manifest.to_json(), {}, engine, golden)
    return out


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return new_keys(tmp_path / "release")[0]


@pytest.fixture
def public(private: Path) -> Path:
    return private.with_name("release.pub.pem")


def sign(bundle: Path, *privates: Path) -> Path:
    """Signs with every key, as ``edgewright sign`` does one after the other."""
    digest = open_bundle(bundle, made_here=True).digest
    found = Signatures(digest, ())
    for private in privates:
        found = found.with_one(sign_digest(read_private_key(private), digest))
    where = signature_path(bundle)
    where.write_bytes(found.to_bytes())
    return where


def refused(bundle: Path, key: Path, **options: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        open_bundle(bundle, key, **options)
    assert caught.value.remedy
    return caught.value.problem


def test_a_signed_bundle_opens_zipped_and_unzipped(path: Path, private: Path, public: Path, tmp_path: Path) -> None:
    signature = sign(path, private)
    assert signature == tmp_path / "tiny.ewb.sig"
    bundle = open_bundle(path, public)
    assert bundle.signed_by == (read_public_key(public).key_id,)
    assert open_bundle(path).signed_by == ()
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    assert "is not signed" in refused(folder, public)
    assert open_bundle(folder, public, signature=signature).digest == bundle.digest
    shutil.copy(signature, tmp_path / "unzipped.sig")
    assert open_bundle(folder, public).signed_by == bundle.signed_by


def test_the_folder_one_stands_in_has_its_signature_beside_it(
    path: Path, private: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    sign(folder, private)
    monkeypatch.chdir(folder)
    assert signature_path(Path()) == tmp_path / "unzipped.sig"
    assert open_bundle(Path(), public).signed_by


def test_the_same_key_makes_the_same_bytes(path: Path, private: Path) -> None:
    first = sign(path, private).read_bytes()
    assert sign(path, private).read_bytes() == first
    assert jsontext.canonical(json.loads(first)) == first


def test_two_signers_and_either_will_do(path: Path, private: Path, public: Path, tmp_path: Path) -> None:
    other = new_keys(tmp_path / "other")
    for order in ((private, other[0]), (other[0], private)):
        sign(path, *order)
        for key in (public, other[1]):
            assert open_bundle(path, key).signed_by == (read_public_key(key).key_id,)
    third = new_keys(tmp_path / "third")[1]
    assert f"not by {read_public_key(third).key_id[:12]}" in refused(path, third)


def test_nothing_is_parsed_before_the_signature_was_good(
    path: Path, private: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(path, private)

    def reached(*_args: object) -> None:
        raise AssertionError("the manifest was parsed")

    monkeypatch.setattr(bundle_read, "_json_object", reached)
    with pytest.raises(AssertionError, match="was parsed"):
        open_bundle(path, public)  # good: it goes on
    stranger = new_keys(tmp_path / "stranger")[1]
    refused(path, stranger)
    signature_path(path).unlink()
    refused(path, public)


def test_a_machine_can_demand_a_key_of_every_bundle(
    path: Path, private: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REQUIRED_KEY_VARIABLE, str(public))
    with pytest.raises(BadInputError, match="is not signed"):
        open_bundle(path)
    assert open_bundle(path, made_here=True).signed_by == ()
    other = new_keys(tmp_path / "other")
    sign(path, other[0])
    with pytest.raises(BadInputError, match=r"not by .*release\.pub\.pem"):
        open_bundle(path, other[1])  # the key that is asked for does not do away with the machine's
    sign(path, other[0], private)
    assert len(open_bundle(path, other[1]).signed_by) == 2
    for slip in ("", str(tmp_path / "gone.pem")):
        monkeypatch.setenv(REQUIRED_KEY_VARIABLE, slip)
        with pytest.raises(UsageError, match=REQUIRED_KEY_VARIABLE):
            open_bundle(path)


def _changed(data: bytes, **changes: object) -> bytes:
    return jsontext.canonical({**json.loads(data), **changes})


def test_altered_signatures_are_refused(path: Path, private: Path, public: Path, tmp_path: Path) -> None:
    where = sign(path, private)
    data = where.read_bytes()
    (row,) = json.loads(data)["signatures"]
    bad = {
        "is not a signature": [
            b"",
            b"[]\n",
            b"[" * 100_000,
            b"\xff",
            data[:-20],
            _changed(data, schema="edgewright.signature/2"),
            _changed(data, algorithm="none"),
            _changed(data, signatures=[]),
            _changed(data, signatures=[row, row]),
            _changed(data, signatures=[{**row, "signature": "AAAA"}]),
            _changed(data, signatures=[{**row, "signature": "*"}]),
        ],
        "is not in canonical form": [data + b" ", data.rstrip(), _changed(data, more=1)],
        "signs another bundle": [_changed(data, bundle_digest="0" * 64)],
        "is signed by 000000000000": [_changed(data, signatures=[{**row, "key_id": "0" * 64}])],
        "does not fit": [_changed(data, signatures=[{**row, "signature": "A" * 86 + "=="}])],
    }
    for words, contents in bad.items():
        for content in contents:
            where.write_bytes(content)
            assert words in refused(path, public), content
    where.unlink()
    where.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        read_signatures(where)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_byte_of_bundle_or_signature_is_refused(
    data: st.DataObject, path: Path, private: Path, public: Path
) -> None:
    signature = signature_path(path)
    if not signature.exists():
        sign(path, private)
    file = data.draw(st.sampled_from([path, signature]))
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        file.write_bytes(changed[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else changed)
        refused(path, public)
    finally:
        file.write_bytes(whole)
    assert open_bundle(path, public).signed_by


def test_what_was_checked_is_what_is_loaded(
    path: Path, private: Path, public: Path, manifest: Manifest, golden: Golden, tmp_path: Path
) -> None:
    """The file is exchanged for another whole bundle, signature and all, between the check and the use."""
    sign(path, private)
    bundle = open_bundle(path, public)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"NOT onnx")
    (tmp_path / "weights.bin").write_bytes(b"w")
    engine = {"model.onnx": other, "data/weights.bin": tmp_path / "weights.bin"}
    write_bundle(path, manifest.to_json(), {}, engine, golden)
    sign(path, private)
    with pytest.raises(BadInputError, match=r"engine/model\.onnx"):
        bundle.extract_engine(tmp_path / "engine")


def test_private_keys_are_made_for_one_reader_and_never_over_another(tmp_path: Path) -> None:
    private, public, _ = new_keys(tmp_path / "a.key")
    assert (private.name, public.name) == ("a.key.pem", "a.key.pub.pem")
    assert private.stat().st_mode & 0o777 == 0o600
    before = private.read_bytes()
    with pytest.raises(UsageError, match="never written over"):
        new_keys(tmp_path / "a.key")
    private.unlink()
    with pytest.raises(UsageError, match=r"pub\.pem"):
        new_keys(tmp_path / "a.key")
    assert not private.exists()
    private.write_bytes(before)
    private.chmod(0o640)
    assert read_private_key(private).exposed
    private.chmod(0o600)
    assert not read_private_key(private).exposed
    with pytest.raises(CannotWriteError):
        new_keys(tmp_path / "no" / "b")


def test_a_key_may_have_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")
    private, _, public = new_keys(tmp_path / "locked")
    assert b"ENCRYPTED" in private.read_bytes()
    assert read_private_key(private).public.key_id == public.key_id
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_private_key(private)
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(UsageError, match="has a password"):
        read_private_key(private)


def test_what_is_no_key_of_ed25519_says_so(private: Path, public: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(UsageError, match="is a private key"):
        read_public_key(private)
    with pytest.raises(UsageError, match="is a public key"):
        read_private_key(public)
    with pytest.raises(UsageError, match="does not exist"):
        read_public_key(tmp_path / "none")
    key = ec.generate_private_key(ec.SECP256R1())
    wrong = tmp_path / "wrong.pem"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    wrong.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(BadInputError, match="not an Ed25519 key but"):
        read_public_key(wrong)
    wrong.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(BadInputError, match="not an Ed25519 key but"):
        read_private_key(wrong)
    for content in (b"", b"nothing", b"-----BEGIN KEY-----\n", b"x" * 70_000):
        wrong.write_bytes(content)
        with pytest.raises(BadInputError):
            read_public_key(wrong)
        with pytest.raises(BadInputError):
            read_private_key(wrong)


def test_keys_of_openssh_are_read(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "id_ed25519", tmp_path / "id_ed25519.pub"
    ssh = serialization.Encoding.OpenSSH
    public.write_bytes(key.public_key().public_bytes(ssh, serialization.PublicFormat.OpenSSH) + b" me")
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    assert read_private_key(private).public.key_id == read_public_key(public).key_id
    assert read_public_key(public).verifies(read_private_key(private).sign(b"m"), b"m")


def test_openssl_makes_and_checks_the_same_signature(path: Path, private: Path, public: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    digest = open_bundle(path).digest
    text, value = tmp_path / "message", tmp_path / "value"
    text.write_bytes(message(digest))

    def openssl(*words: str | Path) -> bytes:
        return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True).stdout

    openssl("pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", text, "-out", value)
    ours = sign_digest(read_private_key(private), digest)
    assert value.read_bytes() == ours.value
    checked = openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-in", text, "-sigfile", value)
    assert b"Verified Successfully" in checked
    raw = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")[-32:]
    import hashlib

    assert hashlib.sha256(raw).hexdigest() == ours.key_id


def test_without_cryptography_the_message_says_what_to_install(
    path: Path, private: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    sign(path, private)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(UnavailableError, match="cryptography") as caught:
        open_bundle(path, public)
    assert "edgewright[sign]" in caught.value.remedy
    assert open_bundle(path)
