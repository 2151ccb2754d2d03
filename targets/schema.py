"""What a target is: a frozen description of one piece of hardware and one runtime on it. Data only, no logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class QuantScheme:
    """One way of writing int8 that a runtime executes well; a target lists the ones worth trying, preferred first.

    ``static`` schemes write Q/DQ from calibrated ranges; ``dynamic`` ones let the runtime find each activation's range.
    """

    name: str
    kind: Literal["static", "dynamic"]
    op_kinds: frozenset[str]
    """Operators that are given quantised inputs."""
    quantize_outputs: bool = True
    """Whether an operator's output is quantised too even when no quantised operator reads it (ONNX Runtime needs
    that to choose an integer kernel; OpenVINO does not)."""
    float_output_kinds: frozenset[str] = frozenset()
    """Operators for which ``quantize_outputs`` makes an exception: their integer kernel can give float results, so
    the output is left alone unless a quantised operator reads it."""
    float_rest: str = "fp32"
    """The precision in which the runtime computes what is not quantised. One that is not among the target's
    ``hinted_precisions`` is written into the graph."""
    residual_adds: bool = False
    """The runtime adds a residual inside the kernel of the convolution before it: of an Add behind a convolution only
    the other branch gets codes, because a pair between the two would part them."""


@dataclass(frozen=True)
class QuantRule:
    """What int8 (or fp8) means on a device."""

    activation: Literal["uint8", "int8", "float8e4m3fn"]
    activation_symmetric: bool
    weight: Literal["uint8", "int8", "float8e4m3fn"]
    weight_symmetric: bool
    per_channel_axes: Mapping[str, int]
    """Operator -> axis of its weight that may have a scale each; an operator not named has one scale per tensor."""
    reduce_range: bool
    """Weights are kept to 7 bits so that sums of two u8 x s8 products fit 16 bits (CPUs without VNNI)."""
    saturates_int16: bool
    """The device adds pairs of products with 16-bit saturation (pmaddubsw)."""
    schemes: tuple[QuantScheme, ...]
    source: str
    bias: Literal["int32", "float"] = "int32"
    """How a bias is written: as codes with the product's scale, or as it is, where the runtime takes no int32 codes."""


@dataclass(frozen=True)
class Sign:
    """How a machine shows that it has the hardware: a file whose path fits ``path`` holds one of ``contains``."""

    path: str
    """A glob, such as ``/sys/class/accel/*/device/vendor``."""
    contains: tuple[str, ...]


@dataclass(frozen=True)
class Limit:
    """What one of a runtime's packages does not do with a precision that the hardware has, by its own documentation."""

    flavour: str
    """The package's import name, such as ``tensorrt_rtx``."""
    precision: str
    text: str
    """A sentence for people, without a full stop."""
    source: str


@dataclass(frozen=True)
class Target:
    """One piece of hardware with one runtime; the value a pass, a backend and the driver consult."""

    hardware: str
    """The first half of the name, such as ``x86-avx512-vnni``."""
    runtime: str
    """The backend's name, such as ``onnxruntime``."""
    title: str
    arch: str
    """``x86_64``, ``aarch64``, ``gpu`` or ``any``."""
    isa: frozenset[str]
    """Instruction sets it is sure to have, in Linux's names (``avx512_vnni``, ``asimddp``)."""
    device: str
    """What the runtime calls it: ``CPU``, ``GPU``, ``NPU``, ``CUDA``."""
    precisions: tuple[str, ...]
    """Of ``fp32``, ``fp16``, ``bf16``, ``int8``, ``fp8``: what it takes, the simplest first."""
    hinted_precisions: frozenset[str]
    """Those of ``precisions`` the runtime reaches from a float32 graph by itself when told to."""
    int8: QuantRule | None
    opset: tuple[int, int]
    """Lowest and highest ONNX opset the runtime takes."""
    fused_ops: frozenset[str]
    """Fused operators it executes, as ``domain::Name``; a standard operator is ``::Name``."""
    channel_multiple: int
    threads: int
    memory_bytes: int | None
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Field -> where its figure comes from."""
    signs: tuple[Sign, ...] = ()
    """Any one of them shows that the hardware is here; empty for a CPU and for an NVIDIA GPU, which ``isa`` shows."""
    detected: bool = False
    """True when this describes the machine it was loaded on; False for a description of some other device."""
    resembles: str | None = None
    """The described hardware whose runtimes a detected machine borrows."""
    flavours: tuple[str, ...] = ()
    """For a runtime that comes in several packages: requirements such as ``tensorrt>=10,<11``, the preferred first. The
    first that is installed and can build for the hardware is used."""
    limits: tuple[Limit, ...] = ()
    """Where a flavour does less with a precision than the hardware could; see :meth:`limits_of`."""
    fp8: QuantRule | None = None
    """What fp8 means, where ``precisions`` has it."""
    not_in: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Precision -> operators, as ``domain::Name``, that the runtime takes and does not compute in it."""
    competes: bool = True
    """False for a runtime that takes part only when it is asked for by name (``hardware/runtime``)."""

    @property
    def name(self) -> str:
        """``hardware/runtime``."""
        return f"{self.hardware}/{self.runtime}"

    @property
    def compute_capability(self) -> tuple[int, int] | None:
        """Of an NVIDIA GPU, such as (8, 9) for ``sm_89``; None for anything else."""
        for word in self.isa:
            if word.startswith("sm_"):
                return int(word[3:-1]), int(word[-1])
        return None

    def limits_of(self, flavour: str, precision: str) -> tuple[Limit, ...]:
        """What ``flavour`` (an import name) is documented not to do with ``precision``; to be reported, not refused."""
        return tuple(item for item in self.limits if (item.flavour, item.precision) == (flavour, precision))

    def to_json(self) -> dict[str, object]:
        """Every field in JSON's types, sets sorted; the manifest's form, read by ``load.target_from_json``."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, QuantRule | QuantScheme | Sign | Limit):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
