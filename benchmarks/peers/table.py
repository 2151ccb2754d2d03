"""What the record says, as Markdown: the short table of the front page, and the page with every route."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures

ROOT = Path(__file__).resolve().parents[2]
SHORT, FULL = "peers", "peers, in full"
"""Names of the marked blocks: the one of the front page, the one of docs/peers.md."""
SHORT_HEAD = (
    "| model | the fastest other way within the limit | ms | Edgewright, ms | ratio (95 %) | verdict | lost, of limit |"
    " compiled in | peak memory |"
)
FULL_HEAD = (
    "| model | route | ms | Edgewright over it (95 %) | metric | lost | of | holds | made in | peak memory | size |"
)
TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
Json = Mapping[str, Any]


def read(path: Path) -> Json | None:
    """The record; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def short_lines(record: Json | None) -> list[str]:
    """One line for each case that was compared to its end, and what they come to."""
    cases = _finished(record)
    if record is None or not cases:
        return []
    machine = record["machine"]
    return [
        SHORT_HEAD,
        _rule(SHORT_HEAD),
        *(_short(name, case) for name, case in sorted(cases.items())),
        "",
        *_overall(cases),
        "",
        f"Measured on {machine['cores']} cores of an {machine['cpu']}, {_threads(cases)}, {record['date']}; record:",
        "[benchmarks/results/peers.json](benchmarks/results/peers.json);",
        "[every route, how to read it, how to repeat it](docs/peers.md).",
    ]


def full_lines(record: Json | None) -> list[str]:
    """Every route of every case, what each comes to by itself, and with what it was made."""
    cases = _finished(record)
    if record is None or not cases:
        return []
    machine, versions = record["machine"], record["versions"]
    ours = ", ".join(f"{name} {versions['ours'][name]}" for name in ("edgewright", "onnxruntime", "openvino"))
    peers = ", ".join(f"{name} {versions['peers'][name]}" for name in ("nncf", "olive-ai", "onnxruntime"))
    where = f"{machine['cores']} cores of an {machine['cpu']}, {_threads(cases)}, {record['date']}"
    return [
        f"{where}. Timed with {ours}; the others' models were made with {peers}.",
        "",
        FULL_HEAD,
        _rule(FULL_HEAD),
        *(line for name, case in sorted(cases.items()) for line in _case_lines(name, case)),
        "",
        *_overall(cases),
        "",
        *_routes(cases),
    ]


def fill(record: Json | None, pages: Sequence[Path]) -> list[Path]:
    """Puts the tables where the pages have their markers; gives the pages that changed."""
    changed = []
    for page in pages:
        before = text = page.read_text(encoding="utf-8")
        for name, lines in ((SHORT, short_lines(record)), (FULL, full_lines(record))):
            begin, end = f"<!-- figures: {name} -->\n", f"<!-- end: {name} -->"
            head, found, rest = text.partition(begin)
            if found and end in rest:
                text = head + begin + "".join(f"{line}\n" for line in lines) + end + rest.partition(end)[2]
        if text != before:
            page.write_text(text, encoding="utf-8")
            changed.append(page)
    return changed


def _finished(record: Json | None) -> dict[str, Json]:
    """The cases whose artifacts were all made, ours among them; one still on its way is not shown."""
    return {name: case for name, case in (record or {"cases": {}})["cases"].items() if "ours" in case}


def _threads(cases: Mapping[str, Json]) -> str:
    counts = sorted({case["protocol"]["threads"] for case in cases.values() if "protocol" in case})
    return f"{', '.join(map(str, counts)) or 'no'} threads"


def _rule(head: str) -> str:
    return f"|{'---|' * (head.count('|') - 1)}"


