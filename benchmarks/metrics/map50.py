"""Mean average precision of a detector at an IoU of .50, as PASCAL VOC matches boxes, by COCO's 101 recall points."""

from __future__ import annotations

from edgewright.benchmarks.metrics._detection import AveragePrecision


class Map50(AveragePrecision):
    """0 to 1; the form of outputs and labels stands at :class:`AveragePrecision`."""

    name = "map50"
    thresholds = (0.5,)
