"""Gate-grade measurement of one engine by itself: warm-up, then runs in fresh processes, then memory and energy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgewright.benchmarks.harness.machine import choose_cpus
from edgewright.benchmarks.harness.measuring import Children, Question, Warmth, problems_of
from edgewright.benchmarks.harness.side import SideSeries
from edgewright.benchmarks.readings import NO_ENERGY, Energy, SideReading
from edgewright.benchmarks.record import Memory, Run, VoidedRun


@dataclass(frozen=True)
class Measured:
    """Raw results."""

    warmth: Warmth
    runs: tuple[Run, ...]
    voided: tuple[VoidedRun, ...]
    memory: Memory
    cpus: tuple[int, ...] | None
    problems: tuple[str, ...] = field(default=())
    """What makes the figures wrong rather than shaky: audits that failed."""
    side: tuple[SideReading, ...] = ()
    energy: Energy = NO_ENERGY
    notes: tuple[str, ...] = ()
    """What was not done as it was asked for, and why."""


def measure(question: Question, folder: Path, memory_processes: int = 1) -> Measured:
    """Measures by the protocol; the caller holds the timing lock.

    Args:
        question: what is asked.
        folder: an empty one for files the children read.
        memory_processes: how many processes memory is the median of.

    Raises:
        EngineError: the engine cannot be opened, or crashes, hangs or runs out of memory.
    """
    with SideSeries(choose_cpus(question.threads)) as side:
        children = Children(question, folder, side=side)
        question.progress("warming up", 0.0)
        warmth = children.warm_up()
        count = question.protocol.preset.runs_for(warmth.pace_s)
        runs = []
        for order in range(count):
            question.progress(f"run {order + 1} of {count}", (order + 1) / (count + 3))
            runs.append(children.run(order, warmth))
        question.progress("memory", (count + 1) / (count + 3))
        memory = children.memory(warmth, memory_processes)
        question.progress("energy", (count + 2) / (count + 3))
        energy = children.energy(warmth)
    return Measured(
        warmth=warmth,
        runs=tuple(runs),
        voided=tuple(children.voided),
        memory=memory,
        cpus=children.plan.cpus,
        problems=problems_of(warmth, runs, question.tolerance),
        side=side.readings,
        energy=energy,
        notes=children.notes,
    )
