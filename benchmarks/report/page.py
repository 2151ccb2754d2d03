"""Puts the sections of a report in their order."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.blocks import Page, Section
from edgewright.benchmarks.report.data import ReportData, Variant
from edgewright.benchmarks.report.detail import LEVELS, Detail
from edgewright.benchmarks.report.drawings import distributions, ratios, run_orders, tradeoff
from edgewright.benchmarks.report.gates import gate_section
from edgewright.benchmarks.report.histories import histories
from edgewright.benchmarks.report.particulars import embedded, fallbacks, provenance
from edgewright.benchmarks.report.results import results_table
from edgewright.benchmarks.report.traced import class_sections, layer_sections, waterfalls
from edgewright.benchmarks.report.verdict import verdict_of
from edgewright.benchmarks.report.wording import counted, labels, time_unit
from edgewright.core.foreign_text import shortened

_LONGEST_TITLE = 60


def page_of(data: ReportData, detail: Detail = LEVELS[0]) -> Page:
    """The whole report, verdict first; the same for the same data."""
    variants = data.variants
    named, unit = labels(variants), time_unit(variants)
    sections: list[Section | None] = [
        gate_section(data.gates),
        _results(variants) if variants else None,
        tradeoff(variants, detail),
        ratios(variants, named, detail),
        distributions(variants, named, detail),
        run_orders(variants, named, detail),
        waterfalls(variants, named, unit, detail),
        layer_sections(variants, named, detail),
        class_sections(variants, named, detail),
        fallbacks(variants, named, detail),
        histories(data.histories, detail),
        provenance(data, named),
        embedded(data, detail),
    ]
    return Page(
        title=_title(variants),
        subtitle=_subtitle(variants),
        verdict=verdict_of(data, named),
        sections=tuple(section for section in sections if section is not None),
        remarks=(*data.notes, *([detail.note] if detail.note else [])),
    )


def _results(variants: Sequence[Variant]) -> Section:
    timed = sum(one.latency["p50"].value is not None for one in variants)
    lead = "Rows were measured in sessions of their own, and sessions differ: only a ratio compares two of them."
    return Section("results", "Results", results_table(variants), lead if timed > 1 else "")


def _title(variants: Sequence[Variant]) -> str:
    models = [shortened(name, _LONGEST_TITLE) for name in dict.fromkeys(one.model for one in variants if one.model)]
    if not models:
        return "Edge report"
    return models[0] if len(models) == 1 else f"{models[0]} and {len(models) - 1} more"


def _subtitle(variants: Sequence[Variant]) -> str:
    """How many of what, and when they were measured, by the records' own times."""
    targets = len({one.target for one in variants})
    machines = len({one.machine.identity for one in variants if one.machine is not None})
    days = sorted({one.session.created[:10] for one in variants if one.session is not None and one.session.created})
    parts = [
        counted(len(variants), "variant"),
        counted(targets, "target"),
        counted(machines, "machine") if machines else "not measured",
    ]
    if days:
        parts.append(f"measured {days[0]}" if len(days) == 1 else f"measured {days[0]} to {days[-1]}")
    return " · ".join(parts)
