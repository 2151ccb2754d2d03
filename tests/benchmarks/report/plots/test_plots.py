"""What every plot keeps to, whatever it is given: proper XML, nothing outside, no colour of its own, the same twice."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption
from edgewright.benchmarks.report.plots.lettering import BOLD, text_width
from edgewright.benchmarks.trace import ClassDelta, LayerTrace, TraceStep

Draw = Callable[[int], str]
NAMESPACE = "{http://www.w3.org/2000/svg}"
OURS = {"svg", "title", "desc", "line", "rect", "path", "circle", "text"}
ATTRIBUTES = {
    *("viewBox", "role", "aria-labelledby", "id", "class", "d", "text-anchor"),
    *("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "width", "height"),
}
SLACK = 1.0
"""Pixels: half a line's width, and coordinates are rounded to two decimals."""

# Control characters, lone surrogates, markup and writing from right to left, beside anything else there is.
WORDS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.sampled_from(
        [
            "",
            " ",
            "</text><script>alert(1)</script>",
            "]]>",
            "&#x0;",
            '" onload="x',
            "a\x00b\x1b[31m\u202e",
            "模型" * 40,
        ]
    ),
    st.text("abc/._", min_size=100, max_size=600),
)
POSITIVE = st.floats(1e-300, 1e300)
FINITE = st.floats(-1e300, 1e300)
# Equal values, and values that floats can hardly tell apart, come up too rarely by themselves.
FEW = st.sampled_from([0.5, 0.5000000001, 1.0, 7e6])
TIMES, VALUES = POSITIVE | FEW, FINITE | FEW


def interval(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float] | None]:
    return st.none() | st.tuples(values, values).map(lambda pair: (min(pair), max(pair)))


def caption(words: str) -> Caption:
    return Caption(words, words, words)


@st.composite
def drawings(draw: st.DrawFn) -> Draw:
    """Any plot of any data."""
    title, word = caption(draw(WORDS)), draw(WORDS)
    size = st.none() | st.integers(0, 10**15)
    match draw(
        st.sampled_from(["pareto", "forest", "distribution", "runs", "waterfall", "layers", "classes", "history"])
    ):
        case "pareto":
            point = st.builds(
                plots.ParetoPoint, WORDS, st.none() | TIMES, st.none() | VALUES, size,
                st.sampled_from(["", "int8", "x"]), interval(TIMES), interval(VALUES), WORDS,
            )  # fmt: skip
            points, better = draw(st.lists(point, max_size=14)), draw(st.booleans())
            return lambda width: plots.pareto(points, title, metric=word, higher_is_better=better, width=width)
        case "forest":
            verdict = st.sampled_from([None, "pass", "regressed", "inconclusive"])
            row = st.builds(plots.ForestRow, WORDS, st.none() | VALUES, interval(VALUES), verdict, WORDS)
            rows, delta = draw(st.lists(row, max_size=6)), draw(st.sampled_from([None, 0.0, 0.02, 0.5]))
            return lambda width: plots.forest(rows, title, delta=delta, width=width)
        case "distribution":
            values = st.lists(TIMES, max_size=20).map(tuple)
            percentiles = st.lists(st.tuples(st.sampled_from(["p50", "p90", "p99"]), TIMES), max_size=3).map(tuple)
            one = st.builds(plots.LatencySeries, WORDS, values, st.none(), percentiles, WORDS)
            series = draw(st.lists(one, max_size=5))
            return lambda width: plots.distribution(series, title, width=width)
        case "runs":
            order = st.integers(0, 200)
            run = st.builds(
                plots.RunMark, order, WORDS, st.none() | TIMES, st.lists(WORDS, max_size=2).map(tuple), WORDS
            )
            readings = st.lists(st.tuples(order, st.none() | VALUES), max_size=9).map(tuple)
            runs = draw(st.lists(run, max_size=12))
            side = draw(st.lists(st.builds(plots.SideSeries, WORDS, WORDS, readings), max_size=2))
            throttled = draw(st.lists(order, max_size=3))
            return lambda width: plots.run_order(runs, title, side=side, throttled=throttled, width=width)
        case "waterfall":
            step = st.builds(
                TraceStep, WORDS, st.sampled_from(["original", "pass", "engine"]), size, st.none() | VALUES,
                st.none() | TIMES, interval(TIMES), WORDS,
            )  # fmt: skip
            steps = draw(st.lists(step, max_size=6))
            return lambda width: plots.waterfall(steps, title, metric=word, width=width)
        case "layers":
            layer = st.builds(LayerTrace, WORDS, WORDS, WORDS, st.none() | TIMES, st.none() | TIMES, WORDS)
            layers, top = draw(st.lists(layer, max_size=10)), draw(st.integers(1, 6))
            return lambda width: plots.layers(layers, title, top=top, width=width)
        case "classes":
            share = st.floats(0, 1)
            one_class = st.builds(ClassDelta, WORDS, st.integers(1, 10**6), share, share)
            classes, top = draw(st.lists(one_class, max_size=10)), draw(st.integers(1, 6))
            return lambda width: plots.classes(classes, title, top=top, width=width)
    point_of_history = st.builds(plots.HistoryPoint, WORDS, st.none() | VALUES, interval(VALUES), WORDS)
    history = draw(st.lists(point_of_history, max_size=12))
    found = draw(st.lists(st.builds(plots.DetectedStep, st.integers(0, 11), VALUES, VALUES), max_size=3))
    unit = draw(st.sampled_from(["ns", "bytes", "number"]))
    return lambda width: plots.history(history, found, title, metric=word, unit=unit, width=width)


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag.removeprefix(NAMESPACE) in OURS
        assert set(element.attrib) <= ATTRIBUTES
        assert re.fullmatch(r"[a-z0-9 -]*", element.get("class", ""))
    return root


