from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgewright.compiler.recovery.augmentation import augmentation, strength_for

IMAGES = torch.rand(64, 3, 14, 16, generator=torch.Generator().manual_seed(0))


def changed(inputs: Tensor, strength: str, *, flip: bool = False, mix: bool = False, seed: int = 0) -> Tensor:
    change, _ = augmentation((inputs,), strength, flip=flip, mix=mix)
    assert change is not None
    (after,) = change((inputs,), torch.Generator().manual_seed(seed))
    return after


@pytest.mark.parametrize("inputs", [IMAGES, torch.randn(8, 2, 50), torch.randn(8, 20)])
@pytest.mark.parametrize("strength", ["light", "strong"])
def test_changes_follow_the_seed_and_keep_the_shape(inputs: Tensor, strength: str) -> None:
    before = inputs.clone()
    one, same, other = (changed(inputs, strength, flip=True, mix=True, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, inputs)
    assert torch.equal(inputs, before)
    assert (one.shape, one.dtype) == (inputs.shape, inputs.dtype)


def test_images_keep_their_range() -> None:
    after = changed(IMAGES, "strong", flip=True, mix=True)
    assert float(after.min()) >= float(IMAGES.min())
    assert float(after.max()) <= float(IMAGES.max())


def test_a_shift_moves_a_dot_by_an_eighth_at_most_and_never_loses_it() -> None:
    dots = torch.zeros(64, 1, 16, 16)
    dots[:, :, 8, 8] = 1
    places = changed(dots, "strong").flatten(1).argmax(1)
    rows, columns = places // 16, places % 16
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}


def test_only_a_flip_mirrors() -> None:
    ramps = torch.arange(16.0).expand(64, 1, 16, 16).contiguous()
    rising = (changed(ramps, "light")[:, 0, 8].diff(dim=1) >= 0).all(1)
    assert bool(rising.all())
    mirrored = (changed(ramps, "light", flip=True)[:, 0, 8].diff(dim=1) >= 0).all(1)
    assert 16 < int(mirrored.sum()) < 48


def test_only_some_samples_are_mixed() -> None:
    marks = torch.zeros(64, 1, 16, 16)
    marks[:32] = torch.arange(16.0)  # a ramp across, and a ramp down: a mixture has both
    marks[32:] = torch.arange(16.0)[:, None]
    after = changed(marks, "strong", mix=True)[:, 0, 4:12, 4:12]
    both = (after.diff(dim=2).abs().amax((1, 2)) > 1e-3) & (after.diff(dim=1).abs().amax((1, 2)) > 1e-3)
    assert 4 < int(both.sum()) < 32
    alone = changed(marks, "strong")[:, 0, 4:12, 4:12]
    assert not bool(
        ((alone.diff(dim=2).abs().amax((1, 2)) > 1e-3) & (alone.diff(dim=1).abs().amax((1, 2)) > 1e-3)).any()
    )


def test_what_is_not_understood_is_left_alone_with_a_reason() -> None:
    assert augmentation((torch.ones(2, 5, dtype=torch.int64),), "strong", flip=True, mix=True) == (
        None,
        "samples of whole numbers are not augmented",
    )
    assert augmentation((IMAGES, IMAGES), "light", flip=True, mix=True)[1] == "samples of 2 tensors are not augmented"
    assert augmentation((IMAGES,), "none", flip=True, mix=True)[1] == "augmentation is off"


def test_few_samples_are_changed_lightly() -> None:
    assert strength_for("auto", 100) == "light"
    assert strength_for("auto", 60_000) == "none"
    assert strength_for("strong", 60_000) == "strong"
