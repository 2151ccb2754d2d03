"""How words reach the user: results on stdout, talk on stderr, foreign text escaped, colour only on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from edgewright.core.foreign_text import LONGEST_NAME, spelt_out


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


def paint(text: str, code: str, stream: TextIO) -> str:
    """``text`` in the SGR style ``code`` (``1`` bold, ``31`` red, ``32`` green) where colour is wanted."""
    return f"\x1b[{code}m{text}\x1b[0m" if colours(stream) else text


def say(line: str) -> None:
    """One line of talk, to stderr; as :func:`result` where nobody listens any more."""
    _print(line, sys.stderr)


def result(text: str) -> None:
    """Something the user asked for, to stdout; a reader that left (``| head -1``) changes no exit code."""
    _print(text, sys.stdout)


def warn(line: str) -> None:
    """A line the user should not miss, to stderr."""
    say(f"{paint('warning:', '33', sys.stderr)} {line}")


def fail(problem: str, remedy: str = "") -> None:
    """The one message of a failure, to stderr: what is wrong, then the next thing to do."""
    say(f"{paint('error:', '31', sys.stderr)} {problem}")
    if remedy:
        say(f"  {remedy}")


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is still buffered goes there
