"""What a stage is called on disk: a digest of all that goes in, so that what is found there is of the same inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from edgewright.compiler.site import Absent, Goal, Samples, Site, Training
from edgewright.core import jsontext
from edgewright.core.files import sha256_file
from edgewright.core.model import TorchSource

_PACKAGES = ("edgewright", "torch", "torch-pruning", "torchao")


def stage_key(stage: str, model: TorchSource, options: object, site: Site, extra: Mapping[str, Path]) -> str:
    """SHA-256 in hex over the model, its state, options, data, goal, target, seed, threads and tool versions.

    Whether times were to be had is part of it; the times themselves cannot be.
    """
    training = site.training
    assert isinstance(training, Training)
    select = training.select
    return jsontext.digest(
        {
            "stage": stage,
            "model": site.original.digest,
            "state": None if model.state is None else folder_digest(model.state),
            "options": {name: _plain(value) for name, value in asdict(options).items()},  # type: ignore[call-overload]
            "target": site.target.to_json(),
            "goal": _stated(training.goal),
            "max_drop": site.budget.max_drop,
            "keep": list(training.keep),
            "seed": site.seed,
            "threads": training.threads,
            "data": [_digest(site.samples), _digest(training.train)],
            "select": None if isinstance(select, Absent) else [select.samples.digest, select.metric],
            "exclude": sorted(one.hex() for one in training.exclude),
            "measured": not isinstance(site.measure, Absent),
            "own_loss": _file_digest(getattr(options, "labels_loss", "")),
            "extra": {word: sha256_file(path) for word, path in extra.items()},
            "versions": {name: _version(name) for name in _PACKAGES},
        }
    )


def folder_digest(folder: Path) -> str:
    """SHA-256 in hex of the state in ``folder``: its tensors, attributes and grids."""
    hasher = hashlib.sha256()
    for name in ("left_out.json", "attributes.json", "weights.pt", "grids.json"):
        path = folder / name
        if path.exists():
            hasher.update(f"{name}\0".encode())
            hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()


def _stated(goal: Goal) -> dict[str, object]:
    """The goal as it was asked for. What it comes to in milliseconds was measured, and differs from run to run."""
    return {name: value for name, value in asdict(goal).items() if name not in ("limits_ms", "float32_ms")}


def _file_digest(reference: str) -> str | None:
    """Of the file that ``file.py:function`` names: the user may have changed it since."""
    path = Path(reference.rpartition(":")[0])
    return sha256_file(path) if path.suffix == ".py" and path.is_file() else None


def _digest(samples: Samples | object) -> str | None:
    return None if isinstance(samples, Absent) else str(samples.digest)  # type: ignore[attr-defined]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
