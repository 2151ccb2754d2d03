"""The child's side of a gate-grade measurement: what happens in each fresh process.

Four errands, each a process of its own: :func:`warm_up_here` finds out how long warming takes, :func:`run_here` is one
run, :func:`memory_here` reads peak memory, :func:`energy_here` keeps the engine busy while its parent reads a counter.
Plans and answers are JSON; times are nanoseconds of ``perf_counter_ns``, which parent and child read alike.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping

from edgewright.benchmarks.harness._audits import Kept, repeat_ratio, worst_answer
from edgewright.benchmarks.harness._series import Clocks, Series, batch_size, is_steady
from edgewright.benchmarks.harness._subject import Plan, Subject, peak_memory
from edgewright.benchmarks.harness.protocol import BATCH_BELOW_NS, HUNDRED
from edgewright.benchmarks.harness.scenarios import arrivals, is_cut

_PROBING_RUNS, _PROBING_SECONDS = 7, 5.0
_CLOCKS_EVERY_NS = 1_000_000_000
_SPIN_NS = 2_000_000
"""So long before an arrival the loop stops sleeping: no wake-up of the system may make a sample late."""


def warm_up_here(plan: str) -> dict[str, object]:
    """How many inferences make the engine warm, and whether it ever was; see :class:`WarmUp`.

    The length of an inference alone, where finding that out would take more than the plan's seconds, unless they are 0:
    whoever waits knows then for how long.
    """
    told = Plan.read(plan)
    rule = told.warm_up
    subject = Subject(told)
    typical = _typical_ns(subject)
    if 0 < told.seconds < rule.longest(typical):
        return {"typical_ns": typical}
    inner = 1 if typical >= BATCH_BELOW_NS else batch_size(typical, len(subject.samples))
    series = Series(told.windows, inner)
    begin = time.perf_counter_ns()
    steady, seconds = False, 0.0
    gc.collect()
    gc.disable()
    while not steady and (seconds < rule.most_seconds or len(series.times) * inner < rule.least_inferences):
        full = series.add(subject.timed(inner)[0])
        seconds = (time.perf_counter_ns() - begin) / 1e9
        enough = seconds >= rule.least_seconds and len(series.times) * inner >= rule.least_inferences
        steady = full and enough and is_steady(series.medians, rule)
    taken = len(series.times) * inner
    if not steady:
        taken = max(rule.least_inferences, round(taken * min(1.0, rule.unsteady_seconds / seconds)))
    ratio, unasked = repeat_ratio(subject, inner, typical)
    return {
        "typical_ns": typical,
        "inferences": taken,
        "steady": steady,
        "seconds": seconds,
        "inner": inner,
        "window_medians": series.medians,
        "repeat_ratio": ratio,
        "repeat_unasked": unasked,
        "scrubbed": subject.scrubbed,
    }


def run_here(plan: str) -> dict[str, object]:
    """One run: warm for the frozen count, then measure by the scenario, then audit what was answered on the way."""
    told = Plan.read(plan)
    subject = Subject(told)
    gc.collect()
    gc.disable()
    _warm(subject, told)
    kept = Kept()
    clocks = Clocks(told.gpu)
    clocks.read()
    began = time.perf_counter_ns()
    found = _back_to_back(subject, told, kept, clocks) if told.rate_per_s is None else _by_schedule(subject, told, kept)
    ended = time.perf_counter_ns()
    clocks.read()
    gc.enable()
    return {
        **found,
        "clocks": clocks.readings,
        "began_ns": began,
        "ended_ns": ended,
        "import_ns": subject.import_ns,
        "load_ns": subject.load_ns,
        "first_ns": subject.first_ns,
        "audited": len(kept.answers),
        "audit_error": worst_answer(subject, kept),
    }


def memory_here(plan: str) -> dict[str, object]:
    """Peak resident bytes (``VmHWM``) after each stage; None where the system does not say.

    The engine runs in this very process and starts no other, so that its peak is all there is.
    """
    subject = Subject(Plan.read(plan))
    first = peak_memory()
    for _ in range(HUNDRED - 1):
        subject.timed(1)
    return {
        "import_bytes": subject.memory_after_import,
        "load_bytes": subject.memory_after_load,
        "first_bytes": first,
        "hundredth_bytes": peak_memory(),
    }


def energy_here(plan: str) -> dict[str, object]:
    """Inferences without a pause, warm, for at least the plan's seconds: how many, and from when to when."""
    told = Plan.read(plan)
    subject = Subject(told)
    gc.collect()
    gc.disable()
    _warm(subject, told)
    inferences = 0
    began = ended = time.perf_counter_ns()
    while ended - began < told.seconds * 1e9:
        subject.timed(told.inner)
        inferences += told.inner
        ended = time.perf_counter_ns()
    return {"inferences": inferences, "began_ns": began, "ended_ns": ended}


