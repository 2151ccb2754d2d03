"""Every way a command can end that is not success, each with its exit code.

The numbers follow BSD ``sysexits.h`` where it has one (65 EX_DATAERR, 69 EX_UNAVAILABLE, 70 EX_SOFTWARE, 73
EX_CANTCREAT, 74 EX_IOERR, 75 EX_TEMPFAIL) and automake's 77 for "skipped". ``docs/exit-codes.md`` is the user's copy.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    OK = 0
    LIMIT_MISSED = 1
    USAGE = 2
    BAD_INPUT = 65
    UNAVAILABLE = 69
    BUG = 70
    CANNOT_WRITE = 73
    IO_ERROR = 74
    RETRYABLE = 75
    TARGET_ABSENT = 77
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def retry(self) -> bool:
        """Whether the same command may succeed when it is run again, nothing being mended meanwhile."""
        return self in (ExitCode.RETRYABLE, ExitCode.IO_ERROR, ExitCode.INTERRUPTED, ExitCode.TERMINATED)

    def to_json(self) -> dict[str, object]:
        """How every document of ``--json`` tells it."""
        return {"exit_code": int(self), "exit_class": self.name.lower().replace("_", "-"), "retry": self.retry}


class EdgewrightError(Exception):
    """A failure that is explained to the user in one message, never by a traceback.

    Args:
        problem: what is wrong, with the real values in it.
        remedy: the next thing to do; empty only where there is nothing to do.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}" if self.remedy else self.problem

    def __reduce__(self) -> tuple[type[EdgewrightError], tuple[str, str]]:
        return (type(self), (self.problem, self.remedy))


class LimitMissedError(EdgewrightError):
    """A limit the user stated (accuracy, latency, size) was not reached."""

    exit_code = ExitCode.LIMIT_MISSED


class UsageError(EdgewrightError):
    """Wrong options, recipe or target file; also a user's own function that raises."""

    exit_code = ExitCode.USAGE


class BadInputError(EdgewrightError):
    """A model, data file or bundle that is broken, lies, or cannot be trusted."""

    exit_code = ExitCode.BAD_INPUT


class UnavailableError(EdgewrightError):
    """An operator, precision or backend that is not to be had here."""

    exit_code = ExitCode.UNAVAILABLE


class CannotWriteError(EdgewrightError):
    """The output cannot be created: no permission, no space, not a folder."""

    exit_code = ExitCode.CANNOT_WRITE


class IOFailureError(EdgewrightError):
    """Reading or writing failed half-way."""

    exit_code = ExitCode.IO_ERROR


class RetryableError(EdgewrightError):
    """Nothing is known to be wrong, but the answer is not conclusive: trying again can help."""

    exit_code = ExitCode.RETRYABLE


class TargetAbsentError(EdgewrightError):
    """The hardware or runtime a bundle was made for is not on this machine."""

    exit_code = ExitCode.TARGET_ABSENT


class EngineError(EdgewrightError):
    """An engine call failed in its child process: it raised, crashed, hung or ran out of memory.

    ``kind`` is one of ``raised``, ``crashed``, ``timeout``, ``memory``.
    """

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, problem: str, remedy: str = "", kind: str = "raised") -> None:
        super().__init__(problem, remedy)
        self.kind = kind

    def __reduce__(self) -> tuple[type[EngineError], tuple[str, str, str]]:  # type: ignore[override]
        return (type(self), (self.problem, self.remedy, self.kind))
