"""The report as one HTML file that needs no network, no script and no other file.

Its content security policy allows the one style sheet by its digest and nothing else that is inline, so that even a
name that escaped the escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Page, Plot
from edgewright.benchmarks.report.data import ReportData
from edgewright.benchmarks.report.detail import LEVELS, LIMIT_BYTES, TOO_MUCH
from edgewright.benchmarks.report.drawn import drawn
from edgewright.benchmarks.report.page import page_of
from edgewright.core.foreign_text import spelt_out

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_PACKAGE = "edgewright.benchmarks.report"
_BLANKS = re.compile(r"\n[ \n]*\n")


def render_report(data: ReportData) -> str:
    """The whole file, in as much detail as keeps it below :data:`edgewright.benchmarks.report.detail.LIMIT_BYTES`.

    Where even the least detail does not, it says so.

    Raises:
        ModuleNotFoundError: without the ``report`` extra.
    """
    for detail in LEVELS:
        page = page_of(data, detail)
        text = render_html(page)
        if len(text.encode()) <= LIMIT_BYTES:
            return text
    return render_html(replace(page, remarks=(*page.remarks, TOO_MUCH)))


def render_html(page: Page) -> str:
    """The whole file; the same bytes for the same page.

    Raises:
        ModuleNotFoundError: without the ``report`` extra.
    """
    style = style_sheet()
    text = _environment().get_template("page.html.j2").render(page=page, style=_markup(style), policy=policy(style))
    return _BLANKS.sub("\n", text)  # the style has none, so that its digest holds


def style_sheet() -> str:
    """The page's CSS with that of its plots."""
    own = resources.files(_PACKAGE).joinpath("page.css").read_text("utf-8")
    return _BLANKS.sub("\n", f"\n{own}\n{plots.STYLE}\n")


def policy(style: str) -> str:
    """The content security policy of a page whose one ``<style>`` holds ``style`` (CSP level 3, section 2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: resources.files(_PACKAGE).joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["drawn"] = _drawn
    environment.filters["text"] = _code
    environment.tests["a"] = lambda block, kind: type(block).__name__ == kind
    return environment


def _finalize(value: object) -> object:
    """Every text that reaches the page has its invisible characters spelt out, unless it is markup of our own."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(spelt_out(line) for line in value.split("\n"))


def _drawn(plot: Plot) -> Markup:
    return _markup(drawn(plot))


def _code(text: str) -> Markup:
    """Text between tags, where quotes need no escaping: JSON is full of them."""
    shown = str(_finalize(text))
    return _markup(shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - the style sheet and the drawings, which escape what they are given
