"""A gate's report as JUnit XML, which every CI system shows.

One suite per gate, one case per finding. ``regressed`` is a failure. ``inconclusive`` is an error, and so is a subject
that could not be judged: as skipped, either would look as if all were well. Only a target that is not on this machine
is skipped. JUnit has no schema of its own; this is the common part of what Jenkins, GitLab and GitHub's actions read.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.gate.outputs.text import LONGEST_TEXT, headline, one_line

_OUTCOMES = ("failure", "error", "skipped")


def to_junit(report: GateReport) -> bytes:
    """The document, UTF-8.

    Control characters, which XML 1.0 forbids even when escaped, are spelt out.
    """
    root = ET.Element("testsuites", name="edgewright gate")
    for title, items in _by_title([*report.findings, *report.failures]).items():
        suite = ET.SubElement(root, "testsuite", name=one_line(title))
        names: list[str] = []
        for item in items:
            suite.append(_case(item, names))
        _count(suite)
    if report.notes:
        # Their place is a suite's; a reader that knows none shows nothing of them.
        notes = ET.SubElement(root, "testsuite", name="notes", tests="0", failures="0", errors="0", skipped="0")
        ET.SubElement(notes, "system-out").text = "\n".join(one_line(note, LONGEST_TEXT) for note in report.notes)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    properties = ET.Element("properties")
    ET.SubElement(properties, "property", name="verdict", value=headline(report))
    root.insert(0, properties)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _by_title(items: Iterable[Finding | Failure]) -> dict[str, list[Finding | Failure]]:
    found: dict[str, list[Finding | Failure]] = {}
    for item in items:
        found.setdefault(item.title, []).append(item)
    return found


def _case(item: Finding | Failure, names: list[str]) -> ET.Element:
    name = item.metric if isinstance(item, Finding) else "judged at all"
    names.append(name)
    shown = name if names.count(name) == 1 else f"{name} ({names.count(name)})"
    case = ET.Element("testcase", classname=one_line(item.title), name=shown)
    text = one_line(item.text if isinstance(item, Finding) else item.problem, LONGEST_TEXT)
    outcome = _outcome(item)
    if outcome is None:
        ET.SubElement(case, "system-out").text = text
        return case
    element, kind = outcome
    found = ET.SubElement(case, element, message=text)
    if element != "skipped":
        found.set("type", kind)
    found.text = f"{text}\n{one_line(item.remedy, LONGEST_TEXT)}".strip()
    return case


def _outcome(item: Finding | Failure) -> tuple[str, str] | None:
    """The element that says what became of a case, and its type; None for a pass."""
    if isinstance(item, Failure):
        return ("skipped", "") if item.skipped else ("error", item.kind)
    if item.verdict == "pass":
        return None
    return ("failure" if item.verdict == "regressed" else "error", item.verdict)


def _count(suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for element, name in zip(_OUTCOMES, ("failures", "errors", "skipped"), strict=True):
        suite.set(name, str(sum(case.find(element) is not None for case in cases)))
