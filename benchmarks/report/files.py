"""The drawings of a report as files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Fold, Page, Plot

PlotFormat = Literal["svg", "png"]


def plot_files(page: Page, form: PlotFormat) -> Mapping[str, bytes]:
    """Every drawing of ``page`` in its order: ``KEY.svg`` or ``KEY.png``, and what the file is to hold.

    Raises:
        UnavailableError: PNG is wanted and what draws it is not installed.
    """
    found = {}
    for section in page.sections:
        for plot in _plots(section.blocks):
            drawing = plots.standalone(plot.draw(plots.WIDE))
            name = f"{re.sub('[^a-z0-9-]', '-', plot.caption.key)}.{form}"
            found[name] = plots.to_png(drawing) if form == "png" else drawing.encode()
    return found


def _plots(blocks: Sequence[Block]) -> Iterator[Plot]:
    for block in blocks:
        if isinstance(block, Plot):
            yield block
        elif isinstance(block, Fold):
            yield from _plots(block.blocks)
