"""A plan: the choices that measurement made, kept in the bundle, to be repeated exactly without measuring again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.bundle import open_bundle
from edgewright.core.errors import BadInputError, UsageError
from edgewright.driver.choice import Choice


@dataclass(frozen=True)
class PlanFile:
    """The choice, and why it was made then."""

    choice: Choice
    because: object
    model_digest: str | None = None
    """Of the model it was made for, where a bundle says so."""


def read_plan(path: Path) -> PlanFile:
    """The plan of a bundle, or of a JSON file with a bundle's ``journal.json`` or its ``plan``.

    Raises:
        UsageError: the file is missing.
        BadInputError: it holds no plan.
    """
    if not path.exists():
        raise UsageError(f"there is no plan {path}", "Give a bundle, or the journal.json of one.")
    digest: str | None = None
    if path.suffix == ".json":
        try:
            journal = json.loads(path.read_bytes())
        except ValueError as error:
            raise BadInputError(f"{path} is not JSON: {error}", "Give a bundle, or the journal.json of one.") from error
    else:
        bundle = open_bundle(path)
        journal, digest = bundle.journal, bundle.manifest.model.digest
    plan = journal.get("plan", journal) if isinstance(journal, dict) else None
    if not isinstance(plan, dict) or "choice" not in plan:
        raise BadInputError(f"{path} holds no plan", "Give a bundle, or the journal.json of one.")
    return PlanFile(Choice.from_json(plan["choice"]), plan.get("because", []), digest)
