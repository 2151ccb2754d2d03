"""Real sessions of a bundle against itself: nothing changed, or slowed down by a known share (a busy wait)."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path

from edgewright.benchmarks.bench import now
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.pairs.compared import Compared, compare_bundles
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.benchmarks.summary import run_medians
from edgewright.core import jsontext
from edgewright.core.bundle import open_bundle
from edgewright.core.files import write_atomically

SCHEMA = "edgewright.study-sessions/1"


def run(bundles: list[Path], into: Path, sessions: int, slowdown: float, preset: str, threads: int | None) -> int:
    """Takes the bundles in turn; the record is written after each session, so that a stopped study is not lost."""
    earlier = json.loads(into.read_text()) if into.exists() else {"sessions": []}
    rows: list[dict[str, object]] = [row for row in earlier["sessions"] if row["slowdown"] != slowdown]
    kept = len(rows)
    for number, path in enumerate(islice(cycle(bundles), sessions)):
        bundle = open_bundle(path)
        # With nothing changed all pairs are taken, for their noise; what the first look decided stands all the same.
        found, failures = compare_bundles(
            [Pairing(bundle, bundle, threads=threads, slowdown=slowdown)], preset, every_look=not slowdown, log=print
        )
        if failures:
            print(f"session {number + 1}: {failures[0].problem}")
            return 1
        rows.append(_row(found[0], path, slowdown))
        print(f"session {number + 1} of {sessions}: {rows[-1]['verdict']}, ratio {rows[-1]['ratio']:.4f}")
        machine = asdict(this_machine())
        document = {**earlier, "schema": SCHEMA, "created": now(), "machine": machine, "sessions": rows}
        write_atomically(into, jsontext.pretty(document))
    ours = [row["verdict"] for row in rows[kept:]]
    print(f"slowdown {slowdown:.0%}: " + ", ".join(f"{ours.count(one)} {one}" for one in sorted(set(ours))))
    return 0


def _row(one: Compared, path: Path, slowdown: float) -> dict[str, object]:
    record, comparison = one.record, one.record.comparison
    assert comparison is not None
    inner = record.protocol.inner
    arms = {arm: run_medians([run for run in record.runs if run.arm == arm], inner) for arm in ("base", "new")}
    return {
        "bundle": "/".join(path.with_suffix("").parts[-3:]),
        "model": record.subject.model,
        "precision": record.subject.precision,
        "target": record.target.name,
        "threads": record.target.threads,
        "preset": record.protocol.preset,
        "slowdown": slowdown,
        "verdict": comparison.verdict,
        "pairs": comparison.pairs,
        "ratio": comparison.ratio,
        "ci95": comparison.ci95,
        "p": comparison.p,
        "minimum_detectable_effect": comparison.minimum_detectable_effect,
        "run_medians_ns": {arm: [round(value, 1) for value in values] for arm, values in arms.items()},
        "voided": len(record.voided),
        "status": record.status,
    }
