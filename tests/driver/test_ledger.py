"""What a search writes down: which candidate leads, which are best for some budget, and what became of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from edgewright.driver.choice import Choice
from edgewright.driver.contender import Contender, Timed
from edgewright.driver.job import Lane
from edgewright.driver.ledger import Ledger
from edgewright.driver.search import Trial

LANE = cast("Lane", SimpleNamespace(target=SimpleNamespace(name="native/onnxruntime")))
FLOAT = (2.0, 2.1, 1.9, 2.0, 2.0, 2.0)


def contender(
    scheme: str, drop: float | None = 0.0, times: tuple[float, ...] = (), size: int = 10, holds: bool = True
) -> Contender:
    artifact = SimpleNamespace(size_bytes=size)
    built = SimpleNamespace(choice=Choice("onnxruntime", "int8", scheme), artifact=artifact)
    timed = Timed(times, FLOAT) if times else None
    return Contender(LANE, Trial(built, None, drop), holds, timed)  # type: ignore[arg-type]


def test_times_are_multiples_of_the_float_engine_round_by_round() -> None:
    found = Timed(tuple(time / 2 for time in FLOAT), FLOAT)
    assert found.ratio == (0.5, (0.5, 0.5))
    assert found.median_ms == 1.0
    ratio, interval = Timed((1.0, 1.0), FLOAT).ratio or (0.0, None)
    assert 0.4 < ratio < 0.6
    assert interval is None, "two pairs are too few"
    assert Timed(FLOAT).ratio is None, "nothing ran beside it"


def test_only_a_new_leader_is_told() -> None:
    said: list[str] = []
    ledger = Ledger(said.append)
    first = contender("a", times=(1.0,) * 6)
    ledger.best_so_far(first)
    ledger.best_so_far(first)
    ledger.best_so_far(contender("b", times=(0.5,) * 6))
    assert [line.split(": ", 1)[1] for line in said] == [
        "native/onnxruntime int8 (a): 1 ms, 0.50x the fastest float, drop +0.0000",
        "native/onnxruntime int8 (b): 0.5 ms, 0.25x the fastest float, drop +0.0000",
    ]


def test_the_document_has_every_candidate_once_with_the_last_that_was_found() -> None:
    ledger = Ledger(lambda _line: None)
    ledger.saw(contender("a"))
    ledger.saw(contender("b", drop=None))
    ledger.saw(contender("a", times=(1.0,) * 6), "holds")
    ledger.saw(contender("a"), "")
    document = ledger.to_json()
    rows = cast("list[dict[str, object]]", document["candidates"])
    assert [row["candidate"] for row in rows] == ["int8 (a)", "int8 (b)"]
    assert (rows[0]["median_ms"], rows[0]["ratio"], rows[0]["verdict"], rows[0]["front"]) == (1.0, 0.5, "holds", True)
    assert (rows[1]["median_ms"], rows[1]["drop"], rows[1]["front"]) == (None, None, False), "not measured is not best"
    assert (document["schema"], document["grade"]) == ("edgewright.search/1", "search")
    assert document["stopped_by_time_limit"] is False


FIGURES = st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 3))


@given(st.lists(FIGURES, min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(rows: list[tuple[int, int, int]]) -> None:
    ledger = Ledger(lambda _line: None)
    for place, (drop, time, size) in enumerate(rows):
        ledger.saw(contender(str(place), drop / 100, (float(time),) * 6, size))
    front = {int(one.trial.choice.scheme) for one in ledger.front()}
    assert front
    for place, own in enumerate(rows):
        beaten = any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in rows)
        assert (place in front) is not beaten
    ratios = [one.ratio or 0.0 for one in ledger.front()]
    assert ratios == sorted(ratios)
