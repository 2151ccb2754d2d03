"""What the machine itself says beside the times: energy from its counters, a series of clocks and temperatures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Energy:
    """Joules per sample, inferences running without a pause, or why there is no figure."""

    joules: float | None = None
    """Gross: everything the counter counted."""
    reason: str = "not measured"
    """Why a figure is missing; empty where none is."""
    net_joules: float | None = None
    """Without what the idle machine takes in the same time."""
    counter: str | None = None
    """Whose counter it is, and what it covers."""
    seconds: float | None = None
    """How long was counted."""
    idle_watts: float | None = None
    """What the counter counted just before, with nothing running."""


NO_ENERGY = Energy()


@dataclass(frozen=True)
class SideReading:
    """What the machine said of itself about once a second; None for what it does not say."""

    seconds: float
    """Since the session began."""
    cpu_mhz: float | None
    """Mean over the cores that were used."""
    temperature_c: float | None
    """Of the hottest zone."""
    arm: str | None = None
    """The arm whose run it fell into."""
    order: int | None = None
    """The number of that run."""
