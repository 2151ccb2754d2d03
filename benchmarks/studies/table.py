"""What the committed records of the studies say, as Markdown: the lines of docs/measurement.md that nobody types."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"


def lines() -> list[str]:
    """The table of the sessions, and that of the vendors' tools; each only where its record is there."""
    found: list[str] = []
    for name, table in (("gate.json", _sessions), ("vendors.json", _vendors)):
        path = RESULTS / name
        if path.exists():
            found += [*([""] if found else []), *table(json.loads(path.read_text()))]
    return found


def _sessions(record: dict) -> list[str]:  # type: ignore[type-arg]
    real = record["sessions"]
    rows = []
    for slowdown in sorted({row["slowdown"] for row in real}):
        of = [row for row in real if row["slowdown"] == slowdown]
        rows.append((f"{slowdown:.0%}", "real", _bundles(of), [row["verdict"] for row in of]))
    unchanged = [row for row in real if not row["slowdown"]]
    simulated = record.get("simulated")
    for effect, counts in () if simulated is None else simulated["verdicts"].items():
        verdicts = [one for one, n in counts.items() for _ in range(n)]
        rows.append((effect, "simulated", "the noise of those of 0%", verdicts))
    noise = [row["minimum_detectable_effect"] for row in unchanged]
    intro = (
        f"What the gate says where the truth is known: {machine_of(record)}, preset `{real[0]['preset']}`,"
        f" {_threads(real)}. A real slowdown is a busy wait in one arm; simulated sessions are drawn from the noise of"
        " the real ones without one, and say nothing of noisier bundles."
    )
    return [
        intro,
        "",
        "| true slowdown | sessions | of | how many | pass | inconclusive | regressed |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {effect} | {kind} | {of} | {len(verdicts)} | {verdicts.count('pass')} |"
            f" {verdicts.count('inconclusive')} | {verdicts.count('regressed')} |"
            for effect, kind, of, verdicts in rows
        ),
        "",
        f"The minimum detectable effect of those of 0% was {min(noise):.1%} to {max(noise):.1%}.",
    ]


def _bundles(rows: list) -> str:  # type: ignore[type-arg]
    return ", ".join(f"`{one}`" for one in sorted({row["bundle"] for row in rows}))


def _vendors(record: dict) -> list[str]:  # type: ignore[type-arg]
    intro = "The harness beside the engines' own tools; same file, threads, cores and inputs, in turn"
    return [
        f"{intro}: {machine_of(record)}, {_threads(record['rows'])}.",
        "",
        "| model | runtime | beside | ours | theirs | ours / theirs (95 %) |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['bundle']} {row['precision']} | {row['target']} | {row['beside']} | {row['ours_ms']:.3g} ms |"
            f" {row['theirs_ms']:.3g} ms | {row['ratio']:.3f} ({row['ci95'][0]:.3f} to {row['ci95'][1]:.3f}) |"
            for row in record["rows"]
        ),
    ]


def _threads(rows: list) -> str:  # type: ignore[type-arg]
    return " and ".join(f"{count} thread{'s'[: count > 1]}" for count in sorted({row["threads"] for row in rows}))


def machine_of(record: dict) -> str:  # type: ignore[type-arg]
    """Where and when a record was made."""
    machine = record["machine"]
    kind = " (a virtual machine)" if machine["virtual"] else ""
    return f"{machine['cores']} cores of an {machine['cpu']}{kind}, {record['created'][:10]}"
