"""What the records of hard models say, as Markdown: the lines of docs/measurement.md on them, which nobody types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from table import machine_of

RESULTS = Path(__file__).resolve().parent.parent / "results"
Json = dict[str, Any]


def lines() -> list[str]:
    """The tables of rescaled channels, of growth and of a heavy model; each only where its record is there."""
    found: list[str] = []
    for name, table in (("collapse.json", collapsed), ("scale.json", grown)):
        path = RESULTS / name
        if path.exists():
            found += [*([""] if found else []), *table(json.loads(path.read_text()))]
    return found


def collapsed(record: Json) -> list[str]:
    """One row for each rescaled model and runtime."""
    widest = max(row["widest"] for row in record["rows"])
    intro = (
        f"Channels rescaled by random powers of two, 2^-{widest} to 2^{widest}, wherever that leaves the function as it"
        " was; naive is onnxruntime's quantiser with one scale per tensor, before and after; ours is"
        f" `compile --precision int8 --max-drop 0.5%` of the rescaled model. {machine_of(record)}."
    )
    return [
        intro,
        "",
        "| model | channels | runtime | float | naive, before | naive, after | ours | drop | float for accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_collapsed_row(row, name, one) for row in record["rows"] for name, one in sorted(row["runtimes"].items())),
    ]


def _collapsed_row(row: Json, name: str, one: Json) -> str:
    ours = [one["problem"], ""] if one["value"] is None else [f"{one['value']:.4f}", f"{one['drop']:.4f}"]
    cells = [
        f"{row['model']}, draw {row['seed']}",
        f"{row['channels']} in {row['tensors']} sets",
        name,
        *(f"{value:.4f}" for value in (row["float"]["rescaled"], row["naive"]["original"], row["naive"]["rescaled"])),
        *ours,
        ", ".join(f"`{layer}`" for layer in one["kept_float"]) or "nothing",
    ]
    return f"| {' | '.join(cells)} |"


def grown(record: Json) -> list[str]:
    """Growth with nodes, and the memory of a heavy model; each where it was measured."""
    found: list[str] = []
    if (graphs := record.get("graphs")) is not None:
        found += _growth(graphs, record)
    if (weights := record.get("weights")) is not None:
        text = (
            f"A model of {weights['bytes'] / 1e9:.2f} GB of float32 weights beside its file, compiled for"
            f" `{weights['target']}` in {weights['precision']}: at most {weights['peak_bytes'] / 1e9:.2f} GB"
            f" resident in the whole tree of processes, {weights['ratio']:.2f} times the weights."
        )
        found += [*([""] if found else []), text]
    return found


def _growth(graphs: Json, record: Json) -> list[str]:
    rows, growth = graphs["rows"], graphs["growth"]
    slow = sorted(
        (name for name, one in growth.items() if one["seconds"] is not None and name != "all"),
        key=lambda name: -rows[-1]["steps"][name]["seconds"],
    )
    held = " | ".join(f"{row['peak_bytes'] / 1e6:.0f} MB" for row in rows)
    head = [f"{row['nodes']:,} nodes" for row in rows]
    intro = (
        "Synthetic graphs of mixed kinds, read, validated and passed through the default graph passes: processor"
        f" seconds, and the most memory held; {machine_of(record)}. The exponent is of a power law fitted to all sizes,"
        " and that between the two largest: 1 is in proportion. Shown are the five steps that take longest."
    )
    return [
        intro,
        "",
        f"| step | {' | '.join(head)} | exponent | the last |",
        f"|---|{'---|' * (len(head) + 2)}",
        *(_growth_row(name, [row["steps"][name]["seconds"] for row in rows], growth[name]) for name in slow[:5]),
        _growth_row("all", [sum(step["seconds"] for step in row["steps"].values()) for row in rows], growth["all"]),
        f"| memory | {held} | {growth['all']['peak_bytes']:.2f} | |",
    ]


def _growth_row(name: str, seconds: list[float], one: Json) -> str:
    times = " | ".join(f"{value:.3g} s" for value in seconds)
    return f"| {name} | {times} | {one['seconds']:.2f} | {one['last_seconds']:.2f} |"
