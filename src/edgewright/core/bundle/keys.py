"""Ed25519 keys in the files that other tools write: PEM (PKCS#8, SubjectPublicKeyInfo) and OpenSSH's own forms.

``cryptography`` is imported inside the functions: only who signs or checks a signature needs it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.core.errors import BadInputError, CannotWriteError, UnavailableError, UsageError
from edgewright.core.files import open_regular, write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PASSWORD_VARIABLE = "EDGEWRIGHT_KEY_PASSWORD"  # noqa: S105 - the name of a variable
"""Where the password of a private key is read from: never from words, which other users of a machine can see."""
_MAX_KEY_BYTES = 64 << 10
_PRIVATE = b" PRIVATE KEY-----"
_REMEDY = "Give an Ed25519 key: edgewright sign --new-key NAME makes a pair."


@dataclass(frozen=True, eq=False)
class PublicKey:
    """What checks signatures."""

    key_id: str
    """SHA-256 in hex of the key's 32 bytes."""
    key: Ed25519PublicKey

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is this key's, of ``message`` (RFC 8032, section 5.1.7)."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, eq=False)
class PrivateKey:
    """What signs."""

    public: PublicKey
    key: Ed25519PrivateKey
    exposed: bool
    """Whether others than the owner may read its file."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes, always the same for the same message (RFC 8032, section 5.1.6)."""
        return self.key.sign(message)


def read_public_key(path: Path) -> PublicKey:
    """Reads a public key: PEM, or a line of OpenSSH's (``ssh-ed25519 AAAA...``).

    Raises:
        UsageError: there is nothing at ``path``, or it holds a private key.
        BadInputError: no key, or one that is not Ed25519's.
        UnavailableError: ``cryptography`` is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = _content(path, "the public key")
    if _PRIVATE in data:
        raise UsageError(f"{path} is a private key", "Give the public one; the private one stays with who signs.")
    try:
        of_ssh = not data.lstrip().startswith(b"-----BEGIN")
        key = serialization.load_ssh_public_key(data) if of_ssh else serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInputError(f"{path} is not a public key: {error!s:.200}", _REMEDY) from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInputError(f"{path} is not an Ed25519 key but {_kind(key)}", _REMEDY)
    return _public(key)


def read_private_key(path: Path) -> PrivateKey:
    """Reads a private key: PEM, or OpenSSH's form; its password, where it has one, from EDGEWRIGHT_KEY_PASSWORD.

    Raises:
        UsageError: there is nothing at ``path``, it holds a public key, or the password is missing or wrong.
        BadInputError: no key, or one that is not Ed25519's.
        UnavailableError: ``cryptography`` is not installed.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _content(path, "the private key")
    if b" PUBLIC KEY-----" in data or data.startswith(b"ssh-"):
        raise UsageError(f"{path} is a public key, which cannot sign", "Give the private one.")
    load = serialization.load_ssh_private_key if b" OPENSSH" in data else serialization.load_pem_private_key
    password = os.environ.get(PASSWORD_VARIABLE) or None
    try:
        try:
            key = load(data, None)
        except TypeError as error:  # its word for a key that has a password
            if password is None:
                raise UsageError(f"{path} has a password", f"Set {PASSWORD_VARIABLE} to it.") from error
            key = load(data, password.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        advice = f"Check the file, and {PASSWORD_VARIABLE}." if password else _REMEDY
        raise BadInputError(f"{path} cannot be read as a private key: {error!s:.200}", advice) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(f"{path} is not an Ed25519 key but {_kind(key)}", _REMEDY)
    return PrivateKey(_public(key.public_key()), key, bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)))


def new_keys(name: Path) -> tuple[Path, Path, PublicKey]:
    """Makes a pair: ``NAME.pem``, which its owner alone may read, and ``NAME.pub.pem``; neither may be there.

    The private key is encrypted where EDGEWRIGHT_KEY_PASSWORD is set.

    Raises:
        UsageError: a file of that name is there; a key is never written over.
        CannotWriteError, IOFailureError: they cannot be written.
        UnavailableError: ``cryptography`` is not installed.
    """
    require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = name.with_name(f"{name.name}.pem"), name.with_name(f"{name.name}.pub.pem")
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there, and a key is never written over", "Give another name.")
    key = Ed25519PrivateKey.generate()
    password = os.environ.get(PASSWORD_VARIABLE)
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        lock = serialization.BestAvailableEncryption(password.encode())
    pem = serialization.Encoding.PEM
    _write_new(private, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock))
    try:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        write_atomically(public, key.public_key().public_bytes(pem, form))
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return private, public, _public(key.public_key())


def require_cryptography() -> None:
    """Raises UnavailableError where signatures can be neither made nor checked."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"signatures need {error.name}, which is not installed", 'Type: pip install "edgewright[sign]"'
        ) from error


def _content(path: Path, what: str) -> bytes:
    with open_regular(path, what) as file:
        data = file.read(_MAX_KEY_BYTES + 1)
    if len(data) > _MAX_KEY_BYTES:
        raise BadInputError(f"{path} has more than {_MAX_KEY_BYTES} bytes, so it is no key", _REMEDY)
    return data


def _public(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(hashlib.sha256(key.public_bytes_raw()).hexdigest(), key)


def _kind(key: object) -> str:
    return type(key).__name__.removeprefix("_")


def _write_new(path: Path, data: bytes) -> None:
    """Creates a file for its owner's eyes; never follows a link, never replaces."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}", "Choose a folder you may write to.") from error
