"""The reference pages are complete: whatever a schema or an enumeration has, its page has in backquotes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def quoted(page: str) -> set[str]:
    """Words of a page that stand in backquotes, without what is fenced."""
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text("utf-8"), flags=re.M | re.S)
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w.-]+", span)}


def names(*kinds: type) -> set[str]:
    return {item.name for kind in kinds for item in fields(kind)}


def missing(words: Iterable[str], page: str) -> set[str]:
    return set(words) - quoted(page)


def test_exit_codes() -> None:
    from edgewright.core.errors import ExitCode

    rows = re.findall(r"^\| (\d+) \| (\w+) \|", (DOCS / "exit-codes.md").read_text("utf-8"), re.M)
    assert {(int(code), name) for code, name in rows} == {(int(code), code.name) for code in ExitCode}


def test_the_manifest() -> None:
    from edgewright.core import bundle

    kinds = (
        bundle.Manifest,
        bundle.Accuracy,
        bundle.Limits,
        bundle.BackendRecord,
        bundle.FileRecord,
        bundle.Tolerances,
    )
    assert missing(names(*kinds, bundle.StateLink), "bundle.md") == set()


def test_the_record() -> None:
    from edgewright.benchmarks import readings, record
    from edgewright.benchmarks.harness.machine import Machine
    from edgewright.benchmarks.harness.nvml import Clocks, GpuLimits
    from edgewright.benchmarks.statistics import Outliers, Percentile

    kinds = (record.Record, record.Subject, record.Target, record.ProtocolUsed, record.Run, record.VoidedRun)
    kinds += (record.Summary, record.Memory, record.AccuracyFound, Machine, Outliers, Percentile, GpuLimits, Clocks)
    kinds += (readings.Energy, readings.SideReading, record.Comparison)
    assert missing(names(*kinds), "record.md") == set()


def test_gates() -> None:
    """Every key that a file of gates may have, and every metric of a finding, stand on its page."""
    from edgewright.benchmarks.gate.findings import GateReport, Metric
    from edgewright.benchmarks.gate.limits import Gate

    keys = names(Gate) - {"limits", "trust_native_code", "key"}
    limits = {"latency.max", "latency.max_regression", "latency.percentile", "latency.session_allowance"}
    limits |= {"accuracy.max_drop", "size.max", "size.max_growth", "memory.max", "memory.max_growth"}
    assert missing({*keys, *limits, *get_args(Metric)}, "gate.md") == set()
    assert missing(GateReport(()).to_json().keys() - {"schema"}, "gate.md") == set()


def test_presets() -> None:
    from edgewright.benchmarks.harness.protocol import PRESETS

    page = (DOCS / "measurement.md").read_text("utf-8")
    for preset in PRESETS.values():
        assert f"| `{preset.name}` | {preset.inferences} | {preset.seconds:g} | {preset.runs} |" in page


def test_targets() -> None:
    from edgewright.targets.load import hardware_names
    from edgewright.targets.schema import Limit, QuantRule, QuantScheme, Sign, Target

    derived = {
        "hardware",
        "runtime",
        "detected",
        "resembles",
    }  # a file does not write them: `resembles` is native's own
    keys = names(Target, QuantRule, QuantScheme, Sign, Limit) - derived
    assert missing({*keys, *hardware_names()}, "targets.md") == set()


def test_preprocessing() -> None:
    from edgewright.core.data import Preprocessing

    assert missing(names(Preprocessing), "recipe.md") == set()


def test_extras_have_their_licences() -> None:
    """Each library an extra installs is named with its licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for name, all_ in extras.items() if name != "dev" for one in all_)]
    packages = {re.split(r"[\[<>=]", one)[0].lower() for one in wanted} - {"edgewright"}
    page = (DOCS / "third-party-notices.md").read_text("utf-8").lower()
    called = {"torch": "pytorch", "onnxruntime": "onnx runtime"}
    assert {one for one in packages if called.get(one, one) not in page} == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_source_links_name_what_they_link(page: Path) -> None:
    """``[core/files.py](../src/edgewright/core/files.py)``: the text is the end of the path."""
    for text, target in re.findall(r"\[([\w/.]+\.py)\]\(([^)]+)\)", page.read_text("utf-8")):
        assert target.endswith(text), (text, target)
