"""Whether a whole block goes next, or channels here and there: what harms less for the same gain."""

from __future__ import annotations

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.allocate import NO_DAMAGE, Allocation, overall
from edgewright.compiler.pruning.blocks import Block, without
from edgewright.compiler.pruning.goals import Limits
from edgewright.compiler.pruning.latency_model import VARIABLE, believed
from edgewright.compiler.pruning.latency_table import read_table
from edgewright.compiler.pruning.rounds import damage_of_blocks, damage_of_widths
from edgewright.compiler.pruning.search import Search, widths_so_far

_MOST_TIMED = 12
"""Blocks that are timed, those that harm least for their multiplications: each takes an export, which is seconds."""
_FILE = "block_table.json"


def time_blocks(search: Search) -> None:
    """Times the model without each of its blocks; those that save nothing are not left out."""
    context, extents = search.context, search.extents
    macs = extents.macs({})
    damage = damage_of_blocks(search.state, tuple(search.blocks.values()), search.recipe, macs)
    share = {path: damage[path] / max(macs - extents.macs({path: 0}), 1) for path in damage}
    wanted = sorted(share, key=lambda path: share[path])[:_MOST_TIMED]
    if not wanted or search.template is None:
        return
    table = read_table(
        context,
        search.template,
        lambda path, _units: without(context.module, search.blocks[path]),
        [(path, 0) for path in wanted],
        search.recipe.options.margin,
        file=_FILE,
    )
    search.timings.append({"blocks": table.to_json()})
    for entry in table.entries:
        expected = VARIABLE * (1 - extents.macs({entry.group: 0}) / max(macs, 1))
        # Sessions differ: shares of the time of the whole model are what can be carried over.
        saved = {
            target: believed(1 - ms / table.full_ms[target], expected, max(search.noise, table.noise))
            for target, ms in entry.ms.items()
            if target in search.full_ms and target in table.full_ms
        }
        if saved and min(saved.values()) > 0:
            search.saves_ms[entry.group] = {target: share * search.full_ms[target] for target, share in saved.items()}
        else:
            search.notes.append(Note("skipped", entry.group, "leaving it out measured no faster: it stays"))


def block_to_leave_out(search: Search, limits: Limits, aim: float, chosen: Allocation) -> Block | None:
    """The block that harms least for what it gains, where that is less than ``chosen`` harms for its gain.

    Args:
        chosen: the widths by which the whole goal would be reached without leaving out a block.

    None where the model is at its aim already. What goes beyond the limits is no gain.
    """
    now = overall(limits.costs(search.models)({**widths_so_far(search), **search.state.widths}))
    able = [block for path, block in search.blocks.items() if search.can_go(limits, path)]
    if now <= max(aim, 1.0) or not able:
        return None
    macs = search.extents.macs({**widths_so_far(search), **search.state.widths})
    damage = damage_of_blocks(search.state, able, search.recipe, macs)
    narrowing, best = now - overall(chosen.costs), float("inf")
    if narrowing > 0:
        best = (damage_of_widths(search.state, chosen.widths, search.recipe, macs) + NO_DAMAGE) / narrowing
    found = None
    for block in able:
        gain = now - max(overall(search.cost_without(limits, block.path)), 1.0)
        if block.path in damage and gain > 0 and (damage[block.path] + NO_DAMAGE) / gain < best:
            best, found = (damage[block.path] + NO_DAMAGE) / gain, block
    return found
