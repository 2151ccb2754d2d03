"""Runs a bundle on inputs: files in, answers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.benchmarks.preparing import prepare, preprocessing_of
from edgewright.core.bundle import open_bundle
from edgewright.core.data.feeding import Feeding, open_feeds
from edgewright.core.tensors import Array, TensorSpec
from edgewright.driver.load import started

SCHEMA = "edgewright.run/1"
_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}


@dataclass(frozen=True)
class Answers:
    """What one output came to over all samples."""

    name: str
    """The tensor's own name: untrusted text."""
    dtype: str
    samples: tuple[Array, ...]
    """One array a sample, in order."""
    whole: Array | None
    """All of them in one array: joined along the axis of the batch, or stacked; None where their shapes differ."""

    def to_json(self, *, values: bool) -> dict[str, object]:
        """What the document has of it; NaN and infinity are the words ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
        shapes: dict[str, object] = {"shape": None if self.whole is None else list(self.whole.shape)}
        if self.whole is None:
            shapes["shapes"] = [list(one.shape) for one in self.samples]
        if not values:
            return {"dtype": self.dtype, **shapes}
        found = [_plain(one) for one in self.samples] if self.whole is None else _plain(self.whole)
        return {"dtype": self.dtype, **shapes, "values": found}


@dataclass(frozen=True)
class RunReport:
    """What came out of one bundle."""

    bundle: str
    digest: str
    samples: int
    threads: int
    outputs: tuple[Answers, ...]
    notes: tuple[str, ...] = ()
    """What the user should know of how the inputs were read."""

    def to_json(self, *, values: bool = True) -> dict[str, object]:
        """The document of ``--json``, and of an ``-o`` file of JSON; without ``values`` shapes alone."""
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "digest": self.digest,
            "samples": self.samples,
            "threads": self.threads,
            "notes": list(self.notes),
            "outputs": {one.name: one.to_json(values=values) for one in self.outputs},
        }


def run_bundle(
    path: Path,
    inputs: Sequence[str],
    threads: int | None = None,
    *,
    key: Path | None = None,
    trust_native_code: bool = False,
) -> RunReport:
    """Runs a bundle, or its unzipped folder, on every sample of ``inputs``, in order.

    The bundle is checked first, then this machine, then all inputs; only then is the engine loaded. State begins as
    zeros, and the samples are one sequence.

    Args:
        path: the bundle.
        inputs: as :func:`edgewright.core.data.feeding.open_feeds` takes them.
        threads: compute threads; None is what the engine was fastest with.
        key: a public key that must have signed the bundle.
        trust_native_code: open an engine that is machine code, which runs when it is opened.

    Raises:
        UsageError: a file that is not there, an input that is missing.
        BadInputError: a bundle that was altered or is not signed; inputs that do not fit; untrusted machine code.
        TargetAbsentError: this machine is not what the bundle is for.
        UnavailableError, EngineError: as :func:`edgewright.driver.load.load`.
    """
    bundle = open_bundle(path, key)
    prepared = prepare(bundle, threads, trust_native_code=trust_native_code)
    manifest = bundle.manifest
    states = {link.input for link in manifest.state}
    wanted = tuple(spec for spec in manifest.inputs if spec.name not in states)
    feeding = open_feeds(inputs, wanted, preprocessing_of(manifest))
    with started(prepared) as loaded:
        answers = [loaded.run(feeds) for feeds in feeding]
        outputs = tuple(
            _answers(spec, tuple(one[spec.name] for one in answers), _is_batched(spec, wanted, feeding))
            for spec in loaded.outputs
        )
        return RunReport(path.name, loaded.digest, feeding.count, loaded.threads, outputs, feeding.notes)


def _is_batched(output: TensorSpec, inputs: tuple[TensorSpec, ...], feeding: Feeding) -> bool:
    """Whether its first axis is that of the inputs that were cut: the same symbol, or the same size."""
    firsts = {spec.shape[0] for spec in inputs if spec.name in feeding.batched and spec.shape}
    return bool(output.shape) and output.shape is not None and output.shape[0] in firsts


def _answers(spec: TensorSpec, samples: tuple[Array, ...], batched: bool) -> Answers:
    if batched and len({one.shape[1:] for one in samples}) == 1:
        whole: Array | None = np.concatenate(samples)
    else:
        whole = np.stack(samples) if len({one.shape for one in samples}) == 1 else None
    return Answers(spec.name, spec.dtype, samples, whole)


def _plain(array: Array) -> object:
    """Nested lists of what JSON has; float16 and its like become the nearest double, which says the same."""
    if array.dtype.kind == "c":
        return _plain(np.stack([array.real, array.imag], axis=-1))
    if array.dtype.kind in "biu":
        return array.tolist()
    if array.dtype.kind not in "f":
        if array.dtype.kind in "OSU":
            return np.vectorize(_text, otypes=[object])(array).tolist() if array.size else array.tolist()
        array = array.astype(np.float64)  # bfloat16 and float8, which numpy itself does not know
    if np.isfinite(array).all():
        return array.tolist()
    return _worded(array.tolist())


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _worded(value: object) -> object:
    if isinstance(value, list):
        return [_worded(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _NAMES.get(value, "NaN")
    return value
