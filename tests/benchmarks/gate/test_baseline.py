from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.gate.baseline import (
    Scores,
    entry_of,
    find_baseline,
    read_baselines,
    require_place,
    save_baselines,
)
from edgewright.benchmarks.record import Record
from edgewright.core.errors import BadInputError, CannotWriteError, UnavailableError, UsageError

MakeRecord = Callable[..., Record]
SCORES = Scores("top1", True, 0.625, 4, "d" * 64, np.array([1.0, 0.0, 1.0, 0.5]))


@pytest.fixture
def record(record_of: MakeRecord) -> Record:
    return record_of([[1000, 1010, 1020], [2000] * 3])


def test_what_is_saved_is_read(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    save_baselines(path, [entry_of("net", record, 12345, SCORES, "a")])
    (found,) = read_baselines(path)
    assert (found.name, found.model, found.size_bytes, found.threads) == ("net", "net", 1_000_000, 1)
    assert found.run_medians_ns == (1010.0, 2000.0)
    assert (found.memory_bytes, found.identity) == (12345, record.machine.identity)
    assert found.inputs_sha256 == "i" * 64
    assert found.scores is not None
    assert found.scores.per_sample is not None
    assert found.scores.per_sample.tolist() == [1.0, 0.0, 1.0, 0.5]
    assert replace(found.scores, per_sample=None).metric == "top1"


def test_no_raw_samples_and_nobodys_name_are_kept(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    save_baselines(path, [entry_of("net", record, None, None, "a")])
    entry = json.loads(path.read_bytes())["baselines"][0]
    assert not {"runs", "side", "comparison", "voided"} & entry["record"].keys()
    assert str([1000, 1010, 1020]) not in path.read_text().replace(",", ", ")
    (found,) = read_baselines(path)
    assert (found.memory_bytes, found.scores) == (None, None)


def test_only_the_subjects_runs_are_kept(compared_record: Callable[[str], Record]) -> None:
    assert entry_of("net", compared_record("pass"), None, None, "a")["run_medians_ns"] == [1000.0, 1000.0]


def test_saving_replaces_the_same_name_and_machine_alone(record: Record, tmp_path: Path) -> None:
    path, other = tmp_path / "b.json", replace(record, machine=replace(record.machine, cpu="Another"))
    save_baselines(path, [entry_of("net", record, 1, None, "a"), entry_of("b", record, 2, None, "a")])
    save_baselines(path, [entry_of("net", other, 3, None, "a")])
    save_baselines(path, [entry_of("net", record, 4, None, "a")])
    found = {(one.name, one.machine.partition(",")[0]): one.memory_bytes for one in read_baselines(path)}
    assert found == {("net", "A CPU"): 4, ("b", "A CPU"): 2, ("net", "Another"): 3}
    same = path.read_bytes()
    save_baselines(path, [entry_of("net", record, 4, None, "a")])
    assert path.read_bytes() == same


def test_only_the_same_machine_is_found(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    save_baselines(path, [entry_of("net", record, 1, None, "a")])
    found = read_baselines(path)
    assert find_baseline(found, "net", record.machine, path) is found[0]
    with pytest.raises(UnavailableError, match=r"another machine \(A CPU, 4 cores, .*this is B CPU") as caught:
        find_baseline(found, "net", replace(record.machine, cpu="B CPU"), path)
    assert "--against BUNDLE" in caught.value.remedy
    with pytest.raises(UnavailableError, match=r"b\.json has no baseline of nat; it has net"):
        find_baseline(found, "nat", record.machine, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has the schema None"),
        ('{"schema": "edgewright.records/1"}', "has the schema 'edgewright.records/1'"),
        ('{"schema": "edgewright.baseline/2", "baselines": []}', "has the schema 'edgewright.baseline/2'"),
        ('{"schema": "edgewright.baseline/1", "baselines": [1]}', "has no list of baselines"),
        ('{"schema": "edgewright.baseline/1", "baselines": [{"name": null}]}', r"baselines\[0\]\.record: is missing"),
    ],
)
def test_what_is_no_baseline_is_refused_and_left_alone(text: str, message: str, record: Record, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message):
        read_baselines(path)
    if "baselines[" not in message.replace("\\", ""):
        with pytest.raises(BadInputError, match=message):
            require_place(path)
        with pytest.raises(BadInputError, match=message):
            save_baselines(path, [entry_of("net", record, 1, None, "a")])
        assert path.read_text() == text


def test_no_file_and_no_folder(record: Record, tmp_path: Path) -> None:
    require_place(tmp_path / "b.json")
    with pytest.raises(UsageError, match="does not exist"):
        read_baselines(tmp_path / "b.json")
    with pytest.raises(CannotWriteError):
        save_baselines(tmp_path / "no" / "b.json", [entry_of("net", record, 1, None, "a")])


@given(data=st.data())
def test_an_entry_spoilt_anywhere_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever one value of the file is replaced by, the reader gives figures or one message."""
    entry = json.loads(json.dumps(ENTRY))
    places = list(_places(entry))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(
        st.one_of(
            st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3), st.just([]), st.just({})
        )
    )
    path = tmp_path_factory.mktemp("b") / "b.json"
    path.write_text(json.dumps({"schema": "edgewright.baseline/1", "baselines": [entry]}))
    try:
        (found,) = read_baselines(path)
    except BadInputError:
        return
    assert found.run_medians_ns
    assert all(one > 0 for one in found.run_medians_ns)
    if found.scores is not None and found.scores.per_sample is not None:
        assert len(found.scores.per_sample) == found.scores.n
        assert np.isfinite(found.scores.per_sample).all()


ENTRY: dict[str, object] = {
    "name": "net",
    "record": {
        "subject": {"model": "net", "bundle_sha256": "a", "size_bytes": 5},
        "machine": {"cpu": "A", "cores": 2, "identity": "0", "gpu": None},
        "target": {"threads": 1},
        "protocol": {"inputs_sha256": "i"},
        "created": "now",
    },
    "run_medians_ns": [1.0, 2.0],
    "memory_bytes": 7,
    "scores": {
        "metric": "m", "higher_is_better": True, "value": 0.5, "n": 2, "dataset_sha256": "d", "per_sample": [0, 1],
    },
}  # fmt: skip


def _places(value: object):  # type: ignore[no-untyped-def]
    """Every place in a JSON value, as what holds it and its key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item)
