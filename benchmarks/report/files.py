"""Writes the drawings of a report as files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Fold, Page, Plot
from edgewright.core.errors import CannotWriteError
from edgewright.core.files import write_atomically

PlotFormat = Literal["svg", "png"]


def write_plots(page: Page, folder: Path, form: PlotFormat) -> list[Path]:
    """Every drawing of ``page`` as ``KEY.svg`` or ``KEY.png`` in ``folder``, which is made when absent; in page order.

    Raises:
        UnavailableError: PNG is wanted and what draws it is not installed.
        CannotWriteError, IOFailureError: when they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"cannot make {folder}: {error.strerror}", "Choose another folder.") from error
    written = []
    for section in page.sections:
        for plot in _plots(section.blocks):
            drawing = plots.standalone(plot.draw(plots.WIDE))
            path = folder / f"{re.sub('[^a-z0-9-]', '-', plot.caption.key)}.{form}"
            write_atomically(path, plots.to_png(drawing) if form == "png" else drawing.encode())
            written.append(path)
    return written


def _plots(blocks: Sequence[Block]) -> Iterator[Plot]:
    for block in blocks:
        if isinstance(block, Plot):
            yield block
        elif isinstance(block, Fold):
            yield from _plots(block.blocks)