def numbers(element: ET.Element) -> tuple[list[float], list[float]]:
    """All x and all y of an element."""
    read = {
        name: float(value)
        for name, value in element.attrib.items()
        if re.fullmatch(r"[cx-y]{1,2}[12]?|r|width|height", name)
    }
    xs = [value for name, value in read.items() if name in ("x", "x1", "x2", "cx")]
    ys = [value for name, value in read.items() if name in ("y", "y1", "y2", "cy")]
    if "width" in read:
        xs.append(read["x"] + read["width"])
        ys.append(read["y"] + read["height"])
    if "r" in read:
        xs += [read["cx"] - read["r"], read["cx"] + read["r"]]
        ys += [read["cy"] - read["r"], read["cy"] + read["r"]]
    path = [float(value) for value in re.findall(r"-?[\d.]+", element.get("d", ""))]
    assert len(path) % 2 == 0
    return xs + path[::2], ys + path[1::2]


def text_ends(element: ET.Element) -> list[float]:
    css = element.get("class", "").split()
    wide = text_width(element.text or "", 11 if "ew-s" in css else BOLD if "ew-b" in css else 12)
    before = {"start": 0.0, "middle": wide / 2, "end": wide}[element.get("text-anchor", "start")]
    left = float(element.get("x", "nan")) - before
    return [left, left + wide]


@settings(max_examples=300, deadline=None)
@given(drawings(), st.sampled_from([WIDE, NARROW]))
def test_every_plot_of_anything_is_sound(draw: Draw, width: int) -> None:
    svg = draw(width)
    root = parsed(svg)
    assert root.get("role") == "img"
    named = [root[0].get("id"), root[1].get("id")]
    assert [root[0].tag, root[1].tag] == [f"{NAMESPACE}title", f"{NAMESPACE}desc"]
    assert root.get("aria-labelledby") == " ".join(map(str, named))
    _, _, wide, high = map(float, str(root.get("viewBox")).split())
    assert wide == width
    assert 0 < high < 6000
    for element in root.iter():
        if element is root:
            continue
        xs, ys = numbers(element)
        if element.tag == f"{NAMESPACE}text":
            xs += text_ends(element)
        assert all(math.isfinite(value) and -SLACK <= value <= wide + SLACK for value in xs), ET.tostring(element)
        assert all(math.isfinite(value) and -SLACK <= value <= high + SLACK for value in ys), ET.tostring(element)
    assert draw(width) == svg


@settings(max_examples=30, deadline=None)
@given(drawings(), st.booleans())
def test_a_file_of_any_plot_is_proper_xml_with_literal_colours(draw: Draw, dark: bool) -> None:
    whole = plots.standalone(draw(WIDE), dark)
    root = ET.fromstring(whole)
    assert "var(" not in whole.partition("</style>")[0]
    assert root.find(f"{NAMESPACE}style") is not None
    assert plots.standalone(draw(WIDE), dark) == whole


def test_ids_differ_between_keys_and_between_layouts() -> None:
    keys = ["a b", "a-b", "a/b", "a\x00b", "ä"]
    svgs = [plots.pareto((), Caption(key, "t", "d"), width=width) for key in keys for width in (WIDE, NARROW)]
    ids = [identifier for svg in svgs for identifier in re.findall(r' id="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) == 2 * len(svgs)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", identifier) for identifier in ids)


@pytest.mark.parametrize("draw", [
    lambda c: plots.pareto((), c), lambda c: plots.forest((), c), lambda c: plots.distribution((), c),
    lambda c: plots.run_order((), c), lambda c: plots.waterfall((), c), lambda c: plots.layers((), c),
    lambda c: plots.classes((), c), lambda c: plots.history((), (), c, metric="p50"),
])  # fmt: skip
def test_a_plot_of_nothing_says_so(draw: Callable[[Caption], str]) -> None:
    root = parsed(draw(Caption("k", "Title", "About it.")))
    assert [root[0].text, root[1].text] == ["Title", "About it."]
    words = " ".join(element.text or "" for element in root.iter(f"{NAMESPACE}text"))
    assert re.search(r"\b(no|nothing)\b", words.lower())
