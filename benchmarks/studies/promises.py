"""What the records of studies say, as Markdown: the lines of docs/measurement.md on them, which nobody types."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from builds_table import built
from table import machine_of

RESULTS = Path(__file__).resolve().parent.parent / "results"
Json = dict[str, Any]


def lines() -> list[str]:
    """A table for each study whose record is there."""
    found: list[str] = []
    tables = {
        "collapse.json": collapsed,
        "scale.json": grown,
        "search.json": searched,
        "explain.json": explained,
        "blame.json": blamed,
        "repeat.json": repeated,
        "builds.json": built,
        "tamper.json": tampered,
    }
    for name, table in tables.items():
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


def searched(record: Json) -> list[str]:
    """One row for each search."""
    return [
        (
            "`compile --precision auto --target native`, both runtimes, nothing in any cache: seconds of the whole"
            " command, the candidates that were looked at, and how often the calibration samples were run; the time of"
            f" what was chosen is search grade, as a multiple of the fastest float engine's. {machine_of(record)}."
        ),
        "",
        "| model | nodes | limit | took | candidates | calibrations | chosen | proven drop | time |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_searched_row(row) for row in record["rows"]),
    ]


def _searched_row(row: Json) -> str:
    head = f"| {row['model']} | {row['nodes']} | {row['metric']} {row['max_drop']} | {row['wall_s']:.0f} s |"
    if row["problem"]:
        return f"{head} | {len(row['calibrations'])} | {row['problem']} | | |"
    low, high = row["ratio_ci95"] or (row["ratio"], row["ratio"])
    return (
        f"{head} {row['candidates']} | {len(row['calibrations'])} | {row['target']} {row['chosen']} |"
        f" {row['drop']:.4f} | {row['ratio']:.2f}x ({low:.2f} to {high:.2f}) |"
    )


def explained(record: Json) -> list[str]:
    """One row for each bundle that was explained."""
    return [
        (
            "`edgewright explain`: a run as it is, the profiled run, and what its layers and the engine's overhead"
            f" come to as a share of it. {machine_of(record)}."
        ),
        "",
        "| model | runtime | compiled to | a run | profiled | layers | overhead | together | executed precisions |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_explained_row(row) for row in record["rows"]),
    ]


def _explained_row(row: Json) -> str:
    head = f"| {row['model']} | {row['runtime']} | {row['precision']} |"
    if row["problem"]:
        return f"{head} {row['problem']} | | | | | |"
    times = (f"{row[key] / 1e3:.3g} ms" for key in ("plain_us", "profiled_us", "layers_us", "overhead_us"))
    kinds = [f"{count} {name}" for name, count in row["precisions"].items()]
    kinds += [f"{row['unnamed']} not told"] if row["unnamed"] else []
    return f"{head} {' | '.join(times)} | {row['accounted']:.1%} | {', '.join(kinds)} |"


def blamed(record: Json) -> list[str]:
    """How many faults were found of each model."""
    rows = record["rows"]
    harmful = [row for row in rows if row["harmful"]]
    passes = sorted({row["planted"]["pass"] for row in rows})
    intro = (
        f"`edgewright blame --precision {rows[0]['precision']}` with one layer's weights drowned in noise behind"
        f" {len(passes)} different stages of the passes, on real models, data and metrics. Pass and layer were both"
        f" named {_right(harmful)} times of the {len(harmful)} where that cost accuracy beyond chance, and"
        f" {_right(rows)} of all {len(rows)}. {machine_of(record)}."
    )
    head = "| model | judged by | costly faults | named | faults that cost nothing | named | seconds each |"
    return [intro, "", head, "|---|---|---|---|---|---|---|", *_blamed_rows(rows)]


def _blamed_rows(rows: list[Json]) -> list[str]:
    found = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        costly, rest = ([row for row in own if row["harmful"] is harmful] for harmful in (True, False))
        seconds = statistics.median(row["wall_s"] for row in own)
        cells = [name, own[0]["metric"], len(costly), _right(costly), len(rest), _right(rest), f"{seconds:.0f}"]
        found.append(f"| {' | '.join(map(str, cells))} |")
    return found


def _right(rows: list[Json]) -> int:
    return sum(row["right"] for row in rows)


def repeated(record: Json) -> list[str]:
    """One row for each compile that was typed again."""
    return [
        (
            "The same `compile` typed again, its cache warm: whole processes, in turns with `python -c pass`, and"
            f" beside it what one changed option took and what it added to the cache. {machine_of(record)}."
        ),
        "",
        "| model | first | again | beyond the interpreter | one change |",
        "|---|---|---|---|---|",
        *(_repeated_row(row) for row in record["rows"]),
    ]


def _repeated_row(row: Json) -> str:
    changes = []
    for one in row["changed"]:
        added = ", ".join(f"{count} {kind}" for kind, count in one["added"].items()) or "nothing"
        changes.append(f"`{one['option']}` {one['wall_s']:.1f} s: {added}")
    again = statistics.median(row["again_s"])
    return (
        f"| {row['model']}, {row['form']} | {row['first_s']:.1f} s | {again:.2f} s | {row['beyond_s']:.2f} s |"
        f" {'; '.join(changes)} |"
    )


def tampered(record: Json) -> list[str]:
    """One row for each bundle."""
    rows = record["rows"]
    kinds = len({kind for row in rows for kind in row["kinds"]})
    return [
        (
            f"Signed bundles altered in {kinds} kinds of ways, over every member, the manifest, the signature and the"
            " zip's own bytes, zipped and unzipped: `edgewright verify --key` of each. Loaded is whatever was reached"
            " of golden samples, engines and processes; without a key are those that are no whole bundles, which"
            " digests alone must find."
        ),
        "",
        "| bundle | members | altered | refused, exit 65 | loaded | without a key | refused |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['model']} | {row['members']} | {row['alterations']:,} | {row['refused']:,} |"
            f" {sum(row['loaded'].values())} | {row['digests']['alterations']:,} | {row['digests']['refused']:,} |"
            for row in rows
        ),
    ]
