"""Which pass, then which layer, costs a model its accuracy; and the smallest piece of it that still fails."""

from __future__ import annotations

from edgewright.driver.blame.report import BlameReport
from edgewright.driver.blame.request import BlameRequest
from edgewright.driver.blame.work import blame

__all__ = ["BlameReport", "BlameRequest", "blame"]
