from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgewright.compiler.recovery.loop import train
from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.result import Hooks, TrainResult
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StoppedError
from edgewright.core.errors import UsageError
from tests.compiler.recovery.conftest import World, images

SHORT = TrainOptions(epochs=3, batch=32, learning_rate=0.005, precision="float32")


def run(
    world: World, options: TrainOptions = SHORT, hooks: Hooks | None = None, teacher: bool = True
) -> tuple[nn.Module, TrainResult]:
    context = world.context()
    assert isinstance(context.train, Arrays)
    guide = context.original() if teacher else None
    path = world.folder / "checkpoint.pt"
    result = train(
        context.module, guide, context.train, options, context=context, checkpoint=path, hooks=hooks or Hooks()
    )
    return context.module, result


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


class StopAt:
    """True from the given question on, once."""

    def __init__(self, question: int) -> None:
        self.left = question

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_a_damaged_net_learns_again_without_labels(world: World) -> None:
    student, result = run(world, TrainOptions(epochs=6, batch=32, learning_rate=0.005, precision="float32"))
    before, after = result.scores[0], result.best
    assert before.drop is not None
    assert after.drop is not None
    assert before.drop > 0.2, "the damage must be worth recovering from"
    assert after.drop < before.drop / 2
    assert result.best_epoch > 0
    assert not student.training
    assert all(one.requires_grad and one.grad is None for one in student.parameters())
    assert result.figures()["drop_after"] == pytest.approx(after.drop, rel=1e-3)


def test_the_weights_that_are_left_are_those_that_were_scored(world: World) -> None:
    student, result = run(world)
    answers = [{"scores": student(torch.from_numpy(one[None])).detach().numpy()} for one in world.select.inputs["x"]]
    assert world.drop(answers) == result.best.drop


def test_two_runs_give_the_same_bits(world: World, tmp_path: Path) -> None:
    one, first = run(world)
    other, second = run(world.but(folder=tmp_path / "again"))
    assert_same_bits(one, other)
    assert first.losses == second.losses


@pytest.mark.parametrize("question", [4, 6, 7, 15])  # 6 steps an epoch: within the first, at its end, in the third
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(world: World, tmp_path: Path, question: int) -> None:
    straight, whole = run(world.but(folder=tmp_path / "straight"))
    with pytest.raises(StoppedError):
        run(world.but(stopping=StopAt(question)))
    resumed, rest = run(world.but(resume=True))
    assert_same_bits(straight, resumed)
    assert (whole.losses, whole.scores, whole.best_epoch) == (rest.losses, rest.scores, rest.best_epoch)
    assert world.log == [f"goes on from a checkpoint at epoch {(question - 1) // 6 + 1}, step {(question - 1) % 6}"]


