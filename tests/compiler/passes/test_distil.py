from __future__ import annotations

from dataclasses import replace

import pytest

from edgewright.compiler.pass_base import Outcome, Stage, registry
from edgewright.compiler.passes import distil
from edgewright.compiler.passes.distil import Distil
from edgewright.compiler.recovery.options import DistilOptions
from edgewright.core.model import TorchSource

SOURCE = TorchSource("factory", "net:make", "net", (), False, (), ())


def test_it_is_asked_for_and_never_runs_by_itself() -> None:
    kind = registry().find("distil")
    assert kind is Distil
    assert kind.stage is Stage.RECOVER
    assert kind.wanted(None, "int8") == "nothing is to be trained"  # type: ignore[arg-type]


def test_its_stage_is_given_model_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def run_stage(*values: object) -> Outcome[TorchSource]:
        given.extend(values)
        return Outcome(replace(SOURCE, parameters=5), 1)

    monkeypatch.setattr(distil, "run_stage", run_stage)
    options = DistilOptions(epochs=3)
    outcome = Distil(options)(SOURCE, None)  # type: ignore[arg-type]
    assert given == ["distil", SOURCE, options, None]
    assert outcome.model.parameters == 5
