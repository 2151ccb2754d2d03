from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.errors import BadInputError
from edgewright.driver.choice import Choice, float_choices, int8_choices
from edgewright.targets.load import load_targets

VALUES = st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.tuples(st.text(), st.text())


@given(st.text(), st.text(), st.text(), st.dictionaries(st.text(), VALUES))
def test_a_plan_survives_json(runtime: str, scheme: str, hint: str, options: dict[str, object]) -> None:
    choice = Choice(runtime, "int8", scheme, hint, options)
    again = Choice.from_json(json.loads(json.dumps(choice.to_json())))
    assert again == choice
    assert again.digest == choice.digest


@pytest.mark.parametrize(
    "broken", [None, [], {}, {"runtime": 1}, {"runtime": "x", "precision": "int8", "scheme": "", "hint": ""}]
)
def test_a_broken_plan_is_refused(broken: object) -> None:
    with pytest.raises(BadInputError):
        Choice.from_json(broken)


def test_choices_come_simplest_first_and_hints_only_where_the_runtime_takes_them() -> None:
    (target,) = load_targets("x86-amx/openvino")
    floats = float_choices(target)
    assert floats[0].precision == "fp32"
    assert {one.precision: one.hint for one in floats}["bf16"] == "bf16"
    assert target.int8 is not None
    assert [one.scheme for one in int8_choices(target)] == [scheme.name for scheme in target.int8.schemes]


def test_the_digest_covers_the_layers_left_in_float() -> None:
    plain = Choice("onnxruntime", "int8", "conv")
    assert plain.digest != plain.varied(keep_float=("a",)).digest
    assert plain.varied(keep_float=("a", "b")).kept_float == ("a", "b")
