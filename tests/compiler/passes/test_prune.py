from __future__ import annotations

from collections.abc import Callable

import pytest

from edgewright.compiler.pass_base import Effect, Outcome, Stage, registry
from edgewright.compiler.passes import prune
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.site import Site
from edgewright.core.errors import UnavailableError
from edgewright.core.model import OnnxModel, TorchSource
from edgewright.targets.load import load_targets

SOURCE = TorchSource("factory", "nets.py:net", "net", (), False, (), ())


@pytest.fixture(scope="module")
def site(make_site: Callable[[OnnxModel], Site], parse: Callable[[str], OnnxModel]) -> Site:
    return make_site(parse("g (float[N] x) => (float[N] y) { y = Relu(x) }"))


def test_it_is_found_and_never_runs_by_itself() -> None:
    kind = registry().find("prune")
    assert kind is prune.Prune
    assert (kind.stage, kind.effect) == (Stage.PRUNE, Effect.NEEDS_RECOVERY)
    assert kind.wanted(load_targets("native")[0], "int8") is not None


def test_wrong_options_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"^goal: "):
        prune.Prune(PruneOptions(goal="faster"))


def test_options_are_written_down_as_they_are_read() -> None:
    options = PruneOptions(goal="latency=0.5x", widths=("a=8,4",))
    assert prune.Prune(options).options_json() == {
        "goal": "latency=0.5x", "importance": "activation", "keep": [], "steps": 4, "floor": 0.1, "cuts": "both",
        "compensate": True, "samples": 256, "undercut": 0.08, "margin": 0.03, "widths": ["a=8,4"],
    }  # fmt: skip


def test_the_stage_gets_the_model_and_the_options(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def run(stage: str, model: TorchSource, options: object, _site: object) -> Outcome[TorchSource]:
        seen.extend((stage, model, options))
        return Outcome(model, 0)

    monkeypatch.setattr(prune, "run_stage", run)
    options = PruneOptions(goal="ratio=0.5")
    assert prune.Prune(options)(SOURCE, site).model is SOURCE
    assert seen == ["prune", SOURCE, options]


def test_without_anything_to_train_with_it_says_so(site: Site) -> None:
    with pytest.raises(UnavailableError, match="nothing to train with"):
        prune.Prune()(SOURCE, site)
