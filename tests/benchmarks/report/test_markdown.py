"""The same tables as Markdown: whole, on one line a row, and deaf to names."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.markdown import render_markdown
from edgewright.benchmarks.report.page import page_of

from .conftest import make_record, make_trace, sha

RecordsAt = Callable[..., Path]


def unescaped(text: str) -> str:
    return html.unescape(text.replace("<!-- -->", ""))


def test_it_has_the_pages_sections_and_figures(records_at: RecordsAt) -> None:
    text = render_markdown(page_of(gather([records_at(make_record(ratio=0.6), make_trace())])))
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles[:4] == ["Verdict", "Results", "Accuracy and latency", "Ratios"]
    assert "The figures as data" not in titles
    assert "**Pass.** No regression in 1 comparison" in text
    plain = unescaped(text)
    assert "0.600\N{MULTIPLICATION SIGN}" in plain
    assert "| layer.29 | Conv | int8 | 0.0290 |" in plain


@pytest.mark.parametrize(
    "word", ["a|b", "<b>x</b>", "![x](http://e)", "`x`", "@team #1", "a\nb\u202e", "\\|", "~~~", "www.e"]
)
def test_rows_keep_their_columns_whatever_names_hold(word: str, records_at: RecordsAt) -> None:
    record = make_record(model=word, target=word, precision=word, ratio=0.5, notes=(word,))
    text = render_markdown(page_of(gather([records_at(record, make_trace(word=word))])))
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len(rows) > 20
    columns = None
    for line in text.split("\n"):
        if not line.startswith("|"):
            columns = None
            continue
        count = line.count("|")
        assert columns in (None, count), line
        columns = count
    assert "<b>" not in text
    assert not re.search(r"[@#](?!\d+;|<!-- -->)\w", text)
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u200f\u2028-\u202e]", text)
    assert "http://" not in text
    assert "www." not in text


def test_it_is_the_same_twice(records_at: RecordsAt) -> None:
    path = records_at(make_record(), make_record(sha("other"), precision="fp16"))
    assert render_markdown(page_of(gather([path]))) == render_markdown(page_of(gather([path, path])))
