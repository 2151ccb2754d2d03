"""``edgewright cache``: what is kept of earlier compiles, whether it is whole, and how to be rid of it."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._arguments import parsed
from edgewright.core.errors import ExitCode, UnavailableError, UsageError
from edgewright.core.units import show_bytes

if TYPE_CHECKING:
    from edgewright.core.cache import Kept, Store

SUMMARY = "list what is kept of earlier compiles, clear it, or verify it"
_SHORT = 12
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares list, clear and verify; without one, list."""
    parser.set_defaults(action="list", kind=None, older_than=None)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="kind, size, age, last use and key of every entry (the default)")
    clear = actions.add_parser("clear", help="delete entries: all, or those that the options say")
    verify = actions.add_parser("verify", help="read every entry whole, and drop those that are broken")
    for name, child in (("list", listing), ("clear", clear), ("verify", verify)):
        # SUPPRESS: what was given before the action's name holds where it is not given again behind it.
        child.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document")
        child.set_defaults(action=name)
        if name != "verify":
            child.add_argument("--kind", help="only entries of this kind, such as compile")
    clear.add_argument(
        "--older-than",
        type=parsed(parse_age),
        metavar="30d",
        help="only what was last used longer ago (s, min, h, d, w)",
    )


def parse_age(text: str) -> float:
    """A span of time in seconds.

    >>> parse_age("30d"), parse_age("90min")
    (2592000.0, 5400.0)

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]+)\s*", text.lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"'{text:.50}' is not a time such as 30d, 12h or 90min")
    return float(match[1]) * _SECONDS[match[2]]


def run(args: argparse.Namespace) -> ExitCode:
    """Does what the action says."""
    from edgewright.core.cache import NoCache, open_store

    store = open_store()
    if isinstance(store, NoCache):
        raise UnavailableError(
            f"there is no cache: {store.reason}", "Set EDGEWRIGHT_CACHE_DIR to a folder that you alone may write to."
        )
    if args.action == "verify":
        return _verify(store, as_json=args.json)
    if args.action == "clear":
        return _clear(store, args)
    return _list(store, args)


def _list(store: Store, args: argparse.Namespace) -> ExitCode:
    everything = store.entries()
    chosen = [one for one in everything if args.kind in (None, one.kind)]
    _require_kind(args.kind, everything)
    total = sum(one.size for one in everything)
    if args.json:
        found: dict[str, object] = {"folder": str(store.folder), "entries": [_plain(one) for one in chosen]}
        _print(found, total, store)
        return ExitCode.OK
    now = time.time()
    if chosen:
        rows = [("kind", "size", "age", "last use", "key"), *(_row(one, now) for one in chosen)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            _console.result("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    count = f"{len(everything)} {'entry' if len(everything) == 1 else 'entries'}"
    _console.result(f"{count}, {show_bytes(total)} of {show_bytes(store.limit_bytes)}, in {store.folder}")
    return ExitCode.OK


def _clear(store: Store, args: argparse.Namespace) -> ExitCode:
    _require_kind(args.kind, store.entries())
    before = None if args.older_than is None else time.time() - args.older_than
    gone = store.clear(args.kind, before)
    size, left = sum(one.size for one in gone), store.entries()
    if args.json:
        total = sum(one.size for one in left)
        _print({"deleted": [_plain(one) for one in gone], "deleted_bytes": size}, total, store)
    else:
        _console.result(f"deleted {len(gone)}, {show_bytes(size)}; {len(left)} left")
    return ExitCode.OK


def _verify(store: Store, *, as_json: bool) -> ExitCode:
    found = list(store.verify())
    broken = [one for one in found if one.problem]
    if as_json:
        rows = [{**_plain(one.kept), "problem": one.problem or None} for one in found]
        _print({"entries": rows, "broken": len(broken)}, sum(one.kept.size for one in found if not one.problem), store)
    else:
        for one in broken:
            name = f"{one.kept.kind} {one.kept.digest[:_SHORT]}"
            _console.result(f"broken  {_console.escape(name)}: {_console.escape_lines(one.problem)}; dropped")
        _console.result(f"{len(found) - len(broken)} of {len(found)} are whole")
    return ExitCode.BAD_INPUT if broken else ExitCode.OK


def _require_kind(kind: str | None, entries: Sequence[Kept]) -> None:
    kinds = sorted({one.kind for one in entries})
    if kind is not None and kinds and kind not in kinds:
        raise UsageError(f"nothing of the kind '{kind}' is kept", f"There is: {', '.join(kinds)}.")


def _print(found: dict[str, object], total: int, store: Store) -> None:
    document = {"schema": "edgewright.cache/1", **found, "total_bytes": total, "limit_bytes": store.limit_bytes}
    _console.result(json.dumps(document, indent=2, sort_keys=True))


def _plain(one: Kept) -> dict[str, object]:
    used = datetime.fromtimestamp(one.used, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    created = None if one.header is None else one.header.created
    return {"kind": one.kind, "key": one.digest, "size_bytes": one.size, "created": created, "last_use": used}


def _row(one: Kept, now: float) -> tuple[str, ...]:
    age = "broken"
    if one.header is not None:
        age = _span(now - datetime.fromisoformat(one.header.created).timestamp())
    return (_console.escape(one.kind), show_bytes(one.size), age, _span(now - one.used), one.digest[:_SHORT])


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
