"""Turns a target document into :class:`Target` values, or says everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, cast

from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.toml import Table
from edgewright.targets.schema import Limit, QuantRule, QuantScheme, Sign, Target

ARCHES = ("x86_64", "aarch64", "gpu", "any")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
FLOATS = ("fp32", "fp16", "bf16")
CODES = ("uint8", "int8", "float8e4m3fn")
KNOWN_ISA: Mapping[str, tuple[str, ...]] = {
    "x86_64": (
        *("sse2", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8", "avx_ne_convert"),
        *("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
        *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    ),
    "aarch64": ("asimd", "fphp", "asimdhp", "asimdrdm", "asimddp", "asimdfhm", "i8mm", "bf16", "sve", "sve2", "sme"),
}
"""Instruction sets that matter to inference, in the words of Linux's /proc/cpuinfo (arch/x86/include/asm/cpufeatures.h,
Documentation/arch/arm64/elf_hwcaps.rst). A GPU's is its compute capability, ``sm_87``."""
_SM = re.compile(r"sm_\d{2,3}")
_FLAVOUR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:>=|<=|==|<|>)\d+(?:\.\d+)*(?:,(?:>=|<=|==|<|>)\d+(?:\.\d+)*)*)?")
_OP = re.compile(r"[A-Za-z0-9_.]*::[A-Za-z][A-Za-z0-9_]*")


def parse_targets(document: Mapping[str, object], hardware: str, where: str) -> tuple[Target, ...]:
    """One target for each runtime of a document, in the document's order.

    Args:
        document: the TOML's content, with what it is ``like`` already merged in.
        hardware: the first half of the targets' names.
        where: the file, for the message.

    Raises:
        UsageError: listing every mistake with its path.
    """
    top = Table(document, "", [])
    base = _hardware(top, hardware)
    runtimes = top.table("runtimes", required=True)
    targets = tuple(_runtime(runtimes.table(name), name, base) for name in runtimes.keys())  # noqa: SIM118
    if not targets and not top.problems:
        top.complain("runtimes", "has no runtime; write a table such as [runtimes.onnxruntime]")
    top.close()
    if top.problems:
        mistakes = "\n".join(f"  {problem}" for problem in top.problems)
        plural = "mistake" if len(top.problems) == 1 else "mistakes"
        raise UsageError(f"{where} has {len(top.problems)} {plural}:\n{mistakes}", "Mend the file and try again.")
    return tuple(_effective(target, needs) for target, needs in targets)


def target_from_json(data: Mapping[str, object]) -> Target:
    """Reads what :meth:`Target.to_json` wrote.

    Raises:
        BadInputError: when a field is missing, unknown or of the wrong type.
    """
    present = {key: value for key, value in data.items() if value is not None}
    top = Table(present, "target", [])
    runtime = top.text("runtime")
    base = replace(
        _hardware(top, top.text("hardware")),
        detected=top.flag("detected", default=False),
        resembles=top.text("resembles") if top.has("resembles") else None,
    )
    target, _ = _runtime(top, runtime, base)
    if top.problems:
        raise BadInputError("; ".join(top.problems), "The bundle's manifest is damaged.")
    return target


def _hardware(top: Table, hardware: str) -> Target:
    """The fields all runtimes share; the others hold neutral values."""
    arch = top.choice("arch", ARCHES)
    return Target(
        hardware=hardware,
        runtime="",
        title=top.text("title"),
        arch=arch,
        isa=_isa(top, arch),
        device="",
        precisions=(),
        hinted_precisions=frozenset(),
        int8=None,
        opset=(1, 1),
        fused_ops=frozenset(),
        channel_multiple=1,
        threads=top.count("threads", default=1, lowest=1),
        memory_bytes=top.optional_count("memory_bytes", lowest=1),
        sources=MappingProxyType(dict(top.texts("sources"))),
        signs=tuple(_sign(table) for table in top.tables("signs")),
    )


def _isa(top: Table, arch: str) -> frozenset[str]:
    if arch in KNOWN_ISA:
        return frozenset(top.words("isa", known=KNOWN_ISA[arch]))
    words = top.words("isa", default=())
    for index, word in enumerate(words):
        if arch != "gpu" or not _SM.fullmatch(word):
            top.complain(f"isa[{index}]", f"{word!r} is not a compute capability such as sm_87")
    return frozenset(words)


def _sign(table: Table) -> Sign:
    sign = Sign(table.text("path"), table.words("contains"))
    table.close()
    return sign


