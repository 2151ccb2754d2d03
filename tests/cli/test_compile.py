"""``edgewright compile`` as a user types it: the installed command, real engines, a tiny model."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import onnx
import pytest

from edgewright.benchmarks.record import read_document, record_path
from edgewright.core.bundle import open_bundle
from tests.conftest import labelled

if TYPE_CHECKING:
    import onnx

    from edgewright.core.tensors import Feeds
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli

TARGET = "native/onnxruntime"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Compiled(NamedTuple):
    words: list[str | Path]
    out: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def int8_compiled(
    run_cli: RunCli,
    conv_net: onnx.ModelProto,
    conv_net_feeds: list[Feeds],
    tmp_path_factory: pytest.TempPathFactory,
) -> Compiled:
    """``conv_net`` in int8 by the installed command, figures by the whole protocol, where torch cannot be imported."""
    folder = tmp_path_factory.mktemp("int8")
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    model, out = folder / "conv_net.onnx", folder / "net.ewb"
    model.write_bytes(conv_net.SerializeToString(deterministic=True))
    data = labelled(conv_net, conv_net_feeds, folder / "conv_net.npz")
    words = ["compile", model, "--target", TARGET, "--data", data, "--precision", "int8", "--max-drop", "50%"]
    # A hash seed that no other process has, and a temporary folder that holds nobody else's timing lock.
    env: dict[str, str | None] = {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "1", "TMPDIR": str(folder)}
    return Compiled(words, out, run_cli(*words, "-o", out, "--json", env=env, cwd=folder))


def test_int8_is_proven_and_bundled(int8_compiled: Compiled) -> None:
    _, out, done = int8_compiled
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["targets"]
    bundle = open_bundle(out)
    assert report["digest"] == bundle.digest
    assert bundle.manifest.precision == "int8"
    accuracy = bundle.manifest.accuracy
    assert accuracy is not None
    assert accuracy.metric == "top1"
    assert accuracy.n >= 10
    assert accuracy.drop is not None
    assert accuracy.drop <= 0.5
    engine = b"".join(out.read_bytes() for _ in range(1))
    assert b"QuantizeLinear" in engine
    given = bundle.manifest.data
    assert given is not None
    assert given.prove == accuracy.data_digest
    assert given.train is None
    assert len({given.calibrate, given.select, given.prove}) == 3
    assert "serves alone" in done.stderr, "the split of the one data set must be said"
    golden = bundle.golden()
    assert len(golden.inputs) >= 4


def test_an_onnx_compile_never_imports_torch(int8_compiled: Compiled) -> None:
    assert int8_compiled.done.returncode == 0, int8_compiled.done.stderr
    assert "torch was imported" not in int8_compiled.done.stdout + int8_compiled.done.stderr


@pytest.mark.usefixtures("moments")
def test_a_second_compile_gives_the_same_bytes(int8_compiled: Compiled, run_here: RunHere, tmp_path: Path) -> None:
    """In another process, with other hashes, and timed by other rules: none of it is in the bundle."""
    again = run_here(*int8_compiled.words, "-o", tmp_path / "again.ewb")
    assert again.returncode == 0, again.stderr
    assert sha256(tmp_path / "again.ewb") == sha256(int8_compiled.out)


@pytest.mark.full
def test_a_compile_with_the_plan_gives_the_same_bytes(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    words = ["compile", conv_net_path, "--target", TARGET, "--data", conv_net_data, "--max-drop", "50%"]
    automatic, planned = tmp_path / "auto.ewb", tmp_path / "planned.ewb"
    found = run_cli(*words, "-o", automatic, "--json")
    assert found.returncode == 0, found.stderr
    searched(json.loads(found.stdout)["targets"][0], automatic)
    again = run_cli(*words, "-o", planned, "--plan", automatic)
    assert again.returncode == 0, again.stderr
    assert sha256(planned) == sha256(automatic)


def searched(target: dict[str, Any], bundle: Path) -> None:
    """What the search looked at stands in the answer and in the record, and what is shipped was the best of it."""
    search = target["search"]
    assert (search["schema"], search["stopped_by_time_limit"]) == ("edgewright.search/1", False)
    rows = {row["candidate"]: row for row in search["candidates"]}
    assert {"fp32", target["candidate"]} <= set(rows)
    assert rows["fp32"]["ratio"] == 1.0
    assert rows[target["candidate"]]["ratio"] <= 1.0, "nothing slower than the float engine is shipped"
    assert any(row["front"] for row in rows.values())
    assert all(row["median_ms"] > 0 for row in rows.values())
    (entry,) = cast("list[dict[str, object]]", read_document(record_path(bundle))["searches"])
    assert entry["candidates"] == search["candidates"]
    assert entry["bundle_sha256"] == target["digest"]


def test_when_the_time_limit_is_over_the_best_until_then_is_proven(
    run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    words = ["compile", conv_net_path, "--target", TARGET, "--data", conv_net_data, "--max-drop", "1e-5", "--no-cache"]
    done = run_here(*words, "--metric", "cosine", "-o", tmp_path / "net.ewb", "--time-limit", "0.001s", "--json")
    assert done.returncode == 0, done.stderr
    search = json.loads(done.stdout)["targets"][0]["search"]
    missed = [row for row in search["candidates"] if not row["holds"]]
    assert {row["verdict"] for row in missed} == {"not worked on: --time-limit is over"}
    assert search["stopped_by_time_limit"] is True


@pytest.mark.usefixtures("moments")
def test_a_missed_limit_leaves_the_best_found_beside(
    run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.ewb"
    metric = tmp_path / "impossible.py"
    metric.write_text(IMPOSSIBLE)
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--data", conv_net_data]
    words += ["--precision", "int8", "--trials", "3", "--max-drop", "0.5"]
    done = run_here(*words, "--metric", f"{metric}:factory")
    assert done.returncode == 1, done.stderr
    assert not out.exists()
    missed = open_bundle(tmp_path / "net.missed.ewb")
    assert missed.manifest.limits.drop_met is False
    assert "more than --max-drop" in done.stderr
    assert "Traceback" not in done.stderr


IMPOSSIBLE = '''
"""A metric on which only the original, asked first, does well: nothing can hold the limit."""
import numpy as np

class Falling:
    name, higher_is_better, compares_to = "falling", True, "original"
    def __init__(self):
        self.same = []
    def update(self, outputs, expected):
        self.same.append(all(np.array_equal(outputs[name], expected[name]) for name in expected))
    def compute(self):
        return float(np.mean(self.same))
    def per_sample(self):
        return np.array(self.same, dtype=float)

def factory():
    return Falling()
'''


def test_without_data_float_is_built_and_no_accuracy_is_claimed(
    run_cli: RunCli, conv_net_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.ewb"
    done = run_cli("compile", conv_net_path, "--target", TARGET, "-o", out, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert open_bundle(out).manifest.accuracy is None
    assert "not measured" in done.stdout


MARS = """
title = "A rover"
arch = "any"
isa = []

