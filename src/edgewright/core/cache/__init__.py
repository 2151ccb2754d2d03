"""What was computed before, kept by the digest of everything that it depends on."""

from __future__ import annotations

from edgewright.core.cache.entry import Kept, Key, Part, Parts
from edgewright.core.cache.flight import Flights
from edgewright.core.cache.place import NoCache, cache_folder, open_store, size_limit
from edgewright.core.cache.store import Hit, Miss, Store, Verified

__all__ = [
    "Flights",
    "Hit",
    "Kept",
    "Key",
    "Miss",
    "NoCache",
    "Part",
    "Parts",
    "Store",
    "Verified",
    "cache_folder",
    "open_store",
    "size_limit",
]
