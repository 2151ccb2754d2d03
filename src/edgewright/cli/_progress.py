"""What a long command shows as it works: on a terminal a bar, the time left and the estimate so far; else nothing."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edgewright.cli import _console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressLine:
    """One line at the bottom of a terminal; a context manager. Lines of talk stand above it.

    Args:
        name: what is worked on, foreign text.
        eager: show the bar at once, not with the first word of progress.
    """

    def __init__(self, name: str, *, eager: bool = True) -> None:
        self._name, self._eager = _console.escape(name), eager
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told = ("", -1)

    def __enter__(self) -> Self:
        if self._eager:
            self._start()
        return self

    def _start(self) -> None:
        if self._bar is None and sys.stderr.isatty() and _console.heard("info"):
            self._bar = _bar()
            self._task = self._bar.add_task(self._name, total=1.0, what="")
            self._bar.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, what: str, share: float) -> None:
        """Says what is being done, and which share of everything is behind."""
        if _console.in_events() or _console.heard("debug"):
            self._tell(what, share)
        self._start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, what=_console.escape(what))

    def _tell(self, what: str, share: float) -> None:
        """What a bar would show, to programs and to those who want to read everything; each whole per cent once."""
        step = (what, int(share * 100))
        if step == self._told:
            return
        self._told = step
        if _console.in_events():
            _console.event("progress", subject=self._name, what=_console.escape(what), share=round(share, 4))
        else:
            _console.say(f"{share:4.0%} {_console.escape(what)}", "debug")

    def say(self, line: str) -> None:
        """A line of talk that stays, led by the name."""
        self.talk(f"{self._name}: {_console.escape(line)}")

    def talk(self, text: str) -> None:
        """A line that stays, as it is: escaped already."""
        if self._bar is None:
            _console.say(text)
        elif _console.heard("info"):
            self._bar.console.print(text, markup=False, highlight=False)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[what]}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
    )