def _short(name: str, case: Json) -> str:
    ours, rival = case["ours"], figures.fastest(case)
    timed = rival is not None and ours.get("ms") is not None
    adjacent = None if rival is None else figures.adjacent_ms(case, rival)
    cells = [
        name,
        "" if rival is None else case["routes"][rival]["title"],
        "" if adjacent is None else f"{adjacent[1]:.3f}",
        "" if adjacent is None else f"{adjacent[0]:.3f}",
        _ratio(figures.beside(case, str(rival))) if timed else "",
        _verdict(case),
        _lost(ours, case),
        f"{ours['compile_s']:.0f} s",
        f"{ours['peak_bytes'] / 1e6:.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def _verdict(case: Json) -> str:
    word = figures.verdict(case)
    shown = word if word in ("pass", "inconclusive") else f"**{word}**"
    return f"{shown}, **slower than float**" if figures.slower_than_float(case) else shown


def _case_lines(name: str, case: Json) -> list[str]:
    """Ours first, then what was timed from the fastest on, then the rest."""
    in_order = figures.holding(case)
    rest = [one for one in case["routes"] if one not in in_order]
    return [_line(name, "", case), *(_line(name, route, case) for route in (*in_order, *rest))]


def _line(name: str, route: str, case: Json) -> str:
    row = case["routes"][route] if route else case["ours"]
    if row["status"] != "built":
        return f"| {name} | {row['title']} |{' |' * 5} failed: {_plain(row['reason'])} |{_cost(row)} | |"
    made = f"Edgewright: {TITLES[row['engine']]}, {row['candidate']}" if not route else row["title"]
    cells = [
        name,
        made,
        _ms(row),
        _ratio(figures.beside(case, route)) if route and row.get("ratio") is not None else "",
        _value(row, case, "value"),
        _value(row, case, "drop"),
        _limits(case),
        ("yes" if row["holds"] else "no") + (f", not timed: {_plain(row['untimed'])}" if row.get("untimed") else ""),
    ]
    return f"| {' | '.join(cells)} |{_cost(row)} | {row['size_bytes'] / 1e6:.2f} MB |"


def _plain(text: str) -> str:
    """What a cell of a table can hold."""
    return " ".join(text.replace("|", "/").split())


def _cost(row: Json) -> str:
    if row["compile_s"] is None:
        return " | "
    return f" {row['compile_s']:.0f} s | {row['peak_bytes'] / 1e6:.0f} MB"


def _ms(row: Json) -> str:
    return "" if row.get("ms") is None else f"{row['ms']:.3f}"


def _ratio(found: tuple[float, tuple[float, float] | None]) -> str:
    ratio, interval = found
    return f"{ratio:.3f}" + ("" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})")


def _value(row: Json, case: Json, key: str) -> str:
    """A figure of the metric, and of the second one where the case has two."""
    values = [row.get(key), *([row.get(f"second_{key}")] if "second_metric" in case else [])]
    return "; ".join("not a number" if value is None else f"{value:.4f}" for value in values)


def _limits(case: Json) -> str:
    limits = [case["max_drop"], *([case["second_max_drop"]] if "second_metric" in case else [])]
    return "; ".join(f"{limit:g}" for limit in limits)


def _lost(row: Json, case: Json) -> str:
    return "" if row["status"] != "built" else f"{_value(row, case, 'drop')} of {_limits(case)}"


def _overall(cases: Mapping[str, Json]) -> list[str]:
    """The figures over all cases, one paragraph."""
    found, done = figures.summary(cases), figures.compared(cases)
    words = [row["verdict"] for row in found["cases"].values()]
    told = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    if not done:
        return [f"Models: {told}. Nothing was compared to its end yet."]
    mean = (
        f"the geometric mean of Edgewright's latency over each model's fastest other way is {found['over_fastest']:.3f}"
    )
    if found["best_single"] is not None:
        title = next(case["routes"][found["best_single"]]["title"] for case in cases.values())
        mean += f"; over the best single way that keeps every limit ({title}), {found['over_best_single']:.3f}"
    slow = [name for name, row in found["cases"].items() if row["slower_than_float"]]
    unknown = [name for name, row in found["cases"].items() if row["slower_than_float"] is None]
    ends = [f"Slower than the fastest float engine: {', '.join(slow) or 'none'}."]
    ends += [f"Not known to be no slower: {', '.join(unknown)}."] if unknown else []
    return [f"Models: {told}. Over {len(done)} of them, {mean}. {' '.join(ends)}"]


def _routes(cases: Mapping[str, Json]) -> list[str]:
    """What each single route comes to."""
    titles = {name: row["title"] for case in cases.values() for name, row in case["routes"].items()}
    rows = figures.single_routes(cases)
    return [
        "| route, for every model | keeps the limit of | Edgewright over it there, geometric mean |",
        "|---|---|---|",
        *(
            f"| {titles[name]} | {row['holds']} of {row['of']} |"
            f" {'' if row['ratio'] is None else format(row['ratio'], '.3f')} |"
            for name, row in rows.items()
        ),
    ]
