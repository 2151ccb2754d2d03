"""The verbs of the cases: list, build, check, prove, table, engines."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from . import engines, proving
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
    """Exit code 0, 1 where a case was not proven, 2 for an unknown name, 77 where one cannot be had on this machine."""
    options = parser().parse_args(argv)
    if options.verb == "list":
        for module in case_files():
            print(f"{module.NAME:20} {(sys.modules[cast(type, module).__name__].__doc__ or '').splitlines()[0]}")
        return 0
    if options.verb == "table":
        print(proving.table(json.loads(options.record.read_text(encoding="utf-8"))))
        return 0
    names = [module.NAME for module in case_files()] if options.names in ([], ["all"]) else options.names
    built: list[tuple[Case, CaseFile]] = []
    code = 0
    for name in names:
        try:
            module = find_case(name)
            case = module.build(options.into / name)
        except CaseUnavailable as absent:
            print(f"{name}: unavailable: {absent}", file=sys.stderr)
            code = 77
        except KeyError as unknown:
            print(unknown.args[0], file=sys.stderr)
            return 2
        else:
            built.append((case, module))
            if options.verb not in ("prove", "engines"):
                print(check(case) if options.verb == "check" else case.folder)
    if options.verb == "engines":
        return build_engines([case for case, _ in built], options) or code
    return prove(built, options) or code if options.verb == "prove" else code


def build_engines(cases: list[Case], options: argparse.Namespace) -> int:
    """Build for GPUs that are not here, print the record's table; 0 when each is built and holds or is refused."""
    record = engines.build_all(cases, engines.PRECISIONS, options.engines)
    print(engines.table(record))
    rows = [rows for case in cases for rows in record["cases"][case.name].values()]
    return 0 if all(map(engines.as_meant, rows)) else 1


def prove(built: list[tuple[Case, CaseFile]], options: argparse.Namespace) -> int:
    """Prove all, print the record's table; 0 when every case asked for is as it should be, else 1."""
    cases = [(case, getattr(module, "REFUSALS", {})) for case, module in built]
    record = proving.prove_all(cases, options.precision, options.record, options.bundles)
    print(proving.table(record))
    return 0 if all(proving.as_meant(record["cases"][case.name]) for case, _ in cases) else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python benchmarks/cases", description="Real models, data and metrics to develop with."
    )
    made.add_argument("verb", choices=("list", "build", "check", "prove", "table", "engines"))
    made.add_argument("names", nargs="*", metavar="NAME", help="case names, or `all`")
    made.add_argument(
        "--into",
        type=Path,
        default=Path(tempfile.gettempdir()) / "edgewright-cases",
        help="parent of the cases' folders",
    )
    made.add_argument("--precision", choices=("int8", "auto"), default="int8", help="what prove asks for")
    made.add_argument("--record", type=Path, default=proving.RECORD, help="what prove completes and table prints")
    made.add_argument("--engines", type=Path, default=engines.RECORD, help="the record that engines completes")
    made.add_argument("--bundles", type=Path, help="folder that prove leaves the bundles in")
    return made
