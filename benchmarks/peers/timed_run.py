"""One run of the timing protocol, meant for a fresh process: load, warm up, measure, print one JSON line.

    python timed_run.py MODEL --engine onnxruntime|openvino|edgewright --feeds EVALUATION.npz --ranks '{"x": 4}'

The line: `median_ns` per inference, `samples`, `inner` (inferences a sample: 1, or as many as fill a millisecond where
one takes less than 100 us, when the samples are batch means), `load_ns`, `first_ns`, `warmup` inferences.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns

from engines import ENGINES, Feeds, OpenModel, open_model, read_feeds

DISTINCT = 16  # real samples that are cycled, so that no cache of one input is timed
STAMPED_NS = 100_000
BATCH_NS = 1_000_000


@dataclass(frozen=True)
class Timing:
    """Raw result of one run."""

    median_ns: float
    samples: int
    inner: int
    load_ns: int
    first_ns: int
    warmup: int


@dataclass(frozen=True)
class Effort:
    """Both conditions of each phase must hold."""

    warm_seconds: float = 1.0
    warm_inferences: int = 10
    seconds: float = 1.0
    inferences: int = 64


def measure(model: OpenModel, feeds: list[Feeds], effort: Effort, load_ns: int) -> Timing:
    """Warm up, then stamp each inference, or batches of them where one is too short to stamp."""
    turn = itertools.cycle(feeds)
    first_ns = timed(model, turn, 1)
    warm: list[int] = []
    begun = perf_counter_ns()
    while len(warm) < effort.warm_inferences or perf_counter_ns() - begun < effort.warm_seconds * 1e9:
        warm.append(timed(model, turn, 1))
    typical = statistics.median(warm)
    inner = 1 if typical >= STAMPED_NS else math.ceil(BATCH_NS / typical)
    samples: list[float] = []
    begun = perf_counter_ns()
    while len(samples) * inner < effort.inferences or perf_counter_ns() - begun < effort.seconds * 1e9:
        samples.append(timed(model, turn, inner) / inner)
    return Timing(statistics.median(samples), len(samples), inner, load_ns, first_ns, len(warm))


def timed(model: OpenModel, turn: Iterator[Feeds], count: int) -> int:
    chosen = list(itertools.islice(turn, count))
    begun = perf_counter_ns()
    for feeds in chosen:
        model.run(feeds)
    return perf_counter_ns() - begun


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--feeds", type=Path, required=True)
    parser.add_argument("--ranks", type=json.loads, required=True)
    parser.add_argument("--properties", type=json.loads, default={})
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--effort", type=json.loads, default={})
    options = parser.parse_args(argv)
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[: options.threads])
    feeds = list(read_feeds(options.feeds, options.ranks, DISTINCT))
    begun = perf_counter_ns()
    model = open_model(options.model, options.engine, options.threads, options.properties)
    load_ns = perf_counter_ns() - begun
    gc.disable()
    print(json.dumps(asdict(measure(model, feeds, Effort(**options.effort), load_ns))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
