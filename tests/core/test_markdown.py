"""Foreign text in Markdown stays text, for CommonMark and for GitHub's additions."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.foreign_text import spelt_out
from edgewright.core.markdown import escaped

ANY = st.text(st.sampled_from("ab1.)-+=*_#@!|\\`~<>&[](){}$:/w \n\t\u202e\u200d") | st.characters(), max_size=30)


@given(ANY)
def test_nothing_in_it_is_markup_and_nothing_is_lost(text: str) -> None:
    found = escaped(text)
    plain = found.replace("<!-- -->", "")
    assert not set("|`<>*_[]\\~!{}$\n\r") & set(plain)
    assert not re.search(r"[@#](?!\d+;)", plain)
    assert "www." not in plain.lower()
    assert "://" not in plain
    assert html.unescape(plain) == spelt_out(text)


@given(ANY)
def test_nothing_at_its_start_is_a_block(text: str) -> None:
    """Blocks of code, rules, lists, and the line under a heading (CommonMark 0.31, sections 4.1 to 4.4 and 5.2)."""
    assert not re.match(r" |=|[-+]( |$)|-[ -]*$|\d{1,9}[.)]( |$)", escaped(text), re.ASCII)


@pytest.mark.parametrize("text", ["-0.5", "+3 %", "31.06", "1.5 to 2", "net/onnx-int8 (integer)", "2026-05-04"])
def test_figures_and_names_stay_readable(text: str) -> None:
    assert escaped(text) == text


def test_mentions_and_links_of_github_are_broken() -> None:
    """It links both even when they are character references, unless something stands between."""
    assert escaped("@team") == "&#64;<!-- -->team"
    assert escaped("see #12") == "see &#35;<!-- -->12"
    assert escaped("http://a WWW.b") == "http&#58;//a WWW&#46;b"
