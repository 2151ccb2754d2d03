"""``edgewright plan`` as a user types it, and a plan that was edited given back to ``compile``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import helper

from edgewright.core.bundle import open_bundle
from edgewright.driver.choice import Choice

if TYPE_CHECKING:
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli

TARGET = "native/onnxruntime"


def words(model: Path, data: Path) -> list[str | Path]:
    return [model, "--target", TARGET, "--data", data, "--max-drop", "50%"]


def edited(path: Path, keep: list[int], **options: object) -> list[dict[str, Any]]:
    """Leaves these candidates in a plan, the last with these options."""
    plan = json.loads(path.read_text())
    candidates = plan["targets"][0]["candidates"]
    plan["targets"][0]["candidates"] = [candidates[place] for place in keep]
    if options:
        plan["targets"][0]["candidates"][-1]["options"] = options
    path.write_text(json.dumps(plan))
    return plan["targets"][0]["candidates"]  # type: ignore[no-any-return]


def write_only(path: Path, candidate: dict[str, Any]) -> None:
    """Leaves this candidate alone in a plan."""
    plan = json.loads(path.read_text())
    plan["targets"][0]["candidates"] = [candidate]
    path.write_text(json.dumps(plan))


def coded_at(path: Path) -> int:
    """Where the first scheme stands that has its ranges calibrated."""
    listed = json.loads(path.read_text())["targets"][0]["candidates"]
    return next(place for place, one in enumerate(listed) if "static-quantize" in one["passes"])


@pytest.mark.usefixtures("moments")
def test_a_plan_is_printed_written_edited_and_compiled(
    run_cli: RunCli, run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    asked, path = words(conv_net_path, conv_net_data), tmp_path / "plan.json"
    planned = run_cli("plan", *asked, "-o", path)
    assert planned.returncode == 0, planned.stderr
    assert f"{TARGET} (measured)\n  candidate" in planned.stdout
    assert "\naltogether: about " in planned.stdout
    assert "measured now: the float32 engine was built in" in planned.stdout
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".ewb"] == []

    document = json.loads(path.read_text())
    assert document["schema"] == "edgewright.plan/2"
    assert document["minutes"]["most"] >= document["minutes"]["least"] > 0
    (target,) = document["targets"]
    for one in target["candidates"]:
        assert Choice.from_json(one).title == one["title"]
        assert one["minutes"]["most"] >= one["minutes"]["least"] > 0
        assert one["most_inferences"] > 0

    fp32, int8 = edited(path, [0, coded_at(path)], keep_float=["stem.conv"])
    raced = run_here("compile", *asked, "-o", tmp_path / "raced.ewb", "--plan", path, "--json")
    assert raced.returncode == 0, raced.stderr
    (race,) = json.loads((tmp_path / "raced.record.json").read_text())["searches"]
    assert [one["candidate"] for one in race["candidates"]].count("fp32") == 1
    assert len(race["candidates"]) == 2
    assert race["reference"]["candidate"] == "fp32"
    assert json.loads(raced.stdout)["targets"][0]["search"]["candidates"] == race["candidates"]
    assert "2 candidates of the plan are measured, and no others" in raced.stderr
    assert "trial" not in raced.stderr
    chosen = open_bundle(tmp_path / "raced.ewb").journal["plan"]["choice"]  # type: ignore[index,call-overload]
    assert Choice.from_json(chosen) in (Choice.from_json(fp32), Choice.from_json(int8))

    again = run_here("plan", *asked, "--plan", path, "--json")
    assert again.returncode == 0, again.stderr
    assert [one["title"] for one in json.loads(again.stdout)["targets"][0]["candidates"]] == ["fp32", int8["title"]]

    (alone,) = edited(path, [1])
    alone["execution"] = {"optimization": "extended"}
    write_only(path, alone)
    built = run_here("compile", *asked, "-o", tmp_path / "alone.ewb", "--plan", path)
    assert built.returncode == 0, built.stderr
    bundle = open_bundle(tmp_path / "alone.ewb")
    assert bundle.manifest.precision == "int8"
    assert bundle.manifest.backend.properties["optimization"] == "extended"
    assert Choice.from_json(bundle.journal["plan"]["choice"]) == Choice.from_json(alone)  # type: ignore[index,call-overload]
    repeated = run_here("compile", *asked, "-o", tmp_path / "repeated.ewb", "--plan", tmp_path / "alone.ewb")
    assert repeated.returncode == 0, repeated.stderr
    assert (tmp_path / "repeated.ewb").read_bytes() == (tmp_path / "alone.ewb").read_bytes()


@pytest.mark.usefixtures("moments")
def test_what_is_cached_is_told_step_by_step(
    run_here: RunHere, conv_net_path: Path, conv_net_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another limit than was compiled with, all steps of the scheme that was built; of no other scheme."""
    monkeypatch.delenv("EDGEWRIGHT_CACHE_SIZE", raising=False)
    monkeypatch.setenv("EDGEWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("edgewright.driver.cache_steps.WORTH_S", 0.0)
    asked = [*words(conv_net_path, conv_net_data), "--precision", "int8"]

    def planned(*more: str) -> dict[str, Any]:
        done = run_here("plan", *asked, *more, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    before = planned()
    kept = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert all(one["from_cache"] == [] for one in before["targets"][0]["candidates"])
    assert run_here("compile", *asked, "-o", tmp_path / "net.ewb").returncode == 0
    assert list(planned()["from_cache"]) == [TARGET]

    other = planned("--max-drop", "40%")
    assert kept == [], "a plan keeps nothing"
    assert other["from_cache"] == {}
    first, *others = other["targets"][0]["candidates"]
    assert first["from_cache"] == ["passes", "engine", "score"]
    assert all("engine" not in one["from_cache"] for one in others)
    assert first["minutes"]["least"] == 0
    assert other["minutes"]["least"] < before["minutes"]["least"]


@pytest.fixture
def plan_path(run_here: RunHere, mlp_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    done = run_here("plan", mlp_path, "--target", TARGET, "-o", path)
    assert done.returncode == 0, done.stderr
    assert "without int8: it needs --data" in done.stdout
    return path


def test_mistakes_in_an_edited_plan_are_one_message(
    run_here: RunHere, plan_path: Path, mlp_path: Path, conv_net_path: Path, tmp_path: Path
) -> None:
    whole = plan_path.read_text()

    def refused(model: Path, verb: str = "compile", target: str = TARGET) -> str:
        out = [] if verb == "plan" else ["-o", str(tmp_path / "x.ewb")]
        done = run_here(verb, model, "--target", target, *out, "--plan", plan_path)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "x.ewb").exists()
        return f"{done.returncode}: {done.stderr}"

    for verb in ("compile", "plan"):
        plan_path.write_text(whole.replace('"options": {}', '"options": {"keep_float": 5}', 1))
        said = refused(mlp_path, verb)
        assert said.startswith("65: ")
        assert "targets[0].candidates[0].options.keep_float: fp32 on native/onnxruntime has no options" in said
        plan_path.write_text(whole.replace('"options": {}', '"options": {}, "execution": {"threads": "99"}', 1))
        said = refused(mlp_path, verb)
        assert said.startswith("65: ")
        assert "targets[0].candidates[0].execution: {'threads': '99'} is not {'optimization': 'extended'} or" in said
        plan_path.write_text(whole)
        edited(plan_path, [])
        said = refused(mlp_path, verb)
        assert said.startswith("65: ")
        assert "targets[0].candidates: nothing is left to build" in said
        plan_path.write_text(whole)
        said = refused(conv_net_path, verb)
        assert said.startswith("65: ")
        assert "made for another model, or for other shapes: model_digest is" in said
        said = refused(mlp_path, verb, "native/openvino")
        assert said.startswith("69: ")
        assert "the plan is for native/onnxruntime, not for native/openvino" in said


def test_a_layer_that_is_not_there_is_told(
    run_here: RunHere, conv_net_path: Path, conv_net_data: Path, moments: None, tmp_path: Path
) -> None:
    del moments
    asked, path = words(conv_net_path, conv_net_data), tmp_path / "plan.json"
    assert run_here("compile", *asked, "-o", "unused.ewb", "--dry-run").returncode == 0
    assert run_here("plan", *asked, "-o", path).returncode == 0
    edited(path, [coded_at(path)], keep_float=["stem.cnov"])
    done = run_here("compile", *asked, "-o", tmp_path / "net.ewb", "--plan", path)
    assert done.returncode == 0, done.stderr
    assert "keep_float names 'stem.cnov', which no operator is called here; did you mean stem.conv" in done.stderr


def test_operators_that_the_runtime_refuses_are_named(run_here: RunHere, tmp_path: Path) -> None:
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], f"odd.{place}", domain="com.example") for place in (0,)]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x", 1, [1, 4])],
        [helper.make_tensor_value_info("y", 1, [1, 4])],
    )
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=10), path)
    done = run_here("plan", path, "--target", TARGET, "--json")
    assert done.returncode == 69, done.stderr
    plan = json.loads(done.stdout)
    (target,) = plan["targets"]
    (refused,) = target["refused"]
    assert "Frobnicate" in refused["op"]
    assert refused["node"] == "odd.0"
    assert target["candidates"] == []
    assert plan["minutes"] is None


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [(["-o", "net.ewb"], 2, "a plan is one"), (["-o", "no/plan.json"], 73, "no"), (["--plan", "x"], 2, "no plan x")],
)
def test_users_mistakes(more: list[str], code: int, says: str, run_here: RunHere, mlp_path: Path) -> None:
    done = run_here("plan", mlp_path, "--target", TARGET, *more)
    assert done.returncode == code
    assert says in done.stderr
