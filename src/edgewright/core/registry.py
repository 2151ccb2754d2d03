"""Finds what can be plugged in: one file (or folder) in a package is one plug-in, third parties come by entry point.

A plug-in's name is its module's name with dashes for underscores, so looking one up imports that one module only.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from edgewright.core.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def load_plugin(point: EntryPoint, kind: str) -> object:
    """What a third party's entry point names.

    Raises:
        UsageError: its package is broken; nothing of ours can mend that.
    """
    try:
        return point.load()
    except Exception as error:
        raise UsageError(
            f"the installed {kind} '{point.name}' ({point.value}) cannot be loaded: {type(error).__name__}: {error}",
            "Mend or uninstall the package it comes from.",
        ) from error


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The plug-ins of one kind.

    Args:
        kind: the word used in messages, such as ``pass``.
        package: the package whose public modules each define one subclass of ``base``.
        base: the class every plug-in derives from.
        group: the entry-point group of third parties.
    """

    kind: str
    package: str
    base: type[T]
    group: str

    @cached_property
    def _modules(self) -> dict[str, str]:
        path = importlib.import_module(self.package).__path__
        found = [info.name for info in pkgutil.iter_modules(path) if not info.name.startswith("_")]
        return {name.replace("_", "-"): f"{self.package}.{name}" for name in sorted(found)}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # 1 MB and 10 ms, for which a device has no use

        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._modules or point.name in found:
                owner = found[point.name].value if point.name in found else self._modules[point.name]
                raise UsageError(
                    f"two {self.kind} plug-ins are called '{point.name}': {owner} and {point.value}",
                    "Uninstall one of the two packages.",
                )
            found[point.name] = point
        return found

    def names(self) -> tuple[str, ...]:
        """All names, sorted; imports none of them."""
        return tuple(sorted({*self._modules, *self._entry_points}))

    def __contains__(self, name: object) -> bool:
        """Whether there is one of that name; a built-in one is found without a look at third parties."""
        return name in self._modules or name in self._entry_points

    def find(self, name: str) -> type[T]:
        """The class registered as ``name``.

        Raises:
            UsageError: when there is none; the message offers the nearest names.
        """
        if name in self._modules:
            return self._only_subclass(self._modules[name])
        if name in self._entry_points:
            loaded = load_plugin(self._entry_points[name], self.kind)
            if isinstance(loaded, type) and issubclass(loaded, self.base):
                return loaded
            raise UsageError(f"{self._entry_points[name].value} is not a {self.base.__name__}", "Fix its entry point.")
        import difflib

        near = difflib.get_close_matches(name, self.names(), n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(self.names())}."
        raise UsageError(f"unknown {self.kind} '{name}'", hint)

    def _only_subclass(self, module_name: str) -> type[T]:
        module = importlib.import_module(module_name)
        own = [
            item
            for item in vars(module).values()
            if isinstance(item, type)
            and issubclass(item, self.base)
            and item.__module__.startswith(module_name)
            and not item.__name__.startswith("_")
        ]
        if len(own) != 1:
            raise TypeError(f"{module_name} must define exactly one public {self.base.__name__}, it has {len(own)}")
        return own[0]
