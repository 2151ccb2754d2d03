"""A gate on its way: its bundles are open, and it is known what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.benchmarks.gate.baseline import Baseline
from edgewright.benchmarks.gate.limits import Gate, Limits
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.core.bundle import Bundle


@dataclass(frozen=True, eq=False)
class Opened:
    """A gate whose files were found sound."""

    gate: Gate
    new: Bundle
    base: Bundle | None
    stored: Baseline | None
    first: bool = False
    """True where there is nothing yet that it could be compared with: what is relative is then not asked of it."""

    @property
    def subject(self) -> str:
        """What findings call it; foreign text."""
        manifest = self.new.manifest
        return f"{manifest.model.name} {manifest.target.name} {manifest.precision}"

    @property
    def limits(self) -> Limits:
        """What it is held to."""
        return self.gate.limits.absolute if self.first else self.gate.limits

    @property
    def is_compared(self) -> bool:
        """Whether it is run against a bundle, or held against a stored baseline."""
        return self.base is not None or self.stored is not None

    @property
    def asks_for_accuracy(self) -> bool:
        """Whether accuracy was asked for by more than data: by a metric, a drop, or a baseline that has scores."""
        if self.stored is not None and self.stored.scores is not None:
            return True
        return not self.first and (self.gate.metric is not None or self.gate.limits.max_drop is not None)

    @property
    def pairing(self) -> Pairing:
        """As a session of pairs takes it."""
        assert self.base is not None
        gate = self.gate
        return Pairing(
            self.new,
            self.base,
            gate.data,
            gate.metric,
            gate.threads,
            trust_native_code=gate.trust_native_code,
            delta=gate.limits.allowed_regression,
            max_drop=gate.limits.allowed_drop,
            name=gate.name,
        )
