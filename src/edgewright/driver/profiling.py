"""What an engine's layers take, seen from a child process."""

from __future__ import annotations

import time

from edgewright.backends import Artifact, Limits, Profiles, open_isolated
from edgewright.core.tensors import Feeds

SECONDS = 1.0
"""About how long to profile."""
_FEWEST, _MOST = 5, 25
_LIMITS = Limits(deadline_s=900.0)


def profile_engine(artifact: Artifact, feeds: Feeds, threads: int) -> Profiles:
    """As many inferences of ``feeds`` with their layers timed as fit into about a second.

    Raises:
        UnavailableError: the engine does not show what it executes.
        EngineError: it fails.
    """
    with open_isolated(artifact.backend, artifact, threads, _LIMITS) as session:
        session.run(feeds)
        start = time.perf_counter()
        session.run(feeds)
        took = time.perf_counter() - start
        return session.profiles(feeds, max(_FEWEST, min(_MOST, int(SECONDS / took))))
