from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from edgewright.benchmarks.gate import latency
from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.harness.protocol import Preset, Protocol, WarmUp, Windows
from edgewright.benchmarks.pairs import duel, pairing
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.benchmarks.pairs.pairing import run_session
from edgewright.core.bundle import Bundle

WARM = WarmUp(least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1, span=10.0, trend=10.0)
SHORT = Protocol(Preset("short", 64, 0.1, 1), Windows(5, 0.01), WARM)


def folder(under: Path) -> Path:
    made = under / "session"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = (Look(2, 0.25), Look(4, 0.0625))
    for owner in (latency, pairing):
        monkeypatch.setattr(owner, "LOOKS", looks)


def test_what_the_first_look_decides_stands_though_all_pairs_are_taken(
    mlp_bundle: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([{"0": "regressed"}, {"0": "pass"}])
    monkeypatch.setattr(pairing, "judge", lambda _tests, _look: MappingProxyType(next(said)))
    bundle = mlp_bundle()
    session = run_session([Pairing(bundle, bundle, threads=1)], folder(tmp_path), SHORT, every_look=True)
    (only,) = session.duels
    assert len(only.sides["new"].runs) == 4
    assert only.verdict == "regressed"


def test_arms_take_turns(mlp_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = mlp_bundle()
    session = run_session([Pairing(bundle, bundle, threads=1)], folder(tmp_path), SHORT, every_look=True)
    sides = session.duels[0].sides
    order = {run.order: arm for arm, side in sides.items() for run in side.runs}
    assert [order[number] for number in range(8)] == ["base", "new", "new", "base"] * 2


def test_a_pair_that_is_disturbed_to_the_end_is_kept_and_told(
    mlp_bundle: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = duel.Children.attempt

    def disturbed(self: duel.Children, order: int, warmth: duel.Warmth) -> object:
        run, _ = real(self, order, warmth)
        return run, "somebody knocked" if order < 2 else None

    monkeypatch.setattr(duel.Children, "attempt", disturbed)
    lines: list[str] = []
    bundle = mlp_bundle()
    session = run_session([Pairing(bundle, bundle, threads=1)], folder(tmp_path), SHORT, log=lines.append)
    voided = session.duels[0].voided
    assert len(voided) == 6  # both runs of three attempts at the first pair
    assert [one.reason for one in voided[-2:]] == ["somebody knocked (kept: third attempt)"] * 2
    assert sum("is void and made again" in line for line in lines) == 2
    assert sum("kept, the third attempt" in line for line in lines) == 1


def test_a_failure_of_one_comparison_leaves_the_other(mlp_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = mlp_bundle()
    bad = Pairing(bundle, bundle, data=str(tmp_path / "absent.npz"), threads=1)
    session = run_session([bad, Pairing(bundle, bundle, threads=1)], folder(tmp_path), SHORT)
    assert len(session.duels) == 1
    assert len(session.failures) == 1
