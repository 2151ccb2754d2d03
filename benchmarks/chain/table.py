"""What the record of the chain says, as Markdown: the lines of the page that nobody types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]
HEAD = "| model | runtime | latency, of float32 (95 %) | times faster | before | after | lost | of | minutes |"
HEAD += " multiplications left | weights left | held |"
SHORT_HEAD = "| model | faster on ONNX Runtime | on OpenVINO | accuracy before | lost | samples | minutes |"
TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def lines(path: Path) -> list[str]:
    """The table and what it was measured on; nothing where there is no record."""
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    rows = record["rows"]
    return [
        _intro(record),
        "",
        HEAD,
        f"|{'---|' * (HEAD.count('|') - 1)}",
        *(line for name in rows for line in row_lines(name, rows)),
        "",
        *(f"- {row['title']}: {row['note']}." for row in rows.values()),
        *_kill(record["kill"]),
    ]


def short_lines(path: Path) -> list[str]:
    """One line for each row that both runtimes came through, with the weaker of the two in what was lost."""
    if not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    machine = record["machine"]
    kind = " (a virtual machine)" if machine["virtual"] else ""
    return [
        SHORT_HEAD,
        f"|{'---|' * (SHORT_HEAD.count('|') - 1)}",
        *(_short(row) for row in record["rows"].values() if _whole(row)),
        "",
        f"Measured on {machine['cores']} cores of an {machine['cpu']}{kind}, {record['date']}; record:",
        "[benchmarks/results/chain.json](benchmarks/results/chain.json);",
        "[all columns](docs/training.md#what-it-came-to).",
    ]


def _whole(row: Json) -> bool:
    found = row["runtimes"].values()
    return set(row["runtimes"]) == set(TITLES) and all(one["latency"] and one["accuracy"] for one in found)


def _short(row: Json) -> str:
    faster = [f"{1 / row['runtimes'][name]['latency']['ratio']:.2f}x" for name in TITLES]
    judged = [one["accuracy"] for one in row["runtimes"].values()]
    worst = max(judged, key=lambda one: one["drop"])
    shown = [*faster, f"{worst['before']:.4f}", f"{worst['drop']:.4f}", str(worst["n"]), f"{row['minutes']:.0f}"]
    return f"| {row['title']} | {' | '.join(shown)} |"


def _intro(record: Json) -> str:
    machine = record["machine"]
    kind = " (a virtual machine)" if machine["virtual"] else ""
    threads = sorted({one["latency"]["threads"] for one in _measured(record["rows"])})
    return (
        f"{machine['cores']} cores of an {machine['cpu']}{kind}, {', '.join(map(str, threads)) or 'no'} threads,"
        f" {record['date']}. Latency is of interleaved pairs of processes against the original in float32 on the same"
        " runtime; accuracy is over the whole evaluation set; minutes are of the one compile for both runtimes."
    )


def row_lines(name: str, rows: Json) -> list[str]:
    """One line for each runtime, or one that says why there is none."""
    row = rows[name]
    if not row["runtimes"]:
        return [f"| {row['title']} | both |{' |' * 9} {row['problem']} |"]
    return [_line(name, runtime, rows) for runtime in sorted(row["runtimes"])]


def _line(name: str, runtime: str, rows: Json) -> str:
    row = rows[name]
    found = row["runtimes"][runtime]
    latency, accuracy = found["latency"], found["accuracy"]
    if accuracy is None:
        said = found["problem"] or "no bundle"
        return f"| {row['title']} | {TITLES[runtime]} |{' |' * 9} exit {found['exit_code']}: {said} |"
    verdict = "yes" if runtime_held(name, runtime, rows) else "**no**"
    cells = [
        row["title"],
        TITLES[runtime],
        *_times(latency),
        f"{accuracy['before']:.4f}",
        f"{accuracy['after']:.4f}",
        f"{accuracy['drop']:.4f}",
        str(accuracy["n"]),
        f"{row['minutes']:.1f}",
        *(_left(found[key]) for key in ("macs", "parameters")),
        "; ".join([verdict, *_remarks(name, runtime, rows)]),
    ]
    return f"| {' | '.join(cells)} |"


def _times(latency: Json | None) -> tuple[str, str]:
    """The ratio with its interval, and how many times faster that is; nothing where it was not measured."""
    if latency is None:
        return "", ""
    interval = latency["ci95"]
    ends = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    shaky = "" if latency["status"] == "ok" else f", {latency['status']}"
    return f"{latency['ratio']:.3f}{ends}{shaky}", f"{1 / latency['ratio']:.2f}"


def _left(counts: Json) -> str:
    before, after = counts["before"], counts["after"]
    return "" if not before or after is None else f"{after / before:.0%}"


def _remarks(name: str, runtime: str, rows: Json) -> list[str]:
    row = rows[name]
    found, remarks = row["runtimes"][runtime], []
    if found["exit_code"]:
        remarks.append(f"exit {found['exit_code']}: {found['problem']}")
    share = recovered(name, runtime, rows)
    if share is not None:
        remarks.append(f"{share:.0%} of the loss is back")
    return remarks


def recovered(name: str, runtime: str, rows: Json) -> float | None:
    """The share of another row's loss that this one takes back; None where none is asked for, or lost, or known."""
    other = rows.get(rows[name]["bar"]["recovers"] or "", {"runtimes": {}})["runtimes"].get(runtime)
    if other is None or other["accuracy"] is None or other["accuracy"]["drop"] <= 0:
        return None
    return float(1 - rows[name]["runtimes"][runtime]["accuracy"]["drop"] / other["accuracy"]["drop"])


def held(name: str, rows: Json) -> bool:
    """Whether a row clears its bar on every runtime."""
    runtimes = rows[name]["runtimes"]
    return bool(runtimes) and all(runtime_held(name, runtime, rows) for runtime in runtimes)


def runtime_held(name: str, runtime: str, rows: Json) -> bool:
    """Whether a row clears its bar on one runtime, its minutes included."""
    row = rows[name]
    bar, found = row["bar"], row["runtimes"][runtime]
    if found["exit_code"] != bar["exit_code"] or found["accuracy"] is None:
        return False
    share, latency = recovered(name, runtime, rows), found["latency"]
    checks = [
        (bar["speedup"], lambda least: latency is not None and latency["ratio"] * least <= 1),
        (bar["lost"], lambda most: found["accuracy"]["drop"] <= most + 1e-9),
        (bar["minutes"], lambda most: row["minutes"] <= most),
        (bar["recovered"] or None, lambda least: share is not None and share >= least),
    ]
    return all(limit is None or clears(limit) for limit, clears in checks)


def _measured(rows: Json) -> list[Json]:
    return [one for row in rows.values() for one in row["runtimes"].values() if one["latency"] is not None]


def _kill(found: Json | None) -> list[str]:
    if found is None:
        return []
    went = "went on from its checkpoint" if found["resumed"] else "did not go on from its checkpoint"
    same = "the same engine, byte for byte, as" if found["same_engine"] else "another engine than"
    return [
        (
            f"- Killed with SIGKILL at checkpoint {found['killed_after']} of recovery ({found['case']}), the next run"
            f" {went} and made {same} a run that nobody stopped."
        )
    ]