def _typical_ns(subject: Subject) -> float:
    """The median of a few inferences; of a slow engine, of as many as fit a few seconds, and of one at least."""
    times: list[int] = []
    begin = time.perf_counter_ns()
    while not times or (len(times) < _PROBING_RUNS and time.perf_counter_ns() - begin < _PROBING_SECONDS * 1e9):
        times.append(subject.timed(1)[0])
    return statistics.median(times)


def _warm(subject: Subject, told: Plan) -> None:
    """The count that was found; beyond what this engine needs itself, for the rule's ``shared_seconds`` at most."""
    done, begin = 0, time.perf_counter_ns()
    while done < told.warm_up_inferences:
        if done >= told.warm_up_needed and time.perf_counter_ns() - begin >= told.warm_up.shared_seconds * 1e9:
            return
        subject.timed(told.inner)
        done += told.inner


def _back_to_back(subject: Subject, told: Plan, kept: Kept, clocks: Clocks) -> Mapping[str, object]:
    """Inference after inference: single stream, and offline with its batches."""
    series = Series(told.windows, told.inner)
    device: list[int] = []
    begin = time.perf_counter_ns()
    while len(series.times) * told.inner < told.inferences or time.perf_counter_ns() - begin < told.seconds * 1e9:
        took, sample, answer = subject.timed(told.inner)
        if subject.session.device_ns is not None:
            device.append(subject.session.device_ns)
        if series.add(took):
            clocks.read(_CLOCKS_EVERY_NS)
        kept.offer(len(series.times), sample, answer)
    return {"ns": series.times, "window_medians": series.medians, "device_ns": device or None}


def _by_schedule(subject: Subject, told: Plan, kept: Kept) -> Mapping[str, object]:
    """Samples that arrive by a schedule, served one after the other, each timed from its scheduled arrival.

    Every inference is stamped by itself, however short it is. The GPU's clocks are read at the ends alone: between
    arrivals a reading would make the next one wait.
    """
    assert told.rate_per_s is not None
    due = arrivals(told.scenario, told.rate_per_s, told.inferences, told.seconds, told.seed).tolist()
    served: list[tuple[int, int, int]] = []
    device: list[int] = []
    busy = 0
    begin = time.perf_counter_ns()
    for offset in due:
        arrival = begin + offset
        start = _wait_until(arrival)
        if is_cut(start - begin, due[-1], len(served), told.inferences):
            break
        took, sample, answer = subject.timed(1)
        done = time.perf_counter_ns()
        served.append((done - arrival, took, done))
        if subject.session.device_ns is not None:
            device.append(subject.session.device_ns)
        kept.offer(len(served), sample, answer)
        busy += time.perf_counter_ns() - start
    span = time.perf_counter_ns() - begin
    service = Series(told.windows, 1, begin)
    for _, took, done in served:  # only now: the median of a full window would make the next sample wait
        service.add(took, done)
    return {
        "ns": [response for response, _, _ in served],
        "service_ns": service.times,
        "window_medians": service.medians,
        "device_ns": device or None,
        "busy_ns": busy,
        "unserved": len(due) - len(served),
        "span_ns": span,
    }


def _wait_until(moment: int) -> int:
    """Sleeps, then spins until then; the time at which it is over, at once when that is past."""
    now = time.perf_counter_ns()
    while now < moment:
        if moment - now > _SPIN_NS:
            time.sleep((moment - now - _SPIN_NS) / 1e9)
        now = time.perf_counter_ns()
    return now
