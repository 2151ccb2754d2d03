"""The table of targets and precisions, and the one of ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.blocks import Badge, Block, Cell, Column, Line, Table
from edgewright.benchmarks.report.data import Figure, Variant
from edgewright.benchmarks.report.gates import TONES, WORDS
from edgewright.benchmarks.report.wording import (
    TimeUnit,
    counted,
    digits,
    digits_span,
    labels,
    ratio,
    ratio_span,
    share,
    signed,
    size,
    span,
    time_unit,
    value_of,
)
from edgewright.core.units import show_bytes

NOT_COMPARED = "not compared: edgewright bench BUNDLE --against BASELINE"
MISSING = "unmeasured"


class Reasons:
    """Numbers reasons from 1, each text once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        """The number of ``text``, a new one where it is new."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass(frozen=True)
class _Kind:
    """One column of the table."""

    head: str
    figure: Callable[[Variant], Figure]
    cell: Callable[[Variant], Cell]


def results_table(variants: Sequence[Variant]) -> tuple[Block, ...]:
    """A row a variant, a column a kind of figure; a kind nobody measured is a line under the table instead."""
    unit = time_unit(variants)
    reasons = Reasons()
    columns, rest = [], []
    for kind in _kinds(unit):
        figures = [kind.figure(one) for one in variants]
        if all(figure.value is None for figure in figures):
            why = "; ".join(dict.fromkeys(figure.reason for figure in figures))
            rest.append(f"{kind.head} is {MISSING}: {why}.")
        else:
            columns.append(kind)
    many_models = len({one.model for one in variants}) > 1
    named = labels(variants)
    rows = tuple(
        (_name(one, named[one.key], many_models), *(_cell(kind, one, reasons) for kind in columns)) for one in variants
    )
    heads = (Column("Variant"), *(Column(kind.head, number=True) for kind in columns))
    table = Table("Every variant, with 95 % intervals", heads, rows, tuple(reasons.texts), wide=True)
    return (table, *(Line(text, tone="none") for text in rest))


def ratios_table(variants: Sequence[Variant]) -> Table:
    """Each comparison in figures."""
    named = labels(variants)
    rows = []
    for one in variants:
        found = one.comparison
        if found is None:
            continue
        verdict = found.verdict or "inconclusive"
        interval = ratio_span(found.ci95)
        effect = found.minimum_detectable_effect
        rows.append(
            (
                Cell(named[one.key]),
                Cell(found.baseline or found.baseline_sha256[:12] or "unknown"),
                Cell("unknown" if found.ratio is None else ratio(found.ratio), interval or "no interval"),
                Cell("unknown" if found.pairs is None else str(found.pairs)),
                Cell("unknown" if found.delta is None else f"+{share(found.delta)}"),
                Cell("unknown" if found.p is None else f"{found.p:.2g}"),
                Cell("unknown" if effect is None else share(effect)),
                Cell("", badges=(Badge(WORDS[verdict], TONES[verdict]),)),
            )
        )
    heads = ("Variant", "Baseline", "Ratio", "Pairs", "Allowed", "p", "Detectable", "Verdict")
    columns = tuple(Column(head, number=head not in ("Variant", "Baseline", "Verdict")) for head in heads)
    return Table("Run medians over the baseline's, in interleaved pairs", columns, tuple(rows))


def _kinds(unit: TimeUnit) -> tuple[_Kind, ...]:
    def latency(name: str) -> _Kind:
        return _Kind(
            f"{name} {unit.name}",
            lambda one: one.latency[name],
            lambda one: Cell(unit.show(one.latency[name].value or 0), unit.span(one.latency[name].ci95)),
        )

    return (
        _Kind("Size", lambda one: one.size, _size),
        _Kind("Accuracy", lambda one: one.accuracy.found, _accuracy),
        _Kind("Drop", lambda one: one.accuracy.drop, _drop),
        latency("p50"),
        latency("p99"),
        _Kind("Per second", lambda one: one.throughput, _throughput),
        _Kind("Memory", lambda one: one.memory, lambda one: Cell(show_bytes(int(one.memory.value or 0)))),
        _Kind("Energy", lambda one: one.energy, _energy),
        _Kind("Ratio", _ratio, _ratio_cell),
    )


def _cell(kind: _Kind, variant: Variant, reasons: Reasons) -> Cell:
    figure = kind.figure(variant)
    if figure.value is None:
        whole_row = figure.reason == variant.reason
        why = reasons.number(figure.reason if whole_row else f"{kind.head}: {figure.reason}")
        return Cell(MISSING, tone="none", why=why)
    return kind.cell(variant)


def _name(one: Variant, label: str, many_models: bool) -> Cell:
    badges = []
    if one.status != "ok":
        badges.append(Badge(one.status, {"unsteady": "unsure", "invalid": "bad"}.get(one.status, "none")))  # type: ignore[arg-type]
    if one.host_proxy:
        badges.append(Badge("host-proxy", "unsure"))
    if one.missed_limit:
        badges.append(Badge("limit missed", "bad"))
    count = "" if one.threads is None else counted(one.threads, "thread")
    more = " · ".join(part for part in (one.model if many_models else "", count, one.asked) if part)
    return Cell(one.title or label, one.target or "target unknown", more, badges=tuple(badges), link=one.key)


def _accuracy(one: Variant) -> Cell:
    accuracy = one.accuracy
    badges = (Badge("host-proxy", "unsure"),) if accuracy.host_proxy and not one.host_proxy else ()
    more = f"{accuracy.metric}, n {accuracy.n}" if accuracy.n is not None else accuracy.metric
    return Cell(value_of(accuracy.found.value or 0), span(accuracy.found.ci95), more, badges=badges)


def _size(one: Variant) -> Cell:
    limit = "" if one.max_bytes is None else f"limit {show_bytes(one.max_bytes)}"
    return Cell(size(one.size), limit, tone="bad" if one.bytes_met is False else "plain")


def _drop(one: Variant) -> Cell:
    accuracy = one.accuracy
    limit = "" if accuracy.max_drop is None else f"limit {accuracy.max_drop:g}"
    tone = "bad" if accuracy.drop_met is False else "plain"
    return Cell(signed(accuracy.drop.value or 0), limit, tone=tone)  # type: ignore[arg-type]


def _throughput(one: Variant) -> Cell:
    return Cell(digits(one.throughput.value or 0), digits_span(one.throughput.ci95))


def _energy(one: Variant) -> Cell:
    net = "" if one.energy_net is None else f"net {digits(one.energy_net * 1e3, 3)}"
    return Cell(f"{digits((one.energy.value or 0) * 1e3, 3)} mJ", net)


def _ratio(one: Variant) -> Figure:
    found = one.comparison
    if found is None or found.ratio is None:
        return Figure(reason=NOT_COMPARED)
    return Figure(found.ratio, found.ci95)


def _ratio_cell(one: Variant) -> Cell:
    found = one.comparison
    assert found is not None
    interval = ratio_span(found.ci95)
    verdict = found.verdict or "inconclusive"
    return Cell(ratio(found.ratio or 0), interval, badges=(Badge(WORDS[verdict], TONES[verdict]),))
