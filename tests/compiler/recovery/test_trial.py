from __future__ import annotations

from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.trial import short_trial
from edgewright.compiler.torch_stage.arrays import Arrays
from tests.compiler.recovery.conftest import World


def test_a_trial_tells_a_good_learning_rate_from_a_useless_one_and_leaves_nothing(world: World) -> None:
    context = world.context()
    assert isinstance(context.train, Arrays)
    before = {name: value.clone() for name, value in context.module.state_dict().items()}
    good, useless = (
        short_trial(
            context, context.train, TrainOptions(batch=16, learning_rate=rate, precision="float32"), samples=128
        )
        for rate in (0.005, 1e-7)
    )
    assert good.better_than(useless)
    assert not useless.better_than(good)
    assert all(bool((value == before[name]).all()) for name, value in context.module.state_dict().items())
    assert not list(world.folder.glob("*.pt"))
