"""What measurement decides: which runtime, which precision, which way of quantising, which layers stay float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgewright.core import jsontext
from edgewright.core.errors import BadInputError
from edgewright.targets.schema import QuantRule, Target

_REMEDY = "Give a bundle, or the plan.json of one, written by this version."


CODED = ("int8", "fp8")
"""Precisions in which activations travel as codes found by calibration."""


@dataclass(frozen=True)
class Choice:
    """One way to build the artifact. Two builds of the same inputs with equal choices give the same engine."""

    runtime: str
    precision: str
    scheme: str = ""
    """For int8: the name of the target's scheme."""
    hint: str = "fp32"
    """What is computed in where nothing is quantised: because the runtime is told so, or the graph is written in it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the quantising pass that differ from its defaults, as JSON values."""
    variant: str = ""
    """What it starts from: the original, or what training made of it (``recovered``, ``qat``)."""
    widths: tuple[str, ...] = ()
    """What pruning left of each group in that variant, so that a plan repeats it without measuring."""
    execution: Mapping[str, str] = field(default_factory=dict)
    """How the engine is run where that is not the runtime's own way: its artifact's properties, such as ``threads``."""

    @property
    def title(self) -> str:
        """What reports call it: ``int8 (conv)``, ``bf16``."""
        rest = f"{self.hint} rest" if self._mixed else ""
        parts = [part for part in (self.variant, self.scheme, rest, *map(_shown, self.execution.items())) if part]
        return f"{self.precision} ({', '.join(parts)})" if parts else self.precision

    @property
    def _mixed(self) -> bool:
        return self.precision in CODED and self.hint != "fp32"

    @property
    def kept_float(self) -> tuple[str, ...]:
        """The layers left in float because they cost too much accuracy."""
        kept = self.options.get("keep_float", ())
        return tuple(str(name) for name in kept) if isinstance(kept, list | tuple) else ()

    def varied(self, **options: object) -> Choice:
        """The same choice with some options of the quantising pass changed."""
        return replace(self, options={**self.options, **options})

    def to_json(self) -> dict[str, object]:
        """The plan's form, from which :meth:`from_json` makes an equal choice."""
        return {
            "runtime": self.runtime,
            "precision": self.precision,
            "scheme": self.scheme,
            "hint": self.hint,
            "options": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items()
            },
            **({"variant": self.variant, "widths": list(self.widths)} if self.variant else {}),
            **({"execution": dict(self.execution)} if self.execution else {}),
        }

    @property
    def digest(self) -> str:
        """``plan_digest``."""
        return jsontext.digest(self.to_json())

    @classmethod
    def from_json(cls, data: object) -> Choice:
        """Reads a plan.

        Raises:
            BadInputError: when it is not one.
        """
        if not isinstance(data, Mapping):
            raise BadInputError("the plan is not a JSON object", _REMEDY)
        names = ("runtime", "precision", "scheme", "hint")
        texts = {name: data.get(name) for name in names}
        options = data.get("options")
        wrong = [name for name, value in texts.items() if not isinstance(value, str)]
        if wrong or not isinstance(options, Mapping):
            raise BadInputError(f"the plan lacks {', '.join([*wrong] or ['options'])}", _REMEDY)
        variant, widths = data.get("variant", ""), data.get("widths", [])
        if not isinstance(variant, str) or not isinstance(widths, list):
            raise BadInputError("the plan's variant is no text, or its widths are no list", _REMEDY)
        execution = data.get("execution", {})
        if not isinstance(execution, Mapping) or not all(isinstance(one, str) for one in execution.values()):
            raise BadInputError("the plan's execution is no object of texts", _REMEDY)
        frozen = {str(name): tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return cls(
            runtime=str(texts["runtime"]),
            precision=str(texts["precision"]),
            scheme=str(texts["scheme"]),
            hint=str(texts["hint"]),
            options=frozen,
            variant=variant,
            widths=tuple(str(one) for one in widths),
            execution={str(name): str(value) for name, value in execution.items()},
        )


def _shown(told: tuple[str, str]) -> str:
    name, value = told
    if name == "threads":
        return "1 thread" if value == "1" else f"{value} threads"
    return f"{name} {value}"


def float_choices(target: Target) -> list[Choice]:
    """One choice per floating precision of the target, the simplest first."""
    return [
        Choice(target.runtime, precision, hint=precision if precision in target.hinted_precisions else "fp32")
        for precision in target.precisions
        if precision not in ("int8", "fp8")
    ]


def int8_choices(target: Target) -> list[Choice]:
    """One choice per int8 scheme of the target, its preferred one first."""
    return _scheme_choices(target, "int8", target.int8)


def coded_choices(target: Target) -> list[Choice]:
    """All choices with activations as codes: int8, then fp8."""
    return [*int8_choices(target), *_scheme_choices(target, "fp8", target.fp8)]


def _scheme_choices(target: Target, precision: str, rule: QuantRule | None) -> list[Choice]:
    schemes = () if rule is None else rule.schemes
    return [Choice(target.runtime, precision, scheme.name, scheme.float_rest) for scheme in schemes]
