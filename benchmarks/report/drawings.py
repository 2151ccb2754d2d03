"""The plotted sections: each takes variants and gives its drawings, or the line that says how to get them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Fold, Line, OneSize, Plot, Section
from edgewright.benchmarks.report.data import HistoryShown, RunFound, Variant
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.plots import Caption
from edgewright.benchmarks.report.results import ratios_table
from edgewright.benchmarks.report.wording import labels as labels_of
from edgewright.benchmarks.report.wording import share

_THROTTLED = ("throttle", "clock", "stolen")
_COMPARE = "edgewright bench BUNDLE --against BASELINE"
_BENCH = "edgewright bench BUNDLE"


def tradeoff(variants: Sequence[Variant], detail: Detail) -> Section:
    """Accuracy over latency, a plot for each model, metric and way of asking."""
    groups: dict[tuple[str, str, str], list[Variant]] = {}
    for one in variants:
        if one.accuracy.metric:
            groups.setdefault((one.model, one.accuracy.metric, one.asked), []).append(one)
    found: list[Block] = []
    for number, ((model, _, asked), members) in enumerate(groups.items(), 1):
        drawable = [m for m in members if m.latency["p50"].value is not None and m.accuracy.found.value is not None]
        if drawable:
            whose = ", ".join(part for part in (model, asked) if part)
            found.append(_pareto(f"pareto-{number}", whose, members, detail.overview))
    lead = "Faster is to the left; the line joins the variants that no other beats in both."
    if not found:
        text = "There is no variant with both a latency and an accuracy."
        return _absent("tradeoff", "Accuracy and latency", text, f"{_BENCH} --data DATA")
    return Section("tradeoff", "Accuracy and latency", tuple(found), lead)


def _pareto(
    key: str,
    whose: str,
    members: Sequence[Variant],
    only: OneSize | None,
) -> Plot:
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
    metric = members[0].accuracy.metric
    title = f"{metric} over p50 latency" + (f", {whose}" if whose else "")
    caption = Caption(
        key,
        title,
        f"{len(points)} variants; the larger the mark, the larger the files. All are in Results.",
    )
    better = members[0].accuracy.higher_is_better
    return Plot(
        caption,
        lambda width: plots.pareto(points, caption, metric=metric, higher_is_better=better, width=width),
        only,
    )


def ratios(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """Ratios to baselines with their intervals."""
    compared = [(one, one.comparison) for one in variants if one.comparison is not None]
    if not compared:
        return _absent("ratios", "Ratios", "Nothing was compared with a baseline.", _COMPARE)
    rows = tuple(
        plots.ForestRow(
            label=labels[one.key],
            ratio=found.ratio,
            ci95=found.ci95,
            verdict=found.verdict,
            note=f"against {found.baseline}" if found.baseline else "",
        )
        for one, found in compared
    )
    deltas = [found.delta for _, found in compared if found.delta is not None]
    delta = deltas[0] if deltas else 0.02
    caption = Caption(
        "forest",
        "Latency over the baseline's",
        f"Left of 1 is faster; right of the margin at {1 + delta:g} is a regression. Bars are 95 % intervals.",
    )
    plot = Plot(caption, lambda width: plots.forest(rows, caption, delta=delta, width=width), detail.overview)
    lead = "Both were run in fresh processes, in turns, on the same machine: the median of each run over its partner's."
    return Section("ratios", "Ratios", (plot, ratios_table(variants)), lead)


def distributions(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """How the samples of each variant spread."""
    series = tuple(_series(one, labels[one.key]) for one in variants if one.session is not None and one.session.bins)
    if not series:
        text = "No record with samples was given."
        return _absent("distribution", "How latencies spread", text, _BENCH)
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
        return _absent("runs", "Runs in their order", "No record with runs was given.", _BENCH)
    lead = (
        "Each mark is the median of a fresh process. What drifted by more than 2 % or was disturbed is flagged; a run "
        "that something outside spoilt was made again."
    )
    return Section("runs", "Runs in their order", tuple(folds), lead)


def _run_order(one: Variant, label: str, detail: Detail) -> Fold:
    session = one.session
    assert session is not None
    voided = tuple(plots.RunMark(order, "", None, voided=reason) for order, reason in session.voided)
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
    remarks: tuple[Block, ...] = (
        () if side or not detail.side else (Line("Clocks and temperatures: not read on this machine.", tone="none"),)
    )
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


def histories(found: Sequence[HistoryShown]) -> Section | None:
    """One metric over commits; None where it was not asked for."""
    if not found:
        return None
    blocks = []
    for number, one in enumerate(found, 1):
        points = tuple(
            plots.HistoryPoint(commit, figure.value, figure.ci95, figure.reason) for commit, figure in one.points
        )
        steps = tuple(plots.DetectedStep(*step) for step in one.steps)
        caption = Caption(
            f"history-{number}",
            f"{one.metric} of {one.subject}",
            f"Commits: {len(points)}, oldest first. Lasting changes: {len(steps)}.",
        )
        blocks.append(_history(points, steps, caption, one))
    return Section("history", "History", tuple(blocks))


def _history(
    points: Sequence[plots.HistoryPoint], steps: Sequence[plots.DetectedStep], caption: Caption, one: HistoryShown
) -> Plot:
    return Plot(
        caption, lambda width: plots.history(points, steps, caption, metric=one.metric, unit=one.unit, width=width)
    )


def _absent(key: str, title: str, text: str, command: str) -> Section:
    return Section(key, title, (Line(text, command, tone="none"),), absent=True)
