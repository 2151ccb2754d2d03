from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.history import FIGURES, History, append_record_to_history, check_history, open_history
from edgewright.benchmarks.history import sqlite as sqlite_form
from edgewright.benchmarks.record import Comparison, Record
from edgewright.core.errors import BadInputError, CannotWriteError, RetryableError, UsageError

Make = Callable[..., Record]


@pytest.fixture(params=["history", "history.sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "out" / request.param if request.param == "history" else tmp_path / request.param


def filled(path: Path, *records: Record) -> History:
    history = open_history(path)
    for number, one in enumerate(records):
        assert history.append(one.to_json(), f"c{number}")
    return open_history(path)


def test_every_figure_comes_back(place: Path, record: Make) -> None:
    one = record()
    history = filled(place, one)
    (key,) = history.keys()
    assert str(key) == "net[native/onnxruntime-int8] 2 threads"
    p50 = one.summary.percentiles["p50"]
    expected: dict[str, tuple[float, float | None, float | None]] = {
        "p50": (p50.value, *(p50.ci95 or (None, None))),
        # Of eight runs the interval of the median is from the first to the last: P(Bin(8, 1/2) = 0) = 0.4 %.
        "run_median": (one.summary.run_median, 100_049.5, 107_049.5),
        "throughput": (one.summary.throughput, *(one.summary.throughput_ci95 or ())),
        "first": (1, 1, 1),
        "load": (5.5, 2, 9),
        "memory": (4_000_000, None, None),
        "size": (1000, None, None),
        "accuracy": (0.9, 0.85, 0.95),
        "energy": (0.5, None, None),
    }
    for metric, figures in expected.items():
        (point,) = history.points(metric, key)
        assert (point.value, point.low, point.high) == figures, metric
        assert (point.commit, point.created) == ("c0", "2026-01-02T12:00:00Z")
        assert point.machine == one.machine.identity
    assert [len(history.points(name, key)) for name in ("p90", "p99")] == [1, 1]
    assert expected.keys() | {"p90", "p99"} == FIGURES.keys()


def test_points_are_in_the_order_of_measurement_and_no_raw_sample_is_kept(place: Path, record: Make) -> None:
    history = filled(place, *(record(day=day, us=100 + day) for day in (5, 1, 3)))
    (key,) = history.keys()
    assert [point.commit for point in history.points("p50", key)] == ["c1", "c2", "c0"]
    kept = b"".join(path.read_bytes() for path in ([place] if place.is_file() else place.iterdir()))
    assert b'"median_ns"' in kept
    for raw in (b'"ns"', b'"window_medians"', b'"side"', b'"device_ns"', b'"clocks"'):
        assert raw not in kept


def test_the_same_record_twice_is_one_point(place: Path, record: Make) -> None:
    history = filled(place, record())
    assert not history.append(record().to_json(), "another")
    assert [point.commit for point in history.points("p50", history.keys()[0])] == ["c0"]


def test_lines_are_told_apart_by_model_and_threads(place: Path, record: Make) -> None:
    one = record()
    threads = replace(one, target=replace(one.target, threads=1))
    history = filled(place, one, record(model="'; DROP TABLE entries; --"), threads)
    found = history.keys()
    assert [str(key) for key in found] == [
        "'; DROP TABLE entries; --[native/onnxruntime-int8] 2 threads",
        "net[native/onnxruntime-int8] 1 thread",
        "net[native/onnxruntime-int8] 2 threads",
    ]
    assert [len(history.points("size", key)) for key in found] == [1, 1, 1]


def test_lines_are_told_apart_by_scenario_batch_and_rate(place: Path, record: Make) -> None:
    one = record()
    others = [
        replace(one, protocol=replace(one.protocol, scenario="offline", batch=8)),
        replace(one, protocol=replace(one.protocol, scenario="server", rate_per_s=50.0)),
        replace(one, protocol=replace(one.protocol, scenario="server", rate_per_s=100.0)),
    ]
    found = filled(place, one, *others).keys()
    assert [str(key).partition("threads")[2] for key in found] == [
        " offline batch 8",
        " server 100/s",
        " server 50/s",
        "",
    ]


def test_models_of_one_name_are_told_apart_by_their_files(place: Path, record: Make) -> None:
    """Every factory may call its model ``model``; entries from before names were kept go on as they were."""
    for day, name in enumerate(("", "digits", "faces", "digits", "model")):
        append_record_to_history(place, record(day=day, model="model"), f"c{day}", name=name)
    history = open_history(place)
    keys = history.keys()
    found = {str(key): [point.commit for point in history.points("p50", key)] for key in keys}
    ending = "[native/onnxruntime-int8] 2 threads"
    assert {text: commits for text, commits in found.items() if "::" in text} == {
        f"digits::model{ending}": ["c1", "c3"],
        f"faces::model{ending}": ["c2"],
    }
    assert [key.name for key in keys] == ["", "digits", "faces", "model"]


def test_a_files_name_cannot_break_a_line(place: Path, record: Make) -> None:
    append_record_to_history(place, record(), "v1", name="a\n\u202e" + "x" * 300)
    (key,) = open_history(place).keys()
    assert key.name.startswith("a\\n\\u202exxx")
    assert len(key.name) == 200


def test_an_entry_without_a_name_is_read(tmp_path: Path, record: Make) -> None:
    filled(tmp_path / "h", record())
    (path,) = (tmp_path / "h").iterdir()
    document = json.loads(path.read_text())
    del document["name"]
    path.write_text(json.dumps(document))
    (key,) = open_history(tmp_path / "h").keys()
    assert key.name == ""


def test_a_baselines_runs_are_not_the_subjects(place: Path, record: Make) -> None:
    one = record()
    baseline = tuple(replace(run, arm="base", ns=tuple(10 * ns for ns in run.ns)) for run in one.runs)
    compared = Comparison(one.subject, "base", 8, 0.1, None, 0.5, 0.02, "pass", None)
    history = filled(place, replace(one, runs=(*baseline, *one.runs), comparison=compared))
    (point,) = history.points("run_median", history.keys()[0])
    assert point.high == 107_049.5


def test_a_record_whose_audit_failed_has_no_point(place: Path, record: Make) -> None:
    history = filled(place, replace(record(), status="invalid"), replace(record(day=2), status="unsteady"))
    assert [point.status for point in history.points("p50", history.keys()[0])] == ["unsteady"]


def test_a_figure_that_was_not_measured_has_no_point(place: Path, record: Make) -> None:
    history = filled(place, replace(record(), accuracy=None, memory=None))
    (key,) = history.keys()
    assert not history.points("accuracy", key)
    assert not history.points("memory", key)
    with pytest.raises(UsageError, match="no metric 'p42'") as caught:
        history.points("p42", key)
    assert "run_median" in caught.value.remedy


def test_reading_an_absent_history_is_a_mistake_and_makes_nothing(place: Path) -> None:
    with pytest.raises(UsageError, match="there is no history"):
        open_history(place).keys()
    assert not place.exists()


@pytest.mark.parametrize("commit", ["", " ", "a\nb", "\x1b[31m", "x" * 201, "\u202e"])
def test_a_commit_that_could_not_be_printed_is_refused(place: Path, record: Make, commit: str) -> None:
    with pytest.raises(UsageError, match="names no commit"):
        open_history(place).append(record().to_json(), commit)
    assert not place.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "edgewright.bench/2"}, "edgewright.bench/2"),
        ({"machine": {}}, "lacks machine.identity"),
        ({"runs": None, "target": {"name": "t"}}, "lacks target.threads, runs"),
        ({"created": "yesterday"}, "'yesterday'"),
        ({"summary": {"mean": float("nan")}}, "not JSON"),
    ],
)
def test_what_is_no_record_is_refused(place: Path, record: Make, change: dict[str, object], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        open_history(place).append({**record().to_json(), **change}, "c")
    assert not place.exists()


@pytest.mark.parametrize("name", ["history.json", "history.txt"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.sqlite"):
        open_history(tmp_path / name)


WRITER = """
import json, sys
from pathlib import Path
from edgewright.benchmarks.history import append_record_to_history
record = json.loads(Path(sys.argv[2]).read_text())
for number in range(10):
    record["notes"] = [sys.argv[3], str(number)]
    append_record_to_history(Path(sys.argv[1]), record, sys.argv[3])
"""


def test_processes_that_write_at_once_lose_nothing(place: Path, record: Make, tmp_path: Path) -> None:
    source = tmp_path / "record.txt"
    source.write_text(json.dumps(record().to_json()))
    command = [sys.executable, "-c", WRITER, str(place), str(source)]
    writers = [subprocess.Popen([*command, f"writer{number}"], stderr=subprocess.PIPE) for number in range(4)]
    for writer in writers:
        assert writer.communicate(timeout=60)[1] == b""
    history = open_history(place)
    assert len(history.points("p50", history.keys()[0])) == 40
    beside = place if place.is_dir() else place.parent
    assert not [path.name for path in beside.iterdir() if path.suffix not in (".json", ".sqlite", ".txt")]


def test_a_damaged_file_of_a_folder_is_named(tmp_path: Path, record: Make) -> None:
    history = filled(tmp_path / "h", record())
    (path,) = (tmp_path / "h").iterdir()
    whole = path.read_text()
    for text in ("", whole[:100], whole.replace("edgewright.history/1", "edgewright.history/2"), "[" * 10**5, "NaN"):
        path.write_text(text)
        with pytest.raises(BadInputError, match=path.name):
            open_history(tmp_path / "h").keys()
    path.write_text(whole)
    assert len(history.keys()) == 1


def test_a_fifo_in_a_folder_does_not_hang(tmp_path: Path, record: Make) -> None:
    filled(tmp_path / "h", record())
    os.mkfifo(tmp_path / "h" / "x.json")
    with pytest.raises(BadInputError, match="FIFO"):
        open_history(tmp_path / "h").keys()


@pytest.mark.parametrize(
    "content", [b"not a database, but longer than a header" * 100, b"SQLite format 3\0" + b"\1" * 4096]
)
def test_a_damaged_database_is_one_message(tmp_path: Path, record: Make, content: bytes) -> None:
    path = tmp_path / "h.db"
    path.write_bytes(content)
    for act in (lambda: open_history(path).keys(), lambda: open_history(path).append(record().to_json(), "c")):
        with pytest.raises(BadInputError, match=r"h\.db is damaged or no SQLite file"):
            act()
    assert path.read_bytes() == content


def test_a_damaged_row_names_its_entry(tmp_path: Path, record: Make) -> None:
    path = tmp_path / "h.db"
    filled(path, record())
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET entry = 7")
    with pytest.raises(BadInputError, match=r"h\.db, entry [0-9a-f]{16} has the schema None"):
        open_history(path).keys()


@pytest.mark.parametrize("statement", ["CREATE TABLE mine (x)", "PRAGMA user_version = 2"])
def test_a_database_of_another_kind_is_left_alone(tmp_path: Path, record: Make, statement: str) -> None:
    path = tmp_path / "h.db"
    with sqlite3.connect(path) as database:
        database.execute(statement)
    before = path.read_bytes()
    with pytest.raises(BadInputError, match="database of"):
        open_history(path).append(record().to_json(), "c")
    assert path.read_bytes() == before


def test_a_writer_that_died_before_its_first_row_is_no_damage(tmp_path: Path, record: Make) -> None:
    (tmp_path / "h.db").touch()
    history = open_history(tmp_path / "h.db")
    assert history.keys() == []
    assert history.append(record().to_json(), "c")
    assert len(history.keys()) == 1


def killed_while_writing(path: Path) -> None:
    """Leaves a database half written, with the journal that undoes it."""
    code = f"""
import os, sqlite3
database = sqlite3.connect({str(path)!r}, isolation_level=None)
database.execute("PRAGMA cache_spill = 1")
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for number in range(500):
    database.execute("INSERT INTO entries VALUES (?, '', '', ?)", (str(number), "x" * 5000))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.with_name(f"{path.name}-journal").exists(), "it died with pages written"


def test_a_writer_that_dies_within_its_transaction_leaves_what_was(tmp_path: Path, record: Make) -> None:
    path = tmp_path / "h.db"
    filled(path, record())
    killed_while_writing(path)
    check_history(path)  # as bench asks before it measures
    history = open_history(path)
    assert history.append(record(day=2).to_json(), "c1")
    assert [point.commit for point in history.points("p50", history.keys()[0])] == ["c0", "c1"]


def test_who_only_reads_undoes_what_a_killed_writer_left(tmp_path: Path, record: Make) -> None:
    path = tmp_path / "h.db"
    filled(path, record())
    killed_while_writing(path)
    history = open_history(path)
    assert [point.commit for point in history.points("p50", history.keys()[0])] == ["c0"]
    assert not path.with_name("h.db-journal").exists()


def test_a_held_database_can_be_tried_again(tmp_path: Path, record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_form, "_BUSY_S", 0.05)
    path = tmp_path / "h.db"
    filled(path, record())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RetryableError, match="held by another process"):
        open_history(path).append(record(day=2).to_json(), "c")
    holder.close()


def test_a_folder_that_is_missing_is_a_message(tmp_path: Path, record: Make) -> None:
    with pytest.raises(CannotWriteError, match=r"h\.db"):
        open_history(tmp_path / "absent" / "h.db").append(record().to_json(), "c")
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match="cannot make the folder"):
        open_history(tmp_path / "file" / "h").append(record().to_json(), "c")


def test_appending_in_one_call(place: Path, record: Make, other_machine: Machine) -> None:
    assert append_record_to_history(place, record(), "v1") == "v1"
    assert append_record_to_history(place, record(machine=other_machine).to_json(), "v2", "main") == "v2"
    entries = open_history(place).entries()
    assert sorted((entry.commit, entry.branch, entry.cpu) for entry in entries) == [
        ("v1", None, "Fast CPU"),
        ("v2", "main", "Slow CPU"),
    ]


def test_what_could_not_be_appended_to_is_known_before(place: Path, record: Make, tmp_path: Path) -> None:
    check_history(place, "v1")
    assert not place.exists()
    filled(place, record())
    check_history(place)
    with pytest.raises(UsageError, match="names no commit"):
        check_history(place, "")
    with pytest.raises(CannotWriteError, match="no folder"):
        check_history(tmp_path / "absent" / "h.db")
    (tmp_path / "h.db").write_text("x" * 1000)
    with pytest.raises(BadInputError, match="damaged"):
        check_history(tmp_path / "h.db")
