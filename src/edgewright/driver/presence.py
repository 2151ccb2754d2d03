"""What this machine can say about a target: everything, the accuracy only, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgewright.backends import Backend, registry
from edgewright.core.errors import UnavailableError, UsageError
from edgewright.targets.detect import is_present, stands_in
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Presence:
    """``measured``: this is the hardware. ``host-proxy``: the engine runs here, on other hardware, so its accuracy can
    be shown (and marked) and its time cannot. ``unmeasured``: it does not run here at all."""

    mark: Literal["measured", "host-proxy", "unmeasured"]
    reason: str = ""
    elsewhere: bool = False
    """The target's hardware is not here at all: engines are run as this machine's CPU opens them."""

    @property
    def runnable(self) -> bool:
        """Whether the engine can be run here."""
        return self.mark != "unmeasured"

    @property
    def timed(self) -> bool:
        """Whether a time measured here is one of the target."""
        return self.mark == "measured"


def presence(target: Target, backend: Backend) -> Presence:
    """What can be measured here for ``target``."""
    absent = is_present(target)
    reason = absent or stands_in(target)
    if reason is None:
        return Presence("measured")
    if absent is None or backend.runs_on_cpu:
        return Presence("host-proxy", reason, elsewhere=absent is not None)
    return Presence("unmeasured", reason)


def backend_for(target: Target) -> Backend:
    """The backend that serves the target's runtime, installed.

    Raises:
        UnavailableError: when there is none in this version, or its engine is not installed.
    """
    try:
        backend = registry().find(target.runtime)()
    except UsageError as error:
        raise UnavailableError(
            f"{target.name} needs the runtime '{target.runtime}', which this version cannot compile for yet",
            f"Backends here: {', '.join(registry().names())}. edgewright doctor tells more.",
        ) from error
    found = backend.available_for(target)
    if not found.present:
        raise UnavailableError(f"{target.name} needs {target.runtime}: {found.reason}", found.remedy)
    return backend


def accepted_forms(target: Target) -> frozenset[str]:
    """The model forms that the target's backend takes; none where this version has no such backend."""
    names = registry().names()
    return registry().find(target.runtime).accepts if target.runtime in names else frozenset()
