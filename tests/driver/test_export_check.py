"""A torch model's export is held to torch's own answers before anything is held to the export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.compiler.intake.source import LoadedModel, load_model
from edgewright.core.errors import UnavailableError
from edgewright.driver.compile import _compared_with_torch
from edgewright.driver.reference import ReferenceExecutor
from edgewright.targets.load import load_targets

FACTORY = """
import torch
class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = torch.nn.Linear(4, 3), torch.nn.Linear(5, 3)
    def forward(self, a, b):
        return {"sum": self.one(a) + self.two(b), "product": self.one(a) * self.two(b)}
def model():
    return Two(), (torch.ones(1, 4), torch.arange(5.0)[None])
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("factory")
    (folder / "two.py").write_text(FACTORY)
    return load_model(f"{folder}/two.py:model", workdir=folder)


@pytest.fixture
def executor(tmp_path: Path) -> ReferenceExecutor:
    return ReferenceExecutor(load_targets("native/onnxruntime")[0], tmp_path, 1)


def test_several_inputs_and_outputs_keep_their_names_and_agree(
    loaded: LoadedModel, executor: ReferenceExecutor
) -> None:
    assert loaded.answers is not None
    feeds, answers = loaded.answers
    assert [spec.name for spec in loaded.model.inputs] == list(feeds)
    assert [spec.name for spec in loaded.model.outputs] == list(answers)
    (line,) = _compared_with_torch(loaded, executor)
    assert "agrees with torch" in line


def test_an_export_that_computes_something_else_is_refused(loaded: LoadedModel, executor: ReferenceExecutor) -> None:
    assert loaded.answers is not None
    feeds, answers = loaded.answers
    name = list(answers)[1]
    wrong = replace(loaded, answers=(feeds, {**answers, name: answers[name] * 1.01}))
    with pytest.raises(UnavailableError, match=f"output '{name}' is 0.0099"):
        _compared_with_torch(wrong, executor)
