from __future__ import annotations

import torch
from torch import nn

from edgewright.compiler.recovery.features import FeatureLoss, captured, layer_shapes, matching


def net(channels: int) -> nn.Module:
    torch.manual_seed(channels)
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Conv2d(channels, 4, 3), nn.Flatten())


def test_layers_of_equal_shape_are_compared_before_those_whose_channels_were_cut() -> None:
    batch = (torch.rand(2, 1, 8, 8),)
    wide, narrow = layer_shapes(net(8), batch), layer_shapes(net(5), batch)
    assert list(wide) == ["0", "1", "2", "3"]
    assert matching(narrow, wide) == ("2",)  # the last is flat: two dimensions are an output
    assert matching({"0": (2, 5, 6, 6), "1": (2, 5, 6, 6)}, {"0": (2, 8, 6, 6), "1": (2, 8, 3, 3)}) == ("0",)


def test_no_more_layers_than_asked_are_compared_spread_over_all() -> None:
    shapes = {str(place): (2, 3, 4, 4) for place in range(10)}
    assert matching(shapes, shapes, most=4) == ("1", "4", "6", "9")


def test_cut_channels_are_compared_through_a_learned_projection() -> None:
    batch = torch.rand(4, 1, 8, 8)
    teacher, student = net(8), net(5)
    mine, theirs = layer_shapes(student, (batch,)), layer_shapes(teacher, (batch,))
    loss = FeatureLoss(("0",), mine, theirs)
    with captured(teacher, ("0",)) as wanted, captured(student, ("0",)) as found, torch.no_grad():
        teacher(batch)
        student(batch)
    optimizer = torch.optim.Adam(loss.projections.parameters(), 0.05)
    before = loss(found, wanted).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss(found, wanted).backward()
        optimizer.step()
    assert loss(found, wanted).item() < before / 2
    assert [tuple(one.shape) for one in loss.projections.parameters()] == [(8, 5)]


def test_equal_features_have_no_loss_and_leave_no_hook() -> None:
    batch, one = torch.rand(4, 1, 8, 8), net(8)
    shapes = layer_shapes(one, (batch,))
    loss = FeatureLoss(("0", "2"), shapes, shapes)
    with captured(one, loss.paths) as found:
        one(batch)
    assert loss(found, found).item() == 0
    assert not list(loss.projections.parameters())
    assert not one[0]._forward_hooks
