"""``EDGEWRIGHT_OFFLINE``: nothing of this process reaches for the network, a user's own factory included.

Edgewright itself never does. A build that must not (Yocto's ``do_compile``, a sandbox) has this said loudly instead of
waiting for a name server: every attempt is one message. It is heard from Python's audit events
(https://docs.python.org/3/library/audit_events.html), so what native code connects by itself is not.
"""

from __future__ import annotations

import os
import sys

from edgewright.core.errors import UsageError

VARIABLE = "EDGEWRIGHT_OFFLINE"
_TOLD_TOO = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""What libraries listen to that would otherwise look for newer weights before they take what is there."""
_HERE = ("localhost", "::1", "0.0.0.0", "::", "")  # noqa: S104 - compared with, bound by nobody
_EVENTS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
_guarded = False


def wished() -> bool:
    """Whether the variable is set to anything but nothing, 0 or false."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "false", "no", "off")


def require_where_wished() -> None:
    """From here on refuses every connection of Python code to another machine, where the variable is set."""
    global _guarded  # noqa: PLW0603 - an audit hook cannot be taken away again, so there is one
    if not wished():
        return
    for name, value in _TOLD_TOO.items():
        os.environ.setdefault(name, value)
    if not _guarded:
        sys.addaudithook(_heard)
        _guarded = True


def _heard(event: str, args: tuple[object, ...]) -> None:
    """An audit hook: what it raises, the call raises.

    Raises:
        UsageError: the call would reach another machine.
    """
    if event not in _EVENTS or not wished():
        return
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if not isinstance(address, tuple):
            return  # a Unix socket: this machine
        host = address[0]
    else:
        host = args[0]
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or str(name) in _HERE or str(name).startswith("127."):
        return
    raise UsageError(
        f"something reached for {str(name)[:200]} over the network, and {VARIABLE} is set",
        f"Let your code read files that the build has already, or unset {VARIABLE}.",
    )
