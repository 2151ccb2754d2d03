"""The sections a trace fills: pass by pass, layer by layer, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Cell, Column, Fold, Line, Lines, Plot, Section, Table
from edgewright.benchmarks.report.data import Variant
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.plots import Caption
from edgewright.benchmarks.report.results import MISSING, Reasons
from edgewright.benchmarks.report.wording import MICROSECONDS, MILLISECONDS, TimeUnit, digits, signed, value_of
from edgewright.benchmarks.trace import ClassDelta, LayerTrace, Trace, TraceStep
from edgewright.core.units import show_bytes

_TRACE = "edgewright compile MODEL --target T -o BUNDLE --trace"
_TRACE_DATA = "edgewright compile MODEL --target T --data DATA --eval-data DATA -o BUNDLE --trace"


def waterfalls(variants: Sequence[Variant], labels: Mapping[str, str], unit: TimeUnit, detail: Detail) -> Section:
    """What each pass did to size, latency and accuracy."""
    folds = [
        _waterfall(one, one.trace, labels[one.key], unit, detail)
        for one in variants
        if one.trace is not None and one.trace.steps
    ]
    if not folds:
        return _absent("passes", "Pass by pass", "No compile was traced.", _TRACE)
    lead = "The model after each pass that changed it, lowered and run as the final one is."
    return Section("passes", "Pass by pass", tuple(folds), lead)


def _waterfall(one: Variant, trace: Trace, label: str, unit: TimeUnit, detail: Detail) -> Fold:
    caption = Caption(f"passes-{one.key}", f"Size, latency and accuracy, {label}", _summary(trace.steps, unit))
    metric = trace.metric or "accuracy"
    plot = Plot(caption, lambda width: plots.waterfall(trace.steps, caption, metric=metric, width=width), detail.single)
    drawing = (plot,) if detail.traced else ()
    remarks: tuple[Block, ...] = (Lines(trace.notes),) if trace.notes else ()
    return Fold(
        f"fold-passes-{one.key}",
        label,
        (*drawing, _steps_table(trace, unit), *remarks),
        caption.description.rstrip("."),
    )


def _summary(steps: Sequence[TraceStep], unit: TimeUnit) -> str:
    first, last = steps[0], steps[-1]
    parts = [f"{len(steps)} steps"]
    if first.size_bytes is not None and last.size_bytes is not None:
        parts.append(f"{show_bytes(first.size_bytes)} to {show_bytes(last.size_bytes)}")
    if first.p50_ns is not None and last.p50_ns is not None:
        parts.append(f"{unit.show(first.p50_ns)} to {unit.show(last.p50_ns)} {unit.name}")
    if first.accuracy is not None and last.accuracy is not None:
        parts.append(f"{value_of(first.accuracy)} to {value_of(last.accuracy)}")
    return ", ".join(parts) + "."


def _steps_table(trace: Trace, unit: TimeUnit) -> Table:
    reasons = Reasons()

    def cell(text: str, step: TraceStep, detail: str = "") -> Cell:
        if text:
            return Cell(text, detail)
        return Cell(MISSING, tone="none", why=reasons.number(step.note or "the trace does not say why"))

    rows = tuple(
        (
            Cell(step.name),
            cell("" if step.size_bytes is None else show_bytes(step.size_bytes), step),
            cell("" if step.p50_ns is None else unit.show(step.p50_ns), step, unit.span(step.p50_ci95)),
            cell("" if step.accuracy is None else value_of(step.accuracy), step),
        )
        for step in trace.steps
    )
    heads = (
        Column("After"),
        *(Column(name, number=True) for name in ("Size", f"p50 {unit.name}", trace.metric or "Accuracy")),
    )
    return Table("The same in figures", heads, rows, tuple(reasons.texts))


def layer_sections(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """Error and time of each layer."""
    folds = [_layers(one, one.trace, labels[one.key], detail) for one in variants if one.trace and one.trace.layers]
    if not folds:
        return _absent("layers", "Layer by layer", "No compile was traced.", _TRACE)
    lead = "How far each layer's output is from the original's, errors before it included, and how long it takes."
    return Section("layers", "Layer by layer", tuple(folds), lead)


def _layers(one: Variant, trace: Trace, label: str, detail: Detail) -> Fold:
    count = len(trace.layers)
    listed = tuple(sorted(trace.layers, key=_interest)[: detail.layers])
    rest = f", the {len(listed)} that matter most in figures" if count > len(listed) else ""
    caption = Caption(f"layers-{one.key}", f"Error and time, {label}", f"{count} layers{rest}.")
    plot = Plot(
        caption, lambda width: plots.layers(trace.layers, caption, top=detail.layers, width=width), detail.single
    )
    drawing = (plot,) if detail.traced else ()
    reasons = Reasons()
    longest = max((layer.time_ns or 0.0 for layer in listed), default=0.0)
    unit = MICROSECONDS if longest < MILLISECONDS.nanoseconds else MILLISECONDS
    rows = tuple(_layer_row(layer, unit, reasons) for layer in listed)
    heads = (
        Column("Layer"),
        Column("Operator"),
        Column("Precision"),
        Column("Error", number=True),
        Column(f"Time {unit.name}", number=True),
    )
    title = (
        "The largest errors first" if count <= len(listed) else f"The {len(listed)} largest errors of {count} layers"
    )
    return Fold(
        f"fold-layers-{one.key}",
        label,
        (*drawing, Table(title, heads, rows, tuple(reasons.texts))),
        f"{count} layers",
    )


def _interest(layer: LayerTrace) -> tuple[float, float]:
    return -(layer.error if layer.error is not None else -1.0), -(layer.time_ns or 0.0)


def _layer_row(layer: LayerTrace, unit: TimeUnit, reasons: Reasons) -> tuple[Cell, ...]:
    def figure(text: str) -> Cell:
        if text:
            return Cell(text)
        return Cell(MISSING, tone="none", why=reasons.number(layer.reason or "fused into another layer"))

    return (
        Cell(layer.name, layer.reason if layer.error is not None and layer.time_ns is not None else ""),
        Cell(layer.op),
        Cell(layer.precision),
        figure("" if layer.error is None else digits(layer.error, 3)),
        figure("" if layer.time_ns is None else digits(layer.time_ns / unit.nanoseconds, 3)),
    )


def class_sections(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """What became of each class, and how many answers turned over."""
    folds = [
        _classes(one, one.trace, labels[one.key], detail)
        for one in variants
        if one.trace is not None and (one.trace.classes or one.trace.flips)
    ]
    if not folds:
        return _absent("classes", "Class by class", "No compile with labelled data was traced.", _TRACE_DATA)
    return Section("classes", "Class by class", tuple(folds), "Whom the loss of accuracy falls on.")


def _classes(one: Variant, trace: Trace, label: str, detail: Detail) -> Fold:
    blocks: list[Block] = []
    flips = trace.flips
    summary = f"{len(trace.classes)} classes"
    if flips is not None:
        summary = f"{flips.lost} answers lost, {flips.gained} gained of {flips.n}"
        text = (
            f"Of {flips.n} samples {flips.lost} were right before and are wrong now, {flips.gained} the other way "
            f"round, and {flips.changed} have another answer without that."
        )
        if flips.lost_samples:
            text += f" Lost: samples {', '.join(str(place) for place in flips.lost_samples[:20])}."
        blocks.append(Line(text))
    if trace.classes:
        caption = Caption(
            f"classes-{one.key}",
            f"Share of right answers by class, {label}",
            f"{len(trace.classes)} classes, before and after.",
        )
        plot = Plot(
            caption,
            lambda width: plots.classes(trace.classes, caption, top=detail.classes, width=width),
            detail.single,
        )
        changed = any(row.value != row.reference for row in trace.classes)
        blocks += [plot] if detail.traced and changed else []
        blocks.append(_classes_table(trace.classes, detail.classes))
    return Fold(f"fold-classes-{one.key}", label, tuple(blocks), summary)


def _classes_table(rows: Sequence[ClassDelta], top: int) -> Table:
    worst = sorted(rows, key=lambda row: (row.value - row.reference, row.label))[:top]
    title = (
        "Those that lost most first" if len(worst) == len(rows) else f"The {len(worst)} that lost most of {len(rows)}"
    )
    return Table(
        title,
        (Column("Class"), *(Column(name, number=True) for name in ("Samples", "Before", "After", "Change"))),
        tuple(
            (
                Cell(row.label),
                Cell(str(row.n)),
                Cell(value_of(row.reference)),
                Cell(value_of(row.value)),
                Cell(signed(row.value - row.reference)),
            )
            for row in worst
        ),
    )


def _absent(key: str, title: str, text: str, command: str) -> Section:
    return Section(key, title, (Line(text, command, tone="none"),), absent=True)
