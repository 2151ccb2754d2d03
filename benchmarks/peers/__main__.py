"""`python benchmarks/peers VERB ...`: Edgewright beside what users would otherwise take, on the cases.

    run [CASE...] [--cases DIR] [--work DIR] [--record FILE] [--venv DIR] [--untimed]
        [--again times|ours|all]
        makes the peers' environment, builds the cases, makes, scores and times every route; goes on where it stopped
    list
        the routes, and the cases that `run` takes without a name
    table [--record FILE] [--short] [--write]
        what the record says, as Markdown; with --write, into README.md and docs/peers.md where their markers are

Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD = ROOT / "benchmarks" / "results" / "peers.json"
CASES = (
    *("fashion-classifier", "fashion-detector", "efficientnet-lite0", "resnet18", "minilm", "pp-ocr-rec"),
    *("crepe-tiny", "magika", "blazeface", "mnist-opset8", "digits"),
)


def main() -> int:
    """Exit code 0; 1 where ours misses a limit, is `regressed` or slower than float; 2 for an unknown name."""
    args = parser().parse_args()
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE] + [str(HERE)]
    from routes import ROUTES

    if args.verb == "list":
        print("\n".join(f"{route.name:20} {route.title}: {route.what}" for route in ROUTES))
        print(f"cases: {', '.join(CASES)}")
        return 0
    import table

    if args.verb == "table":
        record = table.read(args.record)
        print("\n".join(table.short_lines(record) if args.short else table.full_lines(record)))
        if args.write:
            changed = table.fill(record, (ROOT / "README.md", ROOT / "docs" / "peers.md"))
            print(f"changed: {', '.join(path.name for path in changed) or 'nothing'}", file=sys.stderr)
        return 0
    from engines import load_cases

    load_cases()
    unknown = [name for name in args.names if name not in _known()]
    if unknown:
        print(f"no {', '.join(unknown)}; there are: {', '.join(_known())}", file=sys.stderr)
        return 2
    code = _run(args)
    print("\n".join(table.short_lines(table.read(args.record))))
    return code


def _run(args: argparse.Namespace) -> int:
    import running
    from timed_run import Effort

    from edgewright.benchmarks.gate.latency import LOOKS, Look

    looks = LOOKS if args.pairs is None else (Look(args.pairs, LOOKS[-1].alpha),)
    again = frozenset(args.again)
    efforts = (Effort(seconds, 10, seconds, 64) for seconds in (args.round_seconds, args.pair_seconds))
    where = (args.cases, args.work, args.record, args.venv)
    return running.run(
        args.names or CASES,
        running.Setting(*where, args.threads, args.rounds, looks, *efforts, not args.untimed, again),
    )


def _known() -> list[str]:
    from edgewright_cases.console import case_files

    return [module.NAME for module in case_files()]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python benchmarks/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    run, shown = verbs.add_parser("run"), verbs.add_parser("table")
    verbs.add_parser("list")
    run.add_argument("names", nargs="*", metavar="CASE")
    run.add_argument("--cases", type=Path, default=Path(tempfile.gettempdir()) / "edgewright-cases")
    run.add_argument("--work", type=Path, default=ROOT / "out" / "peers", help="folder that keeps all artifacts")
    run.add_argument("--venv", type=Path, default=ROOT / ".venv-peers", help="the peers' environment")
    run.add_argument("--threads", type=int, default=2)
    run.add_argument("--rounds", type=int, default=6, help="runs of every artifact; below 6 there is no interval")
    run.add_argument("--pairs", type=int, help="one look after so many, to try it out: it can pass nothing")
    run.add_argument("--round-seconds", type=float, default=0.5, help="least warm-up, and least time, of a round's run")
    run.add_argument("--pair-seconds", type=float, default=1.0, help="the same of a pair's run")
    run.add_argument(
        "--untimed", action="store_true", help="make and score all there is; the same call without it times"
    )
    run.add_argument("--again", action="append", default=[], choices=("times", "ours", "all"))
    shown.add_argument("--short", action="store_true", help="few columns, for the front page")
    shown.add_argument("--write", action="store_true", help="fill the pages' marked blocks")
    for verb in (run, shown):
        verb.add_argument("--record", type=Path, default=RECORD)
    return made


if __name__ == "__main__":
    sys.exit(main())
