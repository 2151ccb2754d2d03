"""What opening a model leaves over goes back to the system before the first inference.

An engine parses a file into pieces and copies them; glibc keeps freed pieces of up to 32 MiB for later (its threshold
rises by itself, mallopt(3)), which for a model of 12 MB came to another 11 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SMALL_BYTES = 64 << 10
_LARGEST_BYTES = 32 << 20
"""Where glibc's own threshold ends on 64 bits; it keeps twice as much at the top of the heap."""


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Inside, freed pieces go back at once; afterwards they are kept as glibc would, so that inferences cost the same.

    For processes that do nothing else: the allocator is the whole process's. Without glibc nothing is done.
    """
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _SMALL_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _SMALL_BYTES)
    try:
        yield
    finally:
        libc.malloc_trim(ctypes.c_size_t(0))
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_BYTES)
