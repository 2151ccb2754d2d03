"""What the record of small.py says, as docs/device.md has it."""

from __future__ import annotations

import json
from typing import Any

from common import RESULTS
from table import machine_of

USES = ("verify", "run", "load", "load_here")
Json = dict[str, Any]


def lines(record: Json) -> list[str]:
    """The figures of docs/device.md."""
    install, start = record["install"], record["start"]
    sizes = sorted(install["largest"].items(), key=lambda item: -item[1])
    largest = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes[:3])
    intro = (
        f"Installed beyond Python: {install['bytes'] / 1e6:.0f} MB in files ({largest}), which take"
        f" {install['block_bytes'] / 1e6:.0f} MB on disk; {install['compiled_bytes'] / 1e6:.0f} MB of it is compiled"
        " Python. `import edgewright` takes"
        f" {start['import_s']:.3f} s, the least of several."
    )
    head = [
        intro,
        "",
        "| bundle | engine, limit | verify | run | load | not isolated | verify takes | inference, isolated or not |",
        "|---|---|---|---|---|---|---|---|",
    ]
    machine = (
        "Memory is the most that the process and its children held at any instant; pages that both share count once (in"
        f" brackets, for each of them); bold is beyond the limit. {machine_of(record)}; record:"
    )
    link = "[benchmarks/results/small.json](../benchmarks/results/small.json)."
    return [*head, *(_line(row) for row in record["rows"]), "", machine, link]


def arm_lines(record: Json) -> list[str]:
    """The files for Arm of docs/device.md."""
    return [f"- `{file}`" for file in record["arm"]["files"].values()]


def _held(one: Json, limit: int) -> str:
    text = f"{one['pss_bytes'] / 1e6:.0f} MB ({one['rss_bytes'] / 1e6:.0f})"
    return text if one["pss_bytes"] <= limit else f"**{text}**"


def _line(row: Json) -> str:
    held = [_held(row[one], row["limit_bytes"]) for one in USES]
    cells = [
        f"{row['model']}, {row['precision']}",
        f"{row['engine_bytes'] / 1e6:.2f} MB, {row['limit_bytes'] / 1e6:.0f} MB",
        *held,
        f"{row['verify']['wall_s']:.2f} s",
        f"{row['load']['inference_us']:.0f} us, {row['load_here']['inference_us']:.0f} us",
    ]
    return f"| {' | '.join(cells)} |"


def table() -> list[str]:
    """What the committed record says."""
    record = json.loads((RESULTS / "small.json").read_text(encoding="utf-8"))
    return [*lines(record), "", *arm_lines(record)]
