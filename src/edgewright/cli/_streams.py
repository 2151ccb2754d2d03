"""Whose words go where while a verb runs: results alone to stdout, and stderr as lines or as events.

A user's factory prints, a library warns, an engine written in C++ complains: none of it may end up in the middle of a
JSON document, nor between two events. So the descriptors themselves are turned, not only Python's names for them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

_LAST_WORDS_S = 2.0
"""How long to wait for what is still on its way through a pipe that a child process may hold open."""


@contextlib.contextmanager
def results_alone() -> Iterator[TextIO]:
    """Gives the stream that results go to; whatever else is printed to stdout meanwhile goes to stderr."""
    before = sys.stdout
    results: TextIO = before
    kept: int | None = None
    if _is_its_own(before, 1) and _is_its_own(sys.stderr, 2):
        before.flush()
        kept = os.dup(1)
        results = os.fdopen(os.dup(1), "w", encoding=before.encoding, errors=before.errors)
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield results
    finally:
        sys.stdout = before
        if kept is not None:
            with contextlib.suppress(BrokenPipeError):
                results.close()
            os.dup2(kept, 1)
            os.close(kept)


@contextlib.contextmanager
def captured(line: Callable[[str], None]) -> Iterator[TextIO]:
    """Gives the real stderr; every line that anybody else writes to it meanwhile goes to ``line``.

    Args:
        line: takes one line without its end, from a thread of its own.
    """
    before = sys.stderr
    if not _is_its_own(before, 2):
        yield before
        return
    before.flush()
    kept = os.dup(2)
    real = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    thread = threading.Thread(target=_pass_on, args=(reader, line), daemon=True)
    thread.start()
    try:
        yield real
    finally:
        with contextlib.suppress(BrokenPipeError):
            before.flush()
        os.dup2(kept, 2)  # closes the pipe's end, so that the reader comes to its end
        os.close(kept)
        thread.join(_LAST_WORDS_S)
        with contextlib.suppress(BrokenPipeError):
            real.close()


def _pass_on(reader: int, line: Callable[[str], None]) -> None:
    with os.fdopen(reader, "r", encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        for one in lines:
            line(one.rstrip("\r\n"))


def _is_its_own(stream: TextIO, descriptor: int) -> bool:
    """False where somebody put another stream in its place, such as a test or a notebook."""
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, io.UnsupportedOperation):
        return False
