"""Our own validator: what a model file must satisfy before any engine, or any other library, works on it.

It looks at the raw protobuf message, so that nothing has been believed yet when it looks. Every algorithm here is
iterative, and every size is computed in Python's integers, which do not overflow.
"""

from __future__ import annotations

from edgewright.compiler.intake.validate.model import validate

__all__ = ["validate"]
