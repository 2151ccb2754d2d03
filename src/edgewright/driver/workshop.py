"""Builds candidates for one target: runs the passes, lowers the result, and never builds the same thing twice."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from edgewright.backends import Artifact, Backend
from edgewright.compiler.journal import JournalEntry
from edgewright.compiler.pass_base import Stage
from edgewright.compiler.pipeline import AnyPass, DefaultPipeline, Unwanted, default_pipeline
from edgewright.compiler.site import Site
from edgewright.core import jsontext
from edgewright.core.errors import UnavailableError
from edgewright.core.model import Model, OnnxModel, TorchFile
from edgewright.driver.cache_models import engine, piped
from edgewright.driver.cache_steps import Steps
from edgewright.driver.choice import CODED, Choice
from edgewright.driver.recipe import Recipe
from edgewright.driver.variant import Variant
from edgewright.targets.schema import Target

_SHOWN = 5
_QUANTISING = Stage.QUANTIZE.name.lower()
_QUANTISED_OPS = frozenset({"DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})


@dataclass(frozen=True)
class Built:
    """A candidate: the model the passes made, what they said, and the engine."""

    choice: Choice
    model: OnnxModel
    passes: tuple[AnyPass, ...]
    journal: tuple[JournalEntry, ...]
    artifact: Artifact


@dataclass
class Workshop:
    """Everything needed to build any choice for one target from one original."""

    backend: Backend
    site: Site
    recipe: Recipe
    elsewhere: bool = False
    """The target's hardware is not here: its engines are run as this machine's CPU opens them."""
    program: TorchFile | None = None
    """The model in torch form, for a backend that takes it so: then no graph pass runs."""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    """What a choice may start from instead of the original, by name."""
    steps: Steps = field(default_factory=Steps)
    """What earlier compiles left of its work."""
    _prefixes: dict[str, tuple[OnnxModel, tuple[JournalEntry, ...]]] = field(default_factory=dict)
    _built: dict[str, Built] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What is compiled for."""
        return self.site.target

    def build(self, choice: Choice) -> Built:
        """The engine for ``choice``.

        Raises:
            UnavailableError: an operator or precision the backend does not have.
            EngineError: the engine failed to build it.
        """
        if choice.digest not in self._built and choice.execution:
            plain = self.build(replace(choice, execution={}))
            artifact = plain.artifact.run_as(choice.execution)
            self._built[choice.digest] = replace(plain, choice=choice, artifact=artifact)
        elif choice.digest not in self._built and self.program is not None:
            self._built[choice.digest] = self._unpassed(choice, self.program)
        elif choice.digest not in self._built:
            passes = self.pipeline(choice).passes
            target = narrowed(self.target, choice)
            start, first = self._early(choice, passes, target)
            late = [one for one in passes if one.stage >= Stage.QUANTIZE]
            model, second = piped(self.steps, late, start, replace(self.site, target=target))
            _require_quantised(choice, model, second)
            artifact = self.lowered(model, target, self.hint(choice))
            self._built[choice.digest] = Built(choice, model, passes, (*first, *second), artifact)
        return self._built[choice.digest]

    def _unpassed(self, choice: Choice, program: TorchFile) -> Built:
        """What the backend makes of the torch form."""
        artifact = self.lowered(program, self.target, choice.hint)
        return Built(choice, self.site.original, (), (), artifact)

    def hint(self, choice: Choice) -> str:
        """What the runtime is told to compute in where the graph says float32."""
        return choice.hint if choice.hint in self.target.hinted_precisions else "fp32"

    def lowered(self, model: Model, target: Target, precision: str = "fp32") -> Artifact:
        """The engine of ``model`` as it is, in a folder of its own; built here where that is possible.

        Args:
            target: what it is for, as :func:`narrowed` has it.
            precision: what is computed in where the graph says float32.

        Raises:
            UnavailableError, EngineError: as :meth:`build`.
        """
        return self._built_here(engine(self.steps, self.backend, model, target, self._folder(), precision=precision))

    def _built_here(self, artifact: Artifact) -> Artifact:
        """On the device itself nothing is left for later."""
        if not artifact.pending or self.elsewhere:
            return artifact
        return self.backend.complete(artifact, self.target, self._folder())

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="engine-", dir=self.site.workdir))

    def openable(self, artifact: Artifact) -> Artifact:
        """The engine as it can be run here: itself, or what stands in for it."""
        return self.backend.on_cpu(artifact) if self.elsewhere else artifact

    def before_quantisation(self, choice: Choice) -> OnnxModel:
        """The float model that the quantising pass of ``choice`` is given."""
        return self._early(choice, self.pipeline(choice).passes, narrowed(self.target, choice))[0]

    def pipeline(self, choice: Choice) -> DefaultPipeline:
        """The passes of ``choice`` in order, the recipe's and the choice's options in place, and those left out."""
        if self.program is not None:
            return DefaultPipeline((), (Unwanted("graph passes", f"{self.backend.name} takes the torch form"),))
        typed = "fp32" if choice.precision in self.target.hinted_precisions else choice.precision
        plan = default_pipeline(narrowed(self.target, choice), typed)
        skipped = self.recipe.skipped
        kept = tuple(self._configured(one, choice) for one in plan.passes if one.name not in skipped)
        unwanted = [Unwanted(one.name, "the recipe skips it") for one in plan.passes if one.name in skipped]
        return DefaultPipeline(kept, (*plan.unwanted, *unwanted))

    def keep_only(self, kept: Built) -> None:
        """Forgets all other candidates and deletes their engines."""
        for built in self._built.values():
            if built.artifact.folder != kept.artifact.folder:  # the same engine, run in another way, lies in the same
                for name in built.artifact.files:
                    (built.artifact.folder / name).unlink(missing_ok=True)
        self._built = {kept.choice.digest: kept}

    def _start(self, choice: Choice) -> tuple[OnnxModel, tuple[JournalEntry, ...]]:
        if not choice.variant:
            return self.site.original, ()
        if choice.variant not in self.variants:
            raise UnavailableError(
                f"the plan starts from a model that was trained ('{choice.variant}'), and nothing is trained here",
                "Give the module, --train-data and the recipe it was compiled with.",
            )
        variant = self.variants[choice.variant]
        return variant.model, variant.entries

    def _early(
        self, choice: Choice, passes: tuple[AnyPass, ...], target: Target
    ) -> tuple[OnnxModel, tuple[JournalEntry, ...]]:
        early = [one for one in passes if one.stage < Stage.QUANTIZE]
        key = jsontext.digest([choice.variant, [[one.name, one.options_json()] for one in early]])
        if key not in self._prefixes:
            start, before = self._start(choice)
            model, entries = piped(self.steps, early, start, replace(self.site, target=target))
            self._prefixes[key] = (model, (*before, *entries))
        return self._prefixes[key]

    def _configured(self, one: AnyPass, choice: Choice) -> AnyPass:
        options: dict[str, object] = dict(self.recipe.options_of(one.name))
        if one.stage is Stage.QUANTIZE:
            options.update(_known(one, choice.options))
        own = {item.name: getattr(one.options, item.name) for item in fields(one.options_type)}
        return type(one)(one.options_type(**own | options)) if options else one