def _runtime(table: Table, name: str, base: Target) -> tuple[Target, Mapping[str, tuple[str, ...]]]:
    precisions = table.words("precisions", known=PRECISIONS)
    if "fp32" not in precisions:
        table.complain("precisions", "must include fp32: it is what everything is compared with")
    hinted = frozenset(table.words("hinted_precisions", known=FLOATS, default=()))
    for word in sorted(hinted - set(precisions)):
        table.complain("hinted_precisions", f"'{word}' is not in precisions")
    needs_table = table.table("precisions_need")
    needs = {word: needs_table.words(word) for word in needs_table.keys()}  # noqa: SIM118
    for word in sorted(set(needs) - set(precisions)):
        table.complain(f"precisions_need.{word}", "is not in precisions")
    int8 = _rule(table.table("int8")) if table.has("int8") else None
    if (int8 is not None) != ("int8" in precisions):
        table.complain("int8", "precisions and the int8 table must agree: both or neither")
    for index, scheme in enumerate(int8.schemes if int8 else ()):
        if scheme.float_rest not in precisions:
            table.complain(f"int8.schemes[{index}].float_rest", f"'{scheme.float_rest}' is not in precisions")
    fp8 = _rule(table.table("fp8")) if table.has("fp8") else None
    if (fp8 is not None) != ("fp8" in precisions):
        table.complain("fp8", "precisions and the fp8 table must agree: both or neither")
    for index, scheme in enumerate(fp8.schemes if fp8 else ()):
        if scheme.float_rest not in precisions:
            table.complain(f"fp8.schemes[{index}].float_rest", f"'{scheme.float_rest}' is not in precisions")
    fused = table.words("fused_ops", default=())
    for index, op in enumerate(fused):
        if not _OP.fullmatch(op):
            table.complain(f"fused_ops[{index}]", f"{op!r} is not domain::Name (a standard operator is ::Name)")
    flavours = _flavours(table)
    target = replace(
        base,
        runtime=name,
        device=table.text("device"),
        precisions=precisions,
        hinted_precisions=hinted,
        int8=int8,
        fp8=fp8,
        not_in=_gaps(table, precisions),
        flavours=flavours,
        limits=tuple(_limit(item, flavours, precisions) for item in table.tables("limits")),
        competes=table.flag("competes", default=True),
        opset=table.pair("opset", lowest=1),
        fused_ops=frozenset(fused),
        channel_multiple=table.count("channel_multiple", default=1, lowest=1),
        sources=MappingProxyType({**base.sources, **table.texts("sources")}),
    )
    table.close()
    return target, needs


def _flavours(table: Table) -> tuple[str, ...]:
    flavours = table.words("flavours", default=())
    for index, flavour in enumerate(flavours):
        if not _FLAVOUR.fullmatch(flavour):
            table.complain(
                f"flavours[{index}]", f"{flavour!r} is not an import name with bounds such as tensorrt>=10,<11"
            )
    return flavours


def _limit(table: Table, flavours: tuple[str, ...], precisions: tuple[str, ...]) -> Limit:
    names = tuple(found[1] for flavour in flavours if (found := _FLAVOUR.fullmatch(flavour)))
    limit = Limit(
        flavour=table.choice("flavour", names or ("",)),
        precision=table.choice("precision", precisions or ("",)),
        text=table.text("text"),
        source=table.text("source"),
    )
    table.close()
    return limit


def _gaps(table: Table, precisions: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """Precision -> operators not computed in it; nothing of a precision that is missing altogether."""
    gaps_table = table.table("not_in")
    gaps = {word: gaps_table.words(word) for word in gaps_table.keys()}  # noqa: SIM118
    for word, ops in gaps.items():
        if word not in PRECISIONS:
            table.complain(f"not_in.{word}", f"is none of {', '.join(PRECISIONS)}")
        for index, op in enumerate(ops):
            if not _OP.fullmatch(op):
                table.complain(f"not_in.{word}[{index}]", f"{op!r} is not domain::Name (a standard operator is ::Name)")
    return MappingProxyType({word: frozenset(ops) for word, ops in gaps.items() if word in precisions})


def _rule(table: Table) -> QuantRule:
    rule = QuantRule(
        activation=cast("Literal['uint8', 'int8', 'float8e4m3fn']", table.choice("activation", CODES)),
        activation_symmetric=table.flag("activation_symmetric"),
        weight=cast("Literal['uint8', 'int8', 'float8e4m3fn']", table.choice("weight", CODES)),
        weight_symmetric=table.flag("weight_symmetric"),
        per_channel_axes=MappingProxyType(dict(table.counts("per_channel_axes"))),
        reduce_range=table.flag("reduce_range"),
        saturates_int16=table.flag("saturates_int16"),
        schemes=tuple(_scheme(scheme) for scheme in table.tables("schemes")),
        source=table.text("source"),
        bias=cast("Literal['int32', 'float']", table.choice("bias", ("int32", "float"), default="int32")),
    )
    names = [scheme.name for scheme in rule.schemes]
    if not names:
        table.complain("schemes", "has no scheme; write at least one [[...int8.schemes]]")
    for name in sorted({name for name in names if names.count(name) > 1}):
        table.complain("schemes", f"two schemes are called '{name}'")
    table.close()
    return rule


def _scheme(table: Table) -> QuantScheme:
    scheme = QuantScheme(
        name=table.text("name"),
        kind=cast("Literal['static', 'dynamic']", table.choice("kind", ("static", "dynamic"))),
        op_kinds=frozenset(table.words("op_kinds")),
        quantize_outputs=table.flag("quantize_outputs", default=True),
        float_output_kinds=frozenset(table.words("float_output_kinds", default=())),
        float_rest=table.choice("float_rest", FLOATS, default="fp32"),
        residual_adds=table.flag("residual_adds", default=False),
    )
    table.close()
    return scheme


def _effective(target: Target, needs: Mapping[str, tuple[str, ...]]) -> Target:
    """``target`` without the precisions, and the schemes that use them, whose instruction sets it is not sure of."""
    absent = {word for word, any_of in needs.items() if not target.isa & set(any_of)}
    int8 = None if "int8" in absent else target.int8
    if int8 is not None:
        int8 = replace(int8, schemes=tuple(item for item in int8.schemes if item.float_rest not in absent))
    fp8 = None if "fp8" in absent else target.fp8
    return replace(
        target,
        precisions=tuple(word for word in target.precisions if word not in absent),
        hinted_precisions=target.hinted_precisions - absent,
        int8=int8,
        fp8=fp8,
    )
