"""The page: well-formed, self-contained, the same twice, light, and deaf to whatever names try to tell it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the report extra is not installed")

from edgewright.benchmarks.record import append_record, record_path
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.html import render_report, style_sheet
from edgewright.benchmarks.report.page import page_of
from edgewright.benchmarks.trace import append_trace

from .conftest import make_record, make_trace, sha

RecordsAt = Callable[..., Path]
BundleAt = Callable[..., tuple[Path, str]]

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}
ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "a",
        "header",
        "p",
        "h1",
        "h2",
        "div",
        "nav",
        "ul",
        "li",
    ),
    *("ol", "main", "section", "span", "strong", "code", "pre", "dl", "dt", "dd", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "sup", "bdi", "figure", "figcaption", "details", "summary", "footer"),
    *("svg", "desc", "line", "rect", "path", "circle", "text", "tspan", "g", "defs", "polyline", "polygon", "use"),
}
HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style></script><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}${7*7}",
    "&lt;b&gt;&#x3c;i&#x3e;",
    "]]><!--<b>--><![CDATA[",
    "\u202egnp.exe\u2066\u200f",
    "nul\x00bel\x07esc\x1b[31m",
    "line\nbreak\u2028\ud800",
    'x" d="M1.234 5.678',
)


class Seen(HTMLParser):
    """What a browser would make of the page; fails where tags are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return "".join(self.words)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def full(records_at: RecordsAt, bundle_at: BundleAt) -> str:
    """A page with something in every section but the history."""
    path, digest = bundle_at()
    records = records_at(
        make_record(digest, ratio=0.6, notes=("other guests share its cores",)),
        make_record(sha("net bf16"), precision="bf16", ratio=1.2, verdict="regressed", seed=1),
        make_trace(digest),
    )
    return render_report(gather([path, records]))


def test_every_section_is_there_and_the_verdict_first(full: str) -> None:
    seen = Seen(full)
    ids = [attributes["id"] for attributes in seen.of("section") if "id" in attributes]
    assert ids == [
        *("verdict", "results", "tradeoff", "ratios", "distribution", "runs", "passes", "layers", "classes"),
        *("left", "provenance", "data"),
    ]
    assert not any("absent" in (attributes.get("class") or "") for attributes in seen.of("section"))
    for word in ("Regressed", "1 of 2 comparisons", "0.600\N{MULTIPLICATION SIGN}", "1.7 %", "9 answers lost"):
        assert word in seen.text


def test_it_is_accessible(full: str) -> None:
    seen = Seen(full)
    assert seen.of("html")[0]["lang"] == "en"
    assert [tag for tag, _ in seen.tags if tag in ("header", "nav", "main", "footer")] == [
        *("header", "nav", "main", "footer")
    ]
    assert len(seen.of("h1")) == 1
    assert len(seen.of("caption")) == len(seen.of("table"))
    assert {attributes.get("scope") for attributes in seen.of("th")} == {"col", "row"}
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in seen.tags:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in ids
        if (attributes.get("href") or "").startswith("#"):
            assert str(attributes["href"])[1:] in ids
    for drawing in seen.of("svg"):
        assert drawing.get("role") == "img"
        assert drawing.get("aria-labelledby")
    assert len(seen.of("figcaption")) == len(seen.of("figure")) > 5
    headings = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_it_needs_nothing_from_anywhere(full: str) -> None:
    seen = Seen(full)
    (policy,) = (one["content"] for one in seen.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    (style,) = re.findall(r"<style>(.*?)</style>", full, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert full.index("Content-Security-Policy") < full.index("<style>")
    assert not seen.of("script")
    assert re.findall(r"url\(|@import|expression\(", style) == []
    for tag, attributes in seen.tags:
        assert tag in ELEMENTS
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "xlink:href", "action", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, name, value)
    assert "http://" not in full.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https://" not in full


def test_the_style_is_for_both_schemes_print_and_small_windows() -> None:
    style = style_sheet()
    assert "</" not in style
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width", ":focus-visible", "details-content"):
        assert rule in style


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: str) -> None:
    """Every ink on every ground it stands on: at least 4.5 (WCAG 2.2, 1.4.3)."""
    blocks = re.findall(r":root \{(.*?)\}", style_sheet(), re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[0 if scheme == "light" else 1]))
    pairs = [
        (ink, ground) for ink in ("ink", "muted", "accent") for ground in ("paper", "surface", "faint", "none-wash")
    ]
    pairs += [(tone, ground) for tone in ("good", "bad", "unsure", "none") for ground in ("surface", f"{tone}-wash")]
    for ink, ground in pairs:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_input_gives_the_same_bytes(records_at: RecordsAt, bundle_at: BundleAt) -> None:
    path, digest = bundle_at()
    records = records_at(make_record(digest, ratio=0.6), make_trace(digest))
    assert render_report(gather([path, records])) == render_report(gather([records, path, records]))


