"""Every metric beside another's implementation of it, on random cases with ties, gaps and batches.

scikit-learn and SciPy where they have it; COCO's average precision beside one written here from its
description, since pycocotools is what ours calls. Tolerances are for another order of additions in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial import distance
from scipy.special import softmax
from sklearn import metrics as sk

from edgewright.benchmarks.metrics import Metric, registry
from edgewright.core.errors import BadInputError

Array = np.ndarray
TOLERANCE = 1e-9
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCORE_TYPES = st.sampled_from(["float32", "float64", "float16", "int8", "uint8"])


def made(name: str) -> Metric:
    return registry().find(name)()


def value(name: str, outputs: Array, labels: Array, batch: int) -> float:
    """The metric over rows that come in batches."""
    metric = made(name)
    for first in range(0, len(outputs), batch):
        metric.update({"y": outputs[first : first + batch]}, labels[first : first + batch])
    return metric.compute()


@st.composite
def classified(draw: st.DrawFn, least: int = 2, most: int = 7, ties: bool = True) -> tuple[Array, Array, int]:
    """Scores ``(n, classes)``, labels ``(n,)`` that need not name every class, and a batch size."""
    rows, count = draw(st.integers(1, 25)), draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if ties:
        scores = rng.integers(0, 4, (rows, count)).astype(draw(SCORE_TYPES))
    else:
        scores = rng.permuted(np.tile(np.arange(count), (rows, 1)), axis=1) + rng.uniform(0, 0.5, (rows, count))
    named = draw(st.integers(1, count))
    return scores, rng.integers(0, named, rows), draw(st.integers(1, 4))


@fast
@given(classified())
def test_top1_is_scikit_learns(case: tuple[Array, Array, int]) -> None:
    scores, labels, batch = case
    reference = sk.accuracy_score(labels, scores.argmax(1))
    assert value("top1", scores, labels, batch) == pytest.approx(reference, abs=TOLERANCE)


def test_top1_tells_scores_of_float64_apart() -> None:
    scores = np.array([[0.3, 0.3 + 1e-12]])
    assert value("top1", scores, np.array([1]), 1) == 1.0


@fast
@given(classified(6, 12, ties=False))
def test_top5_is_scikit_learns_without_ties(case: tuple[Array, Array, int]) -> None:
    scores, labels, batch = case
    reference = sk.top_k_accuracy_score(labels, scores, k=5, labels=np.arange(scores.shape[1]))
    assert value("top5", scores, labels, batch) == pytest.approx(reference, abs=TOLERANCE)


@fast
@given(classified(6, 12))
def test_top5_with_ties_is_a_stable_sorts(case: tuple[Array, Array, int]) -> None:
    """scikit-learn resolves ties towards the higher class, which no argmax does."""
    scores, labels, batch = case
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :5]
    assert value("top5", scores, labels, batch) == pytest.approx((best == labels[:, None]).any(1).mean())


@fast
@given(classified(), st.booleans())
def test_precision_recall_f1_are_scikit_learns(case: tuple[Array, Array, int], as_indices: bool) -> None:
    scores, labels, batch = case
    found, count = scores.argmax(1), scores.shape[1]
    two = set(found) | set(labels) <= {0, 1} if as_indices else count == 2
    average = "binary" if two else "macro"
    outputs = found if as_indices else scores
    for name, reference in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        expected = reference(labels, found, average=average, zero_division=0)
        assert value(name, outputs, labels, batch) == pytest.approx(expected, abs=TOLERANCE), name


@fast
@given(classified(), st.randoms(use_true_random=False))
def test_a_row_of_nan_is_a_miss_and_a_false_alarm_of_no_class(case: tuple[Array, Array, int], chance: object) -> None:
    scores, labels, batch = case
    scores = scores.astype(np.float64)
    broken = np.random.default_rng(chance.getrandbits(32)).random(len(scores)) < 0.3  # type: ignore[attr-defined]
    scores[broken, 0] = np.nan
    found = np.where(broken, -1, np.nan_to_num(scores).argmax(1))
    classes = [1] if scores.shape[1] == 2 else sorted((set(labels) | set(found)) - {-1})
    expected = sk.f1_score(labels, found, labels=classes, average="macro", zero_division=0)
    assert value("f1", scores, labels, batch) == pytest.approx(expected, abs=TOLERANCE)
    assert value("top1", scores, labels, batch) == pytest.approx((found == labels).mean(), abs=TOLERANCE)


@fast
@given(classified(2, 2), st.booleans())
def test_auc_of_two_classes_is_scikit_learns(case: tuple[Array, Array, int], one_column: bool) -> None:
    scores, labels, batch = case
    assume(len(set(labels)) == 2)
    column = scores[:, 1].astype(np.float64) - (0 if one_column else scores[:, 0].astype(np.float64))
    outputs = scores[:, 1:] if one_column else scores
    expected = sk.roc_auc_score(labels, column)
    assert value("auc", outputs.astype(np.float32), labels, batch) == pytest.approx(expected, abs=TOLERANCE)


@fast
@given(classified(3, 6), st.booleans())
def test_auc_of_several_classes_is_scikit_learns(case: tuple[Array, Array, int], raised: bool) -> None:
    scores, labels, batch = case
    assume(len(set(labels)) > 1)
    # SciPy adds up a row in its own order, which parts ties by a bit: rounding restores them.
    probabilities = np.round(softmax(scores.astype(np.float64), axis=1), 12)
    # scikit-learn's own mean over classes wants every class to occur: it is taken here over those that do.
    expected = np.mean([sk.roc_auc_score(labels == one, probabilities[:, one]) for one in np.unique(labels)])
    if set(labels) == set(range(scores.shape[1])):
        assert expected == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"), abs=TOLERANCE)
    found = value("auc", probabilities if raised else scores, labels, batch)
    assert found == pytest.approx(expected, abs=TOLERANCE)


def test_auc_ranks_small_probabilities_of_two_columns() -> None:
    small = np.array([1e-9, 3e-9, 2e-9, 4e-9], np.float32)
    columns = np.stack([1 - small, small], 1)
    labels = np.array([0, 1, 0, 1])
    assert value("auc", columns, labels, 1) == 1.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_auc_takes_scores_that_are_infinite(count: int) -> None:
    scores = np.zeros((4, count), np.float32)
    scores[:, -1] = [-np.inf, 0, 1, 2]
    labels = np.array([0, 0, 1, 1]) * max(count - 1, 1)
    assert value("auc", scores, labels, 2) == 1.0


def test_auc_refuses_rows_that_rank_nowhere() -> None:
    with pytest.raises(BadInputError, match="infinities"):
        value("auc", np.full((2, 3), np.inf, np.float32), np.array([0, 1]), 1)


@fast
@given(classified(), classified())
def test_agreement_is_the_share_of_equal_choices(
    case: tuple[Array, Array, int], other: tuple[Array, Array, int]
) -> None:
    rows, count = (min(a, b) for a, b in zip(case[0].shape, other[0].shape, strict=True))
    ours, theirs, batch = case[0][:rows, :count], other[0][:rows, :count], case[2]
    metric = made("agreement")
    for first in range(0, rows, batch):
        metric.update({"y": ours[first : first + batch]}, {"y": theirs[first : first + batch]})
    assert metric.compute() == pytest.approx(sk.accuracy_score(theirs.argmax(1), ours.argmax(1)), abs=TOLERANCE)


@st.composite
def segmented(draw: st.DrawFn) -> tuple[Array, Array, int, int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images, count = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    shape = (images, draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    labels = rng.integers(0, draw(st.integers(1, count)), shape)
    labels[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = 255
    found = rng.integers(draw(st.sampled_from([-1, 0])), draw(st.integers(1, count)), shape)
    return found, labels, count, draw(st.integers(1, 3))


@fast
@given(segmented(), st.sampled_from(["classes", "scores"]))
def test_mean_iou_is_scikit_learns_jaccard(case: tuple[Array, Array, int, int], layout: str) -> None:
    found, labels, count, batch = case
    counted = labels != 255
    assume(counted.any())
    outputs = found
    if layout == "scores":
        outputs = np.moveaxis(np.eye(count, dtype=np.float32)[np.maximum(found, 0)], 3, 1)
        outputs[np.broadcast_to((found < 0)[:, None], outputs.shape)] = np.nan
    occurring = sorted((set(labels[counted]) | set(found[counted])) - {-1})
    expected = sk.jaccard_score(labels[counted], found[counted], labels=occurring, average="macro", zero_division=0)
    assert value("mean-iou", outputs, labels, batch) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("found", "label", "words"),
    [
        (np.zeros((1, 1, 2), np.int64), np.array([[0.5, 1]]), "label 0.5 is not a class index"),
        (np.zeros((1, 1, 2), np.int64), np.array([[np.nan, 1]]), "label nan is not a class index"),
        (np.array([[[0, 2**40]]]), np.array([[0, 1]]), "class 1099511627776"),
    ],
)
def test_pixels_that_are_no_classes_are_refused(found: Array, label: Array, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        made("mean-iou").update({"y": found}, label)


NUMBERS = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 3)), elements=st.floats(-1e6, 1e6, width=32)
)


@fast
@given(NUMBERS, st.integers(0, 2**32))
def test_mse_and_mae_are_scikit_learns(labels: Array, seed: int) -> None:
    outputs = labels + np.random.default_rng(seed).integers(-2, 3, labels.shape)
    for name, reference in (("mse", sk.mean_squared_error), ("mae", sk.mean_absolute_error)):
        assert value(name, outputs, labels, 1) == pytest.approx(reference(labels, outputs), rel=TOLERANCE)


@pytest.mark.parametrize("name", ["mse", "mae", "psnr"])
def test_an_error_that_overflows_is_the_worst_there_is(name: str) -> None:
    worst = value(name, np.array([[1e300, -1e308]]), np.array([[0.0, 1.0]]), 1)
    assert worst == (0 if name == "psnr" else float(np.finfo(np.float32).max))


@fast
@given(st.integers(1, 4), st.integers(1, 3), st.booleans(), st.floats(1e-3, 2), st.integers(0, 2**32))
def test_psnr_is_the_mean_of_its_definition_over_images(
    images: int, batch: int, bytes_: bool, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    peak = 255 if bytes_ else 1
    labels = rng.random((images, 3, 4, 4)) * peak
    labels = labels.astype(np.uint8 if bytes_ else np.float32)
    outputs = (labels + rng.normal(size=labels.shape) * noise * peak).astype(np.float64)
    errors = [
        sk.mean_squared_error(one.reshape(-1).astype(np.float64), other.reshape(-1))
        for one, other in zip(labels, outputs, strict=True)
    ]
    ratios = 10 * np.log10(peak**2 / np.array(errors))
    assert value("psnr", outputs, labels, batch) == pytest.approx(np.clip(ratios, 0, 100).mean(), rel=TOLERANCE)


@fast
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30), st.integers(1, 4))
def test_spearman_is_scipys(pairs: list[tuple[int, int]], batch: int) -> None:
    outputs, labels = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    assume(len(set(labels)) > 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        expected = np.nan_to_num(stats.spearmanr(outputs, labels).statistic)
    assert value("spearman", outputs[:, None], labels, batch) == pytest.approx(expected, abs=TOLERANCE)


@fast
@given(
    hnp.arrays(np.float64, (2, 6), elements=st.floats(-8, 8, width=16)),
    st.sampled_from([1e-200, 1e-30, 1.0, 1e200]),
    st.sampled_from([1e-200, 1.0, 1e200]),
)
def test_cosine_is_scipys_at_any_scale(pair: Array, ours: float, theirs: float) -> None:
    assume((np.abs(pair).max(1) > 1e-3).all())
    metric = made("cosine")
    metric.update({"y": pair[:1] * ours}, {"y": pair[1:] * theirs})
    assert metric.compute() == pytest.approx(1 - distance.cosine(pair[0], pair[1]), abs=TOLERANCE)


def test_the_references_see_a_difference() -> None:
    """One case by hand, so that this file would notice if it compared a thing with itself."""
    references: list[Callable[..., float]] = [sk.precision_score, sk.recall_score, sk.f1_score]
    labels, found = np.array([1, 1, 1, 0]), np.array([1, 0, 0, 1])
    values = [value(name, found, labels, 2) for name in ("precision", "recall", "f1")]
    assert values == pytest.approx([1 / 2, 1 / 3, 0.4])
    assert [one(labels, found) for one in references] == pytest.approx(values)
