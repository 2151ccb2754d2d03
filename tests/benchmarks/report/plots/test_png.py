from __future__ import annotations

import struct
import sys

import pytest

from edgewright.benchmarks.report.plots import Caption, ForestRow, forest, standalone, to_png
from edgewright.core.errors import UnavailableError
from tests.conftest import skip_without_a_font

DRAWING = standalone(forest([ForestRow("a", 1.0, (0.9, 1.1))], Caption("k", "Title", "d")))


def test_a_png_has_the_drawings_size_times_its_scale() -> None:
    pytest.importorskip("resvg_py", reason="the report extra is not installed")
    skip_without_a_font()
    one, two = to_png(DRAWING, 1), to_png(DRAWING, 2)
    assert one[:8] == two[:8] == b"\x89PNG\r\n\x1a\n"
    (wide, high), (twice_wide, twice_high) = (struct.unpack(">II", png[16:24]) for png in (one, two))
    assert abs(twice_wide - 2 * wide) <= 1
    assert abs(twice_high - 2 * high) <= 1
    assert to_png(DRAWING, 1) == one


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UnavailableError, match=r'pip install "edgewright\[report\]"'):
        to_png(DRAWING)


def test_without_a_font_it_is_refused_rather_than_drawn_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    resvg_py = pytest.importorskip("resvg_py", reason="the report extra is not installed")
    draw = resvg_py.svg_to_bytes
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **options: draw(**options, skip_system_fonts=True))
    with pytest.raises(UnavailableError, match="need a font"):
        to_png(DRAWING)
