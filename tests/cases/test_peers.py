from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgewright.benchmarks.gate.latency import Look

from .conftest import ROOT, RunScript

RECORD = ROOT / "benchmarks" / "results" / "peers.json"
Load = Callable[[str], ModuleType]
Json = dict[str, Any]


def timed(title: str, kind: str, ms: float, ratio: float, *, holds: bool = True) -> Json:
    row: Json = {"title": title, "engine": "onnxruntime", "kind": kind, "what": title, "status": "built"}
    row |= {"made_from": title, "compile_s": None if kind == "float" else 12.3, "value": 0.9, "drop": 0.01}
    row |= {"peak_bytes": None if kind == "float" else 7e8, "size_bytes": 1_500_000, "holds": holds}
    if holds:
        row |= {"ms": ms, "runs_ns": [ms * 1e6], "ratio": ratio, "ratio_ci95": [ratio - 0.01, ratio + 0.01]}
    return row


def case(*, float_ms: float = 4.0, int8_ms: float = 1.0, ours_ms: float = 0.5, verdict: str = "pass") -> Json:
    """A float route, an int8 one that holds, and a faster one that does not."""
    ours = timed("Edgewright", "ours", ours_ms, 1.0)
    ours |= {"candidate": "int8 (conv)", "compile_s": 61.0, "peak_bytes": 9e8, "exit_code": 0}
    routes = {
        "plain": timed("Plain", "float", float_ms, ours_ms / float_ms),
        "int8": timed("Eight", "int8", int8_ms, ours_ms / int8_ms),
        "broken": timed("Broken", "int8", 0.1, 5.0, holds=False),
    }
    rival = min(("plain", "int8"), key=lambda name: routes[name]["ms"])
    ratio = ours_ms / routes[rival]["ms"]
    pairs = [[ours_ms * 1e6, routes[rival]["ms"] * 1e6]]
    duel = {"pairs": pairs, "ratio": ratio, "ratio_ci95": [ratio - 0.02, ratio + 0.02], "p": 1.0, "verdict": verdict}
    limits = {"metric": "top1", "higher_is_better": True, "reference": 0.91, "max_drop": 0.02}
    return {
        **limits,
        "made_from": "x",
        "ours": ours,
        "routes": routes,
        "duels": {rival: duel},
        "protocol": {"threads": 2},
    }


def document(**cases: Json) -> Json:
    versions = dict.fromkeys(("edgewright", "onnxruntime", "openvino", "nncf", "olive-ai"), "1.0")
    machine = {"cpu": "Some CPU", "cores": 2, "os": "Linux"}
    return {
        "schema": "edgewright.peers/1",
        "date": "2026-11-22",
        "machine": machine,
        "cases": cases,
        "versions": {"ours": versions, "peers": versions},
    }


def test_the_rival_is_the_fastest_that_holds(peers: Load) -> None:
    figures = peers("figures")
    assert figures.holding(case()) == ["int8", "plain"]
    assert figures.fastest(case()) == "int8"
    assert figures.fastest_float(case()) == "plain"
    assert figures.fastest(case(int8_ms=5.0)) == "plain"
    assert figures.beside(case(), "plain")[0] == pytest.approx(0.125)


def test_ratios_of_rounds_decide_who_is_fastest_not_medians_that_drift(peers: Load) -> None:
    figures = peers("figures")
    drifted = case()
    drifted["routes"]["plain"]["ms"] = 0.9  # its rounds fell into fast moments: ours took an eighth of it in each
    assert figures.fastest(drifted) == "int8"


def test_of_two_that_were_close_the_pairs_say_who_is_the_rival(peers: Load) -> None:
    figures = peers("figures")
    close = case()
    close["routes"]["plain"] |= {"ratio": 0.46}
    assert figures.contenders(close) == ["int8", "plain"]
    close["duels"]["plain"] = {**close["duels"]["int8"], "ratio": 0.55, "verdict": "inconclusive"}
    assert figures.fastest(close) == "plain"
    assert figures.verdict(close) == "inconclusive"
    close["routes"]["plain"] |= {"ratio": 0.2}
    assert figures.contenders(close) == ["int8"]


def test_the_front_page_shows_runs_that_were_adjacent(peers: Load) -> None:
    figures = peers("figures")
    duelled = case()
    duelled["duels"]["int8"]["pairs"] = [[1e6, 4e6], [3e6, 5e6], [2e6, 9e6]]
    assert figures.adjacent_ms(duelled, "int8") == (2.0, 5.0)
    assert figures.adjacent_ms(duelled, "plain") is None


