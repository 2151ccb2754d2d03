"""Joins bundles with their records and traces into the variants of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.benchmarks.report.bundle_parts import fallbacks_of, provenance_of, title_of
from edgewright.benchmarks.report.data import ReportData, Variant, VariantStatus
from edgewright.benchmarks.report.figures import accuracy_of, figures_of, size_of
from edgewright.benchmarks.report.loose import Loose
from edgewright.benchmarks.report.reading import comparison_of, machine_of, session_of, trace_of
from edgewright.benchmarks.report.sources import read_sources
from edgewright.benchmarks.trace import Trace
from edgewright.core.bundle import Bundle

_PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4")
_STATUS_REASONS: Mapping[str, str] = {
    "ok": "",
    "unsteady": "the times never settled, so the figures are shaky: stop what else is running and measure again",
    "invalid": "an audit failed, so the figures must not be used and are left out",
}
_UNMEASURED = "no record of it was found: edgewright bench BUNDLE"
_Group = tuple[str, str, int, str, float, int]


def gather(paths: Sequence[Path]) -> ReportData:
    """Reads ``paths`` (bundles, files of records, folders of both) and joins what belongs together.

    A bundle measured on two machines, in two scenarios or with two numbers of threads, is two variants; of several
    records of one variant the newest is shown, with the newest accuracy, comparison and self-test.

    Raises:
        UsageError, BadInputError, IOFailureError: as :func:`edgewright.benchmarks.report.sources.read_sources`.
    """
    sources = read_sources(paths)
    traces = [trace_of(entry) for entry in sources.traces]
    groups: dict[_Group, list[Loose]] = {}
    for entry in sources.records:
        record = Loose(entry)
        groups.setdefault(_group(record), []).append(record)
    bundles = {bundle.digest: bundle for bundle in sources.bundles}
    variants = [_variant(bundles.get(group[0]), members, traces) for group, members in groups.items()]
    measured = {group[0] for group in groups}
    variants += [_variant(bundle, [], traces) for bundle in sources.bundles if bundle.digest not in measured]
    shown = {one.provenance.bundle_sha256 for one in variants}
    orphans = sum(one.bundle_sha256 not in shown for one in traces)
    notes = [*sources.notes]
    if orphans:
        notes.append(f"{orphans} traces are of bundles that were not given, and are not shown")
    return ReportData(tuple(_keyed(sorted(_told_apart(variants), key=_order))), tuple(notes), findings=sources.findings)


def _group(record: Loose) -> _Group:
    threads = record.at("target").whole("threads")
    return (
        record.at("subject").text("bundle_sha256"),
        record.at("machine").text("identity"),
        -1 if threads is None else threads,
        record.at("protocol").text("scenario"),
        record.at("protocol").number("rate_per_s") or 0.0,
        record.at("protocol").whole("batch") or 1,
    )


def _variant(bundle: Bundle | None, members: Sequence[Loose], traces: Sequence[Trace]) -> Variant:
    """One variant from its bundle, where there is one, and its records, oldest first, where there are any."""
    record = _shown(members)
    seen = record or Loose({})
    judged = next((one for one in reversed(members) if one.at("accuracy")), seen)
    status, reason = _status(bundle, record)
    figures = figures_of(record, status, reason)
    subject, target = seen.at("subject"), seen.at("target")
    manifest = None if bundle is None else bundle.manifest
    digest = subject.text("bundle_sha256") if bundle is None else bundle.digest
    comparisons = [found for one in members if one.text("status") != "invalid" and (found := comparison_of(one))]
    machine = None if record is None else machine_of(record)
    fallbacks, fallback_reason = fallbacks_of(bundle)
    return Variant(
        key=digest[:12] or "unknown",
        model=subject.text("model") if manifest is None else manifest.model.name,
        target=target.text("name") if manifest is None else manifest.target.name,
        precision=subject.text("precision") if manifest is None else manifest.precision,
        title=subject.text("precision") if bundle is None else title_of(bundle),
        backend=target.text("backend") if manifest is None else manifest.backend.name,
        has_bundle=bundle is not None,
        status=status,
        reason=reason,
        host_proxy=target.flag("host_proxy") is True,
        size=size_of(manifest, subject),
        accuracy=accuracy_of(manifest, judged),
        latency=figures.latency,
        upper_99=figures.upper_99,
        throughput=figures.throughput,
        first=figures.first,
        load=figures.load,
        memory=figures.memory,
        energy=figures.energy,
        energy_net=figures.energy_net,
        energy_counter=figures.energy_counter,
        comparison=next((one for one in reversed(comparisons) if not one.is_self_test(digest)), None),
        self_test=next((one for one in reversed(comparisons) if one.is_self_test(digest)), None),
        session=None if record is None else session_of(record),
        machine=machine,
        trace=_trace(digest, machine.identity if machine else "", traces),
        fallbacks=fallbacks,
        fallback_reason=fallback_reason,
        provenance=provenance_of(bundle, record, judged.at("accuracy")),
        notes=seen.texts("notes"),
        earlier=max(len(members) - 1, 0),
    )


def _shown(members: Sequence[Loose]) -> Loose | None:
    """The newest record, but a self-test only where there is no other: it tells of the machine, not of the bundle."""
    return next((one for one in reversed(members) if not _is_self_test(one)), members[-1] if members else None)


def _is_self_test(record: Loose) -> bool:
    baseline = record.at("comparison").at("baseline").text("bundle_sha256")
    return bool(baseline) and baseline == record.at("subject").text("bundle_sha256")


def _trace(digest: str, machine: str, traces: Sequence[Trace]) -> Trace | None:
    """The newest trace of the bundle made on this machine; where the variant has no machine, the newest of all."""
    own = [one for one in traces if one.bundle_sha256 == digest and machine in ("", one.machine_identity)]
    return own[-1] if own else None


def _status(bundle: Bundle | None, record: Loose | None) -> tuple[VariantStatus, str]:
    if record is None:
        pending = None if bundle is None else bundle.manifest.backend.pending
        return "unmeasured", pending or _UNMEASURED
    told = record.text("status")
    if told == "ok":
        return "ok", ""
    if told == "invalid":
        return "invalid", _STATUS_REASONS[told]
    return "unsteady", _STATUS_REASONS.get(told, "the record does not say whether the times settled")


def _order(variant: Variant) -> tuple[str, str, int, str, str, str]:
    rank = _PRECISIONS.index(variant.precision) if variant.precision in _PRECISIONS else len(_PRECISIONS)
    machine = variant.machine.identity if variant.machine else ""
    threads = "" if variant.session is None else f"{variant.session.threads or 0:04} {variant.asked}"
    return variant.model, variant.target, rank, variant.precision, variant.provenance.bundle_sha256, machine + threads


def _keyed(variants: Sequence[Variant]) -> list[Variant]:
    """Keys are digests' beginnings as far as those are what they should be, and numbered where they are not unique."""
    found: list[Variant] = []
    for number, one in enumerate(variants, 1):
        plain = all(char in "0123456789abcdef" for char in one.key)
        found.append(replace(one, key=f"v{number}-{one.key}" if plain else f"v{number}"))
    return found


def _told_apart(variants: Sequence[Variant]) -> list[Variant]:
    """Different models that are called the same get the beginnings of their digests as surnames."""
    digests: dict[str, set[str]] = {}
    for one in variants:
        if one.provenance.model_sha256:
            digests.setdefault(one.model, set()).add(one.provenance.model_sha256)
    return [
        replace(one, model=f"{one.model} {one.provenance.model_sha256[:6] or 'of unknown digest'}")
        if len(digests.get(one.model, ())) > 1
        else one
        for one in variants
    ]
