"""The look of the plots: classes, colours for light and dark, and files that stand alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape, unescape

from edgewright.benchmarks.report.plots.lettering import elided
from edgewright.benchmarks.report.plots.svg import NARROW, WIDE

# Text has a contrast of at least 4.5 on paper, everything else that carries meaning at least 3 (WCAG 2.2, 1.4.3 and
# 1.4.11; tests hold them to it). 1 to 6 follow Okabe and Ito's order of hues, which the colour-blind tell apart.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff", "ink": "#1f2429", "muted": "#59636e", "grid": "#e7eaee", "axis": "#828c98", "band": "#f1eee6",
    "1": "#0a66ad", "2": "#bd4b0c", "3": "#0d7a63", "4": "#8d4796", "5": "#866300", "6": "#5a6672",
    "good": "#0d7a63", "bad": "#bd4b0c", "open": "#866300",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "paper": "#14171b", "ink": "#e5e8ec", "muted": "#9fa8b3", "grid": "#262b32", "axis": "#707a87", "band": "#23231f",
    "1": "#66b1f0", "2": "#f2925a", "3": "#48c4a6", "4": "#cf97dd", "5": "#dbb84e", "6": "#a2adb9",
    "good": "#48c4a6", "bad": "#f2925a", "open": "#dbb84e",
}  # fmt: skip
SERIES = ("1", "2", "3", "4", "5", "6")

FAMILY = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif'
_FILE_FAMILY = 'Arial,"Liberation Sans","DejaVu Sans",sans-serif'


def _rules() -> str:
    plain = """
.ew text{font-family:FAMILY;font-size:12px;fill:var(--ew-ink)}
.ew .ew-m{fill:var(--ew-muted)}
.ew .ew-s{font-size:11px;fill:var(--ew-muted)}
.ew .ew-b{font-weight:600}
.ew .ew-halo{paint-order:stroke;stroke:var(--ew-paper);stroke-width:3px;stroke-linejoin:round}
.ew .ew-title{font-size:15px;font-weight:600}
.ew .ew-page{fill:var(--ew-paper)}
.ew .ew-grid{stroke:var(--ew-grid);stroke-width:1px}
.ew .ew-axis{stroke:var(--ew-axis);stroke-width:1px}
.ew .ew-one{stroke:var(--ew-ink);stroke-width:1.25px}
.ew .ew-limit{stroke:var(--ew-ink);stroke-width:1.25px;stroke-dasharray:4 3}
.ew .ew-lead{stroke:var(--ew-axis);stroke-width:.75px}
.ew .ew-band{fill:var(--ew-band)}
.ew .ew-empty{fill:none;stroke:var(--ew-axis);stroke-dasharray:3 3}
"""
    inked = "".join(
        f".ew .ew-f{name}{{fill:var(--ew-{name})}}"
        f".ew .ew-p{name}{{fill:var(--ew-{name});fill-opacity:.3}}"
        f".ew .ew-l{name}{{fill:none;stroke:var(--ew-{name});stroke-width:1.5px;stroke-linejoin:round}}"
        f".ew .ew-e{name}{{stroke:var(--ew-{name});stroke-width:1.25px;stroke-opacity:.75}}"
        f".ew .ew-h{name}{{fill:var(--ew-paper);stroke:var(--ew-{name});stroke-width:1.5px}}\n"
        for name in (*SERIES, "good", "bad", "open")
    )
    late = """.ew .ew-thin{stroke-width:.75px;stroke-dasharray:2 3}
.ew .ew-open{fill:none;stroke-opacity:.45;stroke-width:1px}
"""
    return plain.lstrip().replace("FAMILY", FAMILY) + inked + late


def _variables(colours: Mapping[str, str]) -> str:
    # Hollow marks are filled with what they stand on: the page's own --paper where it has one.
    own = {**colours, "paper": f"var(--paper,{colours['paper']})"}
    return ";".join(f"--ew-{name}:{colour}" for name, colour in own.items())


_RULES = _rules()
STYLE = f""".ew{{{_variables(LIGHT)}}}
@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]) .ew{{{_variables(DARK)}}}}}
@media screen{{[data-theme=dark] .ew{{{_variables(DARK)}}}}}
.ew{{display:block;width:100%;height:auto;max-width:900px;font-variant-numeric:tabular-nums}}
.ew-figure{{container-type:inline-size}}
.ew-narrow{{display:none}}
.ew-narrow .ew{{max-width:430px}}
@container (max-width:599px){{.ew-narrow{{display:block}}.ew-wide{{display:none}}}}
{_RULES}"""
"""CSS for the page that holds the plots; it follows ``prefers-color-scheme``, or ``data-theme`` on the root element."""

_HEAD = re.compile(r'^(<svg [^>]*?)viewBox="0 0 (\d+) ([\d.]+)"([^>]*>)<title [^>]*>(.*?)</title>', re.DOTALL)
_TITLE_BAND = 40
_TITLE_SIZE = 16.0


def responsive(draw: Callable[[int], str]) -> str:
    """HTML of a plot in both layouts, of which the page shows the one that fits: ``draw`` takes the width.

    >>> from edgewright.benchmarks.report.plots import Caption, pareto
    >>> html = responsive(lambda width: pareto((), Caption("k", "Title", "Nothing."), width=width))
    """
    return (
        f'<div class="ew-figure"><div class="ew-wide">{draw(WIDE)}</div>'
        f'<div class="ew-narrow">{draw(NARROW)}</div></div>'
    )


def standalone(svg_text: str, dark: bool = False) -> str:
    """A drawing of this package as a file of its own: literal colours, its title above it, a background."""
    head = _HEAD.match(svg_text)
    assert head is not None, "a drawing of this package"
    opening, width, height, rest, title = head.groups()
    total = float(height) + _TITLE_BAND + 12
    colours = DARK if dark else LIGHT
    rules = re.sub(r"var\(--ew-(\w+)\)", lambda found: colours[found[1]], _RULES.replace(FAMILY, _FILE_FAMILY))
    box = f'viewBox="-12 -{_TITLE_BAND} {int(width) + 24} {total:g}" width="{int(width) + 24}" height="{total:g}"'
    page = f'<rect class="ew-page" x="-12" y="-{_TITLE_BAND}" width="{int(width) + 24}" height="{total:g}"/>'
    named = svg_text[head.end(3) + 1 : head.start(5)].partition(">")[2]  # the opening of <title>
    start = head.end()
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}{box}{rest}{named}{title}</title>'
        f"<style>{rules}</style>{page}{_title_text(title, int(width))}{svg_text[start:]}\n"
    )


def _title_text(escaped: str, room: float) -> str:
    return f'<text class="ew-title" x="0" y="-15">{escape(elided(unescape(escaped), room, _TITLE_SIZE))}</text>'
