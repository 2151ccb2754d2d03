"""On ``PYTHONPATH``: a command takes every step of a measurement and none of its length. For words, not figures.

Each interpreter imports this before anything else, so the processes that a command starts keep to it too.
"""

from __future__ import annotations

from dataclasses import replace

from edgewright.benchmarks.harness import protocol

_whole = protocol.protocol_named
_WARM = protocol.WarmUp(least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1, span=10.0, trend=10.0)


def _short(preset: str, scenario: protocol.Scenario = protocol.SINGLE_STREAM) -> protocol.Protocol:
    rules = _whole(preset, scenario)
    return replace(rules, preset=replace(rules.preset, seconds=0.3), windows=protocol.Windows(5, 0.01), warm_up=_WARM)


protocol.LEAST_RUN_SECONDS = 0.05
protocol.protocol_named = _short
