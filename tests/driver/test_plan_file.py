"""A plan that was edited: it is what its file says, or one message names every mistake and its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.errors import BadInputError, UsageError
from edgewright.driver.choice import Choice, coded_choices, float_choices
from edgewright.driver.outputs import Group
from edgewright.driver.plan_check import check_plan
from edgewright.driver.plan_file import SCHEMA, plan_of, read_plan
from edgewright.targets.load import load_targets

(TARGET,) = load_targets("x86-amx/onnxruntime")
(OTHER,) = load_targets("x86-amx/openvino")
GROUPS = [Group(TARGET.name, (TARGET,), Path("net.ewb"))]
CODED = coded_choices(TARGET)[0]


def document() -> dict[str, Any]:
    candidates = [*float_choices(TARGET), *coded_choices(TARGET), CODED.varied(keep_float=("stem", "head"))]
    return {
        "schema": SCHEMA,
        "model": "net",
        "model_digest": "0" * 64,
        "minutes": None,
        "targets": [
            {"target": TARGET.name, "candidates": [{"title": one.title, **one.to_json()} for one in candidates]},
            {"target": OTHER.name, "candidates": [one.to_json() for one in coded_choices(OTHER)]},
        ],
    }


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    return path


def test_candidates_come_back_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, document())
    plan = read_plan(path)
    found = [one.choice for one in plan.of(TARGET)]
    assert found == [*float_choices(TARGET), *coded_choices(TARGET), CODED.varied(keep_float=("stem", "head"))]
    assert plan.of(OTHER)[0].place == "targets[1].candidates[0]"
    assert plan.model_digest == "0" * 64
    check_plan(path, GROUPS)


@pytest.mark.parametrize("wrap", [lambda plan: plan, lambda plan: {"schema": "edgewright.journal/1", "plan": plan}])
def test_a_journal_is_a_plan_for_any_target_of_its_runtime(wrap: Callable[[object], object], tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, wrap({"choice": CODED.to_json(), "because": ["it was faster"]})))
    assert [one.choice for one in plan.of(TARGET)] == [CODED]
    assert plan.of(OTHER) == ()
    assert plan.because == ["it was faster"]
    assert plan.choice == CODED
    assert not plan.editable


def at(*keys: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    """Writes ``to`` at that place of the document; None deletes what is there."""

    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        if to is None:
            del found[keys[-1]]
        else:
            found[keys[-1]] = to

    return change


FLOAT = ("targets", 0, "candidates", 0)
INT8 = ("targets", 0, "candidates", len(float_choices(TARGET)))
PLACE = f"targets[0].candidates[{INT8[-1]}]"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at("schema", to="edgewright.plan/1"), "schema: 'edgewright.plan/1' is not edgewright.plan/2"),
        (at("schema", to=None), "schema: is missing"),
        (at("model_digest", to=None), "model_digest: is missing"),
        (at("targets", to={}), "targets: is not a list"),
        (at("targets", 0, to=7), "targets[0]: 7 is not an object"),
        (at("targets", 0, "target", to=None), "targets[0].target: is missing"),
        (at("targets", 1, "target", to=TARGET.name), f"targets[1].target: '{TARGET.name}' stands here twice"),
        (at("targets", 0, "candidates", to="fp32"), "targets[0].candidates: is not a list"),
        (at(*INT8, to=[]), f"{PLACE}: [] is not an object"),
        (at(*INT8, "hint", to=None), f"{PLACE}.hint: is missing"),
        (at(*INT8, "scheme", to=3), f"{PLACE}.scheme: 3 is not a text"),
        (at(*INT8, "options", to=[]), f"{PLACE}.options: [] is not an object"),
        (at(*INT8, "optoins", to={}), f"{PLACE}.optoins: unknown key; did you mean options?"),
        (at(*INT8, "widths", to=[1]), f"{PLACE}.widths[0]: 1 is not a text"),
        (at(*INT8, "scheme", to="spline"), f"{PLACE}.scheme: 'spline' is none of "),
        (at(*INT8, "precision", to="int4"), f"{PLACE}.precision: 'int4' is none of fp32"),
        (at(*INT8, "runtime", to="openvino"), f"{PLACE}.runtime: 'openvino' is not onnxruntime"),
        (at(*INT8, "hint", to="fp64"), f"{PLACE}.hint: 'fp64' is none of "),
        (at(*INT8, "variant", to="pruned"), f"{PLACE}.variant: 'pruned' is none of recovered, qat"),
        (at(*FLOAT, "variant", to="qat"), "targets[0].candidates[0].variant: qat is trained for int8, not for fp32"),
        (at(*FLOAT, "scheme", to="conv"), "targets[0].candidates[0].scheme: 'conv': fp32 has none"),
        (at(*FLOAT, "hint", to="bf16"), "targets[0].candidates[0].hint: 'bf16' is not fp32"),
        (at(*FLOAT, "options", "ranges", to="mse"), "targets[0].candidates[0].options.ranges: fp32 on "),
        (at(*INT8, "options", "keep_float", to="head"), f"{PLACE}.options.keep_float: 'head' is not a list of texts"),
        (at(*INT8, "options", "keep_flot", to=[]), f"{PLACE}.options.keep_flot: unknown key; did you mean keep_float?"),
        (at(*INT8, "options", "smooth", to=2), f"{PLACE}.options.smooth: 2.0 is not in [0, 1]"),
        (at(*INT8, "options", "samples", to=0.5), f"{PLACE}.options.samples: 0.5 is not a whole number"),
        (at(*INT8, "options", "scheme", to="conv"), f"{PLACE}.options.scheme: unknown key"),
        (at(*FLOAT, to={"title": "twin", **CODED.to_json()}), f"{PLACE}: the same as targets[0].candidates[0]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(change: Callable[[dict[str, Any]], None], says: str, tmp_path: Path) -> None:
    edited = document()
    change(edited)
    with pytest.raises(BadInputError) as caught:
        check_plan(written(tmp_path, edited), GROUPS)
    assert "1 mistake:" in caught.value.problem
    assert f"\n  {says}" in caught.value.problem


def test_a_null_option_is_told_and_not_taken_for_the_default(tmp_path: Path) -> None:
    edited = document()
    edited["targets"][0]["candidates"][INT8[-1]]["options"]["keep_float"] = None
    with pytest.raises(BadInputError, match=r"options.keep_float: is null"):
        check_plan(written(tmp_path, edited), GROUPS)


def test_all_mistakes_come_at_once_and_other_targets_are_nobodys_business(tmp_path: Path) -> None:
    edited = document()
    edited["targets"][0]["candidates"][0]["runtime"] = "abacus"
    edited["targets"][0]["candidates"][1]["precision"] = "int3"
    edited["targets"][1]["candidates"][0]["scheme"] = "spline"
    with pytest.raises(BadInputError, match="2 mistakes") as caught:
        check_plan(written(tmp_path, edited), GROUPS)
    assert "spline" not in caught.value.problem


def test_two_ways_of_pruning_are_refused() -> None:
    edited = document()
    for place, width in ((0, "stem=4"), (1, "stem=8")):
        edited["targets"][0]["candidates"][place] |= {"variant": "recovered", "widths": [width]}
    with pytest.raises(BadInputError, match=r"candidates\[1\].widths: not those of targets\[0\].candidates\[0\]"):
        plan_of(Path("plan.json"), edited)


def test_what_is_no_plan_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no plan"):
        read_plan(tmp_path / "nothing.json")
    for text in ("{", "[]", "3", "{}", '{"plan": 3}', "[" * 100_000, "\x00", '{"choice": []}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(BadInputError):
            read_plan(tmp_path / "plan.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_plan_or_a_documented_mistake(content: object) -> None:
    with pytest.raises(BadInputError):
        plan_of(Path("plan.json"), content)


@given(data=st.data())
def test_any_change_of_a_plan_is_a_plan_or_a_documented_mistake(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands at any place: what is let through can be built from, what is not is one of our own errors."""
    edited = copy.deepcopy(document())
    holder: Any = edited
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans())
        if not deeper:
            break
        holder = holder[key]
    holder[key] = data.draw(JSON | st.sampled_from(["", "int8", "fp32", "qat", {"keep_float": ["a"]}, {"smooth": 1}]))
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    path.write_text(json.dumps(edited))
    try:
        check_plan(path, GROUPS)
    except BadInputError:
        return
    for one in read_plan(path).of(TARGET):
        assert isinstance(one.choice, Choice)
        assert one.choice.digest
