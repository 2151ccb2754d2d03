"""What is asked of one cell (a network at a batch size), and what came of each arm; both cross to a process as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

WAYS: Mapping[str, str] = {
    "eager": "PyTorch as it is written",
    "compile": "torch.compile, default mode",
    "compile-graphs": 'torch.compile, mode "reduce-overhead" (CUDA graphs)',
    "aotinductor": "a package made by AOTInductor",
    "onnxruntime": "ONNX Runtime through Edgewright's backend",
    "tensorrt": "TensorRT through Edgewright's backend",
}
"""How a network can be run. An arm is a way and a precision: ``compile-fp16``."""
BASELINE = "eager-fp32"
PRECISIONS = ("fp32", "fp16", "bf16")

BUILD_ORDER = ("eager", "compile", "aotinductor", "onnxruntime", "tensorrt", "compile-graphs")
"""When time runs out while arms are built, the last of these are missing."""

Boundary = Literal["host", "device"]
BOUNDARIES: Mapping[Boundary, str] = {
    "host": "NumPy arrays in, NumPy arrays out: copies to the device and back are inside",
    "device": "inputs lie on the device and the answer stays there; only where PyTorch holds the tensors",
}
"""What is inside the timed span; each ends with a synchronisation. Arms are compared within one boundary only."""

Status = Literal["measured", "wrong", "not run", "failed"]


@dataclass(frozen=True)
class Effort:
    """How much is measured in a cell."""

    rounds: int = 20
    """At most; fewer where the time runs out."""
    block_s: float = 0.06
    """What a block of inferences should take."""
    block_least: int = 5
    block_most: int = 25
    settle_s: float = 0.08
    """Untimed runs of an arm before each of its blocks: clocks, caches and other engines' idle threads calm down."""
    warm_s: float = 1.0
    """Untimed runs of an arm before the first round."""


QUICK = Effort(rounds=6, block_s=0.02, block_least=3, block_most=10, settle_s=0.02, warm_s=0.1)


@dataclass(frozen=True)
class CellPlan:
    """One network at one batch size, with every arm that is wanted."""

    network: str
    batch: int
    device: Literal["cuda", "cpu"]
    arms: tuple[str, ...]
    ends: float
    """When it must be done, building included, by ``time.monotonic``, which the processes of a machine share."""
    effort: Effort
    out: str
    """Where the answer is written."""
    place: str
    """Where the process writes which arm it is at, so that a crash has a name."""
    work: str
    """A folder for what is built."""
    onnx_folder: str | None = None
    seed: int = 0
    threads: int = 1
    tf32: bool = False
    """Whether torch may round float32 to TF32 inside products and convolutions, in every arm that runs through it."""
    skip: Mapping[str, str] = field(default_factory=dict)
    """Arm -> why it is not run."""

    def write(self, path: Path) -> None:
        """As JSON, for :meth:`read` in another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> CellPlan:
        """What :meth:`write` wrote."""
        data = json.loads(path.read_text())
        data["effort"], data["arms"] = Effort(**data["effort"]), tuple(data["arms"])
        return cls(**data)


@dataclass
class ArmResult:
    """What came of one arm; times are nanoseconds."""

    status: Status
    reason: str = ""
    build_s: float | None = None
    error: float | None = None
    """The largest difference from eager fp32 (without TF32), over the largest absolute value of its answer."""
    versions: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    wall_ns: dict[str, list[list[int]]] = field(default_factory=dict)
    """Boundary -> a block for each round."""
    device_ns: dict[str, list[list[int]]] = field(default_factory=dict)
    """The same by the device's own events, without transfers; absent where there are none."""


def way_of(arm: str) -> str:
    """The way of an arm.

    >>> way_of("compile-graphs-fp16"), precision_of("compile-graphs-fp16")
    ('compile-graphs', 'fp16')
    """
    return arm.rpartition("-")[0]


def precision_of(arm: str) -> str:
    """The precision of an arm."""
    return arm.rpartition("-")[2]


def onnx_name(network: str, batch: int, precision: str) -> str:
    """The file that holds a network for the arms that need ONNX."""
    return f"{network}-b{batch}-{precision}.onnx"
