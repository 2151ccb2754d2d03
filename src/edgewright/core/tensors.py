"""What flows in and out of a model: names, element types and shapes, independent of any engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgewright.core.errors import BadInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.generic]
else:
    Array = Any  # a manifest is read where there is no numpy
Feeds: TypeAlias = Mapping[str, Array]
"""One inference's inputs by name."""
Outputs: TypeAlias = dict[str, Array]
"""One inference's outputs by name."""
Dim: TypeAlias = int | str | None
"""A fixed size, a named symbol, or an unnamed dynamic size."""


@dataclass(frozen=True)
class SizeRange:
    """What one dimension may be: ``low <= size <= high``, and the size to be fastest at."""

    low: int
    usual: int
    high: int


@dataclass(frozen=True)
class TensorSpec:
    """Name, element type (numpy's name: ``float32``, ``int64``, ``bool``, ``bfloat16``, ``string``) and shape."""

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    """``None`` when even the rank is unknown."""

    @property
    def is_static(self) -> bool:
        """True when every dimension is a number."""
        return self.shape is not None and all(isinstance(dim, int) for dim in self.shape)

    def problem_with(self, array: Array) -> str | None:
        """Says what keeps ``array`` from being fed to this tensor, or None when nothing does."""
        if array.dtype.name != self.dtype and not (self.dtype == "string" and array.dtype.kind in "UOS"):
            return f"input '{self.name}' is {array.dtype.name}, the model takes {self.dtype}"
        if self.shape is None:
            return None
        if len(self.shape) != array.ndim:
            return f"input '{self.name}' has shape {array.shape}, the model takes {self.shape_text}"
        if any(isinstance(want, int) and want != have for want, have in zip(self.shape, array.shape, strict=True)):
            return f"input '{self.name}' has shape {array.shape}, the model takes {self.shape_text}"
        return None

    @property
    def shape_text(self) -> str:
        """The shape as people write it: ``1x3xHx?``, ``scalar``, or ``any``.

        >>> TensorSpec("x", "float32", (1, 3, "H", None)).shape_text
        '1x3xHx?'
        """
        if self.shape is None:
            return "any"
        return "x".join("?" if dim is None else str(dim) for dim in self.shape) or "scalar"

    def to_json(self) -> dict[str, object]:
        """The manifest's form of this spec."""
        return {"name": self.name, "dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> TensorSpec:
        """Reads what :meth:`to_json` wrote.

        Raises:
            BadInputError: when a field is missing or of the wrong type.
        """
        name, dtype, shape = data.get("name"), data.get("dtype"), data.get("shape")
        if not isinstance(name, str) or not isinstance(dtype, str) or not (shape is None or isinstance(shape, list)):
            raise BadInputError(f"not a tensor description: {dict(data)!r:.200}", "The bundle's manifest is damaged.")
        dims: tuple[Dim, ...] | None = None if shape is None else tuple(shape)
        if not all(_is_dim(dim) for dim in dims or ()):
            raise BadInputError(
                f"tensor '{name:.200}' has the shape {shape!r:.200}", "The bundle's manifest is damaged."
            )
        return cls(name, dtype, dims)


def check_feeds(specs: tuple[TensorSpec, ...], feeds: Feeds) -> None:
    """Checks names, element types, ranks and fixed sizes before an engine can crash on them.

    Raises:
        BadInputError: naming every input that is missing, unknown or of the wrong form.
    """
    known = {spec.name for spec in specs}
    problems = [f"unknown input '{name}'" for name in feeds if name not in known]
    for spec in specs:
        if spec.name not in feeds:
            problems.append(f"input '{spec.name}' is missing")
        elif problem := spec.problem_with(feeds[spec.name]):
            problems.append(problem)
    if problems:
        takes = ", ".join(f"{spec.name}: {spec.dtype} {spec.shape_text}" for spec in specs)
        raise BadInputError("; ".join(problems), f"The model takes {takes}.")


def _is_dim(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and value >= 0
    return value is None or isinstance(value, str)