def test_a_run_that_was_killed_goes_on_from_its_last_epoch(world: World, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill() -> bool:
        if asked.__next__() == 9:
            raise KilledError  # nothing is saved, as by kill -9
        return False

    asked = iter(range(100))
    options = TrainOptions(epochs=3, batch=32, optimizer="sgd", learning_rate=0.05, loss="both", precision="float32")
    straight, _ = run(world.but(folder=tmp_path / "straight"), options)
    with pytest.raises(KilledError):
        run(world.but(stopping=kill), options)
    resumed, _ = run(world.but(resume=True), options)
    assert_same_bits(straight, resumed)
    assert len(world.log) == 1


def test_a_checkpoint_of_other_options_is_not_gone_on_from(world: World, tmp_path: Path) -> None:
    run(world)
    other = TrainOptions(epochs=2, batch=32, learning_rate=0.01, precision="float32")
    afresh, result = run(world.but(resume=True), other)
    expected, _ = run(world.but(folder=tmp_path / "other"), other)
    assert_same_bits(afresh, expected)
    assert [note.text for note in result.notes] == ["started afresh: the checkpoint is of other options or data"]


def test_a_finished_run_is_not_trained_again(world: World) -> None:
    first, _ = run(world)
    steps: list[int] = []
    again, _ = run(world.but(resume=True), hooks=Hooks(on_step=lambda _net, step, _of: steps.append(step)))
    assert steps == []
    assert_same_bits(first, again)


def test_where_nothing_is_better_the_start_is_kept_and_said(world: World) -> None:
    world = world.but(student=copy.deepcopy(world.teacher))
    student, result = run(world, TrainOptions(epochs=2, batch=32, learning_rate=0.5, precision="float32"))
    assert result.best_epoch == 0
    assert_same_bits(student, world.teacher)
    assert any("the start is kept" in note.text and note.kind == "warning" for note in result.notes)


def test_an_unfinished_start_is_left_even_for_something_worse(world: World) -> None:
    world = world.but(student=copy.deepcopy(world.teacher))
    hooks = Hooks(must_change=True)
    _, result = run(world, TrainOptions(epochs=2, batch=32, learning_rate=0.01, precision="float32"), hooks)
    assert result.best_epoch > 0


def test_a_loss_that_is_not_finite_ends_training_with_the_best_so_far(world: World) -> None:
    def poison(net: nn.Module, step: int, _steps: int) -> None:
        if step == 9:
            with torch.no_grad():
                next(net.parameters()).fill_(math.nan)

    options = TrainOptions(epochs=3, batch=32, learning_rate=0.005, ema=0, precision="float32")
    student, result = run(world, options, Hooks(on_step=poison))
    assert result.best_epoch == 1
    assert result.epochs == 2
    assert all(bool(torch.isfinite(one).all()) for one in student.state_dict().values())
    assert any(note.kind == "warning" and "not finite in epoch 2, step 4" in note.text for note in result.notes)


def test_training_ends_when_nothing_gets_better(world: World) -> None:
    world = world.but(student=copy.deepcopy(world.teacher))
    _, result = run(world, TrainOptions(epochs=9, batch=32, learning_rate=0.3, patience=2, precision="float32"))
    assert result.epochs == 2
    assert any("no better result for 2 epochs" in note.text for note in result.notes)


def test_without_a_selection_set_samples_are_held_back_to_judge_by(world: World) -> None:
    _, result = run(world.but(select=Absent("no data")), TrainOptions(epochs=4, batch=32, learning_rate=0.005))
    assert result.samples == 192 - 19
    assert result.best.drop is None
    assert result.best.loss < result.scores[0].loss
    assert result.judged_on == "the loss on 19 samples that are not trained on"
    assert "drop_before" not in result.figures()


def test_only_the_last_layer_is_trained_where_that_is_asked(world: World) -> None:
    start = copy.deepcopy(world.student)
    student, result = run(world, TrainOptions(epochs=2, batch=32, learning_rate=0.01, last=1, precision="float32"))
    assert result.best_epoch > 0
    after = student.state_dict()
    changed = {name for name, value in start.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == {"head.weight", "head.bias"}


def test_patterns_say_what_is_trained(world: World) -> None:
    start = copy.deepcopy(world.student)
    options = TrainOptions(epochs=1, batch=32, learning_rate=0.01, trainable=("second",), precision="float32")
    after = run(world, options)[0].state_dict()
    changed = {name.split(".")[0] for name, value in start.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == {"second"}
    with pytest.raises(UsageError, match=r"no parameter is trained with trainable = \['thrid'\]"):
        run(world, TrainOptions(epochs=1, trainable=("thrid",)))


def test_labels_alone_teach(world: World) -> None:
    pictures, labels = images(192, 1)
    world = world.but(train=Arrays({"x": pictures}, labels, None))
    _, result = run(world, TrainOptions(epochs=4, batch=32, learning_rate=0.005, loss="own"), teacher=False)
    assert result.best.drop < result.scores[0].drop / 2
    with pytest.raises(
        UsageError, match="nothing can be learnt from labels alone: the training samples have no labels"
    ):
        run(world.but(train=Arrays({"x": pictures}, None, None)), teacher=False)


def test_hooks_are_called_in_step_and_modes_are_theirs(world: World) -> None:
    calls: list[tuple[str, int, int]] = []
    hooks = Hooks(
        set_training=lambda net, on: (net.train(on), calls.append(("mode", int(on), 0)))[1],
        on_epoch_start=lambda net, epoch, of: calls.append(("epoch" if net.training else "wrong", epoch, of)),
        on_step=lambda _net, step, of: calls.append(("step", step, of)),
    )
    run(world, TrainOptions(epochs=2, batch=96, learning_rate=0.01, precision="float32"), hooks)
    first = [("mode", 1, 0), ("epoch", 0, 2), ("step", 0, 4), ("step", 1, 4), ("mode", 0, 0)]
    second = [("mode", 1, 0), ("epoch", 1, 2), ("step", 2, 4), ("step", 3, 4), ("mode", 0, 0)]
    assert calls == [("mode", 0, 0), *first, *second, ("mode", 0, 0)]


def test_a_teacher_whose_answers_cannot_change_is_asked_once(world: World) -> None:
    asked: list[int] = []

    class Counting(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            asked.append(len(x))
            answer: torch.Tensor = self.inner(x)
            return answer

    def total(augment: str, folder: str) -> int:
        asked.clear()
        context = world.but(folder=world.folder / folder).context()
        options = TrainOptions(epochs=3, batch=32, augment=augment, precision="float32")
        assert isinstance(context.train, Arrays)
        path = context.folder / "c.pt"
        context.folder.mkdir()
        train(context.module, Counting(context.original()), context.train, options, context=context, checkpoint=path)
        return sum(asked)

    kept, anew = total("none", "kept"), total("light", "anew")
    assert anew - kept == 2 * 192 - 32  # two epochs more; one batch more to see how large answers are


def test_views_that_need_the_plain_layout_are_trained_in_it(world: World) -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 8, 3, 1, 1)
            self.head = nn.Linear(512, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.head(self.first(x).view(len(x), 512))
            return answer

    torch.manual_seed(1)
    _, result = run(world.but(student=Viewing().eval()), TrainOptions(epochs=2, batch=32))
    assert result.best_epoch > 0


def test_bfloat16_learns_too(world: World) -> None:
    options = TrainOptions(epochs=6, batch=32, learning_rate=0.005, precision="bfloat16")
    student, result = run(world, options)
    assert result.best.drop < result.scores[0].drop / 2
    assert {one.dtype for one in student.parameters()} == {torch.float32}
    assert "bfloat16" in result.settings


def test_progress_has_a_lasting_line_per_epoch(world: World) -> None:
    words = []
    run(world.but(progress=words.append))
    lasting = [word for word in words if word.lasting]
    assert [word.text.split(",")[0] for word in lasting] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]
    assert "agreement drop" in lasting[0].text
    shares = [word.done for word in words]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_too_few_samples_are_refused(world: World) -> None:
    with pytest.raises(UsageError, match="at least 4 samples, there are 3"):
        run(world.but(train=Arrays({"x": images(3, 1)[0]}, None, None)))


def test_fixed_batches_of_several_rows_are_trained_on_whole(world: World) -> None:
    pictures = images(96, 1)[0].reshape(48, 2, 1, 8, 8)
    selected = images(40, 2)[0].reshape(20, 2, 1, 8, 8)
    world = world.but(train=Arrays({"x": pictures}, None, 2), select=Arrays({"x": selected}, None, 2))
    seen: list[tuple[int, ...]] = []

    def drop(answers: list[dict[str, np.ndarray]]) -> float:
        seen.extend(one["scores"].shape for one in answers)
        return 0.0

    world.drop = drop  # type: ignore[method-assign,assignment]
    run(world, TrainOptions(epochs=1, batch=16))
    assert seen[:20] == [(2, 4)] * 20


def test_a_large_selection_set_is_not_asked_after_every_short_epoch(world: World, tmp_path: Path) -> None:
    world = world.but(train=Arrays({"x": images(20, 1)[0]}, None, None))  # 96 are judged on
    options = TrainOptions(epochs=10, batch=10, learning_rate=0.005, precision="float32")
    straight, result = run(world.but(folder=tmp_path / "straight"), options)
    assert list(result.scores) == [0, 4, 8, 10]
    assert result.best_epoch in result.scores
    assert len(result.losses) == 10
    with pytest.raises(StoppedError):
        run(world.but(stopping=StopAt(12)), options)
    resumed, rest = run(world.but(resume=True), options)
    assert_same_bits(straight, resumed)
    assert rest.scores == result.scores


def test_a_student_of_one_batch_size_is_only_given_that(world: World) -> None:
    class Fixed(nn.Module):  # 96 samples are judged on and 192 trained on: neither is a multiple
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert len(x) == 20
            answer: torch.Tensor = self.inner(x)
            return answer

    options = TrainOptions(epochs=2, batch=20, learning_rate=0.005, precision="float32")
    _, result = run(world.but(student=Fixed(copy.deepcopy(world.student))), options)
    _, same = run(world.but(folder=world.folder / "plain"), options)
    assert result.scores[0].drop == same.scores[0].drop
    assert result.losses == same.losses
