"""Compiles a case by its recipe, and judges what came out beside the original in float32."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import record
import table
from edgewright_cases.case import Case
from edgewright_cases.compiled import opened
from edgewright_cases.console import find_case
from edgewright_cases.process_tree import Finished, run_measured
from edgewright_cases.proving import edgewright, last_line, scores
from plans import NATIVE, PLANS, Plan

from edgewright.benchmarks.pairs.compared import compare_bundles
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.benchmarks.record import Record
from edgewright.core.bundle import open_bundle

Json = dict[str, Any]
HERE = Path(__file__).resolve().parent
STAGES = ("prune", "distil", "qat")
_BEHIND = ("quantize", "finish")


def run(names: Sequence[str], cases: Path, into: Path, bundles: Path | None, preset: str) -> int:
    """Every row in turn; 0 where all clear their bars."""
    held = True
    for name in names:
        with TemporaryDirectory(prefix="edgewright-chain-") as temporary:
            row = _row(name, cases, (bundles or Path(temporary)) / name, preset)
        record.write(into, rows={name: row})
        found = record.read(into)
        print("\n".join(table.row_lines(name, found["rows"])))
        held &= table.held(name, found["rows"])
    return 0 if held else 1


def _row(name: str, cases: Path, out: Path, preset: str) -> Json:
    plan = PLANS[name]
    case: Case = find_case(plan.case).build(cases / plan.case)
    out.mkdir(parents=True, exist_ok=True)
    done = run_measured(command(plan, case, out / "chain", recipe=True))
    print(done.stderr, file=sys.stderr)
    targets = _targets(done)
    base = run_measured(command(plan, case, out / "float32", recipe=False))
    originals = _targets(base)
    if len(originals) != len(plan.targets) or any(one["bundle"] is None for one in originals.values()):
        raise SystemExit(f"{name}: the original does not compile in float32: {last_line(base)}")
    row: Json = {
        **{key: getattr(plan, key) for key in ("case", "title", "note", "recipe", "train")},
        "options": list(plan.options),
        "bar": asdict(plan.bar),
        "exit_code": done.exit_code,
        "problem": None if targets else last_line(done),
        "minutes": round(done.wall_s / 60, 2),
        "cpu_minutes": round(done.cpu_s / 60, 2),
        "stages": [],
        "runtimes": {},
    }
    native = plan.targets == NATIVE  # what only resembles this machine is judged by its accuracy
    for runtime, entry in sorted(targets.items()):
        row["runtimes"][runtime], stages = _judged(
            case, entry, Path(originals[runtime]["bundle"]), preset if native else None
        )
        row["stages"] = stages or row["stages"]
    found = record.without(out, record.without(case.folder, row))
    assert isinstance(found, dict)
    return found


def command(plan: Plan, case: Case, out: Path, *, recipe: bool) -> list[str]:
    """The words a user would type: for the chain, or for the original in float32."""
    words = [*edgewright(), "compile", str(case.folder / plan.factory), "-o", str(out), "--json", "--no-cache"]
    for target in plan.targets:
        words += ["--target", str(HERE / "targets" / target) if target.endswith(".toml") else target]
    for shape in (plan.shapes or case.shapes or "").split():
        words += ["--shape", shape]
    words += ["--data", str(case.data), "--eval-data", str(case.eval_data), "--metric", case.metric]
    if not recipe:
        return [*words, "--precision", "fp32"]
    # A recipe may name a file of the case, such as a loss.
    text = (HERE / "recipes" / plan.recipe).read_text(encoding="utf-8")
    placed = out.with_suffix(".toml")
    placed.write_text(text.replace("{case}", str(case.folder)), encoding="utf-8")
    words += ["--recipe", str(placed), *plan.options]
    # What an earlier run left in the folder would not be waited for, and the minutes would not be of one compile.
    return words if plan.train is None else [*words, "--no-resume", "--train-data", str(case.folder / plan.train)]


def _targets(done: Finished) -> dict[str, Json]:
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {}
    return {entry["target"].partition("/")[2]: entry for entry in report["targets"]}


def _judged(case: Case, entry: Mapping[str, Any], base: Path, preset: str | None) -> tuple[Json, list[Json]]:
    """One runtime's part of a row, and what the journal says of the stages."""
    row: Json = {
        **{key: entry[key] for key in ("exit_code", "candidate", "precision", "size_bytes", "problem")},
        **dict.fromkeys(("macs", "parameters", "latency", "accuracy", "proof")),
    }
    if entry["bundle"] is None:
        return row, []
    bundle = Path(entry["bundle"])
    new, old = (open_bundle(path) for path in (bundle, base))
    journal: Json = dict(new.journal)
    for key, count in (("macs", _macs), ("parameters", _parameters)):
        row[key] = {"before": count(dict(old.journal)), "after": count(journal)}
    told = entry["accuracy"]
    if told is not None:
        row["proof"] = {"metric": told["metric"], "before": told["reference"], "after": told["value"]}
        row["proof"] |= {"drop": told["drop"], "n": told["n"]}
    with opened(bundle) as compiled:
        whole, _ = scores(case, compiled)
    row["accuracy"] = {"metric": case.metric.rpartition(":")[2], "before": whole["reference"], "after": whole["value"]}
    row["accuracy"] |= {"drop": whole["drop"], "n": whole["n"] or _samples(case)}
    compared, failures = compare_bundles([Pairing(new, old)], preset, log=print) if preset else ((), ())
    for failure in failures:
        print(f"{bundle.name}: no pairs: {failure.problem}", file=sys.stderr)
    row["latency"] = _latency(compared[0].record) if compared else None
    return row, [_stage(one) for one in journal["passes"] if one["pass"] in STAGES]


def _latency(measured: Record) -> Json:
    comparison = measured.comparison
    assert comparison is not None
    return {
        "ratio": comparison.ratio,
        "ci95": None if comparison.ci95 is None else list(comparison.ci95),
        "pairs": comparison.pairs,
        "new_ms": measured.summary.run_median / 1e6,
        "base_ms": comparison.baseline_summary.run_median / 1e6,
        "preset": measured.protocol.preset,
        "status": measured.status,
        "threads": measured.target.threads,
    }


def _macs(journal: Mapping[str, Any]) -> int | None:
    macs = journal["precisions"]["written"].get("macs")
    return None if macs is None else int(macs)


def _parameters(journal: Mapping[str, Any]) -> int | None:
    """Of the model that is quantised or finished: codes bring scales, which nobody trained."""
    reached = [one for one in journal["passes"] if one["stage"] not in _BEHIND and not one["rejected"]]
    return reached[-1]["after"]["parameters"] if reached else None


def _stage(entry: Mapping[str, Any]) -> Json:
    return {
        **{key: entry[key] for key in ("pass", "changed", "drop", "rejected", "options")},
        "parameters": {key: entry[key]["parameters"] for key in ("before", "after")},
        "figures": entry.get("figures", {}),
        "notes": [f"{note['kind']}: {note['text']}" for note in entry["notes"]],
    }


def _samples(case: Case) -> int:
    import numpy as np

    with np.load(case.eval_data) as archive:
        return len(archive[archive.files[0]])
