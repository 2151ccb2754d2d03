from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.report.plots.lettering import elided, plain, text_width, wrapped

ANY = st.text(st.characters(exclude_categories=()), max_size=80)


@given(ANY, st.floats(0, 400))
def test_elided_words_fit_their_room_or_are_a_lone_ellipsis(words: str, room: float) -> None:
    shown = elided(words, room)
    assert shown == "…" or text_width(shown) <= room
    if text_width(words) <= room:
        assert shown == plain(words)


def test_the_end_of_a_name_is_kept_longer() -> None:
    shown = elided("/backbone/layer4/layer4.1/conv2/Conv", 130)
    assert shown.startswith("/")
    assert shown.endswith("conv2/Conv")


def test_a_name_of_a_million_letters_is_cut_at_once() -> None:
    assert text_width(elided("a" * 10**6, 100)) <= 100
    assert len(wrapped("a " * 10**6, 300)) == 6


@given(ANY, st.floats(40, 400))
def test_wrapped_lines_fit(words: str, room: float) -> None:
    lines = wrapped(words, room)
    assert 1 <= len(lines) <= 6
    assert all(text_width(line) <= room for line in lines)


def test_wrapping_loses_no_word_that_has_room() -> None:
    words = "no figure at 2 of 60 commits: the build failed"
    assert " ".join(wrapped(words, 120)) == words
    assert len(wrapped(words, 120)) > 1


def test_what_is_invisible_is_spelt_out() -> None:
    assert plain("a\u202eb\u2066c\x00d\te\n f") == r"a\u202eb\u2066c\x00d e f"
    assert plain("a\u061cb\u200bc\u200dd\ufeff") == r"a\u061cb\u200bc\u200dd\ufeff"


@given(ANY)
def test_all_that_is_shown_is_visible_and_stays_as_it_is(words: str) -> None:
    assert plain(words).isprintable()
    assert plain(plain(words)) == plain(words)
