"""How something is trained, as recipes write it: shared by the passes, which know no torch, and their stages."""

from __future__ import annotations

from dataclasses import dataclass

OPTIMIZERS = ("adamw", "sgd")
LOSSES = ("logits", "features", "both", "own")
AUGMENTATIONS = ("auto", "none", "light", "strong")
PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
ANSWERS = ("auto", "classes", "values")


@dataclass(frozen=True)
class TrainOptions:
    """How long, how fast, and towards what. 0 stands for "chosen by the data and the model" where it says so."""

    epochs: int = 0
    """Walks through the training samples; 0 chooses by their number and the model's work per sample."""
    epoch_samples: int = 0
    """Samples of one epoch, another random part each time; 0 takes all where ``epochs`` is given, else what the model's
    work allows."""
    batch: int = 0
    """Samples per step; 0 chooses by their number."""
    learning_rate: float = 0.0
    """At its highest, after the warm-up; 0 chooses by the optimizer, the batch and the kind of model."""
    optimizer: str = "adamw"
    """``adamw``, or ``sgd`` with ``momentum`` (and Nesterov's look ahead)."""
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    """Of weights with two dimensions or more; biases and normalisations have none."""
    warmup: float = 0.05
    """Share of all steps in which the learning rate rises from 0; then it falls along a cosine to 0."""
    clip: float = 1.0
    """Largest norm of all gradients together; 0 clips nothing."""
    ema: float = 0.99
    """Decay of the moving average of the weights, which is what is judged and kept; 0 averages nothing."""
    patience: int = 0
    """Epochs without a better result after which training ends; 0 never ends early."""
    loss: str = "logits"
    """What the teacher is followed in: ``logits`` (its outputs), ``features`` of inner layers, ``both``, or ``own``:
    nothing, the labels' loss alone."""
    answers: str = "auto"
    """``classes``: outputs are scores of classes, followed by their softened distribution; ``values``: by their squared
    error; ``auto``: as the metric suggests."""
    temperature: float = 2.0
    """Softens the distributions of ``classes``."""
    feature_weight: float = 1.0
    """Weight of the features' loss beside that of the outputs in ``both``."""
    labels_weight: float = 0.3
    """Share of the labels' loss where training data has labels and a loss for them is known, 0 to 1."""
    labels_loss: str = ""
    """``module:function`` taking the outputs (a dict of tensors) and the labels (a tensor), giving a scalar tensor."""
    trainable: tuple[str, ...] = ()
    """Glob patterns of the parameters (or modules) that are trained; empty trains all."""
    last: int = 0
    """Trains only the last N layers that have parameters; 0 trains all."""
    augment: str = "auto"
    """``none``, ``light`` or ``strong`` changes of inputs; ``auto``: light ones where samples are few."""
    flip: bool = True
    """Images may be mirrored: where no ``labels_loss`` is given and a teacher of classes takes mirrored ones alike."""
    precision: str = "auto"
    """``float32``, ``bfloat16`` where it is safe, or ``auto``."""
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: CUDA where there is one."""

    def __post_init__(self) -> None:
        for field, allowed in _WORDS.items():
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"{field}: '{value}' is not one of {', '.join(allowed)}")
        for field, (low, high) in _RANGES.items():
            value = getattr(self, field)
            if not low <= value <= high:
                limit = f"from {low:g} to {high:g}" if high < _UNLIMITED else f"{low:g} or more"
                raise ValueError(f"{field}: {value:g} is not {limit}")
        if self.loss == "own" and self.labels_weight == 0:
            raise ValueError("labels_weight: 0 leaves nothing to learn where loss is 'own'")
        if self.labels_loss and ":" not in self.labels_loss:
            raise ValueError(f"labels_loss: '{self.labels_loss}' is not of the form module:function")
        if self.trainable and self.last:
            raise ValueError("last: give either patterns of what is trained or a number of last layers")


_UNLIMITED = 1e9
_WORDS = {
    "optimizer": OPTIMIZERS,
    "loss": LOSSES,
    "answers": ANSWERS,
    "augment": AUGMENTATIONS,
    "precision": PRECISIONS,
    "device": DEVICES,
}
_RANGES = {
    "epochs": (0, _UNLIMITED),
    "batch": (0, _UNLIMITED),
    "epoch_samples": (0, _UNLIMITED),
    "learning_rate": (0, 10),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1),
    "warmup": (0, 1),
    "clip": (0, _UNLIMITED),
    "ema": (0, 0.99999),
    "patience": (0, _UNLIMITED),
    "temperature": (0.1, 100),
    "feature_weight": (0, _UNLIMITED),
    "labels_weight": (0, 1),
    "last": (0, _UNLIMITED),
}


@dataclass(frozen=True)
class DistilOptions(TrainOptions):
    """Options of ``distil``."""

    bn_samples: int = 1000
    """Samples that BatchNorm statistics are estimated on again before training, where that answers better than those
    that pruning brought in line; 0 leaves them."""
    move_statistics: bool = True
    """While training, BatchNorm normalises by the batch and its statistics follow; else they stay, which is better
    where training samples are unlike those that are judged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bn_samples < 0:
            raise ValueError(f"bn_samples: {self.bn_samples} is below 0")
