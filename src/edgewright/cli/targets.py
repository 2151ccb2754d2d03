"""``edgewright targets``: which hardware is described, what each description says, and what this machine is."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.core.errors import ExitCode

if TYPE_CHECKING:
    from edgewright.targets.schema import QuantRule, Target

SUMMARY = "list the targets, show one, or detect this machine"
_INDENT = " " * 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what to do, and for which target."""
    parser.add_argument(
        "what", nargs="?", choices=("list", "show", "detect"), default="list", help="list (default), show T, or detect"
    )
    parser.add_argument("target", nargs="?", metavar="T", help="hardware, hardware/runtime, or a path to a TOML file")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints targets."""
    from edgewright.core.errors import UsageError
    from edgewright.targets.load import hardware_names, load_targets

    if args.what == "show" and args.target is None:
        raise UsageError("show needs a target", f"There are: {', '.join(hardware_names())}.")
    if args.what != "show" and args.target is not None:
        raise UsageError(f"{args.what} takes no target", f"Type: edgewright targets show {args.target}")
    if args.what == "list":
        targets = [target for name in hardware_names() for target in load_targets(name)]
    else:
        targets = list(load_targets("native" if args.what == "detect" else args.target))
    if args.json:
        _console.result(json.dumps([target.to_json() | _standing(target) for target in targets], sort_keys=True))
    elif args.what == "list":
        _list(targets)
    else:
        _console.result("\n\n".join(_text(target) for target in targets))
    return ExitCode.OK


def _standing(target: Target) -> dict[str, object]:
    from edgewright.targets.detect import is_present

    return {"name": target.name, "absent": is_present(target)}


def _list(targets: list[Target]) -> None:
    from edgewright.targets.detect import is_present

    width = max(len(target.name) for target in targets)
    for target in targets:
        mark = "here" if is_present(target) is None else "    "
        mark = _console.paint(mark, "32", sys.stdout)
        _console.result(f"{target.name:<{width}}  {mark}  {_console.escape(target.title)}")


def _text(target: Target) -> str:
    from edgewright.targets.detect import is_present, stands_in

    absent = is_present(target)
    rows = [
        ("title", target.title),
        ("on this machine", absent or "yes" + (f"; {stand_in}" if (stand_in := stands_in(target)) else "")),
        ("like", target.resembles or ""),
        ("processor", " ".join([target.arch, *sorted(target.isa)])),
        ("device", target.device),
        ("precisions", ", ".join(_precision(target, word) for word in target.precisions)),
        ("opset", f"{target.opset[0]} to {target.opset[1]}"),
        ("threads", str(target.threads)),
        ("memory", "" if target.memory_bytes is None else f"{target.memory_bytes / 2**30:.1f} GiB"),
        ("channels in", f"multiples of {target.channel_multiple}" if target.channel_multiple > 1 else ""),
        ("fused operators", ", ".join(sorted(target.fused_ops))),
        *([] if target.int8 is None else _rule(target.int8)),
        *(("source", f"{name}: {text}") for name, text in sorted(target.sources.items())),
    ]
    shown = [f"  {_console.escape(name):<15} {_wrapped(text)}" for name, text in rows if text]
    return "\n".join([_console.paint(_console.escape(target.name), "1", sys.stdout), *shown])


def _precision(target: Target, word: str) -> str:
    return f"{word} (on request)" if word in target.hinted_precisions else word


def _rule(rule: QuantRule) -> list[tuple[str, str]]:
    signs = {True: "symmetric", False: "asymmetric"}
    weights = f"{rule.weight} {signs[rule.weight_symmetric]} weights"
    seven = ", 7 bits of them used" if rule.reduce_range else ""
    saturates = "; sums saturate at 16 bits" if rule.saturates_int16 else ""
    return [
        ("int8", f"{rule.activation} {signs[rule.activation_symmetric]} activations, {weights}{seven}{saturates}"),
        ("source", f"int8: {rule.source}"),
        *(
            ("scheme", f"{item.name}: {item.kind}, {', '.join(sorted(item.op_kinds))}; the rest in {item.float_rest}")
            for item in rule.schemes
        ),
    ]


def _wrapped(text: str) -> str:
    import textwrap

    safe = _console.escape_lines(text.replace("\n", " "))
    return f"\n{_INDENT}".join(textwrap.wrap(safe, 100, break_long_words=False, break_on_hyphens=False))
