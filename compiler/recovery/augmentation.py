"""Changed copies of inputs, made anew for every step: shifts, mirror images, light, noise, and mixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

Augment: TypeAlias = "Callable[[Sequence[torch.Tensor], torch.Generator], tuple[torch.Tensor, ...]]"

FEW = 1000
"""Below so many samples ``auto`` changes them lightly. On a halved Fashion-MNIST net, label-free, light changes gave 4
points of accuracy at 120 samples (strong ones 2); they cost 1 point at 1,000 in 30 epochs and 3 at 10,000 in 5, where
seeing each picture as it is taught more."""


def strength_for(augment: str, samples: int) -> str:
    """``none``, ``light`` or ``strong`` for the option ``augment``."""
    if augment != "auto":
        return augment
    return "light" if samples < FEW else "none"


def is_image(tensor: torch.Tensor) -> bool:
    """True for a batch of pictures with 1 or 3 channels, `(N, C, H, W)`."""
    return tensor.is_floating_point() and tensor.ndim == 4 and tensor.shape[1] in (1, 3) and min(tensor.shape[2:]) > 4


def augmentation(inputs: Sequence[torch.Tensor], strength: str, *, flip: bool, mix: bool) -> tuple[Augment | None, str]:
    """What changes batches such as ``inputs``, and words for it or why nothing does.

    Only a model of one floating point input is fed changed samples: what several inputs have to do with each other
    is not known.

    Args:
        mix: two samples may be blended, as in mixup (Zhang et al. 2018): the teacher answers the blend.
    """
    if strength == "none":
        return None, "augmentation is off"
    if len(inputs) != 1 or not inputs[0].is_floating_point():
        what = "whole numbers" if len(inputs) == 1 else f"{len(inputs)} tensors"
        return None, f"samples of {what} are not augmented"
    mirrored = "" if flip else ", none mirrored"
    if is_image(inputs[0]):
        return _images(strong=strength == "strong", flip=flip, mix=mix), f"{strength} changes of images{mirrored}"
    return _signals(strong=strength == "strong", mix=mix), f"{strength} changes of signals"


def _images(*, strong: bool, flip: bool, mix: bool) -> Augment:
    def change(inputs: Sequence[torch.Tensor], random: torch.Generator) -> tuple[torch.Tensor, ...]:
        images = _shifted(inputs[0], random, 1 / 8 if strong else 1 / 14)
        if flip:
            images = _mirrored(images, random)
        images = _relit(images, random, 0.2 if strong else 0.1)
        return (_mixed(images, random, 0.5 if strong else 0.25) if mix else images,)

    return change


def _signals(*, strong: bool, mix: bool) -> Augment:
    import torch

    def change(inputs: Sequence[torch.Tensor], random: torch.Generator) -> tuple[torch.Tensor, ...]:
        signals = inputs[0]
        size = 0.2 if strong else 0.1
        gain = 1 + size * (2 * _uniform(signals, random) - 1)
        noise = torch.randn(signals.shape, generator=random).to(signals) * (signals.std() * size / 5)
        changed = signals * gain + noise
        return (_mixed(changed, random, 0.5 if strong else 0.25) if mix else changed,)

    return change


def _uniform(like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """One number in [0, 1) per sample, shaped to be multiplied with ``like``."""
    import torch

    return torch.rand(len(like), generator=random).to(like).reshape(-1, *[1] * (like.ndim - 1))


def _shifted(images: torch.Tensor, random: torch.Generator, share: float) -> torch.Tensor:
    """Each image moved by up to ``share`` of its size; what comes in repeats the edge."""
    import torch

    height, width = images.shape[2:]
    rows = _moved(len(images), height, max(1, int(height * share)), random).to(images.device)
    columns = _moved(len(images), width, max(1, int(width * share)), random).to(images.device)
    samples = torch.arange(len(images), device=images.device)
    picked = images.permute(0, 2, 3, 1)[samples[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _moved(samples: int, size: int, most: int, random: torch.Generator) -> torch.Tensor:
    """Shape (samples, size): where each row of a moved image comes from."""
    import torch

    shifts = torch.randint(-most, most + 1, (samples, 1), generator=random)
    return (torch.arange(size) + shifts).clamp(0, size - 1)


def _mirrored(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    import torch

    mirrored = (torch.rand(len(images), generator=random) < 0.5).to(images.device).reshape(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


def _relit(images: torch.Tensor, random: torch.Generator, size: float) -> torch.Tensor:
    """Contrast about each image's mean, and brightness as a share of its spread."""
    mean = images.mean((1, 2, 3), keepdim=True)
    spread = images.std((1, 2, 3), keepdim=True)
    contrast = 1 + size * (2 * _uniform(images, random) - 1)
    brightness = size * (2 * _uniform(images, random) - 1)
    changed = mean + (images - mean) * contrast + brightness * spread
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return changed.clamp(low, high)


def _mixed(inputs: torch.Tensor, random: torch.Generator, share: float) -> torch.Tensor:
    """A ``share`` of the samples blended with another one, at any ratio."""
    import torch

    other = inputs[torch.randperm(len(inputs), generator=random).to(inputs.device)]
    chosen = (_uniform(inputs, random) < share).to(inputs.dtype)
    weight = 1 - chosen * _uniform(inputs, random)
    return inputs * weight + other * (1 - weight)
