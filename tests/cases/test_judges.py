from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import spearmanr

Judge = Callable[[str], ModuleType]


def cells(*boxes: tuple[float, float, float, float, int, float]) -> dict[str, np.ndarray]:
    """Detector output whose only cells above the score floor are these boxes of class and score."""
    out = np.zeros((1, 20, 15), np.float32)
    for i, (x0, y0, x1, y1, label, score) in enumerate(boxes):
        out[0, i, :5] = x0, y0, x1, y1, 1
        out[0, i, 5 + label] = score
    return {"y": out}


def boxes(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    padded = np.full((4, 5), -1)
    padded[: len(rows)] = np.array(rows).reshape(-1, 5)
    return padded


def test_a_perfect_detector_has_map_one(judge: Judge) -> None:
    metric = judge("detection").map50()
    metric.update(
        cells((0, 0, 10, 10, 3, 0.9), (20, 20, 40, 40, 5, 0.8)), boxes((0, 0, 10, 10, 3), (20, 20, 40, 40, 5))
    )
    assert metric.compute() == 1.0
    assert metric.per_sample() is None


def test_a_true_box_is_claimed_once_and_overlap_counts_by_threshold(judge: Judge) -> None:
    module = judge("detection")
    # IoU of the first box with the truth is 0.6: a hit at .5 and a miss at .75; the second is the same box again,
    # far enough to survive suppression (IoU of the two 0.33) and too far to hit.
    outputs = cells((0, 0, 10, 6, 0, 0.9), (0, 3, 10, 9, 0, 0.8))
    for factory, expected in ((module.map50, 1.0), (module.map75, 0.0)):
        metric = factory()
        metric.update(outputs, boxes((0, 0, 10, 10, 0)))
        assert metric.compute() == expected


def test_average_precision_of_a_hand_worked_ranking(judge: Judge) -> None:
    # Ranked hit, miss, hit with two true boxes: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1, so AP = 1/2 + 1/2 * 2/3.
    metric = judge("detection").map50()
    found = cells((0, 0, 10, 10, 1, 0.9), (60, 60, 70, 70, 1, 0.8), (30, 30, 50, 50, 1, 0.7))
    metric.update(found, boxes((0, 0, 10, 10, 1), (30, 30, 50, 50, 1)))
    assert metric.compute() == pytest.approx(5 / 6, abs=1e-12)


def test_outputs_that_are_not_numbers_find_nothing(judge: Judge) -> None:
    metric = judge("detection").map50()
    metric.update({"y": np.full((1, 20, 15), np.nan, np.float32)}, boxes((0, 0, 10, 10, 1)))
    assert metric.compute() == 0.0


def test_spearman_agrees_with_scipy_with_ties(judge: Judge) -> None:
    rng = np.random.default_rng(0)
    metric = judge("similarity").spearman()
    cosines, human = [], []
    for _ in range(40):
        pair = rng.normal(size=(2, 5)).astype(np.float32)
        score = float(rng.integers(0, 6))
        metric.update({"sentence": pair}, np.array(score))
        a, b = pair.astype(float)
        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        human.append(score)
    # Both are the same float64 sums in another order.
    assert metric.compute() == pytest.approx(spearmanr(cosines, human).statistic, abs=1e-9)


def test_spearman_of_a_constant_is_zero(judge: Judge) -> None:
    metric = judge("similarity").spearman()
    for score in (1.0, 2.0, 3.0):
        metric.update({"sentence": np.ones((2, 3), np.float32)}, np.array(score))
    assert metric.compute() == 0.0


def steps(classes: list[int], count: int) -> dict[str, np.ndarray]:
    out = np.zeros((1, len(classes), count), np.float32)
    out[0, np.arange(len(classes)), classes] = 1
    return {"softmax": out}


def test_ctc_merges_repeats_and_drops_blanks(judge: Judge) -> None:
    metric = judge("transcription").CharacterErrorRate(["a", "b", " "])
    metric.update(steps([3, 1, 1, 0, 1, 2, 0, 3], 4), np.array("aab"))  # margins are spaces and are stripped
    assert metric.compute() == 0.0
    metric.update(steps([1, 2], 4), np.array(["b"]))
    assert metric.compute() == pytest.approx(1 / 4)
    assert metric.per_sample().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("a", "b", "distance"), [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)])
def test_edit_distance(judge: Judge, a: str, b: str, distance: int) -> None:
    assert judge("transcription").edit_distance(a, b) == distance


def test_transcription_reads_its_dictionary_beside_itself(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"characters\.txt"):
        judge("transcription").cer()


def test_pitch_within_fifty_cents(judge: Judge) -> None:
    module = judge("pitch")
    likelihoods = np.zeros((2, 360), np.float32)
    likelihoods[0, 100] = likelihoods[1, 200] = 1
    hz = 10 * 2 ** (module.CENTS_OF_BIN[[100, 200]] / 1200)
    metric = module.within_50_cents()
    metric.update({"pitch": likelihoods}, hz * 2 ** (np.array([40, 60]) / 1200))
    assert metric.compute() == 0.5


def face(box_shift: float, logit: float) -> dict[str, np.ndarray]:
    scores, rows = np.full((1, 512, 1), -20.0), np.zeros((1, 512, 16))
    scores[0, 7], rows[0, 7, :4] = logit, (box_shift, 0, 64, 64)
    small = {"s8": np.full((1, 384, 1), -20.0), "b8": np.zeros((1, 384, 16))}
    return {"s16": scores, "b16": rows, **small}


def test_face_overlap_and_drift(judge: Judge) -> None:
    module = judge("faces")
    overlap, drift = module.overlap(), module.score_drift()
    for metric in (overlap, drift):
        metric.update(face(0, 2), face(0, 2))
        metric.update(face(32, 2), face(0, 2))  # shifted by half its width: 32 of 96 columns shared
        metric.update(face(0, -2), face(0, 2))  # not found
        metric.update(face(0, 2), face(0, -2))  # nothing to find
    assert overlap.per_sample().tolist() == pytest.approx([1, 1 / 3, 0])
    found, lost = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))
    assert drift.per_sample().tolist() == pytest.approx([0, 0, found - lost, found - lost])


def test_probability_drift_counts_not_a_number_as_lost(judge: Judge) -> None:
    metric = judge("stream").probability_drift()
    metric.update({"output": np.array([[0.25]])}, {"output": np.array([[0.5]])})
    metric.update({"output": np.array([[np.nan]])}, {"output": np.array([[0.5]])})
    assert metric.per_sample().tolist() == [0.25, 1.0]
