"""A plan on disk: what to build, as a bundle, its journal or an edited ``edgewright.plan/2`` says it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.core.bundle import open_bundle
from edgewright.core.errors import BadInputError, IOFailureError, UsageError
from edgewright.core.toml import Table
from edgewright.driver.choice import Choice
from edgewright.targets.schema import Target

SCHEMA = "edgewright.plan/2"
_KINDS = "Give a bundle, the journal.json of one, or what edgewright plan -o wrote."
_ABOUT_ALL = ("model", "notes", "training", "from_cache", "minutes", "basis", "exit_code")
_ABOUT_TARGET = (
    *("output", "presence", "left_out", "refused", "minutes", "basis"),
    *("problem", "remedy", "exit_code"),
)
_ABOUT_CANDIDATE = ("title", "passes", "left_out", "most_inferences", "from_cache", "minutes")
"""What a plan tells and nobody reads back: changing it changes nothing."""
_SHOWN = 20


@dataclass(frozen=True)
class PlannedChoice:
    """A candidate, and where it stands in the file: ``targets[0].candidates[2]``."""

    choice: Choice
    place: str = ""


@dataclass(frozen=True)
class PlannedTarget:
    """The candidates for one target, in the order of the file; ``name`` is empty for any target of their runtime."""

    name: str
    candidates: tuple[PlannedChoice, ...]
    place: str = ""


@dataclass(frozen=True)
class PlanFile:
    """What to build, and why it was chosen then."""

    path: Path
    targets: tuple[PlannedTarget, ...]
    because: object
    model_digest: str | None = None
    """Of the model it was made for, where it says so."""
    editable: bool = False
    """Whether it is what ``edgewright plan`` writes: held to its model and its targets, where a bundle is repeated."""

    @property
    def choice(self) -> Choice:
        """The one that a bundle or its journal holds; of an edited plan the first."""
        return next(one.choice for target in self.targets for one in target.candidates)

    @property
    def widths(self) -> tuple[str, ...]:
        """What pruning is to leave of each group; empty where it is to find that out."""
        return next(
            (one.choice.widths for target in self.targets for one in target.candidates if one.choice.widths), ()
        )

    def of(self, target: Target) -> tuple[PlannedChoice, ...]:
        """The candidates for ``target``."""
        return tuple(
            one
            for planned in self.targets
            for one in planned.candidates
            if planned.name == target.name or (not planned.name and one.choice.runtime == target.runtime)
        )

    def error(self, problems: Sequence[str]) -> BadInputError:
        """The one message that lists what is wrong with it, each with its place in the file."""
        listed = "".join(f"\n  {one}" for one in problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        count = f"{len(problems)} mistake{'' if len(problems) == 1 else 's'}"
        return BadInputError(
            f"plan {self.path} has {count}:{listed}{more}", "Mend it, or make it anew: edgewright plan."
        )


def read_plan(path: Path) -> PlanFile:
    """The plan in ``path``: a bundle, a JSON file with its ``journal.json`` or its ``plan``, or ``edgewright.plan/2``.

    What a target has to say of it is not looked at yet; see :func:`edgewright.driver.plan_check.check_plan`.

    Raises:
        UsageError: the file is missing.
        BadInputError: it holds no plan, or a broken one; every mistake is named with its place.
        IOFailureError: it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"there is no plan {path}", _KINDS)
    if path.suffix == ".json" and path.is_file():
        try:
            return plan_of(path, _json(path))
        except RecursionError as error:
            raise BadInputError(f"{path} is nested too deeply to be a plan", _KINDS) from error
    bundle = open_bundle(path)
    return replace(plan_of(path, bundle.journal), model_digest=bundle.manifest.model.digest)


def plan_of(path: Path, document: object) -> PlanFile:
    """As :func:`read_plan`, of what the file holds.

    Raises:
        BadInputError: as there.
    """
    if not isinstance(document, Mapping):
        raise BadInputError(f"{path} holds no plan: it is not a JSON object", _KINDS)
    if "targets" in document or str(document.get("schema")).startswith("edgewright.plan/"):
        return _editable(path, document)
    plan = document.get("plan", document)
    if not isinstance(plan, Mapping) or "choice" not in plan:
        raise BadInputError(f"{path} holds no plan", _KINDS)
    only = PlannedTarget("", (PlannedChoice(Choice.from_json(plan["choice"])),))
    return PlanFile(path, (only,), plan.get("because", []))


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise IOFailureError(f"cannot read {path}: {error.strerror}", "Check its permissions.") from error
    except ValueError as error:
        raise BadInputError(f"{path} is not JSON: {error}", _KINDS) from error


def _editable(path: Path, document: Mapping[str, object]) -> PlanFile:
    problems: list[str] = []
    top = Table(document, "", problems)
    schema = top.text("schema")
    if schema and schema != SCHEMA:
        top.complain("schema", f"'{schema:.40}' is not {SCHEMA}, which this version reads: make the plan anew")
    targets: list[PlannedTarget] = []
    for table, raw, place in _objects(top, document, "targets", ""):
        name = table.text("target")
        if name and name in {one.name for one in targets}:
            table.complain("target", f"'{name}' stands here twice")
        listed = _objects(table, raw, "candidates", f"{place}.")
        targets.append(PlannedTarget(name, tuple(_candidate(*one) for one in listed), place))
        _close(table, _ABOUT_TARGET)
    digest = top.text("model_digest")
    _close(top, _ABOUT_ALL)
    plan = PlanFile(path, tuple(targets), [], digest, editable=True)
    pruned = [one for target in targets for one in target.candidates if one.choice.widths]
    problems += [
        f"{one.place}.widths: not those of {pruned[0].place}; the model is pruned once for all"
        for one in pruned[1:]
        if one.choice.widths != pruned[0].choice.widths
    ]
    if problems:
        raise plan.error(problems)
    return plan


def _objects(
    table: Table, raw: Mapping[str, object], key: str, prefix: str
) -> Iterator[tuple[Table, Mapping[str, object], str]]:
    """Each object of the list ``key`` with the table that reads it, and its place."""
    table.has(key)
    value = raw.get(key)
    if not isinstance(value, list):
        table.complain(key, "is missing" if value is None else "is not a list")
        return
    for index, item in enumerate(value):
        place = f"{prefix}{key}[{index}]"
        if isinstance(item, Mapping):
            yield Table(item, place, table.problems), item, place
        else:
            table.complain(f"{key}[{index}]", f"{item!r:.40} is not an object")


def _candidate(table: Table, raw: Mapping[str, object], place: str) -> PlannedChoice:
    texts = {name: table.text(name) for name in ("runtime", "precision", "scheme", "hint")}
    table.has("options")
    options = raw.get("options")
    if not isinstance(options, Mapping):
        table.complain("options", "is missing" if options is None else f"{options!r:.40} is not an object")
        options = {}
    frozen = {str(name): tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    variant = table.text("variant", "")
    execution = table.texts("execution")
    widths = table.words("widths", default=())
    _close(table, _ABOUT_CANDIDATE)
    return PlannedChoice(Choice(**texts, options=frozen, variant=variant, widths=widths, execution=execution), place)


def _close(table: Table, told: Sequence[str]) -> None:
    for name in told:
        table.has(name)
    table.close()
