"""The steps of a compile that are kept one by one, so that a changed option does again only what depends on it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.core.cache import Flights, Hit, Key, Miss, NoCache, Part, Parts, Store, open_store
from edgewright.driver.cache_environment import surroundings, unversioned_plug_ins
from edgewright.driver.request import CompileRequest

WORTH_S = 0.05
"""What took less is done again rather than kept."""
WORTH_BYTES_PER_S = 10**8
"""What is as large as that for each second it took is done again as well: writing and digesting it takes as long."""
_SHOWN, _LISTED = 3, 8
_WORDS = {
    "answers": "answers of the original",
    "statistics": "tensors' statistics",
    "passes": "results of passes",
    "engine": "engines",
    "damage": "rankings of layers",
    "score": "scores",
    "times": "search-grade timings",
}


@dataclass
class Steps:
    """Finds and keeps steps; without a store it finds nothing and keeps nothing."""

    store: Store | None = None
    around: Parts = field(default_factory=dict)
    """What every step depends on: this program, its tools, the machine."""
    request: CompileRequest | None = None
    worth_s: float = WORTH_S
    taken: Counter[str] = field(default_factory=Counter)
    """How much of each kind came from the cache."""

    @contextmanager
    def found_or_owned(self, kind: str, parts: Parts, what: str) -> Iterator[Hit | None]:
        """As :meth:`found`; where nothing is, the block computes and keeps it, and other compiles wait for that.

        Whatever is asked for within the block is something that it depends on, so that nobody waits in a circle.
        """
        with contextlib.ExitStack() as held:
            if self.store is not None:
                self._own(self.store, held.enter_context(Flights(self.store)), self._key(kind, parts), what)
            yield held.enter_context(self.found(kind, parts, what))

    @contextmanager
    def found(self, kind: str, parts: Parts, what: str) -> Iterator[Hit | None]:
        """What is kept, open while the block lasts; None where nothing is.

        Args:
            what: the step in words, for the explanation of a miss.
        """
        if self.store is None:
            yield None
            return
        key = self._key(kind, parts)
        try:
            found = self.store.find(key)
        except (ValueError, TypeError):  # an option that JSON cannot hold: nothing is kept under such a key
            yield None
            return
        if isinstance(found, Hit):
            self.taken[kind] += 1
            with found:
                yield found
            return
        # A broken entry is told unasked. Tensors are many, and what they come from is explained by the passes.
        told = not found.absent or (self.request is not None and self.request.explain_miss and kind != "statistics")
        if told and self.request is not None:
            for line in explained(self.store, key, found, most=_SHOWN):
                self.request.log(f"  {what} {line}" if line.startswith("is not") else f"  {line}")
        yield None

    def keep(
        self, kind: str, parts: Parts, value: Part, files: Mapping[str, Path | bytes] | None = None, *, took_s: float
    ) -> None:
        """Keeps what took ``took_s`` seconds, if that is worth it."""
        if self.store is None or took_s < self.worth_s:
            return
        sizes = [len(one) if isinstance(one, bytes) else one.stat().st_size for one in (files or {}).values()]
        if self.worth_s and sum(sizes) > took_s * WORTH_BYTES_PER_S:
            return
        try:
            why = self.store.publish(self._key(kind, parts), value, files)
        except (ValueError, TypeError):
            return  # NaN or infinity, which no key and no value holds, or what is no JSON at all
        if why and self.request is not None:
            self.request.log(f"  not kept in the cache: {why}")

    @property
    def summary(self) -> str:
        """What came from the cache, in one line; empty where nothing did."""
        counts = [f"{_WORDS.get(kind, kind)} ({count})" for kind, count in sorted(self.taken.items())]
        return f"from the cache: {', '.join(counts)}" if counts else ""

    def _own(self, store: Store, flights: Flights, key: Key, what: str) -> None:
        """Returns when it is kept, or another has ended; what he did not keep is not worth another turn of waiting."""

        def waits() -> None:
            if self.request is not None:
                self.request.log(f"  {what}: another compile is at work on it, which is waited for")

        with contextlib.suppress(ValueError, TypeError):  # an option that JSON cannot hold
            if not store.has(key):
                flights.begin(key, waits)

    def _key(self, kind: str, parts: Parts) -> Key:
        return Key(kind, {**parts, **self.around})


def explained(store: Store, key: Key, miss: Miss, *, most: int | None = None) -> list[str]:
    """Why nothing was found, a line each: the reason first, then what is otherwise than in the nearest entry.

    Args:
        most: an entry with more differences than this is another thing, and explains nothing.
    """
    if not miss.absent:
        return [f"is not in the cache: {miss.reason}"]
    reason, lines = store.nearest(key)
    if most is not None and len(lines) > most:
        return ["is not in the cache: nothing like it is kept"]
    more = [f"  and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return [f"is not in the cache: {reason}", *(f"  {line}" for line in lines[:_LISTED]), *more]


def open_steps(request: CompileRequest) -> Steps:
    """The steps kept in the user's cache; none where it is switched off, absent, or a plug-in's code is not known.

    Raises:
        UsageError: ``EDGEWRIGHT_CACHE_SIZE`` is no size.
    """
    if not request.cache:
        return Steps()
    store = open_store()
    if isinstance(store, NoCache) or unversioned_plug_ins():
        return Steps()  # compile_cached has said why
    return Steps(store, surroundings(), request, WORTH_S)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return time.monotonic() - self._start
