"""What is asked of the chain: cases, recipes, limits, and the bars that the results have to clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NATIVE = ("native/onnxruntime", "native/openvino")


@dataclass(frozen=True)
class Bar:
    """What a result has to clear; None asks nothing."""

    speedup: float | None = None
    """Float32 latency over the result's, at least, on each runtime."""
    lost: float | None = None
    """How much the metric may lose over the whole evaluation set, in its own unit."""
    minutes: float | None = None
    """How long the one compile for all runtimes may take."""
    exit_code: int = 0
    recovers: str = ""
    """A row whose loss this one has to take back ..."""
    recovered: float = 0.0
    """... so much of, as a share."""


@dataclass(frozen=True)
class Plan:
    """One row of the study: one compile, as a user would type it.

    Attributes:
        case: the name under `benchmarks/cases`.
        title: what the table calls it.
        recipe: a file of `recipes/`.
        train: file of the case's folder that `--train-data` names, or None.
        options: further words of the command line; latencies are asked for at or a little below the bar, and recipes
            undercut them further, for an interval has to clear them.
        note: what a reader of the row should know.
        bar: what it is held to.
        factory: the torch source, in the case's folder.
        shapes: where the case's own are not those of the torch source.
        targets: what `--target` names; files are of `targets/`.
    """

    case: str
    title: str
    recipe: str
    train: str | None
    options: tuple[str, ...]
    note: str
    bar: Bar
    factory: str = "factory.py:trained"
    shapes: str | None = None
    targets: tuple[str, ...] = NATIVE


_RESNET = "residual net of 0.9 M parameters, Fashion-MNIST"
_PER_TENSOR = "EfficientNet-Lite0, one scale per weight tensor"

PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "fashion-resnet": Plan(
            "fashion-resnet",
            _RESNET,
            "fashion_resnet.toml",
            "training.npz",
            ("--max-latency", "0.3x", "--max-drop", "0.005", "--precision", "int8"),
            "pruned, distilled with labels, trained for int8",
            Bar(3.0, 0.005, 15),
        ),
        "fashion-resnet-unlabelled": Plan(
            "fashion-resnet",
            f"{_RESNET}, no labels",
            "fashion_resnet.toml",
            "training-unlabelled.npz",
            ("--max-latency", "0.3x", "--max-drop", "0.01", "--precision", "int8"),
            "pruned, distilled without labels, trained for int8",
            Bar(3.0, 0.01, 15),
        ),
        "fashion-detector": Plan(
            "fashion-detector",
            "detector of generated scenes",
            "fashion_detector.toml",
            "training.npz",
            ("--max-latency", "0.49x", "--max-drop", "0.015"),
            "pruned and distilled with labels, the precision left open; mAP50",
            Bar(2.0, 0.015),
        ),
        "efficientnet-lite0": Plan(
            "efficientnet-lite0",
            "EfficientNet-Lite0",
            "efficientnet_lite0.toml",
            "training.py:samples",
            ("--max-latency", "0.8x", "--max-drop", "0.15", "--precision", "fp32"),
            "pruned and distilled without labels on crops of 35 photos, onto two of three a thing cut out of one of 204"
            " others; agreement with the original where that is surer than 0.3, on crops of nine other photos:"
            " fidelity, not ImageNet accuracy",
            Bar(1.25, 0.15, 20),
            shapes="image=1,3,224,224",
        ),
        "minilm": Plan(
            "minilm",
            "MiniLM-L6 sentence embeddings",
            "minilm.toml",
            "training.npz",
            ("--max-latency", "0.765x", "--max-drop", "0.03", "--precision", "fp32"),
            "heads and perceptrons pruned, distilled on documentation texts; Spearman on WordSim-353",
            Bar(1.3, 0.03, 30),
        ),
        "efficientnet-lite0-ptq": Plan(
            "efficientnet-lite0",
            f"{_PER_TENSOR}, quantised after training",
            "efficientnet_lite0_ptq.toml",
            None,
            ("--max-drop", "1", "--precision", "int8", "--trials", "1"),
            "int8 as accelerators have it that take one scale for a whole weight, nothing kept in float to save"
            " accuracy; agreement with the original where that is surer than 0.3, on crops of nine photos that nothing"
            " was trained on",
            Bar(),
            shapes="image=1,3,224,224",
            targets=("per_tensor.toml",),
        ),
        "efficientnet-lite0-qat": Plan(
            "efficientnet-lite0",
            f"{_PER_TENSOR}, trained for int8",
            "efficientnet_lite0_qat.toml",
            "training.py:samples",
            ("--max-drop", "1", "--precision", "int8", "--trials", "1"),
            "the same, trained without labels on crops of 35 photos, onto two of three a thing cut out of one of 204"
            " others",
            Bar(recovers="efficientnet-lite0-ptq", recovered=0.5),
            shapes="image=1,3,224,224",
            targets=("per_tensor.toml",),
        ),
        "impossible": Plan(
            "fashion-resnet",
            "what cannot be had",
            "impossible.toml",
            "training.npz",
            ("--max-latency", "0.1x", "--max-drop", "0.005", "--precision", "int8"),
            "ten times faster at half a point: the best found is kept, and how far it missed is said",
            Bar(exit_code=1),
        ),
    }
)
