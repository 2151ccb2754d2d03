from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from edgewright.benchmarks.exchange.pytest_json import stats_of, to_pytest_benchmark
from edgewright.benchmarks.exchange.pytest_reading import from_pytest_benchmark, read_pytest_benchmark
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.readings import SideReading
from edgewright.benchmarks.record import Comparison, ProtocolUsed, Record, Run, Subject, Target
from edgewright.benchmarks.summary import summarise
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.jsontext import pretty

SUBJECT = Subject("a" * 64, "b" * 64, "c" * 64, "net", "int8", 1000)


def record_of(runs: Sequence[Sequence[int]], model: str = "net", inner: int = 1) -> Record:
    made = tuple(Run("a", order, tuple(ns), (1.0,), 3, 2, 1, 0.0, 1, 0.0) for order, ns in enumerate(runs))
    return Record(
        subject=replace(SUBJECT, model=model),
        target=Target("native/onnxruntime", "onnxruntime", 2, host_proxy=False),
        machine=this_machine(),
        versions={"onnxruntime": "1.0"},
        protocol=ProtocolUsed(
            "quick", "single-stream", "run", "inference", inner, 10, True, 0, 4, "d" * 64, "golden", False, ()
        ),
        runs=made,
        voided=(),
        summary=summarise(made, inner),
        memory=None,
        accuracy=None,
        status="ok",
        notes=(),
        created="2026-01-31T12:00:00Z",
    )


def paired(record: Record, baseline_ns: int) -> Record:
    """The record of a session in which a baseline of that time ran first in even pairs and second in odd ones."""
    runs = []
    for pair, run in enumerate(record.runs):
        base = replace(run, arm="base", ns=(baseline_ns,) * len(run.ns))
        both = [base, replace(run, arm="new")]
        runs += both if pair % 2 == 0 else both[::-1]
    comparison = Comparison(SUBJECT, "base", len(record.runs), 1.0, None, 0.5, 0.0, "inconclusive", None)
    return replace(
        record, runs=tuple(replace(run, order=order) for order, run in enumerate(runs)), comparison=comparison
    )


def parsed(document: object) -> dict[str, object]:
    """As a file of it would be read."""
    return dict(json.loads(pretty(document)))