[runtimes.rover]
device = "CPU"
precisions = ["fp32"]
opset = [7, 24]
"""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--precision", "int8"], 2, "int8 needs data"),
        (["--target", "nativ/onnxruntime"], 2, "native"),
        (["--target", "mars.toml"], 69, "needs the runtime 'rover'"),
        (["--target", "jetson-orin"], 2, "--shape"),
        (["--max-drop", "much"], 2, "not a number such as"),
        (["--time-limit", "soon"], 2, "not a number such as 90s"),
        (["--time-limit", "5"], 2, "is not a time such as 90s"),
        (["--recipe", "nothing.toml"], 2, "nothing.toml"),
        (["--data", "nothing.npz"], 2, "nothing.npz"),
    ],
)
def test_users_mistakes_are_one_message(
    words: list[str], code: int, says: str, run_cli: RunCli, conv_net_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "mars.toml").write_text(MARS)
    given = words if "--target" in words else ["--target", TARGET, *words]
    done = run_cli("compile", conv_net_path, "-o", tmp_path / "net.ewb", *given, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "net.ewb").exists()


def test_several_targets_go_to_a_folder_and_one_failure_does_not_stop_the_others(
    run_cli: RunCli, conv_net_path: Path, tmp_path: Path
) -> None:
    mars = tmp_path / "mars.toml"
    mars.write_text(MARS)
    words = ["compile", conv_net_path, "--target", TARGET, "--target", mars, "-o", tmp_path / "out"]
    done = run_cli(*words, "--precision", "fp32", "--json")
    assert done.returncode == 69
    codes = {one["target"]: one["exit_code"] for one in json.loads(done.stdout)["targets"]}
    assert codes == {TARGET: 0, "mars/rover": 69}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["native-onnxruntime.ewb"]


def test_dry_run_prints_the_plan_and_writes_nothing(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.ewb"
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--data", conv_net_data]
    done = run_cli(*words, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads(done.stdout)["targets"]
    titles = [one["title"] for one in plan["candidates"]]
    assert titles[0] == "fp32"
    assert any(title.startswith("int8") for title in titles)
    assert any("static-quantize" in one["passes"] for one in plan["candidates"])
    assert not out.exists()


def test_a_depfile_names_what_was_read(run_cli: RunCli, conv_net_path: Path, tmp_path: Path) -> None:
    out, rule = tmp_path / "net.ewb", tmp_path / "net.d"
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--depfile", rule]
    times = tmp_path / "times.json"
    assert run_cli(*words, "--precision", "fp32", "--record", times).returncode == 0
    assert rule.read_text().startswith(f"{out}: \\\n")
    assert str(conv_net_path) in rule.read_text()
    assert json.loads(times.read_text())["schema"] == "edgewright.records/1"  # there even where nothing was timed
    assert not out.with_name("net.record.json").exists()


FACTORY = """
import json
from pathlib import Path

