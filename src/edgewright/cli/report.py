"""``edgewright report``: bundles and their records as one offline page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console, _outputs
from edgewright.core.errors import CannotWriteError, ExitCode, UsageError

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
    """Writes the files, and names each that is written; nothing is where not everything can be drawn."""
    from edgewright.core.files import write_atomically

    _check(args)
    for path in (args.out, args.markdown):
        _outputs.require_writable(path)
    data = _data(args)
    _require_apart(args, data)
    files, document = _files(args, data), _document(data) if args.json else ""
    for note in data.notes:
        _console.warn(_console.escape_lines(note))
    if args.plots is not None:
        _make_folder(args.plots)
    for path, content in files.items():
        write_atomically(path, content)
        if not args.json:
            _console.result(_console.escape(str(path)))
    if args.json:
        _console.result(document)
    return ExitCode.OK


def _check(args: argparse.Namespace) -> None:
    """Refuses what would come to nothing, before anything is read."""
    if args.out is None and args.markdown is None and args.plots is None and not args.json:
        raise UsageError("nothing to write", "Give -o report.html, --markdown FILE, --plots DIR or --json.")
    if args.format is not None and args.plots is None:
        raise UsageError("--format is for --plots, which is not given", "Give --plots DIR too.")
    if args.metric is not None and args.history is None:
        raise UsageError("--metric is for --history, which is not given", "Give --history PATH too.")


def _data(args: argparse.Namespace) -> ReportData:
    from dataclasses import replace

    from edgewright.benchmarks.report.gather import gather
    from edgewright.benchmarks.report.past import read_history

    data = gather(args.sources)
    if args.history is None:
        return data
    histories, left_out = read_history(args.history, args.metric or "p50")
    return replace(data, histories=histories, notes=(*data.notes, *left_out))


def _require_apart(args: argparse.Namespace, data: ReportData) -> None:
    """Refuses to write over what was read, or to where a bundle that was read has its records."""
    from edgewright.benchmarks.record import record_path
    from edgewright.core.files import require_apart

    beside = (record_path(path) for path in data.read if path.suffix != ".json")
    outputs = {"-o": args.out, "--markdown": args.markdown, "--plots": args.plots}
    require_apart(outputs, (*data.read, *beside, args.history))


def _files(args: argparse.Namespace, data: ReportData) -> dict[Path, bytes]:
    """What is to be written and where."""
    from edgewright.benchmarks.report.files import plot_files
    from edgewright.benchmarks.report.html import render_report
    from edgewright.benchmarks.report.markdown import render_markdown
    from edgewright.benchmarks.report.page import page_of

    page = page_of(data)
    found: dict[Path, bytes] = {}
    if args.out is not None:
        found[args.out] = render_report(data).encode("utf-8")
    if args.markdown is not None:
        found[args.markdown] = render_markdown(page).encode("utf-8")
    if args.plots is not None:
        found |= {args.plots / name: content for name, content in plot_files(page, args.format or "svg").items()}
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"cannot make {folder}: {error.strerror}", "Choose another folder.") from error


def _document(data: ReportData) -> str:
    from edgewright.benchmarks.report.summary import summary_of
    from edgewright.core.jsontext import canonical

    return canonical(summary_of(data)).decode().rstrip("\n")
