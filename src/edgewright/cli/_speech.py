"""How much a command says, and whether to people or to programs: options that every verb has, and their variables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from edgewright.cli._console import FORMATS, LEVELS
from edgewright.core.errors import UsageError

LEVEL_VARIABLE, FORMAT_VARIABLE = "EDGEWRIGHT_LOG_LEVEL", "EDGEWRIGHT_LOG_FORMAT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares ``--log-level`` and ``--log-format``."""
    group = parser.add_argument_group("talk on stderr")
    group.add_argument("--log-level", choices=LEVELS, help=f"what is worth a line (default: {LEVEL_VARIABLE}, or info)")
    group.add_argument(
        "--log-format",
        choices=FORMATS,
        help=f"lines for people, or one JSON object a line (default: {FORMAT_VARIABLE}, or text)",
    )


def chosen(words: Sequence[str]) -> tuple[str, str]:
    """Level and format, before the words are parsed: what is wrong with them is told in that format too."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False)  # shortened options count, as later
    early.add_argument("--log-level")
    early.add_argument("--log-format")
    try:
        given = early.parse_known_args(words)[0]
    except argparse.ArgumentError:  # an option without its value, of which the whole parser will complain
        given = argparse.Namespace(log_level=None, log_format=None)
    level = given.log_level or os.environ.get(LEVEL_VARIABLE)
    form = given.log_format or os.environ.get(FORMAT_VARIABLE)
    return level if level in LEVELS else "info", form if form in FORMATS else "text"


def require_known() -> None:
    """Lets through the variables where they are not set, or say what is known.

    Raises:
        UsageError: with what there is.
    """
    for name, known in ((LEVEL_VARIABLE, LEVELS), (FORMAT_VARIABLE, FORMATS)):
        value = os.environ.get(name)
        if value and value not in known:
            raise UsageError(f"{name} is '{value:.80}'", f"Set it to one of {', '.join(known)}, or unset it.")
