"""Sessions drawn from the noise of real ones: what the gate says when nothing, or a known slowdown, is there.

A session's pairs are drawn in blocks of four consecutive pairs of one real session, so that what neighbours share
stays together, and each block's arms change places by a coin: under interleaving either could have been the slow one.
The true effect is then added to the logarithms. Fixed seed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.gate.latency import LOOKS, judge, paired_test
from edgewright.core import jsontext
from edgewright.core.files import write_atomically

BLOCK = 4
EFFECTS = (0.0, 0.02, 0.05, 0.10)


def run(noise: Path, into: Path | None, sessions: int) -> int:
    """Prints, and adds to the record, how many sessions of each true slowdown got each verdict."""
    document = json.loads(noise.read_text())
    logs = [
        np.log(np.asarray(row["run_medians_ns"]["new"]) / np.asarray(row["run_medians_ns"]["base"]))
        for row in document["sessions"]
        if row["slowdown"] == 0 and row["pairs"] == LOOKS[-1].pairs
    ]
    print(f"noise of {len(logs)} real sessions, {sum(map(len, logs))} pairs; {sessions} simulated of each effect")
    table = {f"{effect:.0%}": _verdicts(logs, effect, sessions) for effect in EFFECTS}
    for effect, counts in table.items():
        print(
            f"true slowdown {effect:>4}: " + ", ".join(f"{one} {count / sessions:.1%}" for one, count in counts.items())
        )
    if into is not None:
        simulated = {"sessions": sessions, "block": BLOCK, "seed": 0, "verdicts": table}
        write_atomically(into, jsontext.pretty({**document, "simulated": simulated}))
    return 0


def _verdicts(logs: list[npt.NDArray[np.float64]], effect: float, sessions: int) -> dict[str, int]:
    generator = np.random.default_rng([0, round(effect * 1000)])
    counts = {"pass": 0, "inconclusive": 0, "regressed": 0}
    for _ in range(sessions):
        drawn = np.exp(_drawn(logs, generator) + math.log1p(effect))
        for look in LOOKS:
            verdicts = judge({"it": paired_test(drawn[: look.pairs], np.ones(look.pairs))}, look)
            if verdicts is not None:
                counts[verdicts["it"]] += 1
                break
    return counts


def _drawn(logs: list[npt.NDArray[np.float64]], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    blocks = []
    for _ in range(-(-LOOKS[-1].pairs // BLOCK)):
        session = logs[generator.integers(len(logs))]
        start = generator.integers(len(session) - BLOCK + 1)
        blocks.append(session[start : start + BLOCK] * generator.choice([-1.0, 1.0]))
    return np.concatenate(blocks)[: LOOKS[-1].pairs]
