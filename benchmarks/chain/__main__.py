"""`python benchmarks/chain VERB ...`: what pruning, recovery and training for int8 come to, as one verified chain.

    run NAME... [--cases DIR] [--record FILE] [--bundles DIR] [--preset quick]
        builds the case where it is absent, compiles it for both runtimes by its recipe of recipes/, compiles the
        original in float32, measures the two in interleaved pairs, and scores both on the whole evaluation set
    kill [--cases DIR] [--record FILE]
        stops a recovery with SIGKILL, runs it again, and compares the bundle with that of a run nobody stopped
    list
        the names for `run`, and what each is held to
    table [--record FILE] [--short]
        what the record says, as Markdown

Rows are written to the record one by one, so that a stopped study is not lost. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "results" / "chain.json"


def main() -> int:
    """Exit code 0 where every row asked for clears its bar, 1 where one does not, 2 for an unknown name."""
    args = parser().parse_args()
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE] + [str(HERE)]
    import plans

    if args.verb == "list":
        print("\n".join(f"{name:28} {plan.note}" for name, plan in plans.PLANS.items()))
        return 0
    if args.verb == "table":
        import table

        print("\n".join(table.short_lines(args.record) if args.short else table.lines(args.record)))
        return 0
    load_cases()
    if args.verb == "kill":
        import killing

        return killing.run(args.cases, args.record)
    import running

    unknown = [name for name in args.names if name not in plans.PLANS]
    if unknown:
        print(f"no {', '.join(unknown)}; there are: {', '.join(plans.PLANS)}", file=sys.stderr)
        return 2
    return running.run(args.names, args.cases, args.record, args.bundles, args.preset)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = made.add_subparsers(dest="verb", required=True)
    run, kill = verbs.add_parser("run"), verbs.add_parser("kill")
    run.add_argument("names", nargs="+", metavar="NAME")
    run.add_argument("--bundles", type=Path, help="folder to leave the bundles in")
    run.add_argument("--preset", default="quick", help="how much is measured, as `edgewright bench` has it")
    for verb in (run, kill):
        verb.add_argument("--cases", type=Path, default=Path(tempfile.gettempdir()) / "edgewright-cases")
    verbs.add_parser("list")
    shown = verbs.add_parser("table")
    shown.add_argument("--short", action="store_true", help="few columns, for the front page")
    for verb in (run, kill, shown):
        verb.add_argument("--record", type=Path, default=RECORD)
    return made


def load_cases() -> None:
    """Makes `edgewright_cases` importable, which is a folder run by path like this one."""
    path = HERE.parent / "cases" / "__main__.py"
    spec = importlib.util.spec_from_file_location("edgewright_cases_main", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load_cases()


if __name__ == "__main__":
    sys.exit(main())
