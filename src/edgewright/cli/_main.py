"""The command: finds the verb, runs it, and turns every way it can end into an exit code and one message."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn, Protocol, cast

import edgewright
from edgewright.cli import _console, _speech
from edgewright.core import offline
from edgewright.core.errors import EdgewrightError, ExitCode, UsageError

_EXTRAS = {
    "onnx": "compile",
    "onnx_ir": "compile",
    "onnxscript": "compile",
    "torch": "torch",
    "PIL": "images",
    "cryptography": "sign",
    "jinja2": "report",
    "markupsafe": "report",
}
"""Library -> the extra that brings it: what a device does without until somebody compiles there."""


class Verb(Protocol):
    """What a module of this package offers: ``edgewright cmake-dir`` is the module ``cmake_dir``."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares the verb's options; imports nothing heavy."""

    def run(self, args: argparse.Namespace) -> ExitCode:
        """Does the work."""


def verbs() -> dict[str, Verb]:
    """All verbs by name: the public modules of this package."""
    return {name: _verb(name) for name in _names()}


def _names() -> list[str]:
    folder = importlib.import_module("edgewright.cli").__path__
    return sorted(info.name.replace("_", "-") for info in pkgutil.iter_modules(folder) if not info.name.startswith("_"))


def _verb(name: str) -> Verb:
    return cast("Verb", importlib.import_module(f"edgewright.cli.{name.replace('-', '_')}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (``sys.argv`` by default) and returns its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    words = list(sys.argv[1:] if argv is None else argv)
    with _console.speaking(*_speech.chosen(words)):
        return _finished(words)


def _finished(words: Sequence[str]) -> int:
    """Runs the verb, says how it ended, and returns the exit code."""
    begun = time.monotonic()
    _console.event("start", version=edgewright.__version__, words=[_console.escape_lines(word) for word in words])
    code = _run(words)
    ended = ExitCode(code).to_json() if code in set(map(int, ExitCode)) else {"exit_code": code}
    _console.event("end", seconds=round(time.monotonic() - begun, 3), **ended)
    return code


def _run(words: Sequence[str]) -> int:
    as_json = "--json" in words
    try:
        _speech.require_known()
        args = _parser(words).parse_args(words)
        offline.require_where_wished()
        return int(args.run(args))
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(ExitCode.USAGE)
    except EdgewrightError as error:
        return _failed(error.problem, error.remedy, error.exit_code, as_json=as_json)
    except (KeyboardInterrupt, _TerminatedError) as stop:
        word, code = ("interrupted", ExitCode.INTERRUPTED)
        if isinstance(stop, _TerminatedError):
            word, code = ("terminated", ExitCode.TERMINATED)
        remedy = "What was finished before is whole, the rest is not there; run the command again."
        return _failed(word, remedy, code, as_json=as_json)
    except BrokenPipeError:
        # The reader of our output left (`edgewright targets | head`): no fault, and stdout must not be flushed again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _console.results().fileno())
        return int(ExitCode.OK)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            return _bug(error, as_json=as_json)
        problem = f"this needs {error.name}, which is not installed"
        return _failed(problem, f'Type: pip install "edgewright[{extra}]"', ExitCode.UNAVAILABLE, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug becomes exit 70, its trace a file
        return _bug(error, as_json=as_json)


def _failed(problem: str, remedy: str, code: ExitCode, *, as_json: bool) -> int:
    if as_json:
        _console.result(_error_document(problem, remedy, code))
    _console.fail(_console.escape_lines(problem), _console.escape_lines(remedy), code)
    return int(code)


def _error_document(problem: str, remedy: str, code: ExitCode) -> str:
    """What ``--json`` prints of a command that came to nothing."""
    found = {"problem": problem, "remedy": remedy or None, **code.to_json()}
    return json.dumps({"schema": "edgewright.error/1", **found}, indent=2, sort_keys=True)


class _TerminatedError(BaseException):
    """SIGTERM as an exception, so that child processes and temporary folders are cleaned up on the way out."""


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


class _Parser(argparse.ArgumentParser):
    """Wrong words are a mistake like any other: one message, and the next thing to do."""

    def error(self, message: str) -> NoReturn:
        """Raises what argparse would print below the whole usage.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, f"{self.prog} --help shows what there is.")

    def _print_message(self, message: str, file: object = None) -> None:
        """Help and version are results, whatever Python calls stdout meanwhile."""
        del file
        _console.result(message.removesuffix("\n"))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Knows the options of the verb that ``words`` begin with, and where they begin with none, all verbs by name.

    Each verb's own words cost a device memory and time.
    """
    parser = _Parser(
        prog="edgewright",
        description="Compile a trained model to the fastest artifact that is proven, on data, to keep its accuracy.",
    )
    parser.add_argument("--version", action="version", version=f"edgewright {edgewright.__version__}")
    commands = parser.add_subparsers(metavar="VERB", required=True)
    names = _names()
    begun = words[0] if words and words[0] in names else None
    for name in names if begun is None else [begun]:
        verb = _verb(name)
        child = commands.add_parser(name, help=verb.SUMMARY, description=verb.SUMMARY)
        if begun is None:
            continue
        verb.add_arguments(child)
        _speech.add_arguments(child)
        child.set_defaults(run=verb.run)
    return parser


def _bug(error: Exception, *, as_json: bool) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="edgewright-bug-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    problem = f"this is a bug in edgewright: {_console.escape(f'{type(error).__name__}: {error}')}"
    return _failed(problem, f"The full trace is in {file.name}; please send it to us.", ExitCode.BUG, as_json=as_json)
