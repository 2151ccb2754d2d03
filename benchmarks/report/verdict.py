"""What stands first: what became of the comparisons, and what this machine could have seen at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.benchmarks.report.blocks import Card, Line, Tone, Verdict
from edgewright.benchmarks.report.data import ComparisonFound, GateTold, MachineFound, ReportData, Variant
from edgewright.benchmarks.report.gates import RANK, TONES, WORDS, deciding, gate_in_words, gate_tone
from edgewright.benchmarks.report.wording import counted, ratio, ratio_span, share, size, value_of

_CARDS = 4
_COMPARE = "edgewright bench BUNDLE --against BASELINE"
_SELF_TEST = "edgewright bench BUNDLE --self-test"


def verdict_of(data: ReportData, labels: Mapping[str, str]) -> Verdict:
    """The worst verdict of all comparisons, each of them in words, and this machine's smallest detectable change."""
    compared = [(one, one.comparison) for one in data.variants if one.comparison is not None]
    compared.sort(key=lambda pair: RANK[pair[1].verdict or "inconclusive"])
    cards = tuple(_card(labels[one.key], found) for one, found in compared[:_CARDS])
    tone, word, sentence, command = _sentence([found for _, found in compared], data.variants)
    if gates := deciding(data.gates):
        tone, word, sentence, command = _gated(gates)
    more = len(compared) - len(cards)
    return Verdict(
        tone=tone,
        word=word,
        sentence=sentence,
        command=command,
        cards=cards,
        more=f"{more} more below, under Ratios." if more else "",
        facts=tuple(_facts(data.variants, labels)),
        noise=tuple(_noise(data.variants)),
    )


def _sentence(found: Sequence[ComparisonFound], variants: Sequence[Variant]) -> tuple[Tone, str, str, str]:
    broken = [one for one in variants if one.missed_limit or one.status == "invalid"]
    beside = f" {counted(len(broken), 'variant')} missed a limit or failed an audit: see Results." if broken else ""
    if not found:
        text = "Nothing here was compared with a baseline." + beside
        return ("bad" if broken else "none"), "No verdict", text, _COMPARE
    worst = min((one.verdict or "inconclusive" for one in found), key=lambda word: RANK[word])
    count = sum((one.verdict or "inconclusive") == worst for one in found)
    of_all = f"{count} of {counted(len(found), 'comparison')}"
    text = {
        "regressed": f"{of_all} got slower than its margin allows.",
        "inconclusive": f"{of_all} could not tell: more pairs, or a quieter machine, would.",
        "pass": f"No regression in {counted(len(found), 'comparison')}.",
    }[worst]
    tone = "bad" if broken and worst == "pass" else TONES[worst]
    return tone, WORDS[worst], text + beside, ""


def _gated(gates: Sequence[GateTold]) -> tuple[Tone, str, str, str]:
    """What the gates said is what counts: they know the limits. The worst of them is the word."""
    worst = min(gates, key=lambda told: RANK[told.verdict])
    tone: Tone = "bad" if any(gate_tone(told) == "bad" for told in gates) else TONES[worst.verdict]
    return tone, WORDS[worst.verdict], " ".join(gate_in_words(told) for told in gates), ""


def _card(label: str, found: ComparisonFound) -> Card:
    verdict = found.verdict or "inconclusive"
    parts = [f"95 % interval {ratio_span(found.ci95)}" if found.ci95 else "no interval"]
    if found.pairs is not None:
        parts.append(counted(found.pairs, "pair"))
    if found.delta is not None and found.p is not None:
        parts.append(f"p = {found.p:.2g} for more than {share(found.delta)} slower")
    if found.minimum_detectable_effect is not None:
        parts.append(f"can detect {share(found.minimum_detectable_effect)}")
    return Card(
        tone=TONES[verdict],
        word=WORDS[verdict],
        title=label,
        figure="ratio unknown" if found.ratio is None else ratio(found.ratio),
        detail=f"of the latency of {found.baseline or 'the baseline'}; " + ", ".join(parts),
    )


def _facts(variants: Sequence[Variant], labels: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The smallest and the most accurate variant of one model that missed no limit.

    There is no fastest one: each was timed in a session of its own, and only a ratio compares two of them.
    """
    if len({one.model for one in variants}) != 1 or len({one.provenance.bundle_sha256 for one in variants}) < 2:
        return []
    usable = [one for one in variants if not one.missed_limit and one.status != "invalid"]
    found: list[tuple[str, str, str]] = []
    sized = [one for one in usable if one.size.value is not None]
    if sized:
        least = min(sized, key=lambda one: one.size.value or 0.0)
        tied = [one for one in sized if one.size.value == least.size.value]
        found.append(("Smallest", size(least.size), _whose(tied, labels)))
    judged = [one for one in usable if one.accuracy.found.value is not None]
    alike = {
        (one.accuracy.metric, one.accuracy.dataset_sha256, "" if one.machine is None else one.machine.identity)
        for one in judged
    }
    if judged and len(alike) == 1:
        sign = 1 if judged[0].accuracy.higher_is_better else -1
        best = max(judged, key=lambda one: sign * (one.accuracy.found.value or 0.0)).accuracy
        tied = [one for one in judged if one.accuracy.found.value == best.found.value]
        found.append((f"Best {best.metric}", value_of(best.found.value or 0.0), _whose(tied, labels)))
    return found


def _whose(tied: Sequence[Variant], labels: Mapping[str, str]) -> str:
    return labels[tied[0].key] if len(tied) == 1 else f"{len(tied)} variants alike"


def _noise(variants: Sequence[Variant]) -> list[Line]:
    """For each machine, the smallest slowdown a session there could have found, or how to learn it."""
    machines: dict[str, MachineFound] = {}
    for one in variants:
        if one.machine is not None:
            machines.setdefault(one.machine.identity, one.machine)
    if not machines:
        return [Line("No record names a machine, so what it can detect is not known.", _SELF_TEST)]
    return [
        _detectable(machine, [one for one in variants if one.machine is not None and one.machine.identity == identity])
        for identity, machine in machines.items()
    ]


def _detectable(machine: MachineFound, own: Sequence[Variant]) -> Line:
    tests = [found for one in own if (found := one.self_test) is not None]
    paired = [found for one in own if (found := one.comparison) is not None]
    name = f"{machine.cpu or 'this machine'}, {machine.cores or '?'} cores ({machine.identity[:6]})"
    known = next((found for found in [*tests, *paired] if found.minimum_detectable_effect is not None), None)
    if known is None or known.minimum_detectable_effect is None:
        return Line(f"The smallest slowdown that {name} can detect is not known.", _SELF_TEST)
    pairs = "" if known.pairs is None else f" of {counted(known.pairs, 'pair')}"
    how = f"self-test{pairs}" if known in tests else "from the comparison"
    off = f"; it found {ratio(known.ratio)} where 1 is true" if known in tests and known.ratio else ""
    effect = share(known.minimum_detectable_effect)
    return Line(f"On {name} a slowdown of {effect} is found nine times in ten ({how}{off}).")
