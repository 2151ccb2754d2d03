"""A name for everything a compile depends on, found without running a model or anybody's code.

A CI service keeps folders under names: this one says which of them to fetch before a compile. What is in it says for
itself whether it fits, so a name that covers too little costs time and never a wrong bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.core import jsontext
from edgewright.core.cache import Part
from edgewright.core.errors import EdgewrightError, ExitCode, UsageError
from edgewright.core.files import sha256_file
from edgewright.core.user_code import is_reference
from edgewright.driver.cache_environment import machine, surroundings
from edgewright.driver.cache_inputs import content_part, options_part, target_part, unknowable
from edgewright.driver.outputs import output_groups
from edgewright.driver.request import CompileRequest

SCHEMA = "edgewright.cache-key/1"
_OF_THE_MACHINE = ("cpu", "cores", "isa", "gpu")
"""What decides which engine is made and how fast it is; the rest tells one hosted runner from the next."""


@dataclass(frozen=True)
class CacheKey:
    """The name, and what it is of."""

    parts: Mapping[str, Part]
    reason: str
    """Why more than this may matter; empty where nothing else can."""

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all parts."""
        return jsontext.digest(dict(self.parts))

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``; each part as its digest."""
        return {
            "schema": SCHEMA,
            "key": self.digest,
            "complete": not self.reason,
            "reason": self.reason or None,
            "parts": {name: jsontext.digest(part) for name, part in self.parts.items()},
            **ExitCode.OK.to_json(),
        }


def cache_key(request: CompileRequest) -> CacheKey:
    """The name of what ``request`` depends on: contents of the files it names, options, targets, tools, processor.

    Raises:
        UsageError: a file that is not there, an unknown target.
        IOFailureError: a file that cannot be read.
    """
    groups = output_groups(request, create=False)
    around = surroundings()
    here = machine()
    words = {
        "model": request.model,
        "data": request.data,
        "eval data": request.eval_data,
        "train data": request.train_data,
        "metric": request.metric,
    }
    parts: dict[str, Part] = {
        **{name: _named(name, word) for name, word in words.items()},
        "weights": {one.name: sha256_file(one) for one in _beside(Path(request.model))},
        "golden": _file("--golden", request.golden),
        "recipe": _file("--recipe", request.recipe),
        "plan": _file("--plan", request.plan),
        "options": options_part(request),
        "targets": {group.name: target_part(group) for group in groups},
        **{name: part for name, part in around.items() if name != "machine"},
        "machine": {name: here[name] for name in _OF_THE_MACHINE},
    }
    return CacheKey(parts, unknowable(request))


def _file(option: str, path: Path | None) -> Part:
    if path is not None and not path.exists():
        raise UsageError(f"{option} {path} does not exist", "Check the path.")
    return content_part(path)


def _named(name: str, word: str | None) -> Part:
    """What a word says, and the content of the file that it names."""
    if word is None:
        return None
    if not word:  # a variable that is not set; taken for a path it would be the folder one is in
        raise UsageError(f"the {name} is an empty word", "Say which, or leave the option out.")
    source, _, function = word.rpartition(":") if is_reference(word) and not Path(word).exists() else (word, "", "")
    path = Path(source)
    if path.exists():
        return {"of": content_part(path), "function": function}
    if function and not source.endswith(".py"):
        return {"of": source, "function": function}  # a module, which Python finds where it runs
    if name == "metric":
        return {"of": word}
    raise UsageError(f"there is no {source} for the {name}", "Check the path.")


def _beside(model: Path) -> list[Path]:
    """The files that hold weights of ``model``; none where it is no ONNX file, or a broken one."""
    if not model.is_file() or model.suffix != ".onnx":
        return []
    from edgewright.compiler.intake.beside import files_beside  # needs onnx

    try:
        named = files_beside(model)
    except (EdgewrightError, OSError, ValueError):
        return []  # the compile says what is wrong with it
    return [path for path in (model.parent / name for name in named) if path.is_file()]