import numpy as np

from helper_of_task import SCALE

HERE = Path(__file__).parent


def samples():
    sizes = json.loads((HERE / "sizes.json").read_text())
    return [(np.full((1, 3, sizes["side"], sizes["side"]), SCALE * place, np.float32), None) for place in range(40)]
"""


def test_a_depfile_names_what_a_factory_opened_before_the_output_is_there(
    run_here: RunHere, conv_net_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.driver import package

    side = onnx.load(conv_net_path).graph.input[0].type.tensor_type.shape.dim[2].dim_value
    (tmp_path / "task.py").write_text(FACTORY)
    (tmp_path / "helper_of_task.py").write_text("SCALE = 0.01\n")
    (tmp_path / "sizes.json").write_text(json.dumps({"side": side}))
    out, rule = tmp_path / "net.ewb", tmp_path / "net.d"
    written = package.write

    def write(path: Path, *args: object, **options: object) -> str:
        assert rule.exists()
        assert not path.exists()
        return written(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(package, "write", write)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--depfile", rule, "--precision", "fp32"]
    done = run_here(*words, "--data", f"{tmp_path / 'task.py'}:samples")
    assert done.returncode == 0, done.stderr
    lines = [line.strip(" \\") for line in rule.read_text().splitlines()]
    named = [line for line in lines if line == f"{out}:" or not line.endswith(":")]
    assert named == [f"{out}:", *sorted(map(str, (conv_net_path, *(tmp_path / name for name in FACTORY_READS))))]


FACTORY_READS = ("helper_of_task.py", "sizes.json", "task.py")


@pytest.mark.usefixtures("moments")
@pytest.mark.parametrize(
    "delay_s", [0.05, pytest.param(0.4, marks=pytest.mark.full), 0.9, pytest.param(1.6, marks=pytest.mark.full)]
)
def test_kill_9_leaves_no_partial_output_and_the_next_run_succeeds(
    delay_s: float, run_here: RunHere, own_lock: Path, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "net.ewb"
    out.parent.mkdir()
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--data", conv_net_data, "--precision", "int8"]
    words += ["--max-drop", "50%"]
    command = [str(Path(sys.executable).with_name("edgewright")), *map(str, words)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    child.wait()
    for path in out.parent.iterdir():
        assert path == out, "nothing but a whole output may be there"
        open_bundle(path)
    if delay_s == 0.9:
        again = run_here(*words)
        assert again.returncode == 0, again.stderr
        open_bundle(out)
        assert not list(own_lock.glob("edgewright-work-*")), "the killed run's folder is swept by the next"
