from __future__ import annotations

from dataclasses import fields

import pytest

from edgewright.compiler.recovery.options import DistilOptions, TrainOptions


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("optimizer", "adam", "optimizer: 'adam' is not one of adamw, sgd"),
        ("epochs", -1, "epochs: -1 is not 0 or more"),
        ("labels_weight", 1.5, "labels_weight: 1.5 is not from 0 to 1"),
        ("temperature", 0.0, "temperature: 0 is not from 0.1 to 100"),
        ("labels_loss", "mine", "labels_loss: 'mine' is not of the form module:function"),
        ("bn_samples", -5, "bn_samples: -5 is below 0"),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(field: str, value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"^{problem.replace('(', '.')}$"):
        DistilOptions(**{field: value})  # type: ignore[arg-type]


def test_options_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^last: give either"):
        TrainOptions(last=1, trainable=("head",))
    with pytest.raises(ValueError, match=r"^labels_weight: 0 leaves nothing"):
        TrainOptions(loss="own", labels_weight=0.0)


def test_recipes_can_write_every_field() -> None:
    assert {str(item.type) for item in fields(DistilOptions)} <= {"bool", "int", "float", "str", "tuple[str, ...]"}