@pytest.mark.parametrize(("verdict", "slower"), [("regressed", True), ("pass", False), ("inconclusive", False)])
def test_pairs_decide_whether_ours_is_slower_than_float(peers: Load, verdict: str, slower: bool) -> None:
    figures = peers("figures")
    assert figures.slower_than_float(case(int8_ms=5.0, ours_ms=4.1, verdict=verdict)) is slower


def test_rounds_alone_only_clear_ours(peers: Load) -> None:
    figures = peers("figures")
    near = case()
    near["routes"]["plain"]["ratio_ci95"] = [0.9, 1.01]
    assert figures.slower_than_float(case()) is False
    assert figures.slower_than_float(near) is None


def test_what_does_not_hold_is_no_pass(peers: Load) -> None:
    figures = peers("figures")
    missed, absent, untimed = case(), case(), case()
    missed["ours"]["holds"] = False
    absent["ours"] = {"title": "Edgewright", "status": "failed", "reason": "no", "compile_s": 1.0, "peak_bytes": 1}
    untimed["duels"] = {}
    words = [figures.verdict(one) for one in (case(), missed, absent, untimed)]
    assert words == ["pass", "limit missed", "no artifact", "not timed"]


def test_the_best_single_route_holds_everywhere(peers: Load) -> None:
    figures = peers("figures")
    first, second = case(), case(float_ms=2.0, int8_ms=0.4, ours_ms=1.0)
    found = figures.summary({"a": first, "b": second})
    assert found["best_single"] == "int8"
    assert found["over_best_single"] == pytest.approx((0.5 * 2.5) ** 0.5)
    assert found["routes"]["broken"] == {"holds": 0, "of": 2, "ratio": None}
    second["routes"]["int8"] |= {"holds": False}
    found = figures.summary({"a": first, "b": second})
    assert found["best_single"] == "plain"
    assert found["over_best_single"] == pytest.approx((0.125 * 0.5) ** 0.5)
    assert found["routes"]["int8"]["holds"] == 1


