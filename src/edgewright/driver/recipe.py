"""The user's recipe: passes with options, shapes, preprocessing, the metric. Every mistake comes back at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from edgewright.compiler.pass_base import registry
from edgewright.core.data import Preprocessing
from edgewright.core.errors import UsageError
from edgewright.core.toml import Table, read_toml

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class PassSetting:
    """What the recipe says of one pass: options that replace its defaults, or that it is left out."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    skip: bool = False


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; an empty one changes nothing."""

    passes: tuple[PassSetting, ...] = ()
    shapes: tuple[str, ...] = ()
    """As ``--shape`` takes them: ``x=1,3,224,224``."""
    metric: str | None = None
    decode: str | None = None
    """``module:function`` that turns outputs into what the metric takes."""
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)

    @property
    def skipped(self) -> frozenset[str]:
        """Names of the passes that are left out."""
        return frozenset(one.name for one in self.passes if one.skip)

    def options_of(self, name: str) -> Mapping[str, object]:
        """The options for the pass called ``name``."""
        return next((one.options for one in self.passes if one.name == name), _NOTHING)

    def to_json(self) -> dict[str, object]:
        """What the recipe digest covers."""
        return {
            "passes": [{"name": one.name, "options": _plain(one.options), "skip": one.skip} for one in self.passes],
            "shapes": list(self.shapes),
            "metric": self.metric,
            "decode": self.decode,
            "preprocessing": {name: one.to_json() for name, one in self.preprocessing.items()},
        }


def read_recipe(path: Path | None) -> Recipe:
    """The recipe in ``path``; an empty one for None.

    Raises:
        UsageError: listing every mistake with its path.
    """
    if path is None:
        return Recipe()
    top = Table(read_toml(path, "recipe"), "", [])
    recipe = Recipe(
        passes=tuple(_setting(table) for table in top.tables("passes")),
        shapes=tuple(f"{name}={shape}" for name, shape in top.texts("shapes").items()),
        **_metric(top.table("metric")),
        preprocessing=_inputs(top.table("inputs")),
    )
    names = [one.name for one in recipe.passes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        top.complain("passes", f"'{name}' stands here twice")
    top.close()
    if top.problems:
        mistakes = "\n".join(f"  {problem}" for problem in top.problems)
        plural = "mistake" if len(top.problems) == 1 else "mistakes"
        raise UsageError(f"recipe {path} has {len(top.problems)} {plural}:\n{mistakes}", "Mend it and try again.")
    return recipe


def _metric(table: Table) -> dict[str, str | None]:
    found = {key: table.text(key) if table.has(key) else None for key in ("metric", "decode")}
    name = table.text("name") if table.has("name") else None
    table.close()
    return {"metric": name or found["metric"], "decode": found["decode"]}


def _inputs(table: Table) -> dict[str, Preprocessing]:
    return {name: Preprocessing.read(table.table(name)) for name in table.keys()}  # noqa: SIM118 - a Table is no mapping


def _setting(table: Table) -> PassSetting:
    name = table.text("name")
    passes = registry()
    if name and name not in passes.names():
        near = difflib.get_close_matches(name, passes.names(), n=1)
        table.complain("name", f"there is no pass '{name}'{f'; did you mean {near[0]}?' if near else ''}")
        return PassSetting(name)
    skip = table.flag("skip", default=False)
    if not name:
        table.close()
        return PassSetting(name, {}, skip)
    return PassSetting(name, read_options(table, passes.find(name).options_type), skip)


def read_options(table: Table, options_type: type, hidden: Set[str] = frozenset()) -> dict[str, object]:
    """The options of a pass that are written in ``table``, which is closed; it has a line for each that is wrong.

    Args:
        table: what was asked of it before is known.
        options_type: the pass's own.
        hidden: fields of it that may not be written here.
    """
    options: dict[str, object] = {}
    before = len(table.problems)
    for item in fields(options_type):
        if item.name not in hidden and table.has(item.name):
            options[item.name] = _typed(table, item.name, str(item.type))
    table.close()
    if len(table.problems) == before:
        try:
            options_type(**options)
        except (TypeError, ValueError) as error:
            key, colon, problem = str(error).partition(": ")
            table.complain(key if colon else "", problem if colon else str(error))
    return options


def _typed(table: Table, key: str, annotation: str) -> object:
    if annotation == "bool":
        return table.flag(key, default=False)
    if annotation == "int":
        return table.count(key)
    if annotation.startswith(("float", "int |")):
        return table.number(key)
    if annotation.startswith("tuple"):
        return table.words(key)
    return table.text(key)


def _plain(options: Mapping[str, object]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
