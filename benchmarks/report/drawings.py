"""The plotted sections: each takes variants and gives its drawings, or the line that says how to get them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Fold, Line, OneSize, Plot, Section, absent_section
from edgewright.benchmarks.report.data import ComparisonFound, RunFound, Variant
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.plots import Caption
from edgewright.benchmarks.report.results import ratios_table
from edgewright.benchmarks.report.wording import counted, share
from edgewright.benchmarks.report.wording import labels as labels_of

_THROTTLED = ("throttle", "clock", "stolen")
_COMPARE = "edgewright bench BUNDLE --against BASELINE"
_BENCH = "edgewright bench BUNDLE"


@dataclass(frozen=True)
class _Alike:
    """What must be equal for latencies and accuracies to share a plot."""

    model: str
    metric: str
    asked: str
    threads: int | None
    machine: str
    data: str

    @classmethod
    def of(cls, one: Variant) -> _Alike:
        machine = "" if one.machine is None else one.machine.identity
        return cls(one.model, one.accuracy.metric, one.asked, one.threads, machine, one.accuracy.dataset_sha256)

    def words(self, others: Collection[_Alike]) -> str:
        """The model, and of the rest what tells it from ``others``."""
        parts = [
            (self.model, True),
            (self.asked, True),
            ("" if self.threads is None else counted(self.threads, "thread"), len({one.threads for one in others}) > 1),
            (f"on {self.machine[:6]}", len({one.machine for one in others}) > 1),
            (f"data {self.data[:6] or 'unknown'}", len({one.data for one in others}) > 1),
        ]
        return ", ".join(text for text, wanted in parts if text and wanted)


def tradeoff(variants: Sequence[Variant], detail: Detail) -> Section:
    """Accuracy over latency, a plot for each model, metric, data set, machine, number of threads and way of asking."""
    groups: dict[_Alike, list[Variant]] = {}
    for one in variants:
        if one.latency["p50"].value is not None and one.accuracy.found.value is not None:
            groups.setdefault(_Alike.of(one), []).append(one)
    if not groups:
        text = "There is no variant with both a latency and an accuracy."
        return absent_section("tradeoff", "Accuracy and latency", text, f"{_BENCH} --data DATA")
    for one in variants:  # what lacks a figure is named beside a plot of its model
        if one.latency["p50"].value is None or one.accuracy.found.value is None:
            near = next((members for alike, members in groups.items() if alike.model == one.model), [])
            near.append(one)
    found = tuple(
        _pareto(f"pareto-{number}", alike.words(groups), members, detail.overview)
        for number, (alike, members) in enumerate(groups.items(), 1)
    )
    lead = (
        "Faster is to the left; the line joins the variants that no other was seen to beat in both. Each was timed in "
        "a session of its own, and sessions differ: only a ratio tells which of two close ones is faster."
    )
    return Section("tradeoff", "Accuracy and latency", found, lead)


def _pareto(key: str, whose: str, members: Sequence[Variant], only: OneSize | None) -> Plot:
    named = labels_of(members)  # within one plot less is needed to tell them apart
    points = tuple(
        plots.ParetoPoint(
            label=named[one.key],
            p50_ns=one.latency["p50"].value,
            accuracy=one.accuracy.found.value,
            size_bytes=None if one.size.value is None else int(one.size.value),
            kind=one.precision,
            p50_ci95=one.latency["p50"].ci95,
            accuracy_ci95=one.accuracy.found.ci95,
            note=one.latency["p50"].reason or one.accuracy.found.reason,
        )
        for one in members
    )
    metric = members[0].accuracy.metric or "accuracy"
    title = f"{metric} over p50 latency" + (f", {whose}" if whose else "")
    text = f"{counted(len(points), 'variant')}; the larger the mark, the larger the files. All are in Results."
    caption = Caption(key, title, text)
    better = members[0].accuracy.higher_is_better
    return Plot(
        caption,
        lambda width: plots.pareto(points, caption, metric=metric, higher_is_better=better, width=width),
        only,
    )


def ratios(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """Ratios to baselines with their intervals, a plot for each margin that was allowed."""
    compared: dict[float | None, list[tuple[str, ComparisonFound]]] = {}
    for one in variants:
        if one.comparison is not None:
            compared.setdefault(one.comparison.delta, []).append((labels[one.key], one.comparison))
    if not compared:
        return absent_section("ratios", "Ratios", "Nothing was compared with a baseline.", _COMPARE)
    found = tuple(
        _forest("forest" if number == 1 else f"forest-{number}", rows, delta, detail.overview)
        for number, (delta, rows) in enumerate(compared.items(), 1)
    )
    lead = "Both were run in fresh processes, in turns, on the same machine: the median of each run over its partner's."
    return Section("ratios", "Ratios", (*found, ratios_table(variants)), lead)


def _forest(
    key: str, compared: Sequence[tuple[str, ComparisonFound]], delta: float | None, only: OneSize | None
) -> Plot:
    rows = tuple(
        plots.ForestRow(
            label=label,
            ratio=found.ratio,
            ci95=found.ci95,
            verdict=found.verdict,
            note=f"against {found.baseline}" if found.baseline else "",
        )
        for label, found in compared
    )
    allowed = "how much slower was allowed is not known" if delta is None else f"{share(delta)} slower was allowed"
    text = f"Left of 1 is faster; {allowed}. Bars are 95 % intervals; the mark and its word are the verdict."
    caption = Caption(key, "Latency over the baseline's", text)
    return Plot(caption, lambda width: plots.forest(rows, caption, delta=delta, width=width), only)


def distributions(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """How the samples of each variant spread."""
    series = tuple(_series(one, labels[one.key]) for one in variants if one.session is not None and one.session.bins)
    if not series:
        text = "No record with samples that may be used was given."
        return absent_section("distribution", "How latencies spread", text, _BENCH)
    caption = Caption(
        "distribution",
        "Latency of single samples",
        "A ridge a variant; its last bin also holds the slowest 1 % of samples. Ticks mark percentiles.",
    )
    plot = Plot(caption, lambda width: plots.distribution(series, caption, width=width), detail.overview)
    return Section("distribution", "How latencies spread", (plot,))


def _series(one: Variant, label: str) -> plots.LatencySeries:
    assert one.session is not None
    return plots.LatencySeries(
        label=label,
        values_ns=tuple(value for value, _ in one.session.bins),
        counts=tuple(float(count) for _, count in one.session.bins),
        percentiles=tuple((name, figure.value) for name, figure in one.latency.items() if figure.value is not None),
        note="; ".join(figure.reason for figure in one.latency.values() if figure.value is None),
    )


def run_orders(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """The runs of each session in their order; one fold a variant."""
    folds = [_run_order(one, labels[one.key], detail) for one in variants if one.session and one.session.runs]
    if not folds:
        return absent_section("runs", "Runs in their order", "No record with runs that may be used was given.", _BENCH)
    lead = (
        "Each mark is the median of a fresh process. What drifted by more than 2 % or was disturbed is flagged; a run "
        "that something outside spoilt was made again."
    )
    return Section("runs", "Runs in their order", tuple(folds), lead)


def _run_order(one: Variant, label: str, detail: Detail) -> Fold:
    session = one.session
    assert session is not None
    voided = tuple(
        plots.RunMark(order, "", None, voided=reason) for order, reason in session.voided if order is not None
    )
    marks = tuple(plots.RunMark(run.order, run.arm, run.median_ns, run.flags) for run in session.runs)
    flagged = [run for run in session.runs if run.flags]
    throttled = sorted({run.order for run in session.runs if _is_throttled(run)})
    parts = [f"{len(session.runs)} runs", f"{len(flagged)} flagged" if flagged else "none flagged"]
    if session.voided:
        parts.append(f"{len(session.voided)} made again")
    if session.run_cv is not None:
        parts.append(f"they vary by {share(session.run_cv)}")
    if session.drift_pct is not None:
        parts.append(f"largest drift {session.drift_pct:.2g} %")
    caption = Caption(f"runs-{one.key}", f"Run medians, {label}", f"{', '.join(parts)}.")
    side = _side(one) if detail.side else ()
    plot = Plot(
        caption,
        lambda width: plots.run_order((*marks, *voided), caption, side=side, throttled=throttled, width=width),
        detail.single,
    )
    remarks: list[Block] = [
        Line(f"A run was made again, which one is not told: {reason}.", tone="none")
        for order, reason in session.voided
        if order is None
    ]
    if detail.side and not side:
        remarks.append(Line("Clocks and temperatures: not read on this machine.", tone="none"))
    return Fold(f"fold-runs-{one.key}", label, (plot, *remarks), ", ".join(parts))


def _is_throttled(run: RunFound) -> bool:
    return any(word in flag for flag in run.flags for word in _THROTTLED)


def _side(one: Variant) -> tuple[plots.SideSeries, ...]:
    """Clock and temperature by run, the mean of what was read during each."""
    assert one.session is not None
    readings = [reading for reading in one.session.side if reading.order is not None]
    found = []
    for label, unit, name in (("clock", "MHz", "cpu_mhz"), ("temperature", "°C", "temperature_c")):
        by_run: dict[int, list[float]] = {}
        for reading in readings:
            value = reading.cpu_mhz if name == "cpu_mhz" else reading.temperature_c
            if value is not None and reading.order is not None:
                by_run.setdefault(reading.order, []).append(value)
        if by_run:
            means = tuple((order, sum(values) / len(values)) for order, values in sorted(by_run.items()))
            found.append(plots.SideSeries(label, unit, means))
    return tuple(found)
