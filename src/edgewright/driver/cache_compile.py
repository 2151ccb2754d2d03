"""A compile whose every input is as it was: its bundles come from the cache, and say so.

What was measured then is written into the record beside the bundle again, marked with ``from_cache``; it is never shown
as measured now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from edgewright.benchmarks.record import append_to, begin_document, read_document
from edgewright.core.bundle.manifest import Accuracy
from edgewright.core.cache import Flights, Hit, Key, NoCache, Part, Parts, Store, cache_folder, open_store
from edgewright.core.errors import EdgewrightError, ExitCode
from edgewright.core.files import replacing
from edgewright.core.files_opened import listening
from edgewright.driver.cache_flight import flight_key, take_or_own
from edgewright.driver.cache_inputs import Unknowable, compile_parts, group_parts, keep_beside
from edgewright.driver.cache_steps import explained
from edgewright.driver.depfile import Depfile
from edgewright.driver.outputs import Group, output_groups, record_of
from edgewright.driver.report import CompileReport, TargetReport
from edgewright.driver.request import CompileRequest

KIND = "compile"
_BUNDLE = "bundle"
_MEASURED = ("records", "training", "searches")
"""The lists in a file of records that a compile adds to."""
_PLAIN = ("target", "digest", "precision", "candidate", "size_bytes", "original_bytes", "recipe_digest", "plan_digest")


def compile_cached(request: CompileRequest) -> CompileReport:
    """As :func:`edgewright.driver.compile.compile_model`, with what the user's cache has of it taken from there.

    Raises:
        EdgewrightError: as there.
    """
    with contextlib.nullcontext(set[str]()) if request.depfile is None else listening() as opened:
        groups = output_groups(request)
        cache = open_compiles(request, groups)
        place = cache_folder()
        ignored = [place] if isinstance(place, Path) else []
        depfile = Depfile(request, [group.out for group in groups], opened, ignored)
        with contextlib.nullcontext() if cache is None else cache.flights:
            if cache is not None:
                depfile.write()  # every input was read to be looked up, and what is found is written at once
                cache.look()
                take_or_own(cache, depfile)
            if cache is not None and not cache.missing:
                report = CompileReport(cache.model, tuple(cache.given[group.name] for group in groups), cache.notes)
            else:
                from edgewright.driver.compile import compile_model  # slow to import, and all that a hit has no need of

                report = compile_model(request, cache, depfile)
        if request.record is not None:
            begin_document(request.record)  # a build counts on a file that it names, even where nothing was timed
        _write_sbom(report, request)
        return report


def _write_sbom(report: CompileReport, request: CompileRequest) -> None:
    """The bill of materials of what is at ``-o``; what missed a limit is not there, and has none."""
    if request.sbom is None:
        return
    from edgewright.driver.sbom import write_sbom

    (one,) = report.targets
    if one.bundle != request.out:
        request.log(f"{request.sbom} is not written: {request.out} is not there")
        return
    write_sbom(request.out, request.sbom, made_here=True)


@dataclass
class Compiles:
    """What is kept of one request's targets, and what will be."""

    store: Store
    request: CompileRequest
    groups: Sequence[Group]
    parts: Mapping[str, Part]
    given: dict[str, TargetReport] = field(default_factory=dict)
    """The targets whose bundles came from the cache and are written already."""
    model: str = ""
    notes: tuple[str, ...] = ()
    _before: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flights = Flights(self.store)

    @property
    def missing(self) -> list[Group]:
        """The targets whose bundles did not come from the cache."""
        return [group for group in self.groups if group.name not in self.given]

    def look(self, *, write: bool = True, again: bool = False) -> dict[str, str]:
        """Writes every bundle that is kept and not given yet, and says why the others are not.

        Args:
            write: False only looks.
            again: says nothing of what is still not there.

        Returns:
            For each group that is kept when it was compiled.
        """
        kept: dict[str, str] = {}
        for group in self.missing:
            found = self.store.find(self._key(group))
            if isinstance(found, Hit):
                with found:
                    kept[group.name] = found.created
                    if write:
                        self.given[group.name] = self._restored(group, found)
                        self.flights.end(flight_key(self.parts, group))
                continue
            if (self.request.explain_miss and not again) or not found.absent:  # a broken entry is told unasked
                for line in explained(self.store, self._key(group), found):
                    self.request.log(f"{group.name} {line}" if line.startswith("is not") else line)
        return kept

    def refresh(self) -> None:
        """Digests anew what goes in; what cannot be read any more is told when it is opened."""
        with contextlib.suppress(EdgewrightError, OSError):
            again = compile_parts(self.store, self.request, self.groups)
            if not isinstance(again, Unknowable):
                self.parts = again

    def begin(self, group: Group) -> None:
        """Takes down what the record beside ``group``'s bundle holds before it is compiled."""
        self._before[group.name] = _counts(record_of(self.request, group.out))

    def keep(self, group: Group, report: TargetReport, model: str, notes: Sequence[str], beside: Sequence[str]) -> None:
        """Keeps a bundle that met every limit, and lets those take it who wait for it.

        Args:
            beside: the files that hold the model's weights, where they are not in its own.
        """
        self._keep(group, report, model, notes, beside)
        self.flights.end(flight_key(self.parts, group))

    def _keep(
        self, group: Group, report: TargetReport, model: str, notes: Sequence[str], beside: Sequence[str]
    ) -> None:
        """What missed a limit is worth another try, and not kept."""
        if report.exit_code is not ExitCode.OK or report.bundle is None or report.problem:
            return
        if report.search is not None and report.search["stopped_by_time_limit"]:
            return  # compiled again, it goes on from what it got to
        try:
            keep_beside(self.store, Path(self.request.model), beside)
            again = compile_parts(self.store, self.request, self.groups)
            if isinstance(again, Unknowable) or _with_weights_of(again, self.parts) != again:
                self.request.log(f"{group.name} is not kept in the cache: what goes in changed meanwhile")
                return
            value = {
                **{name: getattr(report, name) for name in _PLAIN},
                "accuracy": None if report.accuracy is None else vars(report.accuracy),
                "notes": list(report.notes),
                "search": None if report.search is None else dict(report.search),
                "model": model,
                "job_notes": list(notes),
                "measured": self._measured(group, report),
            }
            key = Key(KIND, group_parts(again, group))
            why = self.store.publish(key, value, {_BUNDLE: report.bundle})
        except (EdgewrightError, OSError, ValueError) as error:
            why = str(error)
        if why:
            self.request.log(f"{group.name} is not kept in the cache: {why}")

    def _key(self, group: Group) -> Key:
        return Key(KIND, group_parts(dict(self.parts), group))

    def _measured(self, group: Group, report: TargetReport) -> dict[str, Part]:
        """What this compile added to the record."""
        document, before = read_document(record_of(self.request, group.out)), self._before.get(group.name, {})
        found: dict[str, Part] = {}
        for name in _MEASURED:
            listed = cast("list[Mapping[str, object]]", document.get(name, []))
            found[name] = [one for one in listed[before.get(name, 0) :] if _bundle_of(one) == report.digest]
        return found

    def _restored(self, group: Group, hit: Hit) -> TargetReport:
        value = cast("dict[str, object]", hit.value)
        with replacing(group.out) as file:
            for piece in hit.pieces(_BUNDLE):
                file.write(piece)
        for name, listed in cast("dict[str, list[dict[str, object]]]", value["measured"]).items():
            _append_missing(record_of(self.request, group.out), name, listed, hit.created)
        accuracy = cast("dict[str, object] | None", value["accuracy"])
        self.model, notes = str(value["model"]), cast("list[str]", value["job_notes"])
        for note in notes:
            if note not in self.notes:
                self.notes = (*self.notes, note)
                self.request.log(note)
        self.request.log(f"{group.name}: from the cache, measured on {hit.created}")
        return TargetReport(
            exit_code=ExitCode.OK,
            bundle=group.out,
            accuracy=None if accuracy is None else Accuracy(**accuracy),  # type: ignore[arg-type]
            notes=tuple(cast("list[str]", value["notes"])),
            search=cast("dict[str, object] | None", value["search"]),
            from_cache=hit.created,
            **{name: value[name] for name in _PLAIN},  # type: ignore[arg-type]
        )


