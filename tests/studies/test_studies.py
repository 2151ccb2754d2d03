from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.gate.latency import LOOKS

ROOT = Path(__file__).resolve().parent.parent.parent


def studies(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "studies", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=120,
    )
    return done.stdout


def test_the_page_shows_what_the_records_say() -> None:
    page = (ROOT / "docs" / "measurement.md").read_text()
    shown = page.partition("<!-- figures: harness -->\n")[2].partition("<!-- end: harness -->")[0]
    assert shown.strip() == studies("table").strip()


def test_the_page_shows_what_the_records_of_hard_models_say() -> None:
    page = (ROOT / "docs" / "measurement.md").read_text()
    shown = page.partition("<!-- figures: hard models -->\n")[2].partition("<!-- end: hard models -->")[0]
    assert shown.strip() == studies("promises").strip()


def test_no_rescaled_model_lost_more_than_half_a_point() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "collapse.json").read_text())
    assert {row["model"] for row in record["rows"]} >= {"digits"}
    for row in record["rows"]:
        assert abs(row["float"]["rescaled"] - row["float"]["original"]) <= 0.001
        assert row["naive"]["rescaled"] < 0.5 < row["naive"]["original"]
        assert row["runtimes"].keys() == {"onnxruntime", "openvino"}
        for one in row["runtimes"].values():
            assert one["held"]
            assert one["precision"] == "int8"
            assert one["drop"] <= row["max_drop"] + 1e-9


def test_the_committed_study_keeps_the_rates_that_are_promised() -> None:
    path = ROOT / "benchmarks" / "results" / "gate.json"
    if not path.exists():
        pytest.skip("no study is committed yet")
    record = json.loads(path.read_text())
    verdicts = record["simulated"]["verdicts"]
    sessions = record["simulated"]["sessions"]
    assert verdicts["0%"]["regressed"] <= 0.01 * sessions
    assert verdicts["5%"]["pass"] <= 0.025 * sessions


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pairs = LOOKS[-1].pairs
    sessions = [
        {
            "slowdown": 0.0,
            "pairs": pairs,
            "run_medians_ns": {arm: list(1e6 * np.exp(rng.normal(0, 0.01, pairs))) for arm in ("new", "base")},
        }
        for _ in range(5)
    ]
    path = tmp_path / "noise.json"
    path.write_text(json.dumps({"sessions": sessions}))
    return path


def test_simulated_sessions_of_quiet_noise_find_what_is_there(noise: Path) -> None:
    studies("simulate", str(noise), "--into", str(noise), "--sessions", "40")
    verdicts = json.loads(noise.read_text())["simulated"]["verdicts"]
    assert verdicts["0%"]["regressed"] == 0
    assert verdicts["0%"]["pass"] >= 38
    assert verdicts["10%"]["regressed"] == 40
