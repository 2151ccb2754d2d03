"""The fixture as a user has it: a project of its own, the installed plugin, pytest in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from edgewright.benchmarks.exchange.pytest_reading import read_pytest_benchmark
from edgewright.core.bundle import Bundle
from edgewright.targets.detect import this_host

MakeBundle = Callable[..., Bundle]
CONFTEST = """
import tempfile
from pathlib import Path

import pytest

from edgewright.benchmarks.harness import protocol
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows

@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 0.05)
    monkeypatch.setattr(tempfile, "tempdir", str(Path(__file__).parent))  # where the timing lock is

@pytest.fixture
def tiny():
    warm_up = WarmUp(least_seconds=0.05, most_seconds=1.0, unsteady_seconds=0.1, span=10.0, trend=10.0)
    return Protocol(Preset("tiny", 128, 0.1, 2), Windows(5, 0.01, 0.5), warm_up)
"""
ONE_TEST = """
import json
from pathlib import Path

def test_latency(edgewright_bench, tiny):
    record = edgewright_bench("mlp.ewb", preset=tiny, threads=1)
    assert record.summary.run_median > 0
    Path("record.json").write_text(json.dumps(record.to_json()))
"""
ALONE = ("-p", "no:benchmark")
# pytest-benchmark disables itself in a process that is a worker of pytest-xdist, as this one may be.
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


@pytest.fixture
def project(mlp_bundle: MakeBundle, tmp_path: Path) -> Path:
    """A folder with the bundle ``mlp.ewb`` and the conftest above."""
    mlp_bundle()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def run(
    folder: Path, text: str, *words: str, passed: int = 0, skipped: int = 0, failed: int = 0, errors: str = "-Werror"
) -> str:
    """Runs a file of tests by pytest with warnings as errors, and holds it to these outcomes."""
    (folder / "test_device.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", errors, *words]
    done = subprocess.run(command, cwd=folder, env=OUTSIDE, capture_output=True, text=True, timeout=200, check=False)
    shown = done.stdout + done.stderr
    found = {word: int(count) for count, word in re.findall(r"(\d+) (passed|skipped|failed|errors?|warnings?)", shown)}
    wanted = {"passed": passed, "skipped": skipped, "failed": failed}
    assert found == {word: count for word, count in wanted.items() if count}, shown
    assert done.returncode == (1 if failed else 0), shown
    return shown


def run_medians(path: Path) -> Sequence[float]:
    """Of a record's JSON, in seconds per inference."""
    record = json.loads(path.read_text())
    inner = record["protocol"]["inner"]
    ordered = [sorted(one["ns"]) for one in record["runs"]]
    return [(ns[(len(ns) - 1) // 2] + ns[len(ns) // 2]) / 2 / inner * 1e-9 for ns in ordered]


def test_run_medians_are_the_rounds_of_a_benchmark(project: Path) -> None:
    shown = run(project, ONE_TEST, "--benchmark-json=a.json", "--benchmark-save-data", "--benchmark-autosave", passed=1)
    assert "benchmark 'mlp': 1 tests" in shown
    (found,) = read_pytest_benchmark(project / "a.json").benchmarks
    assert (found.name, found.group, found.rounds) == ("test_device.py::test_latency", "mlp", 2)
    assert found.data == pytest.approx(run_medians(project / "record.json"), rel=1e-12)
    assert found.record is not None
    assert "runs" not in found.record
    whole = json.loads((project / "record.json").read_text())
    assert found.record["summary"] == whole["summary"]
    raw = json.loads((project / "a.json").read_text())["benchmarks"][0]
    assert raw["stats"]["iterations"] == 1
    assert raw["options"]["timer"] == "edgewright_clock"
    run(
        project,
        ONE_TEST,
        "--benchmark-json=b.json",
        "--benchmark-compare",
        "--benchmark-compare-fail=median:100000%",
        passed=1,
    )
    command = [str(Path(sys.executable).with_name("pytest-benchmark")), "compare", "a.json", "b.json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=True)
    assert len(re.findall(r"^test_latency \((?:a|b)\)|^test_latency .*\b[ab]\b", done.stdout, re.M)) == 2, done.stdout


def test_without_pytest_benchmark_the_record_is_all(project: Path) -> None:
    shown = run(project, ONE_TEST, *ALONE, passed=1)
    assert "benchmark '" not in shown
    assert len(run_medians(project / "record.json")) == 2


def test_where_benchmarks_are_disabled_one_run_is_made(project: Path) -> None:
    for words in (("--benchmark-disable",), ("-n1",)):
        (project / "record.json").unlink(missing_ok=True)
        run(project, ONE_TEST, *words, passed=1, errors="-Wdefault")
        record = json.loads((project / "record.json").read_text())
        assert len(record["runs"]) == 1
        assert record["protocol"]["preset"] == "once"
        assert any("one run" in note for note in record["notes"])


def test_where_benchmarks_are_skipped_nothing_is_measured(project: Path) -> None:
    run(project, f"{ONE_TEST}\ndef test_other():\n    pass\n", "--benchmark-skip", passed=1, skipped=1)
    assert not (project / "record.json").exists()
    run(project, f"{ONE_TEST}\ndef test_other():\n    pass\n", "--benchmark-only", passed=1, skipped=1)
    assert (project / "record.json").exists()


@pytest.mark.parametrize("words", [(), ALONE])
def test_a_target_that_is_not_here_skips_the_test(
    mlp_bundle: MakeBundle, project: Path, words: tuple[str, ...]
) -> None:
    other = "aarch64" if this_host().arch == "x86_64" else "x86_64"
    description = cast("Mapping[str, object]", mlp_bundle().manifest.target.description)
    mlp_bundle(target={"name": "odd/one", "description": {**description, "arch": other, "isa": [], "detected": False}})
    assert "is not on this machine" in run(project, ONE_TEST, *words, skipped=1)


@pytest.mark.parametrize("words", [(), ("--benchmark-disable",)])
def test_a_mistake_is_one_message_at_the_users_own_line(project: Path, words: tuple[str, ...]) -> None:
    text = "def test_gone(edgewright_bench):\n    edgewright_bench('gone.ewb')\n"
    shown = run(project, text, *words, failed=1)
    assert "bundle gone.ewb does not exist" in shown
    assert "\ntest_device.py:2: UsageError\n" in shown
    assert "bench.py" not in shown, "no traceback through the product"


def test_one_bundle_a_test_and_an_audit_that_fails_fails_it(project: Path) -> None:
    text = (
        "import pytest\n"
        "from dataclasses import replace\n"
        "from edgewright.benchmarks import bench\n"
        "from edgewright.core.errors import UsageError\n"
        "found = []\n"
        "def test_twice(edgewright_bench, tiny):\n"
        "    found.append(edgewright_bench('mlp.ewb', tiny, 1))\n"
        "    with pytest.raises(UsageError, match='already called'):\n"
        "        edgewright_bench('mlp.ewb', tiny, 1)\n"
        "@pytest.mark.parametrize('status', ['invalid', 'unsteady'])\n"
        "def test_odd(edgewright_bench, monkeypatch, status):\n"
        "    odd = replace(found[0], status=status, notes=('answers are off',))\n"
        "    monkeypatch.setattr(bench, 'bench_bundle', lambda *words, **named: odd)\n"
        "    edgewright_bench('mlp.ewb', threads=1)\n"
    )
    shown = run(project, text, "--benchmark-json=a.json", passed=1, failed=2)
    assert "the figures must not be used: answers are off" in shown
    assert "PytestWarning: mlp: the times never settled" in shown
    names = [one["name"] for one in json.loads((project / "a.json").read_text())["benchmarks"]]
    assert names == ["test_twice", "test_odd[unsteady]"]


AGAINST = """
import pytest
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from edgewright.benchmarks.pairs import compared
from edgewright.benchmarks.gate.findings import Failure
from edgewright.core.errors import EngineError, ExitCode

def answer(monkeypatch, records, failures):
    asked = []
    def compare_bundles(pairings, preset, *, log):
        asked.extend(pairings)
        return tuple(SimpleNamespace(record=one) for one in records), tuple(failures)
    monkeypatch.setattr(compared, "compare_bundles", compare_bundles)
    return asked

def test_absent(edgewright_bench, monkeypatch):
    answer(monkeypatch, [], [Failure("net", "absent", "odd is not on this machine", "", ExitCode.TARGET_ABSENT)])
    edgewright_bench("mlp.ewb", against="base.ewb")

def test_hung(edgewright_bench, monkeypatch):
    answer(monkeypatch, [], [Failure("net", "timeout", "the engine hung", "Look.", ExitCode.RETRYABLE)])
    with pytest.raises(EngineError, match="hung"):
        edgewright_bench("mlp.ewb", against="base.ewb")

def test_pair(edgewright_bench, tiny, monkeypatch):
    from edgewright.benchmarks.bench import bench_bundle
    from edgewright.benchmarks.record import Comparison
    from edgewright.core.bundle import open_bundle
    alone = bench_bundle(open_bundle(Path("mlp.ewb")), tiny, 1)
    runs = [replace(run, arm=arm, ns=(ns,) * 9) for arm, ns in (("new", 5), ("base", 9)) for run in alone.runs]
    comparison = Comparison(alone.subject, "base", 2, 1.0, None, 0.5, 0.0, "regressed", None)
    record = replace(alone, runs=tuple(runs), comparison=comparison)
    asked = answer(monkeypatch, [record], [])
    assert edgewright_bench("mlp.ewb", tiny, 1, "some.npz", "base.ewb", metric="top1") is record
    (pairing,) = asked
    assert (pairing.new.path.name, pairing.base.path.name) == ("mlp.ewb", "base.ewb")
    assert (pairing.data, pairing.metric, pairing.threads) == ("some.npz", "top1", 1)
"""


def test_against_a_baseline_the_subjects_runs_are_the_rounds(project: Path) -> None:
    (project / "base.ewb").write_bytes((project / "mlp.ewb").read_bytes())
    run(project, AGAINST, "--benchmark-json=a.json", passed=2, skipped=1)
    (found,) = read_pytest_benchmark(project / "a.json").benchmarks
    assert found.record is not None
    inner = cast("Mapping[str, int]", found.record["protocol"])["inner"]
    assert found.data == pytest.approx((5e-9 / inner,) * 2, rel=1e-12)
    assert cast("Mapping[str, object]", found.record["comparison"])["verdict"] == "regressed"


@pytest.mark.full
def test_a_real_comparison_with_itself(project: Path) -> None:
    text = (
        "def test_same(edgewright_bench, tiny):\n"
        "    record = edgewright_bench('mlp.ewb', tiny, 1, against='mlp.ewb')\n"
        "    assert record.comparison.verdict in ('pass', 'inconclusive', 'regressed')\n"
        "    assert len(record.runs) == 2 * record.comparison.pairs\n"
    )
    run(project, text, "--benchmark-json=a.json", passed=1, errors="-Wdefault")
    (found,) = read_pytest_benchmark(project / "a.json").benchmarks
    assert found.record is not None
    assert found.rounds == cast("Mapping[str, object]", found.record["comparison"])["pairs"]


def test_what_the_user_says_of_the_benchmark_stays(project: Path) -> None:
    """The mark's group; the fixture's own use in another test; a timer that runs on for what is timed here."""
    text = (
        "import time, pytest\n"
        "@pytest.mark.benchmark(group='mine', min_rounds=7)\n"
        "@pytest.mark.parametrize('threads', [1])\n"
        "def test_marked(benchmark, edgewright_bench, tiny, threads):\n"
        "    benchmark.extra_info['own'] = 1\n"
        "    edgewright_bench('mlp.ewb', tiny, threads)\n"
        "@pytest.mark.benchmark(group='mine', min_rounds=7, max_time=0.01)\n"
        "def test_plain(benchmark):\n"
        "    benchmark(time.sleep, 0.001)\n"
        "@pytest.mark.benchmark(min_rounds=3, max_time=0.01)\n"
        "def test_not_called(benchmark, edgewright_bench):\n"
        "    benchmark(time.sleep, 0.001)\n"
    )
    run(project, text, "--benchmark-json=a.json", "--benchmark-cprofile=tottime", passed=3)
    marked, plain, real = json.loads((project / "a.json").read_text())["benchmarks"]
    assert (marked["group"], plain["group"], marked["options"]["min_rounds"]) == ("mine", "mine", 7)
    assert marked["params"] == {"threads": 1}
    assert marked["stats"]["rounds"] == 2
    assert marked["extra_info"].keys() == {"own", "edgewright"}
    assert 0.001 <= plain["stats"]["min"] < 1
    assert 0.001 <= real["stats"]["min"] < 1


def test_the_plugin_weighs_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    text = (
        "import sys\n"
        "def test_loaded():\n"
        "    assert 'edgewright.benchmarks.exchange.pytest_plugin' in sys.modules\n"
        "    ours = {name for name in sys.modules if name.startswith('edgewright.')}\n"
        "    folders = {'edgewright.benchmarks', 'edgewright.benchmarks.exchange'}\n"
        "    assert ours == folders | {'edgewright.benchmarks.exchange.pytest_plugin'}\n"
        "    assert not {'numpy', 'onnxruntime', 'onnx'} & sys.modules.keys()\n"
    )
    run(tmp_path, text, "--strict-markers", passed=1)
    run(tmp_path, text, "--strict-markers", *ALONE, passed=1)


def test_a_program_that_starts_pytest_may_have_imported_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    program = "import sys, edgewright, pytest; sys.exit(pytest.main(['-Werror', '-pno:cacheprovider']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
