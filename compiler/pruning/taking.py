"""Takes one step of the search: measures what came of it, learns from that, and keeps it or not."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.goals import Limits
from edgewright.compiler.pruning.options import format_widths
from edgewright.compiler.pruning.rounds import Narrowing
from edgewright.compiler.pruning.search import Search, times_text, widths_so_far
from edgewright.compiler.site import Absent
from edgewright.core.model import OnnxModel

_OVERSHOT = 0.9
"""Share of the limit below which a round cut away more than was asked for."""
_MOST_OVERSHOT = 2


def take(search: Search, limits: Limits, after: Narrowing, widths: Mapping[str, int], number: int) -> None:
    """Goes on to ``after``, which has ``widths``, and times it.

    A step that is slower than the one before is undone, and so is one that goes far beyond the goal: what its time says
    of the predictions is kept, and the next one is more modest.
    """
    before = widths_so_far(search)
    taken = {**before, **{name: width for name, width in widths.items() if name in search.extents.units}}
    if search.template is not None:
        model = search.context.export(after.module)
        latency, slower = _timed(search, model)
        if slower:  # a disturbance is not a slow width
            latency, slower = _timed(search, model)
        beyond = limits.timed(latency)
        modest = search.overshot < _MOST_OVERSHOT and bool(beyond) and max(beyond.values()) < _OVERSHOT
        word = "slower" if slower else "further than the goal" if modest else ""
        _learn(search, taken, latency, kept=not word)
        search.timings.append({"round": number, "ms": latency, "undone": word})
        if word:
            _undo(search, widths, slower)
            search.overshot += modest and not slower
            return
        search.latest_ms, search.latest = latency, model
    search.state = after
    search.rounds.append(taken)
    share = search.extents.macs(taken) / max(search.extents.macs({}), 1)
    gone = next((f", without {name}" for name in widths if name in search.blocks), "")
    search.context.log(f"round {number}{gone}: {share:.0%} of the multiplications are left{times_text(search)}")


def _learn(search: Search, taken: Mapping[str, int], latency: Mapping[str, float], *, kept: bool) -> None:
    """What predicts times is brought in line: a block's by what it was measured at, widths' by how far they can be
    trusted."""
    last = widths_so_far(search)
    block = any(taken[path] == 0 and last.get(path) != 0 for path in search.blocks if path in taken)
    if block and not kept:
        return
    for target in search.models.keys() & latency.keys():
        model, noise = search.models[target], search.noise * search.full_ms[target]
        measured = latency[target]
        search.models[target] = model.shifted(taken, measured) if block else model.corrected(taken, measured, noise)


def _timed(search: Search, model: OnnxModel) -> tuple[dict[str, float], str]:
    """Milliseconds by target on the scale of ``full_ms``, and the first target that is slower than before, if any.

    The original, the round before and this one are timed in one call, and only times of one call are compared.
    """
    template, latest = search.template, search.latest
    assert template is not None
    assert latest is not None
    assert not isinstance(search.context.measure, Absent)
    ahead = [template] if latest is template else [template, latest]
    *others, row = search.context.measure([*ahead, model])
    reference, before = others[0], others[-1]
    latency = {
        target: row[target] / reference[target] * full
        for target, full in search.full_ms.items()
        if target in row and target in reference
    }
    limit = 1 + search.recipe.options.margin
    slower = [name for name in search.full_ms if name not in latency or row[name] > before.get(name, row[name]) * limit]
    return latency, slower[0] if slower else ""


def _undo(search: Search, widths: Mapping[str, int], target: str) -> None:
    """Bars what was tried. A block that went too far for the goal is barred too; widths are not, for others may do."""
    now = search.state.widths
    blocks = {name: width for name, width in widths.items() if name in search.blocks}
    tried = blocks or {name: width for name, width in widths.items() if width < now.get(name, width)}
    if blocks or target:
        for name, width in tried.items():
            search.barred[name] = search.barred.get(name, frozenset()) | {width}
    if target:
        search.undone += 1
        text = f"{format_widths({name: (width,) for name, width in tried.items()})} measured slower on {target}: undone"
        search.notes.append(Note("skipped", next(iter(tried), ""), text))
