"""Holds an edited plan to its targets before any long work: every mistake at once, each with its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.backends import registry as backends
from edgewright.compiler.pass_base import Stage
from edgewright.compiler.pipeline import default_pipeline
from edgewright.core.toml import Table
from edgewright.driver.choice import CODED, Choice
from edgewright.driver.outputs import Group
from edgewright.driver.plan_file import PlannedChoice, read_plan
from edgewright.driver.presence import accepted_forms
from edgewright.driver.recipe import read_options
from edgewright.driver.variant import QAT, RECOVERED
from edgewright.driver.workshop import narrowed
from edgewright.targets.schema import QuantScheme, Target

_OF_THE_CHOICE = frozenset({"scheme", "codes"})
"""Options of the quantising pass that the choice's own fields decide."""


def check_plan(path: Path | None, groups: Sequence[Group]) -> None:
    """Lets through a plan whose candidates all are what their targets have; None too.

    What it says of targets that are not in ``groups`` is not looked at.

    Raises:
        UsageError, IOFailureError: the file is missing, or cannot be read.
        BadInputError: what is wrong with it, line by line.
    """
    if path is None:
        return
    plan = read_plan(path)
    if not plan.editable:
        return
    problems: list[str] = []
    for target in (target for group in groups for target in group.targets):
        seen: dict[str, str] = {}
        for one in plan.of(target):
            before = len(problems)
            _check(one, target, problems)
            if len(problems) == before:
                twin = seen.setdefault(one.choice.digest, one.place)
                if twin != one.place:
                    problems.append(f"{one.place}: the same as {twin}")
    if problems:
        raise plan.error(problems)


def _check(one: PlannedChoice, target: Target, problems: list[str]) -> None:
    choice, before = one.choice, len(problems)
    table = Table({}, one.place, problems)
    if choice.runtime != target.runtime:
        table.complain("runtime", f"'{choice.runtime:.40}' is not {target.runtime}, the runtime of {target.name}")
    if choice.precision not in target.precisions:
        listed = ", ".join(target.precisions)
        table.complain("precision", f"'{choice.precision:.40}' is none of {listed}, which {target.name} takes")
    else:
        _check_scheme(table, choice, target)
    if choice.variant not in ("", RECOVERED, QAT):
        table.complain("variant", f"'{choice.variant:.40}' is none of {RECOVERED}, {QAT}, and not empty")
    if choice.variant == QAT and choice.precision != "int8":
        table.complain("variant", f"{QAT} is trained for int8, not for {choice.precision:.40}")
    if len(problems) == before:
        _check_options(one, target, problems)
        _check_execution(one, target, problems)


def _check_scheme(table: Table, choice: Choice, target: Target) -> None:
    """The scheme, and what is computed in beside it."""
    if choice.precision not in CODED:
        if choice.scheme:
            table.complain("scheme", f"'{choice.scheme:.40}': {choice.precision} has none, write \"\"")
        hint = choice.precision if choice.precision in target.hinted_precisions else "fp32"
        if choice.hint != hint:
            table.complain("hint", f"'{choice.hint:.40}' is not {hint}, which {choice.precision} has on {target.name}")
        return
    schemes = _schemes(choice, target)
    if choice.scheme not in schemes:
        listed = ", ".join(schemes) or "nothing"
        table.complain("scheme", f"'{choice.scheme:.40}' is none of {listed}, which {target.name} has")
        return
    rest = schemes[choice.scheme].float_rest
    # A rest that the runtime takes no hint of is written into the graph, whatever the plan says.
    hints = {"fp32", *target.hinted_precisions} if rest in {"fp32", *target.hinted_precisions} else {rest}
    if choice.hint not in hints:
        table.complain("hint", f"'{choice.hint:.40}' is none of {', '.join(sorted(hints))}, which {target.name} takes")


def _schemes(choice: Choice, target: Target) -> dict[str, QuantScheme]:
    rule = target.fp8 if choice.precision == "fp8" else target.int8
    return {} if rule is None else {scheme.name: scheme for scheme in rule.schemes}


def _check_options(one: PlannedChoice, target: Target, problems: list[str]) -> None:
    forms = accepted_forms(target)
    if not forms:
        return  # there is no such runtime in this version, and that is told
    options = Table(one.choice.options, f"{one.place}.options", problems)
    typed = "fp32" if one.choice.precision in target.hinted_precisions else one.choice.precision
    passes = default_pipeline(narrowed(target, one.choice), typed).passes if "onnx" in forms else ()
    quantising = next((pass_ for pass_ in passes if pass_.stage is Stage.QUANTIZE), None)
    for name, value in one.choice.options.items():
        if value is None:
            options.complain(name, "is null: leave it out for the default")
    if quantising is not None:
        read_options(options, quantising.options_type, _OF_THE_CHOICE)
        return
    for name in options.keys():  # noqa: SIM118 - a Table is no mapping
        options.complain(name, f"{one.choice.precision} on {target.name} has no options")


def _check_execution(one: PlannedChoice, target: Target, problems: list[str]) -> None:
    told = dict(one.choice.execution)
    if not told or target.runtime not in backends().names():
        return
    known = [dict(other) for other in backends().find(target.runtime)().executions(target, target.threads)]
    if told not in known:
        listed = " or ".join(str(other) for other in known) or "nothing"
        problems.append(f"{one.place}.execution: {told!s:.80} is not {listed}, which {target.name} can be run as")
