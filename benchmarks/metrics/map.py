"""Mean average precision of a detector as COCO has it: the mean over IoU thresholds .50, .55, ... .95."""

from __future__ import annotations

import numpy as np

from edgewright.benchmarks.metrics._detection import AveragePrecision


class Map(AveragePrecision):
    """0 to 1; the form of outputs and labels stands at :class:`AveragePrecision`."""

    name = "map"
    # COCO's own numbers to the last bit: 0.5 + 0.05 * 7 is above its 0.85, and a box of exactly that IoU would fail.
    thresholds = tuple(np.linspace(0.5, 0.95, 10).tolist())
