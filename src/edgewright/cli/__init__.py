"""Words in, words out: the only floor that prints or exits. One file here, one verb."""

from __future__ import annotations

from edgewright.cli._main import main

__all__ = ["main"]
