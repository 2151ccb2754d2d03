"""Which stages run, what they are refused for, and what becomes of the folder they work in."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.core.budget import Budget
from edgewright.core.errors import RetryableError, UsageError
from edgewright.core.model import TorchSource
from edgewright.core.tensors import TensorSpec
from edgewright.driver.chain import checkpoints, require_trainable, wanted_stages
from edgewright.driver.choice import Choice
from edgewright.driver.recipe import PassSetting, Recipe
from edgewright.driver.request import CompileRequest
from edgewright.driver.variant import QAT, RECOVERED, Variant, varied

FAST = Budget(max_latency_ratio=0.5)


def request(tmp_path: Path, **changes: object) -> CompileRequest:
    words = {"model": "net.py:net", "targets": ("native",), "out": tmp_path / "net.ewb", **changes}
    return CompileRequest(**words)  # type: ignore[arg-type]


def recipe(*names: str, skip: tuple[str, ...] = ()) -> Recipe:
    return Recipe(passes=tuple(PassSetting(name, skip=name in skip) for name in (*names, *skip)))


def test_a_goal_and_training_data_ask_for_the_whole_chain(tmp_path: Path) -> None:
    asked = request(tmp_path, train_data="t.npz", budget=FAST)
    assert wanted_stages(Recipe(), asked) == ("prune", "distil", "qat")
    assert wanted_stages(recipe(skip=("qat",)), asked) == ("prune", "distil")
    floats = request(tmp_path, train_data="t.npz", budget=FAST, precision="fp32")
    assert wanted_stages(Recipe(), floats) == ("prune", "distil"), "codes are of no use in float"


def test_a_goal_alone_trains_nothing(tmp_path: Path) -> None:
    assert wanted_stages(Recipe(), request(tmp_path, budget=FAST)) == ()
    assert wanted_stages(recipe("static-quantize"), request(tmp_path)) == ()


def test_a_recipe_names_what_it_wants_in_order(tmp_path: Path) -> None:
    assert wanted_stages(recipe("distil", "qat"), request(tmp_path)) == ("distil", "qat")
    with pytest.raises(UsageError, match="the recipe has qat, distil; they run as distil, qat"):
        wanted_stages(recipe("qat", "distil"), request(tmp_path))


def test_training_data_that_nothing_would_use_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing would use --train-data"):
        wanted_stages(Recipe(), request(tmp_path, train_data="t.npz"))


def test_what_cannot_be_trained_is_refused_by_name() -> None:
    program = TorchSource("pt2", "net.pt2", "net", (), False, (), ())
    require_trainable(program, ("qat",), "net")
    require_trainable(None, (), "net")
    with pytest.raises(UsageError, match=r"'net' is an exported program \(.pt2\), which prune and distil cannot"):
        require_trainable(program, ("prune", "distil", "qat"), "net")
    fixed = TorchSource("pt2", "net.pt2", "net", (), False, (TensorSpec("x", "float32", (1, 3)),), ())
    with pytest.raises(UsageError, match="'net' was exported for batches of 1, and training takes others"):
        require_trainable(fixed, ("qat",), "net")
    open_batch = TorchSource("pt2", "net.pt2", "net", (), False, (TensorSpec("x", "float32", ("batch", 3)),), ())
    require_trainable(open_batch, ("qat",), "net")
    with pytest.raises(UsageError, match="'net' is ONNX, and prune, qat train torch modules"):
        require_trainable(None, ("prune", "qat"), "net")


def test_the_folder_goes_only_when_all_is_well(tmp_path: Path) -> None:
    asked = request(tmp_path)
    with checkpoints(asked) as work:
        assert work.path == tmp_path / "net.ewb.work"
        (work.path / "something").write_text("")
    assert (work.path / "something").exists(), "a limit was missed: what was trained is kept"
    with checkpoints(asked) as work:
        work.kept = False
    assert not work.path.exists()
    with checkpoints(request(tmp_path, work=tmp_path / "mine")) as mine:
        mine.kept = False
    assert mine.path.exists(), "the user named it"


def test_the_folder_stays_when_the_compile_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with checkpoints(request(tmp_path)) as work:
            work.kept = False
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (tmp_path / "net.ewb.work").exists()


def test_two_compiles_do_not_share_a_folder(tmp_path: Path) -> None:
    asked = request(tmp_path)
    with checkpoints(asked), pytest.raises(RetryableError, match="another compile is at work"), checkpoints(asked):
        pass


def test_weights_trained_for_int8_are_for_int8_alone() -> None:
    choices = [Choice("onnxruntime", "fp32"), Choice("onnxruntime", "int8", "integer")]
    variants = [Variant(RECOVERED, None, (), 0.0, ("a=8",)), Variant(QAT, None, (), None, ("a=8",))]  # type: ignore[arg-type]
    later = varied(choices, variants, trained_first=False)
    assert [(one.precision, one.variant) for one in later] == [
        ("fp32", ""),
        ("int8", ""),
        ("fp32", RECOVERED),
        ("int8", RECOVERED),
        ("int8", QAT),
    ]
    assert [one.variant for one in varied(choices, variants, trained_first=True)][:1] == [QAT]
    assert Choice.from_json(later[-1].to_json()) == later[-1]
    assert later[-1].digest != later[1].digest
