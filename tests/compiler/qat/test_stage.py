"""Training with codes from end to end, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewright.compiler.pruning.answers import answers_of
from edgewright.compiler.qat import stage
from edgewright.compiler.qat.exactness import compare
from edgewright.compiler.qat.extraction import LAYERS, put_back
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.schedule import Schedule
from edgewright.compiler.quantization.insertion import insert
from edgewright.compiler.recovery.loop import train
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.state import GRIDS, load_state
from edgewright.core.errors import EngineError, UsageError

OPTIONS = QatOptions(epochs=4, batch=8, augment="none", learning_rate=3e-4, batchnorm_until=0.3, ema=0.0)


@pytest.fixture(scope="module")
def trained(journey, tmp_path_factory):
    one = journey("depthwise")
    folder = tmp_path_factory.mktemp("stage")

    def teacher():
        """Not quite the student, so that there is something to learn on so small a net."""
        module = one.fresh()
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for value in module.parameters():
                value.add_(0.1 * value.std().nan_to_num(0.0) * torch.randn(value.shape, generator=random))
        return module

    context = replace(one.context, module=one.fresh(), original=teacher, folder=folder, options=OPTIONS)
    return one, context, stage.train(context)


def test_training_gets_closer_to_the_teacher_and_says_so(trained):
    _, _, result = trained
    losses = result.figures["held_out_losses"]
    assert result.changed > 0
    assert losses[result.figures["best_epoch"]] < 0.85 * losses[0]  # 0.71 was seen
    assert result.parameters > 0
    assert result.size_bytes == 4 * result.parameters


def test_it_says_what_became_of_the_biases(trained):
    _, _, result = trained
    said = [(note.kind, note.text) for note in result.notes if "biases" in note.text]
    assert len(said) == 1
    assert said[0][0] in ("did", "skipped")


@pytest.mark.parametrize(("fixed", "said"), [(3, "say too little"), (8, "corrected for")])
def test_biases_of_a_graph_of_one_batch_size_are_corrected_in_batches_of_it(trained, monkeypatch, fixed, said):
    one, context, _ = trained
    prepared = one.prepare("fixed")[0]
    sizes = []

    def watched(module, batches):
        sizes.extend(len(batch[0]) for batch in batches)
        return answers_of(module, batches)

    monkeypatch.setattr(stage, "answers_of", watched)
    arrays = Arrays({context.inputs[0].name: one.data}, None, None)
    assert said in stage._corrected(prepared, context, arrays, fixed).text
    assert set(sizes) <= {fixed}


def test_the_state_is_of_the_users_module_and_its_export_is_what_was_trained(trained):
    one, context, _ = trained
    module = one.fresh()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    load_state(context.folder, module)
    after = module.state_dict()
    assert after.keys() == before.keys()
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert {"body.0.0.weight", "body.0.1.running_mean", "head.bias"} <= set(changed)
    plan = one.plan_of((context.folder / GRIDS).read_text(), module.eval())
    assert [note.kind for note in plan.notes] == ["did"]
    found = compare(plan, context.folder / LAYERS, one.site.run)
    assert found.layers
    assert found.worst.steps <= 1.01, found.worst  # ties that two engines round apart
    assert found.cosine > 0.999


def test_a_lowering_that_differs_is_told_by_the_worst_layer(trained):
    one, context, _ = trained
    module = one.fresh()
    load_state(context.folder, module)
    with torch.no_grad():
        module.body[1][0].weight.mul_(1.3)
    found = compare(
        one.plan_of((context.folder / GRIDS).read_text(), module.eval()), context.folder / LAYERS, one.site.run
    )
    others = [layer for layer in found.layers if layer.layer != found.worst.layer]
    assert found.worst.steps > 2
    assert all(layer.steps <= 1.01 for layer in others)  # each layer is given what was trained, whatever came before
    assert [note.kind for note in found.notes] == ["warning"]
    assert found.notes[0].subject == found.worst.layer


def test_grids_are_of_every_tensor_that_was_wanted(trained):
    one, context, _ = trained
    grids = json.loads((context.folder / GRIDS).read_text())
    assert grids.keys() == one.wanted.tensors.keys()
    started = {name: (tensor.scale, tensor.zero_point) for name, tensor in one.wanted.tensors.items()}
    assert any(grids[name][0] != started[name][0] for name in grids)  # scales were learnt
    assert all(grids[name][1:] == [started[name][1], "uint8"] for name in grids)
    plan = one.plan_of((context.folder / GRIDS).read_text())
    insert(plan.graph, plan.placement, plan.grids, plan.policy)
    constants = [value.const_value.numpy() for value in plan.graph.initializers.values()]
    written = {float(value) for value in constants if value.dtype == np.float32 and value.size == 1}
    assert {scale for scale, _, _ in grids.values()} <= written


def test_nothing_to_train_with_is_said(journey):
    one = journey("depthwise")
    nothing = replace(one.context, train=Absent("no --train-data"), calibration=Absent("no --data"), options=OPTIONS)
    with pytest.raises(UsageError, match="no --train-data"):
        stage.train(replace(nothing, module=one.fresh()))


def test_an_exported_program_is_trained_as_its_module_is(journey):
    one = journey("plain")
    example = torch.from_numpy(one.data[:2])
    program = torch.export.export(one.fresh(), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    context = replace(one.context, module=program.module())
    prepared, located, _ = stage.prepare_module(context, one.wanted, QatOptions(ranges="fixed"))
    assert located.missing == {}
    assert set(prepared.grids) == {tensor.group for tensor in one.wanted.tensors.values()}
    with torch.no_grad():
        prepared.graph.get_parameter("head.bias").fill_(3.0)
    again = program.module()
    put_back(prepared, again)
    assert again.state_dict().keys() == one.fresh().state_dict().keys()
    assert torch.equal(again.state_dict()["head.bias"], torch.full((5,), 3.0))


def test_a_run_that_cannot_be_compared_says_so(trained):
    one, context, _ = trained

    def broken(model, feeds):
        raise EngineError("no engine here")

    found = compare(one.plan_of((context.folder / GRIDS).read_text()), context.folder / LAYERS, broken)
    assert [(note.kind, "no engine here" in note.text) for note in found.notes] == [("warning", True)]
    assert found.figures == {}


def test_two_runs_leave_the_same_weights(journey, tmp_path):
    one = journey("depthwise")
    states = []
    for name in "ab":
        context = replace(
            one.context,
            module=one.fresh(),
            folder=tmp_path / name,
            options=replace(OPTIONS, epochs=1, learning_rate=1e-5, batchnorm_until=0.0, loss="logits"),
        )
        context.folder.mkdir()
        prepared, _, _ = stage.prepare_module(context, one.wanted, context.options)
        train(
            prepared.graph,
            context.original(),
            context.train,
            stage.settled(context.options, context, context.train, None),
            context=context,
            checkpoint=context.folder / "training.pt",
            hooks=replace(Schedule(prepared, context.options).hooks(), must_change=True),
        )
        states.append(prepared.graph.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
