from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from edgewright.benchmarks.report.plots.svg import Caption, Drawing, absent, identifier, number


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-0.004, "0"), (10.0, "10"), (1.005, "1"), (100.126, "100.13")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_cut_text_has_the_whole_on_hovering_and_an_uncut_one_has_nothing() -> None:
    drawing = Drawing(200)
    drawing.text(0, 10, "a name that is much too long for its room", room=60)
    drawing.text(0, 30, "short", room=60)
    long, short = ET.fromstring(drawing.svg(Caption("k", "t", "d"), 40))[2:]
    assert long[0].text == "a name that is much too long for its room"
    assert len(short) == 0


def test_a_label_takes_two_lines_before_it_is_cut() -> None:
    drawing = Drawing(400)
    drawing.label(0, 20, "resnet native/onnxruntime int8", 190)
    drawing.label(0, 60, "/backbone/layer4/layer4.1/conv2/Conv", 120)
    first, second, cut = ET.fromstring(drawing.svg(Caption("k", "t", "d"), 90))[2:]
    assert [first.text, second.text] == ["resnet native/onnxruntime", "int8"]
    assert cut[0].text == "/backbone/layer4/layer4.1/conv2/Conv"


def test_markup_in_words_stays_words() -> None:
    drawing = Drawing(900)
    drawing.text(0, 10, "<script>alert('1' & \"2\")</script>")
    drawing.mark("circle", 5, 5, 1, "ew-f1", hover="</title><b>")
    root = ET.fromstring(drawing.svg(Caption('"><x y="', "<t>", "&d;"), 40))
    assert [element.text for element in root] == ["<t>", "&d;", "<script>alert('1' & \"2\")</script>", None]
    assert root[3][0].text == "</title><b>"
    assert [len(list(root.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))) for tag in ("script", "b", "x")] == [0, 0, 0]


def test_an_absent_plot_gives_its_reason() -> None:
    assert "not on this machine" in absent(Caption("k", "t", "d"), "not on this machine", 300)


def test_keys_become_ids() -> None:
    assert identifier("pareto.resnet-18") == "pareto.resnet-18"
    assert identifier("a b").startswith("a-b-")
    assert identifier("a b") != identifier("a/b")
