"""Detached signatures: ``NAME.ewb.sig`` beside a bundle says who vouches for its digest.

What is signed is one line of ASCII, so that other tools can make and check the same signature::

    edgewright.signature/1 bundle sha256:<digest of the bundle>\\n

Its beginning keeps a signature made here from meaning anything elsewhere, and the other way round. The digest is the
SHA-256 of ``manifest.json``, which has the SHA-256 of every other member.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.core import jsontext
from edgewright.core.bundle.fields import Fields
from edgewright.core.bundle.keys import PrivateKey, read_public_key
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.files import open_regular

SCHEMA = "edgewright.signature/1"
SUFFIX = ".sig"
REQUIRED_KEY_VARIABLE = "EDGEWRIGHT_REQUIRE_KEY"
"""Names a public key whose signature every bundle must have that this machine opens."""
_SIGNATURE_BYTES = 64
_MAX_FILE_BYTES = 256 << 10
_MAX_SIGNATURES = 64
_REMEDY = "Do not use this bundle. Get bundle and signature again from who signs, or sign it: edgewright sign."


@dataclass(frozen=True)
class Signature:
    """One signer's."""

    key_id: str
    """SHA-256 in hex of the public key's 32 bytes."""
    value: bytes
    """64 bytes."""


@dataclass(frozen=True)
class Signatures:
    """What a ``.sig`` file says: who signed one bundle. Sorted by key, at most one of each."""

    bundle_digest: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        rows = [
            {"key_id": one.key_id, "signature": base64.b64encode(one.value).decode("ascii")} for one in self.signatures
        ]
        content = {"schema": SCHEMA, "algorithm": "ed25519", "bundle_digest": self.bundle_digest, "signatures": rows}
        return jsontext.canonical(content)

    def with_one(self, one: Signature) -> Signatures:
        """These and one more, which replaces that of the same key."""
        others = [other for other in self.signatures if other.key_id != one.key_id]
        return Signatures(self.bundle_digest, tuple(sorted([*others, one], key=lambda item: item.key_id)))


def signature_path(bundle: Path) -> Path:
    """Where the signatures of a bundle or of its unzipped folder are looked for: beside it, with ``.sig`` appended."""
    whole = bundle if bundle.name not in ("", "..") else bundle.resolve()
    return whole.with_name(f"{whole.name}{SUFFIX}")


def message(digest: str) -> bytes:
    """What is signed of the bundle with that digest.

    >>> message("ab" * 32)[:45]
    b'edgewright.signature/1 bundle sha256:abababab'
    """
    return f"{SCHEMA} bundle sha256:{digest}\n".encode("ascii")


def sign_digest(key: PrivateKey, digest: str) -> Signature:
    """The signature of the bundle with that digest; always the same."""
    return Signature(key.public.key_id, key.sign(message(digest)))


def read_signatures(path: Path) -> Signatures:
    """Reads a ``.sig`` file; there is one way to write each, and any other is refused.

    Raises:
        UsageError: there is nothing at ``path``.
        BadInputError: it is not what :meth:`Signatures.to_bytes` writes.
    """
    with open_regular(path, "the signature") as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    try:
        found = _parsed(data)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise BadInputError(f"{path} is not a signature: {error!s:.200}", _REMEDY) from error
    if found.to_bytes() != data:
        raise BadInputError(f"{path} is not in canonical form: it was edited", _REMEDY)
    return found


def required_keys(key: Path | None, *, everywhere: bool = True) -> list[Path]:
    """The public keys whose signatures a bundle needs.

    Args:
        key: the one that was asked for.
        everywhere: also the one that EDGEWRIGHT_REQUIRE_KEY names for every bundle.

    Raises:
        UsageError: EDGEWRIGHT_REQUIRE_KEY is empty or names nothing that is there; a slip must not switch it off.
    """
    found = [] if key is None else [key]
    text = os.environ.get(REQUIRED_KEY_VARIABLE)
    if text is not None and everywhere:
        if not Path(text).is_file():
            problem = f"names '{text:.200}', which is no file" if text else "is empty"
            raise UsageError(
                f"{REQUIRED_KEY_VARIABLE} {problem}",
                "Set it to the file of a public key, or unset it: no bundle is opened before.",
            )
        found.append(Path(text))
    return found


def check_signatures(manifest: bytes, keys: list[Path], path: Path, bundle: Path) -> tuple[str, ...]:
    """Lets through a manifest that every one of ``keys`` has signed; nothing of it is parsed.

    Args:
        manifest: the raw bytes of ``manifest.json``.
        keys: files of public keys.
        path: the ``.sig`` file.
        bundle: what messages call it.

    Returns:
        The ids of the keys.

    Raises:
        BadInputError: no signature, one of another bundle, by another key, or one that was altered.
        UsageError: a key that is not there.
        UnavailableError: ``cryptography`` is not installed.
    """
    publics = [(key, read_public_key(key)) for key in keys]
    if not os.path.lexists(path):
        raise BadInputError(f"{bundle} is not signed: there is no {path}", _REMEDY)
    found = read_signatures(path)
    digest = hashlib.sha256(manifest).hexdigest()
    if found.bundle_digest != digest:
        raise BadInputError(
            f"{path} signs another bundle ({found.bundle_digest[:12]}) than {bundle} ({digest[:12]}): one was altered",
            _REMEDY,
        )
    by_key = {one.key_id: one.value for one in found.signatures}
    for file, public in publics:
        value = by_key.get(public.key_id)
        if value is None:
            signers = ", ".join(key_id[:12] for key_id in by_key) or "nobody"
            raise BadInputError(f"{bundle} is signed by {signers}, not by {public.key_id[:12]} ({file.name})", _REMEDY)
        if not public.verifies(value, message(digest)):
            raise BadInputError(f"{path}: the signature of key {public.key_id[:12]} does not fit {bundle}", _REMEDY)
    return tuple(public.key_id for _, public in publics)


def _parsed(data: bytes) -> Signatures:
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(f"it has more than {_MAX_FILE_BYTES} bytes")
    content = json.loads(data.decode("ascii"))
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not '{SCHEMA}'")
    top = Fields(content, "", [])
    top.one_of("algorithm", ("ed25519",))
    digest = top.sha256("bundle_digest")
    rows = [(one.sha256("key_id"), one.text("signature")) for one in top.records("signatures")]
    if top.problems:
        raise ValueError("; ".join(top.problems[:5]))
    names = [key_id for key_id, _ in rows]
    if not names or len(names) > _MAX_SIGNATURES or names != sorted(set(names)):
        raise ValueError(f"its {len(names)} signatures are not one or more of different keys, sorted by key")
    found = tuple(Signature(key_id, base64.b64decode(text, validate=True)) for key_id, text in rows)
    if any(len(one.value) != _SIGNATURE_BYTES for one in found):
        raise ValueError(f"a signature has not {_SIGNATURE_BYTES} bytes")
    return Signatures(digest, found)
