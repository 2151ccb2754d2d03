"""How words reach the user: results on stdout, talk on stderr, foreign text escaped, colour only on a terminal.

Talk is lines for people, or events for programs (``--log-format ndjson``): one JSON object a line, schema
``edgewright.event/1``, described in ``docs/builds.md``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from edgewright.cli._streams import captured, results_alone
from edgewright.core.errors import ExitCode
from edgewright.core.foreign_text import LONGEST_NAME, spelt_out

LEVELS = ("error", "warning", "info", "debug")
FORMATS = ("text", "ndjson")
_EVENT = "edgewright.event/1"


@dataclass
class _Speech:
    """How this process speaks; one process runs one command."""

    level: str = "info"
    events: TextIO | None = None
    """Where events go; None for lines."""
    results: TextIO | None = None
    """Where results go; None for stdout as it is."""


_speech = _Speech()


@contextlib.contextmanager
def speaking(level: str, form: str) -> Iterator[None]:
    """Speaks from ``level`` up, in lines or in events; results stand alone on stdout meanwhile."""
    before = vars(_speech).copy()
    _speech.level = level
    with contextlib.ExitStack() as ends:
        ends.callback(vars(_speech).update, before)
        if form == "ndjson":
            _speech.events = ends.enter_context(captured(lambda line: event("output", text=line)))
        _speech.results = ends.enter_context(results_alone())
        yield


def heard(level: str) -> bool:
    """Whether anything of ``level`` is said."""
    return LEVELS.index(level) <= LEVELS.index(_speech.level)


def in_events() -> bool:
    """Whether programs listen, to whom a bar says nothing."""
    return _speech.events is not None


def event(kind: str, **fields: object) -> None:
    """One event, where events are spoken; else nothing."""
    if _speech.events is not None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        _print(json.dumps({"schema": _EVENT, "time": now, "event": kind, **fields}), _speech.events)


def results() -> TextIO:
    """The stream that results go to."""
    return _speech.results or sys.stdout


def escape(text: str) -> str:
    r"""Foreign text (model and tensor names) made safe for a terminal: control and direction characters are spelt out.

    >>> escape("a\x1b[31m\u202eb")
    'a\\x1b[31m\\u202eb'
    """
    shown = spelt_out(text)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 3]}..."


def escape_lines(text: str) -> str:
    """As :func:`escape`, for messages of several lines: line breaks stay, lengths too."""
    return "\n".join(spelt_out(line) for line in text.split("\n"))


def colours(stream: TextIO) -> bool:
    """True when ``stream`` is a terminal and the user has not set NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, stream: TextIO | None = None) -> str:
    """``text`` in the SGR style ``code`` (``1`` bold, ``31`` red, ``32`` green) where colour is wanted.

    Args:
        stream: where it is going to; None is where results go.
    """
    return f"\x1b[{code}m{text}\x1b[0m" if colours(stream or results()) else text


def say(line: str, level: str = "info") -> None:
    """One line of talk, to stderr; as :func:`result` where nobody listens any more."""
    if not heard(level):
        return
    if in_events():
        event("log", level=level, text=line)
    else:
        _print(line, sys.stderr)


def result(text: str) -> None:
    """Something the user asked for, to stdout; a reader that left (``| head -1``) changes no exit code."""
    _print(text, results())


def warn(line: str) -> None:
    """A line the user should not miss, to stderr."""
    say(line if in_events() else f"{paint('warning:', '33', sys.stderr)} {line}", "warning")


def fail(problem: str, remedy: str = "", code: ExitCode | None = None) -> None:
    """The one message of a failure, to stderr: what is wrong, then the next thing to do."""
    if in_events():
        event("error", problem=problem, remedy=remedy or None, **({} if code is None else code.to_json()))
        return
    say(f"{paint('error:', '31', sys.stderr)} {problem}", "error")
    if remedy:
        say(f"  {remedy}", "error")


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is still buffered goes there
