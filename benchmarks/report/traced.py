"""The sections a trace fills: pass by pass, layer by layer, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import (
    Block,
    Cell,
    Column,
    Fold,
    Line,
    Lines,
    Plot,
    Section,
    Table,
    absent_section,
)
from edgewright.benchmarks.report.data import Variant
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.plots import Caption
from edgewright.benchmarks.report.results import MISSING, Reasons
from edgewright.benchmarks.report.wording import (
    MICROSECONDS,
    MILLISECONDS,
    TimeUnit,
    count,
    counted,
    digits,
    signed,
    value_of,
)
from edgewright.benchmarks.trace import (
    NEVER_SETTLED,
    NO_ACCURACIES,
    NO_LAYER_ERRORS,
    NO_LAYER_TIMES,
    NO_STEP_TIME,
    NO_TIMES,
    SAME_AS,
    ClassDelta,
    Flips,
    LayerTrace,
    Trace,
    TraceStep,
)
from edgewright.core.units import show_bytes

_TRACE = "edgewright compile MODEL --target T -o BUNDLE --trace"
_TRACE_DATA = "edgewright compile MODEL --target T --data DATA --eval-data DATA -o BUNDLE --trace"
_UNSAID = "the trace does not say why"
_StepFigure = Literal["size", "p50", "accuracy"]
_NONE_OF_STEPS: Mapping[_StepFigure, str] = {"p50": NO_TIMES, "accuracy": NO_ACCURACIES}
_NO_REASON = (SAME_AS, NEVER_SETTLED)
"""How notes of steps begin that tell of figures that are there."""


def waterfalls(variants: Sequence[Variant], labels: Mapping[str, str], unit: TimeUnit, detail: Detail) -> Section:
    """What each pass did to size, latency and accuracy."""
    folds = [
        _waterfall(one, one.trace, labels[one.key], unit, detail)
        for one in variants
        if one.trace is not None and one.trace.steps
    ]
    if not folds:
        return absent_section("passes", "Pass by pass", "No compile was traced.", _TRACE)
    lead = "The model after each pass that changed it, lowered and run as the final one is."
    return Section("passes", "Pass by pass", tuple(folds), lead)


def _waterfall(one: Variant, trace: Trace, label: str, unit: TimeUnit, detail: Detail) -> Fold:
    caption = Caption(f"passes-{one.key}", f"Size, latency and accuracy, {label}", _summary(trace.steps, unit))
    metric = trace.metric or "accuracy"
    plot = Plot(caption, lambda width: plots.waterfall(trace.steps, caption, metric=metric, width=width), detail.single)
    drawing = (plot,) if detail.traced else ()
    return Fold(
        f"fold-passes-{one.key}",
        label,
        (*drawing, _steps_table(trace, unit), *_notes(trace)),
        caption.description.rstrip("."),
    )


def _notes(trace: Trace) -> tuple[Block, ...]:
    return (Lines(trace.notes),) if trace.notes else ()


def _summary(steps: Sequence[TraceStep], unit: TimeUnit) -> str:
    first, last = steps[0], steps[-1]
    parts = [counted(len(steps), "step")]
    if first.size_bytes is not None and last.size_bytes is not None:
        parts.append(f"{show_bytes(first.size_bytes)} to {show_bytes(last.size_bytes)}")
    if first.p50_ns is not None and last.p50_ns is not None:
        parts.append(f"{unit.show(first.p50_ns)} to {unit.show(last.p50_ns)} {unit.name}")
    if first.accuracy is not None and last.accuracy is not None:
        parts.append(f"{value_of(first.accuracy)} to {value_of(last.accuracy)}")
    return ", ".join(parts) + "."


def _steps_table(trace: Trace, unit: TimeUnit) -> Table:
    reasons = Reasons()

    def cell(text: str, step: TraceStep, figure: _StepFigure, detail: str = "") -> Cell:
        if text:
            return Cell(text, detail)
        return Cell(MISSING, tone="none", why=reasons.number(_why_no_step(trace, step, figure)))

    rows = tuple(
        (
            Cell(step.name),
            cell("" if step.size_bytes is None else show_bytes(step.size_bytes), step, "size"),
            cell("" if step.p50_ns is None else unit.show(step.p50_ns), step, "p50", unit.span(step.p50_ci95)),
            cell("" if step.accuracy is None else value_of(step.accuracy), step, "accuracy"),
        )
        for step in trace.steps
    )
    heads = (
        Column("After"),
        *(Column(name, number=True) for name in ("Size", f"p50 {unit.name}", trace.metric or "Accuracy")),
    )
    return Table("The same in figures", heads, rows, tuple(reasons.texts))


def _why_no_step(trace: Trace, step: TraceStep, figure: _StepFigure) -> str:
    """What the trace says of all figures of the kind, else what the step says, unless that is of something else."""
    of_all = _note(trace, _NONE_OF_STEPS.get(figure, ""))
    of_time = figure != "p50" and step.note.startswith(NO_STEP_TIME)
    own = "" if of_time or step.note.startswith(_NO_REASON) else step.note
    return of_all or own or _UNSAID


def _note(trace: Trace, begins: str) -> str:
    return next((note for note in trace.notes if begins and note.startswith(begins)), "")


def layer_sections(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """Error and time of each layer."""
    folds = [_layers(one, one.trace, labels[one.key], detail) for one in variants if one.trace and one.trace.layers]
    if not folds:
        return absent_section("layers", "Layer by layer", "No compile was traced.", _TRACE)
    lead = (
        "How far each layer's output is from the original's, errors before it included, and how long it takes. The "
        "error is that of the worst value, the noise that of all values together."
    )
    return Section("layers", "Layer by layer", tuple(folds), lead)


def _layers(one: Variant, trace: Trace, label: str, detail: Detail) -> Fold:
    total = len(trace.layers)
    listed = tuple(sorted(trace.layers, key=_interest)[: detail.layers])
    rest = f", the {len(listed)} that matter most in figures" if total > len(listed) else ""
    caption = Caption(f"layers-{one.key}", f"Error and time, {label}", f"{counted(total, 'layer')}{rest}.")
    plot = Plot(
        caption, lambda width: plots.layers(trace.layers, caption, top=detail.layers, width=width), detail.single
    )
    drawing = (plot,) if detail.traced else ()
    blocks = (*drawing, _layers_table(trace, listed), *_notes(trace))
    return Fold(f"fold-layers-{one.key}", label, blocks, counted(total, "layer"))


def _layers_table(trace: Trace, listed: Sequence[LayerTrace]) -> Table:
    reasons = Reasons()
    longest = max((layer.time_ns or 0.0 for layer in listed), default=0.0)
    unit = MICROSECONDS if longest < MILLISECONDS.nanoseconds else MILLISECONDS
    with_noise = any(layer.noise is not None for layer in trace.layers)
    heads = (
        *(Column(name) for name in ("Layer", "Operator", "Precision")),
        *(Column(name, number=True) for name in ("Error", *(["Noise"] if with_noise else []), f"Time {unit.name}")),
    )
    total = len(trace.layers)
    order = f"The {len(listed)} largest errors of {total} layers" if total > len(listed) else "The largest errors first"
    over = "" if trace.samples is None else f", over {counted(trace.samples, 'sample')}"
    rows = tuple(_layer_row(trace, layer, unit, reasons, with_noise=with_noise) for layer in listed)
    return Table(order + over, heads, rows, tuple(reasons.texts))


def _interest(layer: LayerTrace) -> tuple[float, float]:
    return -(layer.error if layer.error is not None else -1.0), -(layer.time_ns or 0.0)


def _layer_row(
    trace: Trace, layer: LayerTrace, unit: TimeUnit, reasons: Reasons, *, with_noise: bool
) -> tuple[Cell, ...]:
    def figure(value: float | None, kind: Literal["error", "time"], scale: float = 1.0) -> Cell:
        if value is not None:
            return Cell(digits(value / scale, 3))
        return Cell(MISSING, tone="none", why=reasons.number(_why_no_layer(trace, layer, kind)))

    return (
        Cell(layer.name, layer.remark),
        Cell(layer.op),
        Cell(layer.precision),
        figure(layer.error, "error"),
        *([figure(layer.noise, "error")] if with_noise else []),
        figure(layer.time_ns, "time", unit.nanoseconds),
    )


def _why_no_layer(trace: Trace, layer: LayerTrace, figure: Literal["error", "time"]) -> str:
    """What the layer says of this figure, else what the trace says of all of them; nothing else is a reason."""
    begins = NO_LAYER_ERRORS if figure == "error" else NO_LAYER_TIMES
    return layer.why_none(figure) or _note(trace, begins) or _UNSAID


def class_sections(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """What became of each class, and how many answers turned over."""
    folds = [
        _classes(one, one.trace, labels[one.key], detail)
        for one in variants
        if one.trace is not None and (one.trace.classes or one.trace.flips)
    ]
    if not folds:
        text = "No compile with labelled data was traced."
        return absent_section("classes", "Class by class", text, _TRACE_DATA)
    return Section("classes", "Class by class", tuple(folds), "Whom the loss of accuracy falls on.")


def _classes(one: Variant, trace: Trace, label: str, detail: Detail) -> Fold:
    blocks: list[Block] = []
    summary = f"{len(trace.classes)} classes"
    if trace.flips is not None:
        summary, text = _flips(trace.flips)
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


def _flips(flips: Flips) -> tuple[str, str]:
    """In a few words, and in a sentence; without labels nobody knows which answers are right."""
    if not flips.labelled:
        found = f"{count(flips.changed)} of {counted(flips.n, 'answer')} differ"
        return found, f"{found} from the original's."
    summary = f"{counted(flips.lost, 'answer')} lost, {count(flips.gained)} gained of {count(flips.n)}"
    text = (
        f"Of {counted(flips.n, 'answer')} {count(flips.lost)} were right before and are wrong now, "
        f"{count(flips.gained)} the other way round, and {count(flips.changed)} differ and were wrong both times."
    )
    if flips.lost_samples:
        text += f" Lost: in samples {', '.join(str(place) for place in flips.lost_samples[:20])}."
    return summary, text


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
