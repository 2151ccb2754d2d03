"""The pytest fixture ``edgewright_bench``: a bundle measured by the protocol in the tests of a user's own device.

With pytest-benchmark installed, the run medians become the rounds of its ``benchmark`` fixture, so that its tables, its
files and its comparisons work; without it the fixture only gives the record. pytest loads this module in every session
of whoever has Edgewright installed, so nothing is imported here before a test asks for the fixture.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from edgewright.benchmarks.harness.protocol import Protocol as Rules
    from edgewright.benchmarks.record import Record
    from edgewright.core.errors import EdgewrightError

FIXTURE = "edgewright_bench"


class BenchmarkFixture(Protocol):
    """What is used of pytest-benchmark's own fixture."""

    group: str | None
    extra_info: dict[str, object]

    @property
    def enabled(self) -> bool:
        """Whether it records anything: False for --benchmark-disable, and where pytest-xdist is at work."""

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None] | None = None, rounds: int = 1
    ) -> object:
        """Times ``target`` by the fixture's timer, after ``setup``, so many times."""


class Clock:
    """The timer that pytest-benchmark reads: real time, except while it is told what was measured elsewhere."""

    __name__ = "edgewright_clock"

    def __init__(self) -> None:
        self.shows: float | None = None

    def __call__(self) -> float:
        """Seconds."""
        return time.perf_counter() if self.shows is None else self.shows


_CLOCK = pytest.StashKey[Clock]()


class EdgewrightBench:
    """What the fixture gives: called with a bundle, once a test, it measures and gives the record.

    Args:
        node: the test, for what is said when it fails.
        benchmark: pytest-benchmark's fixture, where that is installed.
    """

    def __init__(self, node: pytest.Item, benchmark: BenchmarkFixture | None) -> None:
        self._node, self._benchmark = node, benchmark
        self._used = False

    def __call__(
        self,
        bundle_path: str | Path,
        preset: str | Rules = "quick",
        threads: int | None = None,
        data: str | Path | None = None,
        against: str | Path | None = None,
        *,
        metric: str | None = None,
        trust_native_code: bool = False,
    ) -> Record:
        """Measures a bundle in fresh processes; the test is skipped where the bundle's target is not this machine.

        Args:
            bundle_path: a bundle, or its unzipped folder.
            preset: how much is measured, as ``edgewright bench --preset``, or a protocol of one's own. One run alone is
                made where pytest-benchmark is disabled.
            threads: compute threads; None is the target's number.
            data: DATA as the command line has it; with labels, accuracy too.
            against: a baseline bundle, run in interleaved pairs; the record's ``comparison`` has the verdict.
            metric: how to judge ``data``; None is the bundle's own metric.
            trust_native_code: open an engine that is machine code, which runs when it is opened.

        Raises:
            EdgewrightError: it cannot be measured, as :func:`edgewright.benchmarks.bench.bench_bundle`.
        """
        __tracebackhide__ = True  # a user's mistake is shown in the user's line
        from edgewright.core.errors import EdgewrightError, TargetAbsentError, UsageError

        if self._used:
            raise UsageError(f"{FIXTURE} was already called in this test", "Measure one bundle a test; parametrize it.")
        self._used = True
        enabled = self._benchmark is None or self._benchmark.enabled
        job = _Job(Path(bundle_path), preset, threads, None if data is None else str(data), metric, trust_native_code)
        try:
            record = job.measured(None if against is None else Path(against)) if enabled else job.once()
        except TargetAbsentError as absent:
            pytest.skip(absent.problem)
        except EdgewrightError as error:
            self._spoil()
            raise error.with_traceback(None) from None
        self._node.add_report_section("call", "edgewright", "\n".join((*job.said, *record.notes)))
        if record.status == "invalid":
            self._spoil()
            pytest.fail(f"an audit failed, so the figures must not be used: {'; '.join(record.notes)}", pytrace=False)
        self._feed(record)
        if record.status == "unsteady":
            warnings.warn(pytest.PytestWarning(f"{record.subject.model}: the times never settled"), stacklevel=2)
        return record

    def _feed(self, record: Record) -> None:
        """Makes the run medians the rounds of the benchmark."""
        from edgewright.benchmarks.exchange.pytest_json import SUMMARY_KEY, subject_medians, summary_of

        if self._benchmark is None:
            return
        clock = self._node.stash[_CLOCK]
        medians = subject_medians(record)
        ahead = iter(medians)

        def start() -> None:
            clock.shows = 0.0

        def stop() -> None:
            # It may be called once more than there are rounds, as for --benchmark-cprofile.
            clock.shows = next(ahead, 0.0) * 1e-9

        self._benchmark.group = self._benchmark.group or record.subject.model
        self._benchmark.extra_info[SUMMARY_KEY] = summary_of(record)
        try:
            self._benchmark.pedantic(stop, setup=start, rounds=len(medians))
        finally:
            clock.shows = None

    def _spoil(self) -> None:
        """Has pytest-benchmark know that there will be no figure: it warns of a fixture that nobody used."""

        def fail() -> None:
            raise LookupError

        if self._benchmark is not None:
            with contextlib.suppress(LookupError):
                self._benchmark.pedantic(fail)


