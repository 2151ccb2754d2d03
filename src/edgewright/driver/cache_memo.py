"""What passes share within one compile, kept for the next one: statistics of tensors, each under its own digest."""

from __future__ import annotations

import io
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from edgewright.compiler.quantization.calibration import Observation
from edgewright.compiler.quantization.channels import ChannelStatistics
from edgewright.core.cache import Hit
from edgewright.driver.cache_steps import Steps

_KIND = "statistics"
_ARRAYS = "arrays.npz"


@dataclass
class KeptMemo(MutableMapping[str, object]):
    """A dictionary that looks into the cache for what it does not hold, and puts there what it is given.

    Its keys are digests of what the values were computed from: the model, the samples, the tensor.
    """

    steps: Steps
    _held: dict[str, object] = field(default_factory=dict)

    def __getitem__(self, key: str) -> object:
        if key not in self._held:
            with self.steps.found(_KIND, {"of": key}, "a tensor's statistics") as hit:
                if hit is None:
                    raise KeyError(key)
                self._held[key] = _read(hit)
        return self._held[key]

    def __setitem__(self, key: str, value: object) -> None:
        self._held[key] = value
        if isinstance(value, Observation | ChannelStatistics):
            figures, arrays = _parts(value)
            # Each alone took next to nothing; all of them took a run over the calibration samples.
            self.steps.keep(_KIND, {"of": key}, figures, {_ARRAYS: arrays}, took_s=self.steps.worth_s)

    def __contains__(self, key: object) -> bool:
        try:
            self[cast("str", key)]
        except KeyError:
            return False
        return True

    def __delitem__(self, key: str) -> None:
        del self._held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


def _parts(value: Observation | ChannelStatistics) -> tuple[dict[str, object], bytes]:
    arrays = {name: item for name, item in vars(value).items() if isinstance(item, np.ndarray)}
    figures = {name: _figure(item) for name, item in vars(value).items() if name not in arrays}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return {"type": type(value).__name__, "figures": figures}, file.getvalue()


def _figure(value: object) -> object:
    """Exact, and readable where it is infinite: a tensor that no sample had elements of has crossed, infinite ends."""
    return float(value).hex() if isinstance(value, float | np.floating) else int(cast("int", value))


def _read(hit: Hit) -> object:
    value = cast("dict[str, object]", hit.value)
    with np.load(io.BytesIO(hit.read(_ARRAYS)), allow_pickle=False) as found:
        fields: dict[str, object] = {name: found[name] for name in found.files}
    for name, figure in cast("dict[str, str | int]", value["figures"]).items():
        fields[name] = float.fromhex(figure) if isinstance(figure, str) else figure
    kind = Observation if value["type"] == "Observation" else ChannelStatistics
    return kind(**fields)  # type: ignore[arg-type]