def compare(folder: Path, *files: Path, words: Sequence[str] = ()) -> str:
    command = [str(Path(sys.executable).with_name("pytest-benchmark")), "compare", *map(str, files), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Failed to load" not in done.stdout + done.stderr
    return done.stdout


def test_rounds_are_runs() -> None:
    record = record_of([[100, 200, 300] * 300, [400, 500, 600] * 300], model='"</script>\x1b')
    median, tail = to_pytest_benchmark([record])["benchmarks"]
    assert median["fullname"] == 'edgewright::"</script>\x1b[native/onnxruntime-int8]'
    assert tail["fullname"] == median["fullname"] + "::p99"
    assert median["stats"]["data"] == pytest.approx([200e-9, 500e-9], rel=1e-12)
    assert median["stats"]["rounds"] == 2
    assert tail["stats"]["data"] == pytest.approx([300e-9, 600e-9], rel=1e-12)
    assert median["group"] == record.subject.model
    assert median["extra_info"]["edgewright"]["summary"]["n"] == 1800


def test_a_tail_that_no_run_has_alone_is_of_all_together() -> None:
    _, tail = to_pytest_benchmark([record_of([[100] * 400, [200] * 400])])["benchmarks"]
    assert tail["stats"]["data"] == pytest.approx([200e-9], rel=1e-12)
    assert len(to_pytest_benchmark([record_of([[100] * 100])])["benchmarks"]) == 1


def test_batch_means_are_of_one_inference() -> None:
    (median,) = to_pytest_benchmark([record_of([[1000] * 700] * 3, inner=10)])["benchmarks"]
    assert median["stats"]["data"] == pytest.approx([100e-9] * 3, rel=1e-12)


def test_of_a_pair_the_subject_alone_is_exported() -> None:
    alone = record_of([[100 + run] * 700 for run in range(5)])
    found = to_pytest_benchmark([paired(alone, baseline_ns=999)])["benchmarks"]
    expected = to_pytest_benchmark([alone])["benchmarks"]
    assert [one["stats"] for one in found] == [one["stats"] for one in expected]
    assert [one["fullname"] for one in found] == [one["fullname"] for one in expected]
    assert found[0]["extra_info"]["edgewright"]["comparison"]["verdict"] == "inconclusive"


def test_another_scenario_is_another_benchmark() -> None:
    record = record_of([[100] * 700])
    others = ({"scenario": "offline", "batch": 8}, {"scenario": "fixed-rate", "rate_per_s": 12.5})
    records = [record, *(replace(record, protocol=replace(record.protocol, **other)) for other in others)]
    found = to_pytest_benchmark(records)["benchmarks"]
    key = "edgewright::net[native/onnxruntime-int8]"
    named = [one["fullname"] for one in found if not one["fullname"].endswith("::p99")]
    assert named == [key, f"{key}::offline-8", f"{key}::fixed-rate-12.5/s"]
    assert [one["params"]["batch"] for one in found[::2]] == [1, 8, 1]


def test_no_two_benchmarks_share_a_name() -> None:
    found = to_pytest_benchmark([record_of([[ns] * 700]) for ns in (100, 200, 300)])["benchmarks"]
    names = [one["fullname"] for one in found]
    assert len(set(names)) == 6
    assert names[:3] == [names[0], f"{names[0]}::p99", f"{names[0]}#2"]
    assert from_pytest_benchmark(parsed(to_pytest_benchmark([record_of([[1] * 20])]))).benchmarks[0].name == names[0]


def test_models_of_one_name_are_told_apart_by_their_files() -> None:
    records = [record_of([[ns] * 20], model="model") for ns in (100, 200, 300)]
    told = to_pytest_benchmark(records, names=("digits", "faces", "model"))["benchmarks"]
    swapped = to_pytest_benchmark(records[1::-1], names=("faces", "digits"))["benchmarks"]
    ending = "model[native/onnxruntime-int8]"
    names = [f"edgewright::digits::{ending}", f"edgewright::faces::{ending}", f"edgewright::{ending}"]
    assert [one["fullname"] for one in told] == names
    assert [one["fullname"] for one in swapped] == names[1::-1]  # whatever the order
    assert {one["group"] for one in told} == {"model"}
    with pytest.raises(ValueError, match="shorter"):
        to_pytest_benchmark(records, names=("digits",))


def test_raw_samples_stay_in_the_record() -> None:
    record = replace(record_of([[100] * 20]), side=(SideReading(1.0, 2000.0, None),))
    info = parsed(to_pytest_benchmark([record]))["benchmarks"][0]["extra_info"]["edgewright"]  # type: ignore[index]
    assert not info.keys() & {"runs", "voided", "side"}
    assert info.keys() | {"runs", "voided", "side"} == record.to_json().keys()


def test_the_commit_is_told_where_there_is_one() -> None:
    record = record_of([[100] * 20])
    assert to_pytest_benchmark([record])["commit_info"]["id"] == "unversioned"  # type: ignore[index]
    for commit, dirty in (("e" * 40, False), ("e" * 40 + "-dirty", True)):
        told = to_pytest_benchmark([record], commit)
        assert told["commit_info"] == {"id": "e" * 40, "dirty": dirty}
        back = from_pytest_benchmark(parsed(told))
        assert (back.commit, back.dirty) == ("e" * 40, dirty)
    assert from_pytest_benchmark(parsed(to_pytest_benchmark([record]))).commit is None


@given(
    st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=40) | st.lists(st.sampled_from([1.0, 2.0, 50.0]), min_size=1)
)
def test_stats_are_those_of_pytest_benchmark(data: list[float]) -> None:
    """Bit by bit: where a dashboard recomputes them, nothing may differ."""
    theirs = Stats()
    for time in data:
        theirs.update(time)
    ours = stats_of(data)
    assert {name: ours[name] for name in Stats.fields} == theirs.as_dict()
    assert ours["data"] == theirs.data


def test_pytest_benchmark_compares_our_files(tmp_path: Path) -> None:
    for name, slower in (("a.json", 1.0), ("b.json", 1.5)):
        runs = [[round((1_000_000 + 1000 * run) * slower)] * 700 for run in range(5)]
        records = [record_of(runs), paired(record_of(runs, model="other"), baseline_ns=5)]
        (tmp_path / name).write_bytes(pretty(to_pytest_benchmark(records)))
    shown = compare(
        tmp_path, tmp_path / "a.json", tmp_path / "b.json", words=("--columns=median,rounds", "--sort=fullname")
    )
    assert "benchmark 'net': 4 tests" in shown
    assert "benchmark 'other': 4 tests" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith(("net[", "other["))]
    assert len(rows) == 8
    assert all(row[-1] in ("5", "1") for row in rows)
    assert sum("::p99" in row[0] for row in rows) == 4
    assert sum(row[2:4] == ["1.5030", "(1.50)"] for row in rows if "::p99" not in row[0]) == 2, shown
    by_group = compare(tmp_path, tmp_path / "a.json", words=("--group-by=param:target",))
    assert "target=native/onnxruntime" in by_group
    between = compare(tmp_path, tmp_path / "a.json", tmp_path / "b.json", words=("--between=median",))
    assert "+50.0%" in between


def test_what_we_write_we_read() -> None:
    record = record_of([[100, 200, 300] * 300, [400, 500, 600] * 300])
    back = from_pytest_benchmark(parsed(to_pytest_benchmark([record])))
    median, tail = back.benchmarks
    assert (median.name, median.group, median.rounds) == ("edgewright::net[native/onnxruntime-int8]", "net", 2)
    assert median.data == pytest.approx((200e-9, 500e-9), rel=1e-12)
    assert median.median == pytest.approx(350e-9, rel=1e-12)
    assert median.params["threads"] == "2"
    assert median.record is not None
    assert median.record["summary"] == json.loads(pretty(record.to_json()))["summary"]
    assert tail.name.endswith("::p99")
    assert back.created == "2026-01-31T12:00:00Z"
    assert back.machine["machine"] == record.machine.identity


