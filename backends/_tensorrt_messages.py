"""TensorRT's own words, without the places in its sources, and the few of its log lines that users must know."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLACE = re.compile(r",?\s*\(?In [\w:~]+ at \S+?:\d+\s*|\S+\.(?:cpp|h):\d+:?\s*|\[\S+\.cpp::\w+::\d+\]\s*")
_PREFIX = re.compile(
    r"^(?:I[A-Z]\w+::\w+: )?(?:Error Code \d+: )?(?:API Usage Error|Internal Error|Cuda Runtime|Serialization)?\s*"
)
_COMPILER = re.compile(r"^\W*Myelin[^\]]*\]\s*")
_ASSERTED = re.compile(r"&&\s*\"(?P<text>.+?)\"", re.S)
_CODED = re.compile(r"Error Code \d+: [\w ]+\((?P<text>(?:[^()]|\([^()]*\))*)")
_LED_BY_CODE = re.compile(r"^[^\"]*?(?:\)|[!=<>]=|&&|\|\|)[^\"]*?: (?P<text>\w.*)$", re.S)
_UNNAMED = re.compile(r"^node_of_\S+: ")
_IN_NODE = re.compile(r"^In node -?\d+ with name:.*?and operator: \w+ \(\w+\): (?:\w+ ?\w*: )?", re.S)
_NO_DRIVER = re.compile(r"cudaError 35|CUDA driver version is insufficient|CUDA initialization failure")
_TOLD = re.compile(
    r"insufficient (?:\w+ )?memory|not enough (?:\w+ )?memory|out of memory"
    r"|fall(?:ing)? ?back|not supported|unsupported"
    r"|weights .*(?:subnormal|outside|infinit)|overflow|self-consistent|truncated|clamp|lower precision",
    re.I,
)
_DETAIL = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?")
_MOST_REMARKS = 6
_LONGEST = 400


def cleaned(message: str) -> str:
    """One line of the engine's, without numbers of errors and names of NVIDIA's files."""
    text = _PREFIX.sub("", _PLACE.sub("", message.strip()))
    text = _COMPILER.sub("", text)
    text = " ".join(text.split()).strip("()[] ")
    return text[:_LONGEST] or "no reason was given"


def refusal(description: str, node: str = "") -> str:
    """What the parser says of a node it cannot take: the explanation of the condition that failed, where it has one.

    Args:
        node: its name, which need not be said again.
    """
    text = _IN_NODE.sub("", description).strip().removeprefix("Assertion failed: ")
    for found in _CODED.finditer(text):
        if not _NO_DRIVER.search(found["text"]):
            return cleaned(_UNNAMED.sub("", found["text"].removeprefix(f"{node}: ")))
    for explained in (_ASSERTED.search(text), _LED_BY_CODE.search(text.strip())):
        if explained is None:
            continue
        if explained["text"].startswith("Plugin not found"):
            return "unknown operator, and no plugin has its name"
        return cleaned(explained["text"])
    return "TensorRT does not have it in this form" if text in ("false", "") else cleaned(text)


def failure(lines: Iterable[tuple[str, str]]) -> str:
    """Why a build ended without an engine, from its log (severity and text).

    The driver's absence is not a reason: an engine for another machine is built without one.
    """
    worst = [text for severity, text in lines if severity in ("ERROR", "INTERNAL_ERROR")]
    told = [text for text in worst if not _NO_DRIVER.search(text)] or worst
    unique = list(dict.fromkeys(cleaned(text) for text in told))
    return "; ".join(unique[:3]) or "it gave no reason"


def remarks(lines: Iterable[tuple[str, str]]) -> list[str]:
    """The warnings a user can act on, those that differ in figures alone told once with their number."""
    kept: dict[str, list[str]] = {}
    for severity, text in lines:
        if severity in ("WARNING", "ERROR") and _TOLD.search(text) and not _NO_DRIVER.search(text):
            line = cleaned(text)
            kept.setdefault(_DETAIL.sub("#", line), []).append(line)
    told = [same[0] if len(same) == 1 else f"{same[0]} ({len(same)} times)" for same in kept.values()]
    left = len(told) - _MOST_REMARKS
    return [*told[:_MOST_REMARKS], *([f"{left} more warnings of the builder"] if left > 0 else [])]