@dataclass(frozen=True)
class _Job:
    """What one call asks for, and what was said on the way."""

    bundle: Path
    preset: str | Rules
    threads: int | None
    data: str | None
    metric: str | None
    trust_native_code: bool
    said: list[str] = field(default_factory=list)

    def measured(self, baseline: Path | None) -> Record:
        """The bundle by itself, or with a baseline in turn."""
        return self.alone(self.preset) if baseline is None else self.against(baseline)

    def alone(self, preset: str | Rules) -> Record:
        """The bundle by itself."""
        from edgewright.benchmarks.bench import bench_bundle
        from edgewright.core.bundle import open_bundle

        return bench_bundle(
            open_bundle(self.bundle),
            preset,
            self.threads,
            self.data,
            self.metric,
            trust_native_code=self.trust_native_code,
            log=self.said.append,
        )

    def once(self) -> Record:
        """The bundle by itself, in one short run, as pytest-benchmark calls a function once where it is disabled."""
        from edgewright.benchmarks.harness.protocol import Preset, protocol_named

        rules = protocol_named(self.preset) if isinstance(self.preset, str) else self.preset
        record = self.alone(replace(rules, preset=Preset("once", 1, 0.0, 1)))
        return replace(record, notes=(*record.notes, "pytest-benchmark is disabled: one run, and no comparison"))

    def against(self, baseline: Path) -> Record:
        """The bundle and a baseline in turn."""
        from edgewright.benchmarks.pairs.compared import compare_bundles
        from edgewright.benchmarks.pairs.duel import Pairing
        from edgewright.core.bundle import open_bundle

        pairing = Pairing(
            open_bundle(self.bundle),
            open_bundle(baseline),
            self.data,
            self.metric,
            self.threads,
            self.trust_native_code,
        )
        compared, failures = compare_bundles([pairing], self.preset, log=self.said.append)
        if failures:
            raise _error_of(failures[0].kind)(failures[0].problem, failures[0].remedy)
        return compared[0].record


def _error_of(kind: str) -> type[EdgewrightError]:
    """The error that was classified as this kind of failure."""
    from edgewright.core import errors

    known: dict[str, type[EdgewrightError]] = {
        "absent": errors.TargetAbsentError,
        "bad-input": errors.BadInputError,
        "unavailable": errors.UnavailableError,
    }
    return known.get(kind, errors.EngineError)


class _Alone:
    """The fixture where pytest-benchmark is not at hand."""

    @pytest.fixture
    def edgewright_bench(self, request: pytest.FixtureRequest) -> EdgewrightBench:
        """Measures a bundle on this machine, in fresh processes, and gives the record."""
        return EdgewrightBench(request.node, None)


class _WithBenchmark:
    """The fixture that feeds pytest-benchmark's, which it names so that --benchmark-only and -skip see the test."""

    @pytest.fixture
    def edgewright_bench(self, request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> EdgewrightBench:
        """Measures a bundle on this machine, in fresh processes: a benchmark whose rounds are the run medians."""
        return EdgewrightBench(request.node, benchmark)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Gives the test's benchmark a timer that can be told a time; what its own mark says stays."""
        if FIXTURE in getattr(item, "fixturenames", ()):
            clock = item.stash[_CLOCK] = Clock()
            mark = item.get_closest_marker("benchmark")
            words = {} if mark is None else mark.kwargs
            item.add_marker(
                pytest.mark.benchmark(*(mark.args if mark else ()), **{**words, "timer": clock}), append=False
            )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Offers the fixture, in the form that suits what is installed."""
    plugins = session.config.pluginmanager
    # pytest-benchmark registers its session under this name, however it was loaded itself.
    plugins.register(_WithBenchmark() if plugins.hasplugin("pytest-benchmark") else _Alone(), "edgewright-fixture")
