"""Of equal compiles at once one computes, and the others take what it keeps.

A compile that holds the locks of this module asks for those of timing, each for a moment; nobody asks for these while
he times. So the two kinds cannot wait for each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from edgewright.core.cache import Key, Part, Parts
from edgewright.driver.cache_inputs import group_parts
from edgewright.driver.outputs import Group

if TYPE_CHECKING:
    from edgewright.driver.cache_compile import Compiles
    from edgewright.driver.depfile import Depfile


def flight_key(shared: Parts, group: Group) -> Key:
    """What equal compiles have in common before the model is opened, which tells what files lie beside it."""
    model = {**cast("dict[str, Part]", shared["model"]), "weights": None}
    return Key("flight", {**group_parts(dict(shared), group), "model": model})


def take_or_own(cache: Compiles, depfile: Depfile) -> None:
    """Takes what is missing from equal compiles that are at work, as they end, and makes the rest this compile's own.

    Raises:
        EdgewrightError: an output cannot be written.
    """
    waited: set[str] = set()
    while cache.missing:
        owned = all(_begun(cache, group, waited) for group in _in_order(cache))
        # Another may have kept it an instant ago, and with it the names of the files beside the model; and what goes in
        # may have changed while this one waited.
        cache.refresh()
        depfile.write()
        cache.look(again=True)
        if owned:
            break
    for name in (group.name for group in cache.missing if group.name in waited):
        cache.request.log(f"{name}: the other compile kept nothing (it failed, or missed a limit); compiled here")


def _in_order(cache: Compiles) -> list[Group]:
    """What is missing, in an order that is the same for all: who holds one waits for later ones alone."""
    return sorted(cache.missing, key=lambda group: flight_key(cache.parts, group).digest)


def _begun(cache: Compiles, group: Group, waited: set[str]) -> bool:
    def waits() -> None:
        if group.name not in waited:
            waited.add(group.name)
            cache.request.log(
                f"{group.name}: another compile of the same inputs is at work; its result is waited for"
                " (--no-cache computes it here)"
            )

    return cache.flights.begin(flight_key(cache.parts, group), waits)
