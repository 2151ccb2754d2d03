"""What a bundle alone tells: what stayed as it was and why, where it comes from, and the commands that repeat it."""

from __future__ import annotations

import shlex

from edgewright.benchmarks.gate.latency import DELTA
from edgewright.benchmarks.metrics import registry
from edgewright.benchmarks.report.data import Fallback, Provenance
from edgewright.benchmarks.report.loose import Loose
from edgewright.core.bundle import Bundle, Manifest

_NO_JOURNAL = "only the bundle's journal tells: give the report the bundle as well as its record"
_PLANS_OWN = "plan"


def title_of(bundle: Bundle) -> str:
    """The precision with how it was reached: ``int8 (integer)``."""
    choice = Loose(bundle.journal).at("plan").at("choice")
    scheme = choice.text("scheme")
    return f"{bundle.manifest.precision} ({scheme})" if scheme else bundle.manifest.precision


def fallbacks_of(bundle: Bundle | None) -> tuple[tuple[Fallback, ...], str]:
    """What passes skipped, layers kept float, passes taken back, candidates turned down; else why there is nothing."""
    if bundle is None:
        return (), _NO_JOURNAL
    found: list[Fallback] = []
    journal = Loose(bundle.journal)
    for entry in journal.items("passes"):
        name = entry.text("pass")
        if entry.text("rejected"):
            worst = entry.text("worst_layer")
            found.append(Fallback(name, "the whole pass", entry.text("rejected") + (f"; {worst}" if worst else "")))
        found += [
            Fallback(name, note.text("subject"), note.text("text"))
            for note in entry.items("notes")
            if note.text("kind") in ("skipped", "warning")
        ]
    plan = journal.at("plan")
    found += [
        Fallback(_PLANS_OWN, layer, "kept in float, for it cost too much accuracy otherwise")
        for layer in plan.at("choice").at("options").texts("keep_float")
    ]
    for one in plan.items("because"):
        where = " ".join(part for part in (one.text("target"), one.text("candidate")) if part)
        if one.text("verdict"):
            found.append(Fallback(_PLANS_OWN, where, one.text("verdict")))
    if bundle.manifest.backend.pending:
        found.append(Fallback(bundle.manifest.backend.name, "the engine", bundle.manifest.backend.pending))
    return tuple(dict.fromkeys(found)), "nothing was skipped, kept in float or taken back"


def provenance_of(bundle: Bundle | None, record: Loose | None, judged: Loose) -> Provenance:
    """Digests, versions and commands, from whichever there is; ``judged`` is a record's accuracy."""
    seen = record or Loose({})
    subject = seen.at("subject")
    manifest = None if bundle is None else bundle.manifest
    entries = [] if bundle is None else Loose(bundle.journal).items("passes")
    accuracy = None if manifest is None else manifest.accuracy
    return Provenance(
        bundle_sha256=subject.text("bundle_sha256") if bundle is None else bundle.digest,
        model_sha256="" if manifest is None else manifest.model.digest,
        recipe_digest=subject.text("recipe_digest") if manifest is None else manifest.recipe_digest,
        plan_digest=subject.text("plan_digest") if manifest is None else manifest.plan_digest,
        data_sha256=(accuracy.data_digest or "") if accuracy else "",
        parent="" if manifest is None else manifest.parent or "",
        created="" if manifest is None else manifest.created or "",
        versions=seen.named_texts("versions"),
        built_with={} if manifest is None else dict(sorted(manifest.backend.versions.items())),
        passes=() if manifest is None else tuple(one.name for one in manifest.passes),
        rejected=tuple((one.text("pass"), one.text("rejected")) for one in entries if one.text("rejected")),
        commands=(*_compile_command(manifest), *_bench_command(record, judged)),
    )


def _compile_command(manifest: Manifest | None) -> tuple[str, ...]:
    """Repeats the choices of the bundle instead of measuring them again; what a recipe said, its digest covers."""
    if manifest is None:
        return ()
    words = ["edgewright", "compile", "MODEL", "--target", manifest.target.name, "--plan", "BUNDLE"]
    if manifest.limits.max_drop is not None:
        words += ["--max-drop", f"{manifest.limits.max_drop:g}"]
    if manifest.limits.max_bytes is not None:
        words += ["--max-size", f"{manifest.limits.max_bytes}B"]
    if manifest.accuracy is not None:
        words += ["--data", "CALIBRATION", "--eval-data", "DATA"]
        words += _metric(manifest.accuracy.metric)
    return (shlex.join([*words, "-o", "AGAIN.ewb"]),)


def _bench_command(record: Loose | None, judged: Loose) -> tuple[str, ...]:
    """Measures again; a comparison by another margin than ``bench`` has is a gate's, whose limits tell it."""
    if record is None:
        return ()
    comparison = record.at("comparison")
    is_self_test = comparison.at("baseline").text("bundle_sha256") == record.at("subject").text("bundle_sha256")
    is_gate = not is_self_test and comparison.number("delta") not in (None, DELTA)
    words = ["edgewright", "gate" if is_gate else "bench", "BUNDLE"]
    if preset := record.at("protocol").text("preset"):
        words += ["--preset", preset]
    words += _scenario(record.at("protocol"))
    if threads := record.at("target").whole("threads"):
        words += ["--threads", str(threads)]
    if judged:
        words += ["--data", "DATA", *_metric(judged.text("metric"))]
    if comparison:
        words += ["--self-test"] if is_self_test else ["--against", "BASELINE"]
    if is_gate:
        words += ["--limits", "LIMITS"]
    return (shlex.join(words),)


def _metric(name: str) -> list[str]:
    """The option that names a metric; a user's own is told by its name alone, by which nothing can find it."""
    if not name:
        return []
    return ["--metric", name if name in registry().names() else "METRIC"]


def _scenario(protocol: Loose) -> list[str]:
    """The options of a scenario other than the default."""
    name, rate, batch = protocol.text("scenario"), protocol.number("rate_per_s"), protocol.whole("batch")
    words = ["--scenario", name] if name not in ("", "single-stream") else []
    if rate is not None:
        words += ["--rate", f"{rate:g}"]
    if batch is not None and batch > 1:
        words += ["--batch", str(batch)]
    seed = protocol.whole("seed")
    if name == "server" and seed:
        words += ["--seed", str(seed)]
    return words
