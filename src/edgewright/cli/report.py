"""``edgewright report``: bundles and their records as one offline page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from edgewright.benchmarks.report.data import ReportData

SUMMARY = "write bundles and their records as one offline HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what goes in and the files that come out."""
    parser.add_argument(
        "sources", metavar="BUNDLE|RECORD|FOLDER", type=Path, nargs="+",
        help="bundles (their records are found beside them), files of records, gate --json, folders",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="the page, such as report.html")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the same tables as Markdown")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write every plot as a file of its own")
    parser.add_argument("--format", choices=("svg", "png"), help="of --plots (default: svg)")
    parser.add_argument("--history", type=Path, metavar="PATH", help="show one metric over commits, too")
    parser.add_argument("--metric", metavar="NAME", help="of --history (default: p50)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Writes the files, and names them."""
    from edgewright.benchmarks.report.files import write_plots
    from edgewright.benchmarks.report.html import render_report
    from edgewright.benchmarks.report.markdown import render_markdown
    from edgewright.benchmarks.report.page import page_of
    from edgewright.core.files import write_atomically

    _check(args)
    data = _data(args)
    page = page_of(data)
    written: list[Path] = []
    if args.out is not None:
        write_atomically(args.out, render_report(data).encode("utf-8"))
        written.append(args.out)
    if args.markdown is not None:
        write_atomically(args.markdown, render_markdown(page).encode("utf-8"))
        written.append(args.markdown)
    if args.plots is not None:
        written += write_plots(page, args.plots, args.format or "svg")
    for note in data.notes:
        _console.warn(_console.escape_lines(note))
    if args.json:
        _console.result(_document(data))
    else:
        for path in written:
            _console.result(_console.escape(str(path)))
    return ExitCode.OK


def _check(args: argparse.Namespace) -> None:
    """Refuses what would come to nothing, or write over what goes in, before anything is read."""
    if args.out is None and args.markdown is None and args.plots is None and not args.json:
        raise UsageError("nothing to write", "Give -o report.html, --markdown FILE, --plots DIR or --json.")
    if args.format is not None and args.plots is None:
        raise UsageError("--format is for --plots, which is not given", "Give --plots DIR too.")
    if args.metric is not None and args.history is None:
        raise UsageError("--metric is for --history, which is not given", "Give --history PATH too.")
    outputs = [path.resolve() for path in (args.out, args.markdown) if path is not None]
    if len(set(outputs)) < len(outputs):
        raise UsageError(f"{args.out} is to be both the page and its Markdown", "Give them two names.")
    sources = {path.resolve() for path in args.sources}
    for path in outputs:
        if path in sources:
            raise UsageError(f"{path.name} goes in and would be written over", "Give -o another name.")


def _data(args: argparse.Namespace) -> ReportData:
    from dataclasses import replace

    from edgewright.benchmarks.report.gather import gather
    from edgewright.benchmarks.report.past import read_history

    data = gather(args.sources)
    if args.history is None:
        return data
    histories, left_out = read_history(args.history, args.metric or "p50")
    return replace(data, histories=histories, notes=(*data.notes, *left_out))


def _document(data: ReportData) -> str:
    from edgewright.benchmarks.report.summary import summary_of
    from edgewright.core.jsontext import canonical

    return canonical(summary_of(data)).decode().rstrip("\n")
