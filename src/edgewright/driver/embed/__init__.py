"""A bundle as C that firmware links: the engine's bytes, and what it takes, gives and was proven to be."""

from __future__ import annotations

from edgewright.driver.embed.work import EmbedReport, embed_bundle

__all__ = ["EmbedReport", "embed_bundle"]
