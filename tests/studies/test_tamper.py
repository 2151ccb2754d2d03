"""Every known way to tamper with a signed bundle is refused, and nothing of it is loaded."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds
    from tests.conftest import RunCli

ROOT = Path(__file__).resolve().parent.parent.parent
STUDIES = ROOT / "benchmarks" / "studies"
RECORD = ROOT / "benchmarks" / "results" / "tamper.json"


@pytest.fixture
def bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    return write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The study's module, as its own command imports it."""
    monkeypatch.syspath_prepend(str(STUDIES))
    before = set(sys.modules)
    import importlib

    yield importlib.import_module("tampered")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(STUDIES)):
            del sys.modules[name]


def holds(row: dict[str, Any]) -> None:
    """What every row must say."""
    assert row["alterations"] > 500
    assert row["refused"] == row["alterations"]
    assert row["digests"]["refused"] == row["digests"]["alterations"] > 250
    assert row["loaded"] == {}
    assert row["control"].keys() >= {"golden", "extract_engine", "process started"}
    assert {kind for kind, found in row["kinds"].items() if found["refused"] != found["alterations"]} == set()


def test_every_alteration_is_refused_and_nothing_is_loaded(bundle: Path, tmp_path: Path) -> None:
    record = tmp_path / "tamper.json"
    done = subprocess.run(
        [sys.executable, STUDIES, "tamper", bundle, "--into", record, "--every", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(record.read_text("utf-8"))["rows"]
    holds(row)
    assert row["members"] == 6


def test_the_committed_record_says_so_of_compiled_models() -> None:
    rows = json.loads(RECORD.read_text("utf-8"))["rows"]
    assert len(rows) >= 2
    assert sum(row["alterations"] for row in rows) > 3000
    for row in rows:
        holds(row)


def test_what_is_not_refused_is_counted(tampered: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are of what the command did: one that lets everything through is found out."""

    class Blind:
        def __init__(self) -> None:
            self.reached: Counter[str] = Counter()

        @contextlib.contextmanager
        def watching(self) -> Iterator[None]:
            self.reached["golden"] += 1
            yield

    answers = itertools.cycle([65, 0, 0])
    monkeypatch.setattr(tampered, "main", lambda _words: next(answers))
    every = tampered.alterations
    monkeypatch.setattr(tampered, "alterations", lambda signed, folder: itertools.islice(every(signed, folder), 20))
    row = tampered.row_of(bundle, Blind())
    assert 0 < row["refused"] < row["alterations"] == 20
    assert 0 < row["digests"]["refused"] < row["digests"]["alterations"]
    assert row["loaded"] == {"golden": 40}


def test_the_installed_command_refuses_with_one_message(tampered: Any, bundle: Path, run_cli: RunCli) -> None:
    folder = bundle.parent
    signed = tampered.signed_copy(bundle, folder / "signed")
    wanted = {"byte changed", "rewritten with its digest", "signature removed", "signed by a stranger", "swapped"}
    for one in tampered.alterations(signed, folder / "altered"):
        if one.kind not in wanted:
            continue
        wanted.remove(one.kind)
        done = run_cli("verify", one.path, "--key", signed.public)
        assert done.returncode == 65, (one, done.stderr)
        assert done.stdout == ""
        assert done.stderr.count("error:") == 1
        assert len(done.stderr.splitlines()) == 2
        if not wanted:
            return
    pytest.fail(f"not made: {wanted}")
