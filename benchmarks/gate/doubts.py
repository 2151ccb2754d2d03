"""What was asked and is not shown: findings that keep it from passing in silence."""

from __future__ import annotations

from dataclasses import replace

from edgewright.benchmarks.gate.findings import Finding
from edgewright.benchmarks.record import Record

_AUDIT = "The notes say which audit; mend that and run it again."


def believed(finding: Finding, record: Record) -> Finding:
    """``finding``, or what is left of it where an audit says that the record's figures must not be used."""
    if record.status != "invalid":
        return finding
    text = f"an audit failed, so the figures must not be used; they were: {finding.text}"
    return replace(finding, verdict="inconclusive", text=text, remedy=_AUDIT)


def of_the_device(finding: Finding, record: Record) -> Finding:
    """``finding`` on a limit in milliseconds or bytes, or what is left of it where another machine was measured."""
    if not record.target.host_proxy:
        return finding
    text = f"this machine stands in for {record.target.name}, whose figures it cannot show; here: {finding.text}"
    remedy = "Judge the limit on the device, or that of a bundle compiled for this machine."
    return replace(finding, verdict="inconclusive", text=text, remedy=remedy)


def failed_audit(subject: str) -> Finding:
    """Of a gate that asks for no latency: its engine was measured all the same, and an audit of that failed."""
    text = "an audit failed, so this engine is not to be trusted"
    return Finding(subject, "latency", "inconclusive", text, {}, _AUDIT)


def held_against_nothing(subject: str) -> Finding:
    """Of a gate that has neither anything to be compared with nor a limit of its own."""
    text = "held against nothing: it has no counterpart, and no 'max' is stated"
    remedy = "State a 'max' in the limits, or keep it as a baseline with --save-baseline."
    return Finding(subject, "latency", "inconclusive", text, {}, remedy)