def test_a_file_of_somebodys_own_benchmarks_is_read(tmp_path: Path) -> None:
    """Saved ones have no data, and a parameter may be anything."""
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('size', [1, (2, 3), None])\n"
        "def test_sum(benchmark, size):\n    benchmark.pedantic(sum, ([1, 2],), rounds=3)\n"
        "def test_plain(benchmark):\n    benchmark.pedantic(sum, ([1, 2],), rounds=1)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-json=whole.json"]
    command += ["--benchmark-storage=file://saved", "--benchmark-save=stats"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, check=True, timeout=120)
    (saved,) = (tmp_path / "saved").glob("*/*.json")
    for path, has_data in ((tmp_path / "whole.json", True), (saved, False)):
        found = {one.name: one for one in read_pytest_benchmark(path).benchmarks}
        assert len(found) == 4
        plain = found["test_own.py::test_plain"]
        assert (plain.rounds, plain.group, plain.params, plain.record) == (1, None, {}, None)
        assert len(plain.data) == (1 if has_data else 0)
        assert sorted(one.params["size"] for one in found.values() if one.params) == ["1", "[2, 3]", "null"]


@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[" * 100_000, b'{"benchmarks": ' + b"9" * 5000 + b"}"])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(BadInputError, match=r"odd\.json"):
        read_pytest_benchmark(tmp_path / "odd.json")


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(IOFailureError, match="No such file"):
        read_pytest_benchmark(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("benchmarks",), {}, r"x\.json: benchmarks is \{\}, not a list"),
        (("benchmarks", 1), 3, r"benchmarks\[1\] is 3, not an object"),
        (("benchmarks", 0, "fullname"), "", r"benchmarks\[0\]\.fullname"),
        (("benchmarks", 0, "stats"), None, r"benchmarks\[0\]\.stats is null"),
        (("benchmarks", 0, "stats", "median"), math.nan, r"stats\.median is NaN, not a finite number"),
        (("benchmarks", 0, "stats", "mean"), True, r"stats\.mean is true"),
        (("benchmarks", 0, "stats", "stddev"), 10**400, r"stats\.stddev is 1000"),
        (("benchmarks", 0, "stats", "data", 1), -1.0, r"stats\.data\[1\] is -1\.0"),
        (("benchmarks", 0, "stats", "rounds"), 3, r"2 times for 3 rounds"),
        (("benchmarks", 0, "stats", "rounds"), 0, r"stats\.rounds is 0"),
        (("benchmarks", 0, "extra_info", "edgewright"), [], r"extra_info\.edgewright is \[\]"),
        (("benchmarks", 0, "extra_info", "edgewright", "schema"), "edgewright.bench/2", r"edgewright\.bench/2"),
        (("benchmarks", 0, "extra_info", "edgewright", "subject", "model"), None, r"subject\.model is null"),
        (("benchmarks", 0, "extra_info", "edgewright", "summary", "cv"), math.inf, "a value that JSON has not"),
        (("commit_info", "id"), 7, r"commit_info\.id is 7"),
        (("machine_info",), "me", r"machine_info is \"me\""),
        (("datetime",), 5, r"datetime is 5"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(place: tuple[str | int, ...], value: object, complaint: str) -> None:
    document: object = parsed(to_pytest_benchmark([record_of([[100] * 700, [200] * 700])]))
    inner = document
    for step in place[:-1]:
        inner = inner[step]  # type: ignore[index]
    inner[place[-1]] = value  # type: ignore[index]
    with pytest.raises(BadInputError, match=complaint):
        from_pytest_benchmark(document, "x.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data(), JSON)
def test_whatever_stands_anywhere_is_read_or_refused(data: st.DataObject, junk: object) -> None:
    document = parsed(to_pytest_benchmark([record_of([[100] * 20, [200] * 20])]))
    inner: object = document
    while True:
        steps = list(inner) if isinstance(inner, dict) else list(range(len(inner)))  # type: ignore[arg-type]
        step = data.draw(st.sampled_from(steps))
        below = inner[step]  # type: ignore[index]
        if not isinstance(below, dict | list) or not below or data.draw(st.booleans()):
            break
        inner = below
    if data.draw(st.booleans()):
        inner[step] = junk  # type: ignore[index]
    else:
        del inner[step]  # type: ignore[attr-defined]
    for whole in (document, junk):
        complaint, found = "the document", ()
        try:
            found = from_pytest_benchmark(whole).benchmarks
        except BadInputError as error:
            complaint = error.problem
        assert complaint.startswith("the document")
        assert all(math.isfinite(one.median) and one.rounds >= 1 for one in found)
