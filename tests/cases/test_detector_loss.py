from __future__ import annotations

from types import ModuleType

import pytest
import torch

from .conftest import load

EMPTY = [-1, -1, -1, -1, -1]


@pytest.fixture(scope="module")
def losses() -> ModuleType:
    return load("cases/nets/fashion_detector_loss.py")


def answers(losses: ModuleType, labels: torch.Tensor) -> torch.Tensor:
    """What a detector that knows the labels says."""
    boxes = labels.float()
    owner, owned = losses.owners(boxes)
    mine = torch.gather(boxes, 1, owner[..., None].expand(-1, -1, 5))
    cells = torch.zeros(len(labels), losses.SIDE**2, 15)
    cells[..., :4] = mine[..., :4]
    cells[..., 4] = owned.float()
    cells[..., 5:] = torch.nn.functional.one_hot(mine[..., 4].clamp_min(0).long(), 10)
    return cells


def test_right_answers_cost_nothing_and_each_wrong_one_something(losses: ModuleType) -> None:
    labels = torch.tensor([[[10, 10, 40, 50, 3], [60, 20, 90, 48, 7], EMPTY, EMPTY]])
    right = answers(losses, labels)
    best = float(losses.detection({"y": right}, labels))
    assert best < 1e-2  # scores are kept a millionth away from 0 and 1
    for place, change in ((slice(0, 4), 3.0), (4, 0.5), (slice(5, 15), 0.3)):
        wrong = right.clone()
        wrong[..., place] = (wrong[..., place] - change).abs() if place != slice(0, 4) else wrong[..., place] + change
        assert float(losses.detection({"y": wrong}, labels)) > best + 0.1


def test_a_cell_in_two_boxes_belongs_to_the_smaller(losses: ModuleType) -> None:
    labels = torch.tensor([[[0, 0, 60, 60, 1], [20, 20, 40, 40, 2]]]).float()
    owner, owned = losses.owners(labels)
    middle = 7 * losses.SIDE + 7  # its centre is at (30, 30)
    assert bool(owned[0, middle])
    assert int(owner[0, middle]) == 1
    assert int(owned.sum()) == 9  # centres at 26, 30 and 34 lie within 5 pixels of 30


def test_a_scene_without_boxes_has_a_loss_and_a_gradient(losses: ModuleType) -> None:
    cells = torch.rand(2, losses.SIDE**2, 15, requires_grad=True)
    loss = losses.detection({"y": cells}, torch.tensor([[EMPTY], [EMPTY]]))
    loss.backward()
    assert cells.grad is not None
    assert bool(torch.isfinite(cells.grad).all())
    assert float(cells.grad[..., 4].abs().sum()) > 0


def test_generalised_iou_is_that_of_its_paper(losses: ModuleType) -> None:
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    assert float(losses.generalised_iou(one, one)) == pytest.approx(1)
    half = torch.tensor([[1.0, 0.0, 3.0, 2.0]])  # IoU 2 / 6, enclosed by 3 x 2 without a gap
    assert float(losses.generalised_iou(one, half)) == pytest.approx(1 / 3, abs=1e-5)
    far = torch.tensor([[4.0, 0.0, 6.0, 2.0]])  # 8 of 12 covered
    assert float(losses.generalised_iou(one, far)) == pytest.approx(-1 / 3, abs=1e-5)
