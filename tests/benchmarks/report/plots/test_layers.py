from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption, layers
from edgewright.benchmarks.trace import LayerTrace

CAPTION = Caption("k", "Title", "d")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def layer(index: int, error: float | None, time: float | None, precision: str = "int8", reason: str = "") -> LayerTrace:
    return LayerTrace(f"layer{index}", "Conv", precision, error, time, reason)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_of_200_layers_the_worst_and_the_slowest_are_drawn_in_the_models_order(width: int) -> None:
    rows = [layer(index, 0.001, 1000.0) for index in range(200)]
    rows[150], rows[7], rows[90] = layer(150, 0.5, 10.0), layer(7, 0.0001, 9e5), layer(90, 0.4, 8e5)
    words = texts(layers(rows, CAPTION, top=3, width=width))
    assert [word for word in words if word.startswith("layer")] == ["layer7", "layer90", "layer150"]
    assert "the other 197 layers" in words
    assert "at most 0.001" in words
    assert "197 \N{MICRO SIGN}s 10 %" in words


def test_errors_are_never_added_up() -> None:
    words = texts(layers([layer(index, 0.25, None) for index in range(40)], CAPTION, top=4))
    assert "at most 0.25" in words
    assert "9" not in words


def test_one_layer_too_many_is_drawn_rather_than_summed() -> None:
    words = texts(layers([layer(index, 0.1, 1.0) for index in range(5)], CAPTION, top=4))
    assert "layer4" in words
    assert not [word for word in words if "other" in word]


def test_what_has_no_figure_has_the_reason_of_that_figure_and_no_bar() -> None:
    kept = layer(0, None, None, "float32", "the metric fell; no error: another shape")
    svg = layers([kept, layer(1, 0.1, None)], CAPTION)
    assert "no error: another shape" in texts(svg)
    assert texts(svg).count("no figure") == 2  # neither time says why it is not there, so nothing is made up
    assert "the metric fell" not in "".join(texts(svg))
    bars = [element for element in ET.fromstring(svg).iter() if element.tag.endswith("rect")]
    assert len(bars) == 2 + 1  # the legend's two, and the one error there is


def test_float_layers_are_hollow() -> None:
    svg = layers([layer(0, 0.1, None, "float32"), layer(1, 0.2, None, "uint8")], CAPTION)
    bars = [element.get("class") for element in ET.fromstring(svg).iter() if element.tag.endswith("rect")][2:]
    assert bars == ["ew-h1", "ew-f1"]
