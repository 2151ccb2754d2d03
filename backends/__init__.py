"""What turns a model into an engine for a target, and opens it as a session. One file here, one backend.

Modules with a leading underscore are what backends are made of; every other module is a backend, found by name.
"""

from __future__ import annotations

from edgewright.backends._base import (
    Artifact,
    Availability,
    Backend,
    LayerTime,
    Session,
    Unsupported,
    registry,
)
from edgewright.backends._fingerprint import fingerprint_problem
from edgewright.backends._isolation import DEFAULT_LIMITS, IsolatedSession, call_isolated, open_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._profiles import ProfiledRun, Profiles
from edgewright.backends._threads import threads_of
from edgewright.backends._trust import require_trust, require_trusted_source

__all__ = [
    "DEFAULT_LIMITS",
    "Artifact",
    "Availability",
    "Backend",
    "IsolatedSession",
    "LayerTime",
    "Limits",
    "ProfiledRun",
    "Profiles",
    "Session",
    "Unsupported",
    "call_isolated",
    "fingerprint_problem",
    "open_isolated",
    "registry",
    "require_trust",
    "require_trusted_source",
    "threads_of",
]
