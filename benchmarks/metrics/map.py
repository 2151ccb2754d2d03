"""Mean average precision of a detector as COCO has it: the mean over IoU thresholds .50, .55, ... .95."""

from __future__ import annotations

from edgewright.benchmarks.metrics._detection import AveragePrecision


class Map(AveragePrecision):
    """0 to 1; the form of outputs and labels stands at :class:`AveragePrecision`."""

    name = "map"
    thresholds = tuple(0.5 + 0.05 * step for step in range(10))
