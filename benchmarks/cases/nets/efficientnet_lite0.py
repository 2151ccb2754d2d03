"""EfficientNet-Lite0 with its ImageNet weights, from the package efficientnet-lite-pytorch 0.1.0 (Apache-2.0).

Loadable by path: it imports no sibling, only that package.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input `(1, 3, 224, 224)`."""
    from efficientnet_lite_pytorch import EfficientNet

    class PhotoNet(EfficientNet):  # type: ignore[misc]
        """The net under the name that the data has for its input: an export takes it from here."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = super().forward(image)
            return logits

    # from_pretrained unpickles without weights_only; from_name and a plain load do not.
    net: nn.Module = PhotoNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 3, 224, 224),)
