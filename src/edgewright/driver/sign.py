"""Signs a bundle: a file beside it says who vouches for its digest; the bundle itself is never changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.bundle import open_bundle
from edgewright.core.bundle.keys import read_private_key
from edgewright.core.bundle.signature import Signatures, read_signatures, sign_digest, signature_path
from edgewright.core.errors import BadInputError
from edgewright.core.files import require_apart, write_atomically

SCHEMA = "edgewright.sign/1"


@dataclass(frozen=True)
class SignReport:
    """What was signed, and by whom."""

    bundle: str
    digest: str
    signature: Path
    key_id: str
    """SHA-256 in hex of the public key's 32 bytes."""
    signers: tuple[str, ...]
    """Ids of all keys whose signatures the file holds now; those of others are not checked here."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``, less the exit code."""
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "digest": self.digest,
            "signature": str(self.signature),
            "key_id": self.key_id,
            "signers": list(self.signers),
            "notes": list(self.notes),
        }


def sign_bundle(path: Path, key: Path, out: Path | None = None, *, digest: str | None = None) -> SignReport:
    """Checks a bundle whole, then signs its digest; signatures of other keys in the file stay.

    Args:
        path: the bundle, or its unzipped folder.
        key: the private key.
        out: the file of signatures; None for the one beside the bundle.
        digest: what the bundle must have; None for whatever it has.

    Raises:
        UsageError: a file that is not there; ``out`` is the bundle or the key.
        BadInputError: a bundle that is damaged or has another digest, what is no key, or an ``out`` that is no file
            of signatures.
        UnavailableError: ``cryptography`` is not installed.
        CannotWriteError, IOFailureError: ``out`` cannot be written; what was there stays.
    """
    private = read_private_key(key)
    where = signature_path(path) if out is None else out
    require_apart({"-o": where}, [path, key])
    bundle = open_bundle(path, made_here=True)
    if digest not in (None, bundle.digest):
        raise BadInputError(f"{path} is another bundle than was read", "Read it again.")
    found, notes = Signatures(bundle.digest, ()), []
    if os.path.lexists(where):
        before = read_signatures(where)
        if before.bundle_digest == bundle.digest:
            found = before
        else:
            notes.append(f"{where.name} was of another bundle ({before.bundle_digest[:12]}): it is written anew")
    if private.exposed:
        notes.append(f"{key} can be read by others than its owner: chmod 600 {key}")
    found = found.with_one(sign_digest(private, bundle.digest))
    write_atomically(where, found.to_bytes())
    signers = tuple(one.key_id for one in found.signatures)
    return SignReport(path.name, bundle.digest, where, private.public.key_id, signers, tuple(notes))
