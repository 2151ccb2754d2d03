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

__all__ = ["Artifact", "Availability", "Backend", "LayerTime", "Session", "Unsupported", "registry"]