def narrowed(target: Target, choice: Choice) -> Target:
    """The target as the passes of ``choice`` see it: of its schemes only the chosen one."""
    if not choice.scheme:
        return target
    rule = target.fp8 if choice.precision == "fp8" else target.int8
    have = () if rule is None else rule.schemes
    schemes = tuple(scheme for scheme in have if scheme.name == choice.scheme)
    if rule is None or not schemes:
        listed = ", ".join(scheme.name for scheme in have) or "none"
        raise UnavailableError(
            f"{target.name} has no {choice.precision} scheme '{choice.scheme}'", f"It has: {listed}."
        )
    chosen = replace(rule, schemes=schemes)
    return replace(target, fp8=chosen) if choice.precision == "fp8" else replace(target, int8=chosen)


def require_supported(backend: Backend, model: Model, target: Target) -> None:
    """Fails before any long work when the engine cannot take the model.

    Raises:
        UnavailableError: listing the operators and where they stand.
    """
    missing = backend.supports(model, target)
    if missing:
        shown = "; ".join(f"{one.op} at '{one.node}' ({one.reason})" for one in missing[:_SHOWN])
        more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UnavailableError(
            f"{target.name} cannot take {shown}{more}",
            "Choose another target (edgewright targets), or replace the operator before exporting the model.",
        )


def _require_quantised(choice: Choice, model: OnnxModel, entries: Sequence[JournalEntry]) -> None:
    """Nothing is called int8 that is not: a pass that found nothing to quantise makes no int8 candidate."""
    if choice.precision not in CODED or any(one.changed and one.stage == _QUANTISING for one in entries):
        return
    if any(node.op_type in _QUANTISED_OPS for node in model.ir.graph.all_nodes()):
        return  # it came quantised and is kept as it is
    reasons = [f"{note.subject}: {note.text}" for one in entries for note in one.notes if note.kind == "skipped"]
    why = f" ({'; '.join(reasons[:_SHOWN])})" if reasons else ""
    raise UnavailableError(f"scheme '{choice.scheme}' finds nothing to quantise{why}", "Choose --precision fp32.")


def _known(one: AnyPass, options: Mapping[str, object]) -> dict[str, object]:
    names = {item.name for item in fields(one.options_type)}
    return {name: value for name, value in options.items() if name in names}
