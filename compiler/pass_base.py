"""What a pass is: one transformation with a declared effect, validated options, and reasons for what it left alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from typing import ClassVar, Generic, TypeVar

from edgewright.compiler.site import Site
from edgewright.core.model import Model, OnnxModel
from edgewright.core.registry import Registry
from edgewright.targets.schema import Target

In = TypeVar("In", bound=Model)
Out = TypeVar("Out", bound=Model)


class Effect(Enum):
    """What a pass does to the numbers; the driver holds it to its word on real samples."""

    EXACT = "exact"
    """Within ``tolerance`` of the model before it."""
    LOSSY = "lossy"
    """The task metric is checked after it."""
    NEEDS_RECOVERY = "needs-recovery"
    """Checked when the passes that recover it have run."""


class Stage(IntEnum):
    """Where in the pipeline a pass runs by default; within a stage the order is ``Pass.order``, then the name."""

    PRUNE = -30
    RECOVER = -20
    TRAIN_QUANTIZED = -10
    """Up to here on torch modules, and only where a recipe or a goal asks for it; from CLEAN on, on graphs."""
    EXPORT = 0
    CLEAN = 10
    FOLD = 20
    FUSE = 30
    QUANTIZE = 40
    CAST = 50
    FINISH = 60


@dataclass(frozen=True)
class Note:
    """One line of the journal. ``kind``: ``did``, ``skipped`` (and why), or ``warning``."""

    kind: str
    subject: str
    """Node or tensor name: untrusted text, escaped wherever it is shown."""
    text: str


@dataclass(frozen=True)
class Outcome(Generic[Out]):
    """What a pass returns. ``changed`` counts rewrites; 0 means ``model`` is the one that came in."""

    model: Out
    changed: int
    notes: tuple[Note, ...] = field(default=())
    figures: Mapping[str, object] = field(default_factory=dict)
    """What the journal keeps beside the notes, as JSON values; the same for the same inputs, so no times."""
    timings: Mapping[str, object] = field(default_factory=dict)
    """What only the record keeps: latencies that were measured while the pass ran, seconds that passed."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a pass that has none."""


class Pass(ABC, Generic[In, Out]):
    """One transformation. Derive, set the class variables, and put the file into ``compiler/passes/``."""

    name: ClassVar[str]
    """The module's name with dashes for underscores."""
    effect: ClassVar[Effect]
    stage: ClassVar[Stage]
    order: ClassVar[int] = 50
    tolerance: ClassVar[float] = 1e-4
    """For EXACT passes: the largest allowed ``max|after - before| / max(1, max|before|)`` over all outputs."""
    options_type: ClassVar[type] = NoOptions
    """A frozen dataclass whose ``__post_init__`` raises ``ValueError("field: problem")`` for each wrong value."""

    def __init__(self, options: object | None = None) -> None:
        self.options = self.options_type() if options is None else options
        if not isinstance(self.options, self.options_type):
            raise TypeError(f"{self.name} takes {self.options_type.__name__}, not {type(options).__name__}")

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """None when the pass belongs into the default pipeline for this target and precision, else the reason not."""
        del target, precision
        return None

    @classmethod
    def options_for(cls, target: Target, precision: str) -> object | None:
        """The options in the default pipeline for this target and precision; None for those of ``options_type``."""
        del target, precision
        return None

    @abstractmethod
    def __call__(self, model: In, site: Site) -> Outcome[Out]:
        """Transforms a copy of ``model``; the one that came in is never changed."""

    def options_json(self) -> dict[str, object]:
        """The options as the manifest and the recipe digest have them."""
        return {item.name: _plain(getattr(self.options, item.name)) for item in fields(self.options)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class LayerDamage:
    """How much one layer, made lossy alone, moves the model's outputs; larger is worse."""

    layer: str
    error: float


class Tunable(ABC):
    """What a lossy pass offers besides when accuracy can be bought back: other options, and the layers to spare.

    Its options have a field ``keep_float: tuple[str, ...]`` that names layers to be left as they are.
    """

    @abstractmethod
    def alternatives(self) -> tuple[Mapping[str, object], ...]:
        """Changes of options worth trying when accuracy falls short, the most promising first."""

    @abstractmethod
    def damage(self, model: OnnxModel, site: Site) -> list[LayerDamage]:
        """The layers of ``model`` that the pass would change, worst first, measured on a few calibration samples."""

    def float_twin(self, model: OnnxModel, site: Site) -> OnnxModel:
        """What the pass's result is compared with tensor by tensor: ``model`` in float, as the pass prepares it.

        A pass that moves factors from one tensor to another gives the model in which they are moved already.
        """
        del site
        return model


def _plain(value: object) -> object:
    if isinstance(value, frozenset | set):
        return sorted(str(item) for item in value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def registry() -> Registry[Pass[Model, Model]]:
    """All passes: the files of ``compiler/passes`` and the entry points of group ``edgewright.passes``."""
    return Registry("pass", "edgewright.compiler.passes", Pass, "edgewright.passes")  # type: ignore[type-abstract]
