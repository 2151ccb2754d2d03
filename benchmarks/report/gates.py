"""What a gate said: its ``--json`` document beside the bundles and records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from edgewright.benchmarks.gate.findings import SCHEMA
from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.blocks import Badge, Block, Cell, Column, Line, Lines, Section, Table, Tone
from edgewright.benchmarks.report.data import GateFinding, GateTold
from edgewright.benchmarks.report.loose import Loose
from edgewright.core.errors import ExitCode

TONES: dict[str, Tone] = {
    "regressed": "bad", "inconclusive": "unsure", "pass": "good", "failed": "bad", "skipped": "none",
}  # fmt: skip
WORDS = {
    "regressed": "Regressed", "inconclusive": "Inconclusive", "pass": "Pass", "failed": "Failed", "skipped": "Skipped",
}  # fmt: skip
RANK = {"failed": 0, "regressed": 1, "inconclusive": 2, "skipped": 3, "pass": 4}
_COUNTED = {
    "failed": "failed",
    "regressed": "regressed",
    "inconclusive": "inconclusive",
    "pass": "passed",
    "skipped": "not for that machine",
}
_NO_FAILURE = (ExitCode.OK, ExitCode.LIMIT_MISSED, ExitCode.RETRYABLE, ExitCode.TARGET_ABSENT)
"""What a gate returns where everything that could be judged was."""


def read_gate(path: Path) -> GateTold | None:
    """A gate's JSON document; None where the file is something else."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # whoever reads it as a file of records says what is wrong with it
    told = document.get("schema") if isinstance(document, dict) else None
    if told != SCHEMA and not str(told).startswith(f"{SCHEMA}."):
        return None
    found = Loose(document)
    findings = (
        *(_finding(one) for one in found.items("findings")),
        *(_failure(one) for one in found.items("failures")),
    )
    return GateTold(_verdict(found.text("verdict")), found.whole("exit_code"), findings, found.texts("notes"))


def _finding(one: Loose) -> GateFinding:
    texts = (one.text("text"), one.text("remedy"), one.text("gate"))
    return GateFinding(one.text("subject"), one.text("metric"), _verdict(one.text("verdict")), *texts)


def _failure(one: Loose) -> GateFinding:
    skipped = one.whole("exit_code") == ExitCode.TARGET_ABSENT
    texts = (one.text("problem"), one.text("remedy"), one.text("gate"))
    return GateFinding(one.text("subject"), one.text("kind"), "skipped" if skipped else "failed", *texts)


def _verdict(text: str) -> Verdict:
    return cast("Verdict", text) if text in ("pass", "regressed") else "inconclusive"


def deciding(gates: Sequence[GateTold]) -> list[GateTold]:
    """Those that judged what is shown: what only saved a baseline, or speaks of others, decides nothing."""
    return [one for one in gates if not one.of_others and (one.findings or one.verdict != "pass")]


def gate_tone(told: GateTold) -> Tone:
    """Its verdict's, but bad where something failed: the gate does not return success then."""
    failed = told.exit_code is not None and told.exit_code not in _NO_FAILURE
    return "bad" if failed else TONES[told.verdict]


def gate_in_words(told: GateTold) -> str:
    """Its verdict and exit code, and how many findings are which."""
    counts: Counter[str] = Counter(one.verdict for one in told.findings)
    parts = [f"{counts[verdict]} {word}" for verdict, word in _COUNTED.items() if counts[verdict]]
    code = "" if told.exit_code is None else f", with exit code {told.exit_code}"
    verdict = {"pass": "passed", "regressed": "found a regression", "inconclusive": "was inconclusive"}[told.verdict]
    return f"The gate {verdict}{code}: {', '.join(parts) or 'it judged nothing'}."


def gate_section(gates: Sequence[GateTold]) -> Section | None:
    """Every document's verdict, notes and findings, the worst first; None where no gate was given."""
    if not gates:
        return None
    blocks: list[Block] = []
    for told in gates:
        others = " It is of other bundles than those here, and decides nothing." if told.of_others else ""
        blocks.append(Line(gate_in_words(told) + others, tone="bad" if gate_tone(told) == "bad" else "plain"))
        if told.findings:
            blocks.append(_table(told.findings))
        if told.notes:
            blocks.append(Lines(told.notes))
    return Section("gate", "Gate", tuple(blocks), "What the gate held each bundle to, and what it found.")


def _table(findings: Sequence[GateFinding]) -> Table:
    ordered = sorted(findings, key=lambda one: (RANK[one.verdict], one.gate, one.subject, one.metric))
    rows = tuple(
        (
            Cell(one.subject or "unnamed", f"gate {one.gate}" if one.gate not in ("", one.subject) else ""),
            Cell(one.metric),
            Cell("", badges=(Badge(WORDS[one.verdict], TONES[one.verdict]),)),
            Cell(one.text, more=one.remedy),
        )
        for one in ordered
    )
    columns = tuple(Column(head) for head in ("Subject", "Metric", "Verdict", "Found"))
    return Table("Findings, the worst first", columns, rows)
