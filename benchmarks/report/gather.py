"""Joins bundles with their records and traces into the variants of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.benchmarks.report.bundle_parts import fallbacks_of, provenance_of, title_of
from edgewright.benchmarks.report.data import Accuracy, Figure, GateTold, ReportData, Variant, VariantStatus
from edgewright.benchmarks.report.figures import accuracy_of, figures_of, size_of
from edgewright.benchmarks.report.loose import Loose
from edgewright.benchmarks.report.reading import comparison_of, machine_of, session_of
from edgewright.benchmarks.report.sources import Sources, read_sources
from edgewright.benchmarks.trace import Trace
from edgewright.core.bundle import Bundle, Manifest
from edgewright.core.errors import BadInputError
from edgewright.core.foreign_text import shortened

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
    traces, notes = _traces(sources)
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
    if orphans:
        notes.append(f"{orphans} traces are of bundles that were not given, and are not shown")
    gates = tuple(_held_against(told, variants) for told in sources.gates)
    notes += _unheard(gates, variants)
    ordered = sorted(_told_apart(variants), key=_order)
    return ReportData(tuple(_keyed(ordered)), (*sources.notes, *notes), gates=gates, read=sources.read)


def _traces(sources: Sources) -> tuple[list[Trace], list[str]]:
    """The traces that can be read, oldest first, and a line for each that cannot."""
    found, notes = [], []
    for entry in sources.traces:
        try:
            found.append(Trace.from_json(entry))
        except BadInputError as error:
            notes.append(f"a trace is broken and left out: {error.problem}")
    return found, notes


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
    usable = [one for one in members if one.text("status") != "invalid"]
    judging = [one for one in members if one.at("accuracy")]
    judged = next((one for one in reversed(usable) if one.at("accuracy")), None)
    evidence = judged or next(reversed(judging), seen)
    status, reason = _status(bundle, record)
    figures = figures_of(record, status, reason)
    subject, target = seen.at("subject"), seen.at("target")
    manifest = None if bundle is None else bundle.manifest
    digest = subject.text("bundle_sha256") if bundle is None else bundle.digest
    comparisons = [found for one in usable if (found := comparison_of(one))]
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
        accuracy=_accuracy(manifest, judged, only_invalid=bool(judging)),
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
        provenance=provenance_of(bundle, record, evidence.at("accuracy")),
        notes=seen.texts("notes"),
        earlier=max(len(members) - 1, 0),
        max_bytes=None if manifest is None else manifest.limits.max_bytes,
        bytes_met=None if manifest is None else manifest.limits.bytes_met,
    )


def _shown(members: Sequence[Loose]) -> Loose | None:
    """The newest record, but a self-test only where there is no other: it tells of the machine, not of the bundle."""
    return next((one for one in reversed(members) if not _is_self_test(one)), members[-1] if members else None)


def _is_self_test(record: Loose) -> bool:
    baseline = record.at("comparison").at("baseline").text("bundle_sha256")
    return bool(baseline) and baseline == record.at("subject").text("bundle_sha256")


def _accuracy(manifest: Manifest | None, judged: Loose | None, *, only_invalid: bool) -> Accuracy:
    """Of the record that judged it, else the bundle's own; where only an invalid record did, that is the reason."""
    found = accuracy_of(manifest, judged or Loose({}))
    if found.found.value is None and only_invalid:
        return replace(found, found=Figure(reason=_STATUS_REASONS["invalid"]))
    return found


def _trace(digest: str, machine: str, traces: Sequence[Trace]) -> Trace | None:
    """The newest trace of the bundle on this machine; else the newest of all, with a remark: many compile elsewhere."""
    own = [one for one in traces if one.bundle_sha256 == digest]
    here = [one for one in own if machine in ("", one.machine_identity)]
    if here or not own:
        return here[-1] if here else None
    where = f"machine {own[-1].machine_identity[:6]}" if own[-1].machine_identity else "a machine that it does not name"
    remark = f"traced on {where}, not on the one that measured: its times are of that machine"
    return replace(own[-1], notes=(remark, *own[-1].notes))


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


def _subject(variant: Variant) -> str:
    """How a gate names it."""
    return f"{variant.model} {variant.target} {variant.precision}"


def _held_against(told: GateTold, variants: Sequence[Variant]) -> GateTold:
    """A gate that names bundles, and none of those that are shown, is of others."""
    named = {one.subject for one in told.findings if one.verdict not in ("failed", "skipped")}
    return replace(told, of_others=bool(named and variants) and named.isdisjoint(map(_subject, variants)))


def _unheard(gates: Sequence[GateTold], variants: Sequence[Variant]) -> list[str]:
    """A line for what gates say of bundles that were not given."""
    shown = {_subject(one) for one in variants}
    named = {one.subject for told in gates for one in told.findings if one.verdict not in ("failed", "skipped")}
    missing = sorted(named - shown) if shown else []
    if not missing:
        return []
    return [f"a gate speaks of bundles that were not given: {shortened(', '.join(missing))}"]
