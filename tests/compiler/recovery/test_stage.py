from __future__ import annotations

import copy

import pytest
import torch

from edgewright.compiler.recovery.options import DistilOptions
from edgewright.compiler.recovery.stage import distil
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.state import load_state
from edgewright.core.errors import UsageError
from tests.compiler.recovery.conftest import World, images

SHORT = DistilOptions(epochs=3, batch=32, learning_rate=0.005, precision="float32")


def test_the_state_that_is_left_is_the_trained_module(world: World) -> None:
    context = world.but(options=SHORT).context()
    result = distil(context)
    assert result.changed == 1
    loaded = context.fresh()
    load_state(context.folder, loaded)
    for name, value in context.module.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert result.parameters == sum(one.numel() for one in world.student.parameters())
    assert result.size_bytes == 4 * result.parameters
    assert result.figures["drop_after"] < result.figures["drop_before"]  # type: ignore[operator]
    assert result.figures["batchnorms_renewed"] == 2
    assert list(result.timings) == ["seconds_per_epoch"]


def test_calibration_samples_serve_where_there_is_no_training_data_and_it_is_said_how_few(world: World) -> None:
    context = world.but(
        options=SHORT, train=Absent("no --train-data"), calibration=Arrays({"x": images(120, 1)[0]}, None, None)
    ).context()
    first = distil(context).notes[0]
    assert first.kind == "warning"
    assert first.text.startswith("distilled on 120 calibration samples; 3 epochs in batches of 32, learning rate 0.005")
    assert "light changes of images" in first.text
    assert "more --train-data would recover more" in first.text


def test_no_data_is_an_error_that_says_what_to_give(world: World) -> None:
    with pytest.raises(UsageError, match="nothing to train on: no --train-data"):
        distil(world.but(options=SHORT, train=Absent("no --train-data")).context())


def test_the_original_itself_stays_as_it_is(world: World) -> None:
    context = world.but(options=SHORT, student=copy.deepcopy(world.teacher)).context()
    result = distil(context)
    assert result.changed == 0
    assert result.figures["batchnorms_renewed"] == 0
    assert not (context.folder / "weights.pt").exists()


def test_labels_are_mixed_in_where_their_loss_is_known(world: World) -> None:
    pictures, labels = images(192, 1)
    result = distil(world.but(options=SHORT, train=Arrays({"x": pictures}, labels, None)).context())
    assert "soft classes at temperature 2 and labels" in str(result.figures["settings"])
    boxes = Arrays({"x": pictures}, labels.astype("float32"), None)
    again = distil(world.but(options=SHORT, train=boxes).context())
    assert "labels" not in str(again.figures["settings"])
    assert any(note.subject == "labels" and "labels_loss" in note.text for note in again.notes)
