"""The three verbs of the cases: list, build, check."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from .case import Case, CaseUnavailable
from .scoring import onnxruntime_runner, score


class CaseFile(Protocol):
    """What a case's module offers."""

    NAME: str

    def build(self, folder: Path) -> Case: ...


def case_files() -> Iterator[CaseFile]:
    """Every module of this folder that has a NAME and a build, in order of file name."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        module = importlib.import_module(f".{path.stem}", __package__)
        if hasattr(module, "NAME") and hasattr(module, "build"):
            yield cast(CaseFile, module)


def find_case(name: str) -> CaseFile:
    known = {module.NAME: module for module in case_files()}
    if name not in known:
        raise KeyError(f"no case named {name}; there are: {', '.join(known)}")
    return known[name]


def check(case: Case) -> str:
    """One line with the float figure of the case, measured now, or with why onnxruntime cannot open it."""
    try:
        run, ranks = onnxruntime_runner(case.model)
    except Exception as refusal:  # noqa: BLE001  onnxruntime's errors share no base; custom-op is meant to end here
        reason = str(refusal).splitlines()[0].replace(str(case.model), case.model.name)
        return f"{case.name}: onnxruntime refuses it: {reason}"
    begun = time.perf_counter()
    value = score(case, run, ranks, run)
    spent = time.perf_counter() - begun
    metric = Path(case.metric).name
    return f"{case.name}: float {metric} {value:.4f}, may lose {case.max_drop:g}, evaluated in {spent:.1f} s"


def main(argv: list[str]) -> int:
    """Exit code 0, 2 for an unknown name, 77 where a case cannot be had on this machine."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/cases", description="Real models, data and metrics to develop with."
    )
    parser.add_argument("verb", choices=("list", "build", "check"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="case names, or `all`")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(tempfile.gettempdir()) / "edgewright-cases",
        help="parent of the cases' folders",
    )
    options = parser.parse_args(argv)
    if options.verb == "list":
        for module in case_files():
            print(f"{module.NAME:20} {(sys.modules[cast(type, module).__name__].__doc__ or '').splitlines()[0]}")
        return 0
    names = [module.NAME for module in case_files()] if options.names in ([], ["all"]) else options.names
    code = 0
    for name in names:
        try:
            case = find_case(name).build(options.into / name)
        except CaseUnavailable as absent:
            print(f"{name}: unavailable: {absent}", file=sys.stderr)
            code = 77
        except KeyError as unknown:
            print(unknown.args[0], file=sys.stderr)
            return 2
        else:
            print(check(case) if options.verb == "check" else case.folder)
    return code
