"""Engines that are machine code: opening one runs it, so only what somebody vouches for is opened."""

from __future__ import annotations

from edgewright.backends._base import Backend
from edgewright.core.errors import BadInputError


def require_trusted_source(backend: Backend, trusted: bool) -> None:
    """Lets only a trusted artifact be completed where reading what it is built from can run code.

    Raises:
        BadInputError: nobody said that it is trusted.
    """
    if backend.completing_runs_code and not trusted:
        raise _untrusted(f"{backend.name} program can run code as soon as it is read")


def require_trust(backend: Backend, trusted: bool) -> None:
    """Lets only a trusted engine through where opening it runs machine code that lies in it.

    Raises:
        BadInputError: nobody said that it is trusted.
    """
    if backend.native_code and not trusted:
        raise _untrusted(f"{backend.name} engine is machine code, which runs as soon as it is opened")


def _untrusted(what: str) -> BadInputError:
    return BadInputError(f"this bundle's {what}", "Pass --trust-native-code if you trust where the bundle comes from.")
