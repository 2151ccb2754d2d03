"""What one compile depends on, found without opening the model: digests of files, the options, the targets."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import cast

from edgewright.core import jsontext
from edgewright.core.cache import Hit, Key, Part, Store
from edgewright.core.errors import EdgewrightError
from edgewright.core.files import sha256_file
from edgewright.core.user_code import is_reference
from edgewright.driver.cache_environment import surroundings, unversioned_plug_ins
from edgewright.driver.outputs import Group
from edgewright.driver.request import CompileRequest
from edgewright.targets.detect import is_present
from edgewright.targets.schema import Target

BESIDE = "model-files"
"""Kind of the entries that say which files hold weights of a model file; they lie beside it."""
_MODELS = (".onnx", ".pt2")
_ELSEWHERE = frozenset({"model", "targets", "data", "eval_data", "train_data", "golden", "recipe", "plan"})
"""Fields of a request that have parts of their own, by what they name."""
_WITHOUT_EFFECT = frozenset(
    {
        "out",
        "depfile",
        "record",
        "sbom",
        "work",
        "progress",
        "log",
        "trust_pickle",
        "trace",
        "resume",
        "cache",
        "explain_miss",
    }
)
"""Fields that change nothing of what is made, or keep it from the cache altogether."""


@dataclass(frozen=True)
class Unknowable:
    """Why what a compile depends on cannot be known before it runs."""

    reason: str


def compile_parts(store: Store, request: CompileRequest, groups: Sequence[Group]) -> dict[str, Part] | Unknowable:
    """The parts of the key that all targets share.

    Raises:
        EdgewrightError, OSError: a file cannot be read.
    """
    if reason := unknowable(request):
        return Unknowable(reason)
    trained = request.train_data is not None or request.recipe is not None
    return {
        "model": _model_part(store, Path(request.model)),
        "data": content_part(request.data),
        "eval data": content_part(request.eval_data),
        "train data": content_part(request.train_data),
        "golden": content_part(request.golden),
        "recipe": content_part(request.recipe),
        "plan": content_part(request.plan),
        "options": options_part(request),
        # Training is judged on all targets at once, and devices other than CPUs have the model's sizes looked for.
        "beside": jsontext.digest([target_part(group) for group in groups]) if trained else None,
        "devices": any(target.device != "CPU" for group in groups for target in group.targets),
        **surroundings(),
    }


def group_parts(shared: dict[str, Part], group: Group) -> dict[str, Part]:
    """The parts of one target's key."""
    return {**shared, "target": target_part(group)}


def keep_beside(store: Store, model: Path, files: Sequence[str]) -> None:
    """Remembers which files beside ``model`` hold its weights, so that the next compile can digest them unopened."""
    if files:
        store.publish(_beside_key(sha256_file(model)), list(files))


def unknowable(request: CompileRequest) -> str:
    """Why what a compile depends on cannot be known before it runs; empty where it can."""
    if is_reference(request.model) and not Path(request.model).exists():
        return "a factory must be run to be known"
    if Path(request.model).suffix not in _MODELS or not Path(request.model).is_file():
        return f"{request.model} is no {' or '.join(_MODELS)} file"
    if request.trust_pickle:
        return "a pickle must be run to be known"
    for option, text in (
        ("--data", request.data),
        ("--eval-data", request.eval_data),
        ("--train-data", request.train_data),
    ):
        if text is not None and not Path(text).exists():
            return f"{option} {text} is no file: code must be run to be known"
    if request.metric is not None and is_reference(request.metric):
        return f"--metric {request.metric} is code, which may read anything"
    if code := _code_of(request.recipe):
        return f"the recipe names {code}, which may read anything"
    if loose := unversioned_plug_ins():
        return f"{', '.join(loose)} is installed to be edited: its version does not tell its code"
    if request.work is not None and request.train_data is not None:
        return "--work is to hold what training leaves"
    if request.trace:
        return "--trace measures anew"
    return "" if request.resume else "--no-resume begins anew"


def _code_of(recipe: Path | None) -> str:
    if recipe is None:
        return ""
    try:
        found = tomllib.loads(recipe.read_text("utf-8")).get("metric", {})
    except (OSError, ValueError):
        return "nothing that can be read"
    words = found.values() if isinstance(found, dict) else [found]
    return next((word for word in words if isinstance(word, str) and is_reference(word)), "")


def _model_part(store: Store, path: Path) -> dict[str, Part]:
    digest = sha256_file(path)
    found = store.find(_beside_key(digest))
    beside: list[str] = []
    if isinstance(found, Hit):
        with found:
            beside = cast("list[str]", found.value)
    # Names come from a model, and only what lies beside it is looked at; a missing file is no digest of anything.
    files = {name: _digest_of(path.parent / name) for name in beside}
    return {"name": path.name, "sha256": digest, "weights": files}


def _digest_of(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _beside_key(digest: str) -> Key:
    return Key(BESIDE, {"model": digest})


def content_part(given: str | Path | None) -> Part:
    """Name and digest of a file, or of all files of a folder with their names."""
    if given is None:
        return None
    path = Path(given)
    if not path.is_dir():
        return {"name": path.name, "sha256": sha256_file(path)}
    files = sorted(item for item in path.rglob("*") if item.is_file())
    rows = [[item.relative_to(path).as_posix(), sha256_file(item)] for item in files]
    return {"name": path.name or path.resolve().name, "files": len(rows), "sha256": jsontext.digest(rows)}


def options_part(request: CompileRequest) -> dict[str, Part]:
    """Every word of the request that is not among the others: one that is new is part of the key by itself."""
    found: dict[str, Part] = {}
    for item in fields(request):
        if item.name not in _ELSEWHERE | _WITHOUT_EFFECT:
            value = getattr(request, item.name)
            found[item.name.replace("_", " ")] = vars(value) if is_dataclass(value) else value
    return found


def target_part(group: Group) -> dict[str, Part]:
    """Everything a target says, and whether it is here."""
    return {one.name: {"says": one.to_json(), "absent": _absence(one)} for one in group.targets}


def _absence(target: Target) -> str | None:
    try:
        return is_present(target)
    except EdgewrightError as error:
        return error.problem
