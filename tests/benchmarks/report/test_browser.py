"""The page in a real browser: nothing logged, nothing asked for, nothing wider than its window, painted at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the report extra is not installed")

from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.html import render_report

from .browser import Browser, browser, found
from .conftest import make_record, make_trace, sha

WIDER = """[...document.querySelectorAll("main *, header *")]
    .filter(one => !one.closest(".scroll, pre, svg") || one.matches(".cards *"))
    .map(one => [one.tagName + "." + one.className, one.getBoundingClientRect()])
    .filter(([name, box]) => box.width > 1 && box.right > document.documentElement.clientWidth + 1)
    .map(([name, box]) => name + " " + box.right)"""
LONG = "a/very/long/name/of/a/layer/that/does/not/end/" * 3


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = found()
    if path is None:
        pytest.skip("no Chromium here")
    with browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(records_at: Callable[..., Path], tmp_path: Path) -> Path:
    other = make_record(sha("other"), model=LONG, precision="fp16", ratio=1.2, verdict="regressed")
    sources = records_at(make_record(ratio=0.6), other, make_trace(), make_trace(sha("other"), word=LONG))
    path = tmp_path / "report.html"
    path.write_text(render_report(gather([sources])), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_is_shown_whole_and_silent(tab: Browser, page: Path, width: int, dark: bool) -> None:
    tab.load(page, width, dark=dark)
    tab.value('document.querySelectorAll("details").forEach(one => one.open = true)')
    assert tab.value(WIDER) == []
    assert tab.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert [one["request"]["url"] for one in tab.named("Network.requestWillBeSent")] == [page.as_uri()]
    assert tab.named("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    # The style sheet is let in by its digest: without it the page would stand on white.
    ground = tab.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(19, 21, 24)" if dark else "rgb(250, 249, 246)")
    drawn = tab.value(
        '[...document.querySelectorAll(".ew-wide, .ew-narrow")].map(one => one.getBoundingClientRect().width > 0)'
    )
    assert drawn
    assert sum(drawn) == len(drawn) / 2  # of each pair the one that fits
    assert painted_after_ms(tab) < 1000  # about 130 on two cores


def painted_after_ms(tab: Browser) -> float:
    """When the first of the page's content was seen; the browser may tell a moment after it has loaded."""
    for _ in range(100):
        found = tab.value('performance.getEntriesByName("first-contentful-paint").map(one => one.startTime)')
        if found:
            return float(found[0])
        time.sleep(0.05)
    raise AssertionError("nothing was painted within 5 s")


def test_the_keyboard_begins_with_the_way_past_the_contents(tab: Browser, page: Path) -> None:
    tab.load(page, 1280)
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert tab.value("document.activeElement.className") == "skip"
    assert tab.value("document.activeElement.getBoundingClientRect().top") >= 0