def test_the_geometric_mean(peers: Load) -> None:
    figures = peers("figures")
    assert figures.geometric_mean([0.5, 2.0, 1.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="nothing"):
        figures.geometric_mean([])


def test_rounds_turn_round_and_drop_who_fails(peers: Load) -> None:
    session = peers("session")
    asked: list[str] = []

    def run(name: str) -> float:
        asked.append(name)
        if name == "c":
            raise session.RunFailedError("no such operator")
        return {"a": 1e6, "b": 2e6}[name]

    found = session.race(run, ["a", "b", "c"], 6)
    assert asked[:6] == ["a", "b", "c", "b", "a", "a"]
    assert found.failed == {"c": "no such operator"}
    assert found.median_ms("b") == 2.0
    assert found.ratio("a", "b") == (0.5, (0.5, 0.5))


@pytest.mark.parametrize(("ratio", "verdict", "pairs"), [(0.9, "pass", 20), (1.0, "pass", 20), (1.2, "regressed", 8)])
def test_a_duel_is_judged_by_the_gate(peers: Load, ratio: float, verdict: str, pairs: int) -> None:
    found = peers("session").duel(lambda number: (ratio * (1 + number / 1000), 1.0))
    assert (found.verdict, len(found.pairs)) == (verdict, pairs)


def test_a_short_duel_passes_nothing(peers: Load) -> None:
    found = peers("session").duel(lambda _: (0.5, 1.0), (Look(3, 0.006),))
    assert (found.verdict, found.ci95) == ("inconclusive", None)


def test_a_row_is_made_again_when_its_sources_or_its_artifact_changed(peers: Load, tmp_path: Path) -> None:
    record, there = peers("record"), tmp_path / "model.onnx"
    there.touch()
    built, failed = {"made_from": "x", "status": "built"}, {"made_from": "x", "status": "failed"}
    assert record.is_current(built, "x", there)
    assert record.is_current(failed, "x", tmp_path / "absent")
    assert not record.is_current(built, "y", there)
    assert not record.is_current(built, "x", tmp_path / "absent")
    assert not record.is_current(None, "x", there)


@pytest.mark.parametrize(
    ("value", "second", "holds"),
    [(0.90, 0.1, True), (0.88, 0.1, False), (0.90, 0.3, False), (float("nan"), 0.1, False)],
)
def test_every_limit_has_to_hold(peers: Load, value: float, second: float, holds: bool) -> None:
    limits = {"reference": 0.91, "higher_is_better": True, "max_drop": 0.01}
    limits |= {"second_metric": "drift", "second_reference": 0.0, "second_higher_is_better": False}
    row = peers("record").judged({}, {"value": value, "second_value": second}, {**limits, "second_max_drop": 0.2})
    assert row["holds"] is holds
    assert json.dumps(row, allow_nan=False)


def test_the_record_of_another_machine_is_begun_anew(peers: Load, tmp_path: Path) -> None:
    record, path = peers("record"), tmp_path / "peers.json"
    known = record.read(path)
    known["cases"]["a"] = {"made_from": "x"}
    record.write(path, known, {})
    assert record.read(path)["cases"] == {"a": {"made_from": "x"}}
    known["machine"]["cores"] = 1_000
    record.write(path, known, {})
    assert record.read(path)["cases"] == {}


def told(run_script: RunScript, *words: str | Path) -> str:
    done = run_script("peers", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_tables_show_what_a_record_says(run_script: RunScript, tmp_path: Path) -> None:
    failed = copy.deepcopy(case(int8_ms=5.0, ours_ms=4.5, verdict="regressed"))
    failed["routes"]["broken"] = {**failed["routes"]["broken"], "status": "failed", "reason": "no | operator"}
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(document(a=case(), b=failed)))
    short, full = told(run_script, "table", "--short", "--record", path), told(run_script, "table", "--record", path)
    cells = "| a | Eight | 1.000 | 0.500 | 0.500 (0.480 to 0.520) | pass | 0.0100 of 0.02 | 61 s | 900 MB |"
    assert cells in short.splitlines()
    assert "**regressed**, **slower than float**" in short
    assert "Slower than the fastest float engine: b." in short
    assert "Models: 1 pass, 1 regressed." in short
    widths = {line.count("|") for line in full.splitlines() if line.startswith(("| a ", "| b ", "| model"))}
    assert len(widths) == 1
    assert "failed: no / operator" in full
    assert "| Broken | 0 of 2 |  |" in full


@pytest.mark.skipif(not RECORD.exists(), reason="the peers are not recorded yet")
def test_the_record_is_one_of_this_product(peers: Load) -> None:
    text = RECORD.read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["schema"] == peers("record").SCHEMA
    assert record["summary"] == json.loads(json.dumps(peers("figures").summary(record["cases"])))
    assert not re.search(r"(^|[\s\"':(])/\w+/", text), "an absolute path"


@pytest.mark.parametrize(
    ("page", "name", "words"), [("README.md", "peers", ["--short"]), ("docs/peers.md", "peers, in full", [])]
)
def test_the_pages_show_what_the_record_says(run_script: RunScript, page: str, name: str, words: list[str]) -> None:
    text = (ROOT / page).read_text("utf-8")
    begin, end = f"<!-- figures: {name} -->\n", f"<!-- end: {name} -->"
    shown = text.partition(begin)[2].partition(end)[0].strip()
    if not RECORD.exists():
        assert not shown, "a table without a record"
        pytest.skip("the peers are not recorded yet")
    assert shown == told(run_script, "table", *words)


def test_both_sides_are_timed_with_the_same_engines() -> None:
    wanted = (ROOT / "benchmarks" / "peers" / "requirements.txt").read_text().split()
    pinned = (ROOT / "constraints.txt").read_text().split()
    for name in ("onnx", "onnxruntime", "openvino", "torch"):
        (one,) = [line for line in wanted if line.startswith(f"{name}==")]
        assert one in pinned


@pytest.mark.full
def test_a_timed_run_takes_samples_of_the_case(run_script: RunScript, digits: Path) -> None:
    little = json.dumps({"warm_seconds": 0.01, "seconds": 0.01, "inferences": 4})
    where = ("--engine", "onnxruntime", "--feeds", digits / "evaluation.npz", "--ranks", '{"image": 4}')
    done = run_script("peers/timed_run.py", digits / "model.onnx", *where, "--threads", "1", "--effort", little)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["median_ns"] > 0


def test_an_unknown_case_is_said_at_once(run_script: RunScript, tmp_path: Path) -> None:
    done = run_script("peers", "run", "fashion-clasifier", "--venv", tmp_path / "venv")
    assert done.returncode == 2
    assert "there are: " in done.stderr
    assert not (tmp_path / "venv").exists()
