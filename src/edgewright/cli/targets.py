"""``edgewright targets``: which hardware is described, what each description says, and what this machine is."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.core.errors import ExitCode

if TYPE_CHECKING:
    from edgewright.targets.schema import QuantRule, QuantScheme, Target

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
    from edgewright.targets.load import described_targets, hardware_names

    if args.what == "show" and args.target is None:
        raise UsageError("show needs a target", f"There are: {', '.join(hardware_names())}.")
    if args.what != "show" and args.target is not None:
        raise UsageError(f"{args.what} takes no target", f"Type: edgewright targets show {args.target}")
    if args.what == "list":
        targets = [target for name in hardware_names() for target in described_targets(name)]
    else:
        targets = list(described_targets("native" if args.what == "detect" else args.target))
    devices = _devices() if args.what == "detect" else []
    if args.json:
        targets += devices
        _console.result(json.dumps([target.to_json() | _standing(target) for target in targets], sort_keys=True))
    elif args.what == "list":
        _list(targets)
    else:
        _console.result("\n\n".join(_text(target) for target in targets))
        if args.what == "detect":
            _console.result("\n" + _gpus(devices))
    return ExitCode.OK


def _devices() -> list[Target]:
    """The targets of the devices beside the processor that are here."""
    from edgewright.targets.detect import is_present
    from edgewright.targets.load import described_targets, hardware_names

    described = [target for name in hardware_names() for target in described_targets(name)]
    return [target for target in described if target.arch == "gpu" and is_present(target) is None]


def _gpus(devices: list[Target]) -> str:
    """What stands beside the processor, and the words that compile for it; ``native`` is the processor alone."""
    from edgewright.targets.cuda import this_cuda

    cuda = this_cuda()
    rows = [] if cuda.devices else [("NVIDIA", f"none: {cuda.reason}")]
    for device in cuda.devices:
        same = [target.name for target in devices if target.compute_capability == device.compute_capability]
        words = ", ".join(same) or "no target describes it; one of your own may, with like = a GPU of its kind"
        rows.append((device.sm, f"{device.name}, {device.memory_bytes / 2**30:.1f} GiB: {words}"))
    rows += [("here", f"{item.title}: {item.name}") for item in devices if item.compute_capability is None]
    shown = [f"  {name:<15} {_wrapped(text)}" for name, text in rows]
    return "\n".join([_console.paint("GPUs", "1"), *shown])


def _standing(target: Target) -> dict[str, object]:
    from edgewright.targets.detect import is_present

    return {"name": target.name, "absent": is_present(target)}


def _list(targets: list[Target]) -> None:
    from edgewright.targets.detect import is_present

    width = max(len(target.name) for target in targets)
    for target in targets:
        mark = "here" if is_present(target) is None else "    "
        mark = _console.paint(mark, "32")
        asked = "" if target.competes else " (only when named)"
        _console.result(f"{target.name:<{width}}  {mark}  {_console.escape(target.title)}{asked}")


def _text(target: Target) -> str:
    from edgewright.targets.detect import is_present, stands_in

    absent = is_present(target)
    rows = [
        ("title", target.title),
        ("on this machine", absent or "yes" + (f"; {stand_in}" if (stand_in := stands_in(target)) else "")),
        ("like", target.resembles or ""),
        ("processor", " ".join([target.arch, *sorted(target.isa)])),
        ("device", target.device),
        ("packages", ", or ".join(target.flavours)),
        ("takes part", "" if target.competes else f"only when it is named: {target.name}"),
        ("precisions", ", ".join(_precision(target, word) for word in target.precisions)),
        ("opset", f"{target.opset[0]} to {target.opset[1]}"),
        ("threads", str(target.threads)),
        ("memory", "" if target.memory_bytes is None else f"{target.memory_bytes / 2**30:.1f} GiB"),
        ("channels in", f"multiples of {target.channel_multiple}" if target.channel_multiple > 1 else ""),
        ("fused operators", ", ".join(sorted(target.fused_ops))),
        *([] if target.int8 is None else _rule("int8", target.int8)),
        *([] if target.fp8 is None else _rule("fp8", target.fp8)),
        *((f"limit of {item.precision}", f"{item.text} ({item.source})") for item in target.limits),
        *(("source", f"{name}: {text}") for name, text in sorted(target.sources.items())),
    ]
    shown = [f"  {_console.escape(name):<15} {_wrapped(text)}" for name, text in rows if text]
    return "\n".join([_console.paint(_console.escape(target.name), "1"), *shown])


def _precision(target: Target, word: str) -> str:
    return f"{word} (on request)" if word in target.hinted_precisions else word


def _rule(word: str, rule: QuantRule) -> list[tuple[str, str]]:
    signs = {True: "symmetric", False: "asymmetric"}
    weights = f"{rule.weight} {signs[rule.weight_symmetric]} weights"
    seven = ", 7 bits of them used" if rule.reduce_range else ""
    bias = ", biases in float" if rule.bias == "float" else ""
    saturates = "; sums saturate at 16 bits" if rule.saturates_int16 else ""
    meaning = f"{rule.activation} {signs[rule.activation_symmetric]} activations, {weights}{seven}{bias}{saturates}"
    return [(word, meaning), ("source", f"{word}: {rule.source}"), *(_scheme(item) for item in rule.schemes)]


def _scheme(scheme: QuantScheme) -> tuple[str, str]:
    residual = " (of a residual one the other branch)" if scheme.residual_adds else ""
    kinds = ", ".join(sorted(scheme.op_kinds)).replace("Add", f"Add{residual}")
    return "scheme", f"{scheme.name}: {scheme.kind}, {kinds}; the rest in {scheme.float_rest}"


def _wrapped(text: str) -> str:
    import textwrap

    safe = _console.escape_lines(text.replace("\n", " "))
    return f"\n{_INDENT}".join(textwrap.wrap(safe, 100, break_long_words=False, break_on_hyphens=False))
