"""How far the detector's answers are from true boxes: what recovery may mix in beside the original's answers.

A cell belongs to the smallest box that it lies in and whose centre is within `REACH` pixels of its own. Loss of a
scene: cross-entropy of objectness over all cells and of classes over cells of boxes, and the generalised IoU of their
boxes (Rezatofighi et al. 2019), each per such cell. Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

STRIDE, SIDE, REACH, CLASSES = 4, 24, 5.0, 10
TINY = 1e-6
BOX_WEIGHT = 2.0


def detection(outputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Of outputs `(N, 576, 15)` (xyxy, objectness, classes) and labels `(N, boxes, 5)` (xyxy, class; -1 is none)."""
    cells = next(iter(outputs.values())).float()
    boxes = labels.reshape(len(cells), -1, 5).float()
    owner, owned = owners(boxes)
    mine = torch.gather(boxes, 1, owner[..., None].expand(-1, -1, 5))[owned]
    found = cells[owned]
    count = max(1, int(owned.sum()))
    scores = cells[..., 4:].clamp(TINY, 1 - TINY)
    objectness = functional.binary_cross_entropy(scores[..., 0], owned.float(), reduction="sum")
    wanted = functional.one_hot(mine[:, 4].long(), CLASSES).float()
    classes = functional.binary_cross_entropy(scores[..., 1:][owned], wanted, reduction="sum")
    apart = (1 - generalised_iou(found[:, :4], mine[:, :4])).sum()
    return (objectness + classes + BOX_WEIGHT * apart) / count


def owners(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each cell the number of its box, `(N, 576)`, and whether it has one at all."""
    places = torch.arange(SIDE, device=boxes.device)
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    centres = (torch.stack([columns, rows], -1).reshape(-1, 2).float() + 0.5) * STRIDE
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:4]
    near = ((centres - (low + high) / 2).abs() <= REACH).all(-1)
    inside = ((centres > low) & (centres < high)).all(-1)
    taken = near & inside & (boxes[:, :, None, 4] >= 0)  # (N, boxes, 576)
    area = (high - low).prod(-1).expand_as(taken).masked_fill(~taken, float("inf"))
    return area.argmin(1), taken.any(1)


def generalised_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of boxes `(n, 4)` with one another, row by row: in (-1, 1]."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).clamp_min(0).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - shared
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
    return shared / union.clamp_min(TINY) - (around - union) / around.clamp_min(TINY)
