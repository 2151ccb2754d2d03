"""What a gate said: its ``--json`` document beside the bundles and records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from edgewright.benchmarks.gate.findings import SCHEMA
from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.blocks import Badge, Cell, Column, Section, Table, Tone
from edgewright.benchmarks.report.data import GateFinding
from edgewright.benchmarks.report.loose import Loose

TONES: dict[str, Tone] = {"regressed": "bad", "inconclusive": "unsure", "pass": "good", "failed": "bad"}
WORDS = {"regressed": "Regressed", "inconclusive": "Inconclusive", "pass": "Pass", "failed": "Failed"}
RANK = {"failed": 0, "regressed": 1, "inconclusive": 2, "pass": 3}


def read_gate(path: Path) -> tuple[GateFinding, ...] | None:
    """The findings and failures in a gate's JSON document; None where the file is something else."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # whoever reads it as a file of records says what is wrong with it
    told = document.get("schema") if isinstance(document, dict) else None
    if told != SCHEMA and not str(told).startswith(f"{SCHEMA}."):
        return None
    found = Loose(document)
    findings = [
        GateFinding(
            one.text("subject"), one.text("metric"), _verdict(one.text("verdict")), one.text("text"), one.text("remedy")
        )
        for one in found.items("findings")
    ]
    findings += [
        GateFinding(one.text("subject"), one.text("kind"), "failed", one.text("problem"), one.text("remedy"))
        for one in found.items("failures")
    ]
    return tuple(findings)


def gate_section(findings: Sequence[GateFinding]) -> Section | None:
    """Every finding, the worst first; None where no gate was given."""
    if not findings:
        return None
    ordered = sorted(findings, key=lambda one: (RANK[one.verdict], one.subject, one.metric))
    rows = tuple(
        (
            Cell(one.subject or "unnamed"),
            Cell(one.metric),
            Cell("", badges=(Badge(WORDS[one.verdict], TONES[one.verdict]),)),
            Cell(one.text, more=one.remedy),
        )
        for one in ordered
    )
    columns = tuple(Column(head) for head in ("Subject", "Metric", "Verdict", "Found"))
    lead = "What the gate held each bundle to, and what it found."
    return Section("gate", "Gate", (Table("Findings, the worst first", columns, rows),), lead)


def _verdict(text: str) -> Verdict:
    return cast("Verdict", text) if text in ("pass", "regressed") else "inconclusive"
