"""``edgewright doctor``: what is installed, what is missing and how to get it, what here disturbs measurement."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata

from edgewright.cli import _console
from edgewright.core.errors import ExitCode

SUMMARY = "say what is installed, what is missing, and what on this machine disturbs measurement"
_REQUIREMENT = re.compile(r"""([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?[^;]*(?:;.*extra\s*==\s*['"]([\w-]+)['"])?""")
_NOT_FOR_USERS = frozenset({"dev", "all"})
_FEW_CORES = 4
_STOLEN_WORTH_A_WORD = 0.01
_PURPOSES: Mapping[str, str] = {
    "": "run, verify and bench bundles",
    "compile": "compile ONNX models",
    "torch": "compile PyTorch models",
    "openvino": "build and run OpenVINO engines",
    "tensorrt-rtx": "build TensorRT-RTX engines on any machine, run them on a GeForce RTX or RTX PRO card",
    "images": "read folders of images",
    "metrics": "metrics beyond top-1, errors and agreement",
}


@dataclass(frozen=True)
class Item:
    """One thing that was looked at. ``state`` is ``ok``, ``missing``, ``old`` or ``note``; ``remedy`` a command."""

    area: str
    """``packages``, ``backends``, ``nvidia`` or ``machine``."""
    name: str
    state: str
    text: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints one line for each thing; exit 0 whatever is missing."""
    import edgewright

    items = [*_packages(), *_backends(), *_nvidia(), *_machine()]
    if args.json:
        report = {
            "schema": "edgewright.doctor/1",
            "version": edgewright.__version__,
            "items": [asdict(i) for i in items],
        }
        _console.result(json.dumps(report, sort_keys=True))
        return ExitCode.OK
    _console.result(f"edgewright {edgewright.__version__}, Python {sys.version.split()[0]}")
    colours = {"ok": "32", "missing": "33", "old": "33", "note": "33"}
    for area in dict.fromkeys(item.area for item in items):
        _console.result(f"\n{_console.paint(area, '1')}")
        for item in (item for item in items if item.area == area):
            state = _console.paint(f"{item.state:<8}", colours[item.state])
            _console.result(f"  {state} {item.name:<14} {_console.escape_lines(item.text)}")
            if item.remedy:
                _console.result(f"{'':<26}{_console.escape_lines(item.remedy)}")
    return ExitCode.OK


def _packages() -> list[Item]:
    """One item an extra: what it is for, and the versions found."""
    by_extra: dict[str, list[tuple[str, str]]] = {}
    for line in metadata.requires("edgewright") or ():
        if found := _REQUIREMENT.match(line):
            by_extra.setdefault(found[3] or "", []).append((found[1], found[2] or ""))
    items = []
    for extra in sorted(set(by_extra) - _NOT_FOR_USERS):
        wanted = [one for one in by_extra[extra] if one[0] != "edgewright"]
        have = {name: _version(name) for name, _ in wanted}
        missing = [name for name, version in have.items() if version is None]
        old = [f"{name} >= {least}" for name, least in wanted if _older(have[name], least)]
        shown = ", ".join(f"{name} {version}" for name, version in have.items() if version is not None)
        lacks = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"needs {', '.join(old)}"] * bool(old)
        text = "; ".join([_PURPOSES.get(extra, extra), *([shown] if shown else []), *lacks])
        state = "missing" if missing else "old" if old else "ok"
        command = f"pip install --upgrade 'edgewright{f'[{extra}]' if extra else ''}'"
        items.append(Item("packages", extra or "edgewright", state, text, "" if state == "ok" else command))
    return items


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _older(version: str | None, least: str) -> bool:
    """Compares the leading numbers: enough for the ``>=`` bounds of our own requirements."""
    if version is None or not least:
        return False
    numbers = [[int(part) for part in re.findall(r"\d+", text)] for text in (version.partition("+")[0], least)]
    return numbers[0] < numbers[1]


def _backends() -> list[Item]:
    from edgewright.backends import registry
    from edgewright.targets.load import described_targets, hardware_names

    backends = registry()
    items = [_backend(name) for name in backends.names()]
    runtimes = {target.runtime for hardware in hardware_names() for target in described_targets(hardware)}
    unbuilt = sorted(runtimes - set(backends.names()))
    text = "its targets are described; this version has no backend for it"
    return [*items, *(Item("backends", name, "missing", text) for name in unbuilt)]


def _backend(name: str) -> Item:
    """Whether an engine is installed, and whether it can build for this machine where it serves it."""
    from edgewright.backends import registry
    from edgewright.core.errors import EdgewrightError
    from edgewright.targets.load import load_targets

    backend = registry().find(name)()
    found = backend.probe()
    if not found.present:
        return Item("backends", name, "missing", found.reason, found.remedy)
    devices = f" on {', '.join(found.devices)}" if found.devices else ""
    try:
        here = backend.available_for(load_targets(f"native/{name}")[0])
    except EdgewrightError:  # native is served by other runtimes
        here = found
    if here.present:
        return Item("backends", name, "ok", f"{found.version}{devices}")
    return Item("backends", name, "missing", f"{found.version}, but {here.reason}", here.remedy)


def _nvidia() -> list[Item]:
    """The driver, the GPUs and what targets they are, and every package that serves them."""
    from edgewright.backends.tensorrt import flavours
    from edgewright.targets.cuda import sm

    items = _gpus()
    for flavour in flavours():
        if flavour.version is None:
            items.append(Item("nvidia", flavour.name, "missing", flavour.reason, flavour.remedy))
            continue
        alone = ", ".join(sm(capability) for capability in flavour.builds_for)
        text = f"{flavour.version}; builds {f'without a GPU for {alone}' if alone else 'for the GPU in the machine'}"
        items.append(Item("nvidia", flavour.name, "ok", text))
    return [*items, _cuda_provider(), _cuda_torch()]


def _gpus() -> list[Item]:
    from edgewright.targets.cuda import this_cuda
    from edgewright.targets.load import described_targets, hardware_names

    cuda = this_cuda()
    if cuda.version is None:
        return [Item("nvidia", "driver", "note", f"{cuda.reason}: engines for NVIDIA GPUs are finished on the device")]
    driver = f"serves CUDA {cuda.version[0]}.{cuda.version[1]}"
    items = [Item("nvidia", "driver", "ok" if cuda.devices else "note", f"{driver}; {cuda.reason}".rstrip("; "))]
    for device in cuda.devices:
        same = [
            name
            for name in hardware_names()
            if described_targets(name)[0].compute_capability == device.compute_capability
        ]
        target = f"--target {' or '.join(same)}" if same else "no target describes it"
        text = f"{device.name}, {device.sm}, {device.memory_bytes / 2**30:.1f} GiB: {target}"
        items.append(Item("nvidia", f"GPU {device.index}", "ok" if same else "note", text))
    return items


def _cuda_provider() -> Item:
    """ONNX Runtime's CUDA provider comes in a package of its own, which stands in the place of the other."""
    from edgewright.backends import registry

    found = registry().find("onnxruntime")().probe()
    if any("CUDA" in device for device in found.devices):
        return Item("nvidia", "onnxruntime", "ok", f"{found.version} with the CUDA provider")
    text = f"{found.version} has no CUDA provider" if found.present else found.reason
    return Item("nvidia", "onnxruntime", "missing", text, "pip uninstall onnxruntime; pip install onnxruntime-gpu")


def _cuda_torch() -> Item:
    """PyTorch for a GPU, which the aotinductor runtime takes."""
    from edgewright.backends import registry
    from edgewright.targets.cuda import this_cuda

    version = _version("torch")
    install = "pip install 'edgewright[torch]'"
    if version is None:
        return Item("nvidia", "torch", "missing", "torch is not installed", install)
    if "CUDA" in registry().find("aotinductor")().probe().devices:
        return Item("nvidia", "torch", "ok", f"{version} with CUDA")
    if version.endswith("+cpu"):
        again = f"pip uninstall torch; {install} (PyPI's torch for Linux has CUDA)"
        return Item("nvidia", "torch", "missing", f"{version} is built without CUDA", again)
    if reason := this_cuda().reason:
        return Item("nvidia", "torch", "note", f"{version}; {reason}")
    return Item("nvidia", "torch", "missing", f"{version} does not reach the GPU here", install)


def _machine() -> list[Item]:
    """What the machine is, and each thing that makes its figures shaky."""
    import shutil
    import tempfile

    from edgewright.benchmarks.harness.machine import disturbances, pressure, this_machine
    from edgewright.core.errors import EdgewrightError
    from edgewright.targets.load import load_targets

    machine = this_machine()
    memory = "" if machine.memory_bytes is None else f", {machine.memory_bytes / 2**30:.1f} GiB"
    items = [Item("machine", "processor", "ok", f"{machine.cpu}, {machine.cores} cores{memory}, {machine.os}")]
    try:
        native = load_targets("native")[0]
        items.append(Item("machine", "target", "ok", f"native is like {native.resembles}"))
    except EdgewrightError as error:
        items.append(Item("machine", "target", "note", error.problem, error.remedy))
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / 2**30
    items.append(Item("machine", "scratch space", "ok" if free > 2 else "note", f"{free:.1f} GiB free in {folder}"))
    shaky = disturbances(machine, machine.cores)
    if machine.cores < _FEW_CORES:
        shaky.append(f"only {machine.cores} cores: whatever else runs takes one of those that are measured")
    now = pressure()
    stolen = now.stolen_ticks / max(now.all_ticks, 1)
    if stolen > _STOLEN_WORTH_A_WORD:
        shaky.append(f"{stolen:.1%} of the processor's time since it started went to other guests")
    if now.throttled:
        shaky.append(f"the processor was throttled {now.throttled} times since it started")
    items += [Item("machine", "measurement", "note", line) for line in shaky]
    if not shaky:
        items.append(Item("machine", "measurement", "ok", "nothing found that disturbs it"))
    return items
