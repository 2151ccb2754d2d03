"""Drawings as PNG, by resvg: one wheel of 1.4 MB without dependencies, for every usual platform."""

from __future__ import annotations

from edgewright.core.errors import UnavailableError

_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="16" font-size="16">{}</text></svg>'


def to_png(svg_text: str, scale: float = 2) -> bytes:
    """The PNG of a file made by :func:`standalone`, ``scale`` pixels to the CSS pixel.

    Raises:
        UnavailableError: when the library that draws it is not installed, or there is no font to draw with.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise UnavailableError(
            f"PNG plots need resvg_py, which is not installed ({error})",
            'pip install "edgewright[report]", or take the plots as SVG.',
        ) from error
    # Without a font resvg draws no text and says nothing: a letter must leave more than no letter does.
    if bytes(svg_to_bytes(svg_string=_PROBE.format("M"))) == bytes(svg_to_bytes(svg_string=_PROBE.format(""))):
        raise UnavailableError(
            "PNG plots need a font, and this system has none",
            "Install one (Debian: apt install fonts-dejavu-core), or take the plots as SVG.",
        )
    return bytes(svg_to_bytes(svg_string=svg_text, zoom=scale))