def test_twenty_variants_with_everything_stay_light(bundle_at: BundleAt, tmp_path: Path) -> None:
    """Five models in four precisions: 40 runs each in pairs, 120 layers, 100 classes, a journal."""
    paths = []
    for at in range(20):
        path, digest = bundle_at(
            f"b{at}", PRECISIONS[at % 4], weights=f"weights {at // 4}", layer=f"encoder.{at}.query"
        )
        append_record(record_path(path), make_record(digest, ratio=0.5 + at / 20, seed=at, pairs=20, samples=320))
        append_trace(record_path(path), make_trace(digest, layers=120, classes=100))
        paths.append(path)
    text = render_report(gather(paths))
    assert len(text.encode()) <= 500_000
    assert "many variants" in text
    seen = Seen(text)
    for part in ("runs", "passes", "layers", "classes", "left"):
        assert sum(str(one["id"]).startswith(f"fold-{part}-") for one in seen.of("details")) == 20


@pytest.mark.parametrize("word", HOSTILE)
def test_names_stay_names(word: str, records_at: RecordsAt, bundle_at: BundleAt) -> None:
    """In the model's, target's, layers', classes' and passes' names, and in every reason: shown, never obeyed."""
    plain_path, _ = bundle_at("plain", layer="x", model="x")
    path, digest = bundle_at(layer=word, model=word, weights="w")
    record = make_record(digest, word, word, word, ratio=1.2, verdict="regressed", notes=(word,), flag=word)
    record = replace(record, versions={word: word}, machine=replace(record.machine, cpu=word, os=word))
    lone = make_record(sha("lone"), word, word, word, ratio=0.5, notes=(word,))
    text = render_report(gather([plain_path, path, records_at(record, lone, make_trace(digest, word, 3, 3))]))
    seen = Seen(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    for tag, attributes in seen.tags:
        assert tag in ELEMENTS
        assert not any(name.startswith("on") or name in ("style", "autofocus", "src") for name in attributes)
        assert (attributes.get("href") or "#")[0] in "#d"
    spelt = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in word)
    assert seen.text.count(spelt) >= 8


def test_a_missing_figure_has_its_reason_under_the_table(records_at: RecordsAt) -> None:
    short = make_record(sha("short"), precision="fp16", samples=60)
    text = render_report(gather([records_at(make_record(), short)]))
    seen = Seen(text)
    assert "unmeasured" in seen.text
    assert "p99 ms: p99 needs 662 samples, there are 480" in seen.text


def test_sections_without_data_are_a_line_that_says_how_to_get_it(records_at: RecordsAt) -> None:
    seen = Seen(render_report(gather([records_at(make_record())])))
    absent = {attributes["id"] for attributes in seen.of("section") if attributes.get("class") == "absent"}
    assert absent == {"ratios", "passes", "layers", "classes", "left"}
    for command in ("--against BASELINE", "--self-test", "--trace"):
        assert command in seen.text


def test_the_embedded_data_is_json(full: str) -> None:
    import json

    (text,) = re.findall(r'id="data".*?<pre[^>]*><code>(.*?)</code>', full, re.S)
    document = json.loads(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert document["schema"] == "edgewright.report/1"
    assert len(document["variants"]) == 2
    assert len(document["variants"][0]["runs"]["window_medians_ns"]) == 16


def test_less_detail_says_what_is_left_out(records_at: RecordsAt) -> None:
    from edgewright.benchmarks.report.detail import LEVELS

    data = gather([records_at(make_record(), make_trace())])
    assert page_of(data, LEVELS[0]).remarks == ()
    for detail in LEVELS[1:]:
        assert page_of(data, detail).remarks == (detail.note,)


def test_a_history_is_drawn_where_it_was_asked_for(records_at: RecordsAt, tmp_path: Path) -> None:
    from edgewright.benchmarks.history import append_record_to_history
    from edgewright.benchmarks.report.past import read_history

    for at in range(3):
        record = make_record(created=f"2026-05-0{at + 1}T00:00:00Z", seed=at)
        append_record_to_history(tmp_path / "history", record, f"{at}" * 40)
    histories, left_out = read_history(tmp_path / "history", "p50")
    assert left_out == ()
    assert [len(one.points) for one in histories] == [3]
    data = replace(gather([records_at(make_record())]), histories=histories)
    seen = Seen(render_report(data))
    assert "history" in {attributes.get("id") for attributes in seen.of("section")}
    assert "Commits: 3, oldest first." in seen.text
