"""The sections without drawings: what was left as it was, where everything comes from, and the figures as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.benchmarks.report.blocks import Block, Cell, Code, Column, Facts, Fold, Line, Lines, Section, Table
from edgewright.benchmarks.report.data import MachineFound, ReportData, Session, Variant
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.summary import DATA_NOTE, summary_text
from edgewright.benchmarks.report.wording import count, counted, short
from edgewright.core.units import show_bytes

UNKNOWN = "unknown"


def fallbacks(variants: Sequence[Variant], labels: Mapping[str, str], detail: Detail) -> Section:
    """What was skipped, kept in float or taken back, each with its reason."""
    title = "What was left as it was"
    folds = []
    quiet: dict[str, list[str]] = {}
    for one in variants:
        if not one.fallbacks:
            quiet.setdefault(one.fallback_reason, []).append(labels[one.key])
            continue
        rows = tuple((Cell(item.subject or "graph"), Cell(item.source), Cell(item.reason)) for item in one.fallbacks)
        table = Table(
            "Each with its reason", (Column("What"), Column("Said by"), Column("Why")), rows[: detail.remarks]
        )
        more: tuple[Block, ...] = ()
        if len(rows) > detail.remarks:
            more = (
                Line(f"{len(rows) - detail.remarks} more are in the bundle's journal.", "edgewright inspect BUNDLE"),
            )
        folds.append(Fold(f"fold-left-{one.key}", labels[one.key], (table, *more), counted(len(rows), "remark")))
    lines = [Line(f"{', '.join(names)}: {reason}.", tone="none") for reason, names in quiet.items()]
    return Section("left", title, (*folds, *lines), absent=not folds)


def provenance(data: ReportData, labels: Mapping[str, str]) -> Section:
    """For each variant its digests, versions, machine and protocol, and the commands that repeat it."""
    folds = [_provenance(one, labels[one.key]) for one in data.variants]
    lead = (
        "Words in capitals stand for files that only their owner has: MODEL and DATA are those with the digests given, "
        "BUNDLE is this variant's; CALIBRATION is the data that int8 was calibrated on, left out where DATA was split; "
        "METRIC is a metric of their own, and LIMITS the file of limits that a gate was given. What a recipe said is "
        "covered by the recipe's digest."
    )
    return Section("provenance", "Provenance", tuple(folds), lead)


def _provenance(one: Variant, label: str) -> Fold:
    origin = one.provenance
    pairs = [
        ("Model", one.model or UNKNOWN),
        ("Target", f"{one.target or UNKNOWN}, run by {one.backend or UNKNOWN}"),
        ("Bundle", origin.bundle_sha256 or UNKNOWN),
        ("Model digest", origin.model_sha256 or "only the bundle tells"),
        ("Data that proved it", origin.data_sha256 or "none"),
        ("Recipe digest", origin.recipe_digest or UNKNOWN),
        ("Plan digest", origin.plan_digest or UNKNOWN),
    ]
    if origin.parent:
        pairs.append(("Built from bundle", origin.parent))
    if origin.created:
        pairs.append(("Created", origin.created))
    if origin.built_with:
        pairs.append(("Built with", _versions(origin.built_with)))
    if origin.versions:
        pairs.append(("Measured with", _versions(origin.versions)))
    if origin.passes:
        pairs.append(("Passes", ", ".join(origin.passes)))
    for name, reason in origin.rejected:
        pairs.append((f"Taken back: {name}", reason))
    pairs += _machine(one.machine) + _protocol(one.session)
    blocks: list[Block] = [Facts(tuple(pairs))]
    if one.notes:
        blocks.append(Lines(one.notes))
    if one.earlier:
        blocks.append(Line(f"{one.earlier} older records of it on this machine are not shown.", tone="none"))
    if origin.commands:
        blocks.append(Code("To repeat it", "\n".join(origin.commands)))
    return Fold(one.key, label, tuple(blocks), short(origin.bundle_sha256))


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _machine(machine: MachineFound | None) -> list[tuple[str, str]]:
    if machine is None:
        return [("Machine", "no record names one")]
    parts = [
        machine.cpu or UNKNOWN,
        f"{machine.cores} cores" if machine.cores is not None else "",
        show_bytes(machine.memory_bytes) if machine.memory_bytes is not None else "",
        machine.gpu,
        machine.os,
        f"governor {machine.governor}" if machine.governor else "",
        "virtual" if machine.virtual else "",
        f"identity {machine.identity}",
    ]
    return [
        ("Machine", ", ".join(part for part in parts if part)),
        ("Instruction sets", ", ".join(machine.isa) or UNKNOWN),
    ]


def _protocol(session: Session | None) -> list[tuple[str, str]]:
    if session is None:
        return [("Measured", "never: there is no record of it")]
    warm = "" if session.warmup_steady is not False else " (it did not settle)"
    parts = [
        f"preset {session.preset}" if session.preset else "",
        session.asked or session.scenario,
        session.sample_kind.replace("_", " "),
        counted(session.threads, "thread") if session.threads is not None else "",
        "cores pinned" if session.cpus_pinned else "cores not pinned",
        f"{count(session.warmup)} inferences of warm-up{warm}" if session.warmup else "",
        f"{len(session.runs)} processes" if session.runs else "",
        f"{count(session.samples)} samples" if session.samples is not None else "",
        f"{count(session.unserved)} left when an overloaded run was cut" if session.unserved else "",
        f"seed {session.seed}" if session.seed is not None else "",
    ]
    inputs = [
        f"{session.inputs} from {session.inputs_from}" if session.inputs is not None else "",
        session.inputs_sha256,
    ]
    return [
        ("Measured", session.created or "at a time the record does not tell"),
        ("Protocol", ", ".join(part for part in parts if part)),
        ("Boundary", session.boundary or UNKNOWN),
        ("Inputs", ", SHA-256 ".join(part for part in inputs if part) or UNKNOWN),
    ]


def embedded(data: ReportData, detail: Detail) -> Section:
    """Summaries, window medians and digests, for those who want to compute."""
    code = Code("JSON", summary_text(data, detail.windows, detail.points))
    return Section("data", "The figures as data", (Fold("fold-data", "Show the JSON", (code,)),), DATA_NOTE)