def open_compiles(request: CompileRequest, groups: Sequence[Group]) -> Compiles | None:
    """The cache for one request; None where there is none, or nothing can be known of it.

    Raises:
        UsageError: ``EDGEWRIGHT_CACHE_SIZE`` is no size.
    """
    if not request.cache:
        if request.explain_miss:
            request.log("nothing is taken from the cache: --no-cache")
        return None
    store = open_store()
    if isinstance(store, NoCache):
        if request.explain_miss or not store.wished:
            request.log(f"no cache: {store.reason}")
        return None
    try:
        parts = compile_parts(store, request, groups)
    except (EdgewrightError, OSError):
        return None  # an input that cannot be read: opening it says what is wrong with it
    if isinstance(parts, Unknowable):
        request.log(f"the whole compile is not taken from the cache: {parts.reason}")
        return None
    return Compiles(store, request, groups, parts)


def _with_weights_of(known: Parts, parts: Parts) -> dict[str, Part]:
    """``parts`` of before the model was opened, which tells what files beside it hold its weights."""
    weights = cast("dict[str, Part]", known["model"])["weights"]
    return {**parts, "model": {**cast("dict[str, Part]", parts["model"]), "weights": weights}}


def _counts(record: Path) -> dict[str, int]:
    try:
        document = read_document(record)
    except EdgewrightError:
        return {}
    return {name: len(cast("list[object]", document.get(name, []))) for name in _MEASURED}


def _bundle_of(entry: Mapping[str, object]) -> object:
    subject = entry.get("subject")
    return subject.get("bundle_sha256") if isinstance(subject, dict) else entry.get("bundle_sha256")


def _append_missing(path: Path, name: str, listed: Sequence[Mapping[str, object]], created: str) -> None:
    """What was measured then, marked; what stands there already is not repeated."""
    for entry in listed:
        there = cast("list[Mapping[str, object]]", read_document(path).get(name, []))
        if any(_unmarked(one) == _unmarked(entry) for one in there):
            continue
        since = str(entry.get("created") or created)
        marked: dict[str, object] = {**entry, "from_cache": since}
        if isinstance(notes := entry.get("notes"), list):
            marked["notes"] = [*notes, f"from the cache, measured on {since}"]
        append_to(path, name, marked)


def _unmarked(entry: Mapping[str, object]) -> dict[str, object]:
    return {name: item for name, item in entry.items() if name not in ("from_cache", "notes")}
