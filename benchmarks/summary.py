"""What a record says of its raw samples: the summary, the interval of an accuracy, and the words of its protocol."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.harness.measuring import Warmth, digest_of_samples
from edgewright.benchmarks.harness.protocol import Protocol
from edgewright.benchmarks.harness.scenarios import throughput
from edgewright.benchmarks.record import ProtocolUsed, Run, Summary
from edgewright.benchmarks.statistics import autocorrelation, drift, outliers, percentiles, variation
from edgewright.core.tensors import Feeds

_BOUNDARY = "session.run: arrays in, arrays out"
_FROM_ARRIVAL = "from a sample's scheduled arrival until session.run has given its arrays"
_ON_A_DEVICE = "; wall time has the copies to the device and back and waits for its stream, device_ns has neither"


def summarise(runs: Sequence[Run], inner: int, batch: int = 1) -> Summary:
    """The summary of raw samples; percentiles of single inferences above their floors, only p50 of batch means.

    Args:
        runs: of one arm.
        inner: inferences in one figure of ``ns``.
        batch: samples in one inference.
    """
    pooled = np.concatenate([np.asarray(run.ns, np.float64) for run in runs]) / inner
    medians = run_medians(runs, inner)
    device = [took for run in runs for took in run.device_ns or ()]
    found = percentiles(pooled)
    per_s, per_s_interval = throughput([_samples_per_s(run, inner * batch) for run in runs])
    return Summary(
        percentiles=found if inner == 1 else {name: one for name, one in found.items() if name == "p50"},
        mean=float(pooled.mean()),
        cv=variation(pooled),
        n=len(pooled),
        run_median=statistics.median(medians),
        run_cv=variation(medians),
        throughput=per_s,
        first_ns=statistics.median(run.first_ns for run in runs),
        load_ns=statistics.median(run.load_ns for run in runs),
        import_ns=statistics.median(run.import_ns for run in runs),
        outliers=outliers(pooled),
        autocorrelation=statistics.median(autocorrelation(run.ns) for run in runs),
        drift_pct=100 * max((drift(run.window_medians) for run in runs), key=abs),
        device_percentiles=percentiles(device) if device else None,
        throughput_ci95=per_s_interval,
    )


def _samples_per_s(run: Run, each: int) -> float:
    """Samples that a run answered in a second, ``each`` of them in one figure of ``ns``."""
    spent = sum(run.ns) if run.span_ns is None else run.span_ns
    return len(run.ns) * each * 1e9 / spent


def run_medians(runs: Sequence[Run], inner: int) -> list[float]:
    """The median of each run in nanoseconds per inference: the figures that are compared."""
    return [statistics.median(run.ns) / inner for run in runs]


def confidence_95(scores: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """A 95 % interval of the mean of per-sample scores; None for fewer than 30 that are not all 0 or 1.

    Shares: Wilson 1927, equation for the score interval. Other means: normal approximation of the mean.
    """
    n, mean, z = len(scores), float(scores.mean()), 1.959964
    if n and np.isin(scores, (0.0, 1.0)).all():
        middle, half = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        return (max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n)))
    if n < 30:
        return None
    error = z * float(scores.std(ddof=1)) / math.sqrt(n)
    return mean - error, mean + error


def protocol_used(
    protocol: Protocol,
    warmth: Warmth,
    runs: Sequence[Run],
    samples: Sequence[Feeds],
    source: str,
    *,
    pinned: bool,
    cpus: tuple[int, ...] | None = None,
) -> ProtocolUsed:
    """How the runs were made, as the record says it."""
    return ProtocolUsed(
        preset=protocol.preset.name,
        scenario=protocol.scenario.name,
        boundary=(_BOUNDARY if warmth.rate_per_s is None else _FROM_ARRIVAL)
        + (_ON_A_DEVICE if any(run.device_ns for run in runs) else ""),
        sample_kind=warmth.sample_kind,
        inner=warmth.inner,
        warmup=warmth.inferences,
        warmup_steady=warmth.steady,
        seed=protocol.scenario.seed,
        inputs=len(samples),
        inputs_sha256=digest_of_samples(samples),
        inputs_from=source,
        cpus_pinned=pinned,
        scrubbed=warmth.scrubbed,
        rate_per_s=warmth.rate_per_s,
        batch=warmth.batch,
        cpus=cpus,
    )
