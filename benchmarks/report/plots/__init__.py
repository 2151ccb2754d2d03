"""Plots as SVG text: pure functions from a few frozen values to one ``<svg>`` element each.

Every function takes its rows, a :class:`Caption`, and the ``width`` in CSS pixels it is laid out for: text has its
true size at that width, so a page shows the drawing made for :data:`WIDE` or the one for :data:`NARROW`, whichever
fits (:func:`responsive`). Colours come from the classes of :data:`STYLE` alone; there is no style attribute. A figure
that is missing is drawn as missing, with words. The same input gives the same text.
"""

from edgewright.benchmarks.report.plots.classes import classes
from edgewright.benchmarks.report.plots.distribution import LatencySeries, distribution
from edgewright.benchmarks.report.plots.forest import ForestRow, forest
from edgewright.benchmarks.report.plots.history import DetectedStep, HistoryPoint, history
from edgewright.benchmarks.report.plots.layers import layers
from edgewright.benchmarks.report.plots.pareto import ParetoPoint, pareto
from edgewright.benchmarks.report.plots.png import to_png
from edgewright.benchmarks.report.plots.run_order import RunMark, SideSeries, run_order
from edgewright.benchmarks.report.plots.style import STYLE, responsive, standalone
from edgewright.benchmarks.report.plots.svg import NARROW, WIDE, Caption
from edgewright.benchmarks.report.plots.waterfall import waterfall

__all__ = [
    "NARROW",
    "STYLE",
    "WIDE",
    "Caption",
    "DetectedStep",
    "ForestRow",
    "HistoryPoint",
    "LatencySeries",
    "ParetoPoint",
    "RunMark",
    "SideSeries",
    "classes",
    "distribution",
    "forest",
    "history",
    "layers",
    "pareto",
    "responsive",
    "run_order",
    "standalone",
    "to_png",
    "waterfall",
]
