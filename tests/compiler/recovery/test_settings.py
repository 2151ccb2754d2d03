from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.compiler.recovery import settings
from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.settings import choose, work_of

BATCH = (torch.zeros(2, 1, 8, 8),)


def test_work_counts_the_multiplications_of_one_sample() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Flatten(), nn.Linear(128, 4))
    assert work_of(net, BATCH) == (64 * 9 * 8 + 16 * 9 * 8 + 128 * 4, True)
    assert work_of(nn.Conv2d(1, 2, 3), BATCH) == (36 * 9 * 2, False)


@pytest.mark.parametrize(
    ("samples", "epochs", "per_epoch", "batch"),
    [(60_000, 10, 60_000, 128), (10_000, 60, 10_000, 64), (1_000, 200, 1_000, 32), (100, 200, 100, 16), (8, 200, 8, 8)],
)
def test_small_models_see_a_number_of_samples_that_depends_on_the_data(
    samples: int, epochs: int, per_epoch: int, batch: int
) -> None:
    chosen = choose(TrainOptions(), nn.Conv2d(1, 2, 3), BATCH, samples)
    assert (chosen.epochs, chosen.per_epoch, chosen.batch) == (epochs, per_epoch, batch)


def test_large_models_see_fewer_samples_in_epochs_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Conv2d(1, 2, 3)
    monkeypatch.setattr(settings, "_WORK", 648 * 40_000)
    options = TrainOptions(device="cpu")
    assert (choose(options, net, BATCH, 5_000).epochs, choose(options, net, BATCH, 5_000).per_epoch) == (8, 5_000)
    assert (choose(options, net, BATCH, 50_000).epochs, choose(options, net, BATCH, 50_000).per_epoch) == (4, 10_000)
    assert choose(TrainOptions(epochs=3), net, BATCH, 50_000).per_epoch == 50_000
    assert choose(TrainOptions(epochs=3, epoch_samples=700), net, BATCH, 50_000).per_epoch == 700


def test_depthwise_nets_train_in_float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "multiplies_bfloat16", lambda _cuda: True)
    dense, depthwise = nn.Conv2d(1, 2, 3), nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4))
    options = TrainOptions(device="cpu")
    assert choose(options, dense, BATCH, 100).bfloat16
    assert not choose(options, depthwise, BATCH, 100).bfloat16
    assert choose(options, depthwise, BATCH, 100).teacher_bfloat16
    assert choose(TrainOptions(device="cpu", precision="bfloat16"), depthwise, BATCH, 100).bfloat16
    assert not choose(TrainOptions(device="cpu", precision="float32"), dense, BATCH, 100).teacher_bfloat16
    monkeypatch.setattr(settings, "multiplies_bfloat16", lambda _cuda: False)
    assert not choose(options, dense, BATCH, 100).bfloat16


def test_rates_follow_the_batch_and_what_is_normalised() -> None:
    plain, normed = nn.Conv2d(1, 2, 3), nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    small, large = (choose(TrainOptions(batch=size), normed, BATCH, 1000).learning_rate for size in (16, 64))
    assert large == pytest.approx(2 * small)
    assert choose(TrainOptions(batch=64), plain, BATCH, 1000).learning_rate < large
    assert choose(TrainOptions(learning_rate=0.5), plain, BATCH, 1000).learning_rate == 0.5
