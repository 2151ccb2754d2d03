"""What stands first: what became of the comparisons, and what this machine could have seen at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgewright.benchmarks.report.blocks import Card, Line, Tone, Verdict
from edgewright.benchmarks.report.data import ComparisonFound, GateFinding, ReportData, Variant
from edgewright.benchmarks.report.gates import RANK, TONES, WORDS
from edgewright.benchmarks.report.wording import TimeUnit, ratio, ratio_span, share, size, value_of

_CARDS = 4
_COMPARE = "edgewright bench BUNDLE --against BASELINE"
_SELF_TEST = "edgewright bench BUNDLE --self-test"


def verdict_of(data: ReportData, labels: Mapping[str, str], unit: TimeUnit) -> Verdict:
    """The worst verdict of all comparisons, each of them in words, and this machine's smallest detectable change."""
    compared = [(one, one.comparison) for one in data.variants if one.comparison is not None]
    compared.sort(key=lambda pair: RANK[pair[1].verdict or "inconclusive"])
    cards = tuple(_card(labels[one.key], found) for one, found in compared[:_CARDS])
    tone, word, sentence, command = _sentence([found for _, found in compared], data.variants)
    if data.findings:
        tone, word, sentence, command = _gated(data.findings)
    more = len(compared) - len(cards)
    return Verdict(
        tone=tone,
        word=word,
        sentence=sentence,
        command=command,
        cards=cards,
        more=f"{more} more below, under Ratios." if more else "",
        facts=tuple(_facts(data.variants, labels, unit)),
        noise=tuple(_noise(data.variants)),
    )


def _sentence(found: Sequence[ComparisonFound], variants: Sequence[Variant]) -> tuple[Tone, str, str, str]:
    broken = [one for one in variants if one.accuracy.drop_met is False or one.status == "invalid"]
    beside = f" {_count(len(broken), 'variant')} missed a limit or failed an audit: see Results." if broken else ""
    if not found:
        text = "Nothing here was compared with a baseline." + beside
        return ("bad" if broken else "none"), "No verdict", text, _COMPARE
    worst = min((one.verdict or "inconclusive" for one in found), key=lambda word: RANK[word])
    count = sum((one.verdict or "inconclusive") == worst for one in found)
    of_all = f"{count} of {_count(len(found), 'comparison')}"
    text = {
        "regressed": f"{of_all} got slower than its margin allows.",
        "inconclusive": f"{of_all} could not tell: more pairs, or a quieter machine, would.",
        "pass": f"No regression in {_count(len(found), 'comparison')}.",
    }[worst]
    tone = "bad" if broken and worst == "pass" else TONES[worst]
    return tone, WORDS[worst], text + beside, ""


def _gated(findings: Sequence[GateFinding]) -> tuple[Tone, str, str, str]:
    """What the gate said is what counts: it knows the limits."""
    counts: Counter[str] = Counter(one.verdict for one in findings)
    words = {"failed": "failed", "regressed": "regressed", "inconclusive": "inconclusive", "pass": "passed"}
    told = [f"{counts[verdict]} {word}" for verdict, word in words.items() if counts[verdict]]
    worst = min(counts, key=lambda verdict: RANK[verdict])
    return TONES[worst], WORDS[worst], f"Of {_count(len(findings), 'finding')} of the gate: {', '.join(told)}.", ""


def _card(label: str, found: ComparisonFound) -> Card:
    verdict = found.verdict or "inconclusive"
    parts = [f"95 % interval {ratio_span(found.ci95)}" if found.ci95 else "no interval"]
    if found.pairs is not None:
        parts.append(_count(found.pairs, "pair"))
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


def _facts(variants: Sequence[Variant], labels: Mapping[str, str], unit: TimeUnit) -> list[tuple[str, str, str]]:
    """The best of each kind, where all variants are of one model, run alike on one machine: others do not compare."""
    machines = {one.machine.identity for one in variants if one.machine is not None}
    alike = {(one.model, one.asked) for one in variants}
    if len(alike) != 1 or len(machines) > 1 or len(variants) < 2:
        return []
    usable = [one for one in variants if one.accuracy.drop_met is not False and one.status != "invalid"]
    found: list[tuple[str, str, str]] = []
    timed = [(value, one) for one in usable if (value := one.latency["p50"].value) is not None]
    if timed:
        value, one = min(timed, key=lambda pair: pair[0])
        found.append(("Lowest p50 within its limits", f"{unit.show(value)} {unit.name}", labels[one.key]))
    sized = [(value, one) for one in usable if (value := one.size.value) is not None]
    if sized:
        _, one = min(sized, key=lambda pair: pair[0])
        found.append(("Smallest", size(one.size), labels[one.key]))
    metrics = {(one.accuracy.metric, one.accuracy.dataset_sha256) for one in usable if one.accuracy.found.value}
    judged = [(value, one) for one in usable if (value := one.accuracy.found.value) is not None]
    if judged and len(metrics) == 1:
        best = max if judged[0][1].accuracy.higher_is_better else min
        value, one = best(judged, key=lambda pair: pair[0])
        tied = sum(other == value for other, _ in judged)
        whose = labels[one.key] if tied == 1 else f"{tied} variants alike"
        found.append((f"Best {one.accuracy.metric}", value_of(value), whose))
    return found


def _noise(variants: Sequence[Variant]) -> list[Line]:
    """For each machine, the smallest slowdown a session there could have found, or how to learn it."""
    lines: list[Line] = []
    seen: set[str] = set()
    for one in variants:
        machine = one.machine
        if machine is None or machine.identity in seen:
            continue
        seen.add(machine.identity)
        own = [other for other in variants if other.machine is not None and other.machine.identity == machine.identity]
        tests = [found for other in own if (found := other.self_test) is not None]
        paired = [found for other in own if (found := other.comparison) is not None]
        name = f"{machine.cpu or 'this machine'}, {machine.cores or '?'} cores ({machine.identity[:6]})"
        known = next((found for found in [*tests, *paired] if found.minimum_detectable_effect is not None), None)
        if known is None or known.minimum_detectable_effect is None:
            lines.append(Line(f"The smallest slowdown that {name} can detect is not known.", _SELF_TEST))
            continue
        how = f"self-test of {_count(known.pairs or 0, 'pair')}" if known in tests else "from the comparison"
        off = f"; it found {ratio(known.ratio)} where 1 is true" if known in tests and known.ratio else ""
        effect = share(known.minimum_detectable_effect)
        lines.append(Line(f"On {name} a slowdown of {effect} is found nine times in ten ({how}{off})."))
    if not lines:
        lines.append(Line("No record names a machine, so what it can detect is not known.", _SELF_TEST))
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
