"""An engine older than the one an artifact was built with is named before it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.backends import Artifact, Availability, Backend, Session, Unsupported, fingerprint_problem
from edgewright.core.model import Model
from edgewright.targets.schema import Target


class Installed(Backend):
    name = "engine"

    def __init__(self, version: str | None) -> None:
        self.version = version

    def probe(self) -> Availability:
        return Availability(self.version, ("CPU",), "it is not installed", "install it")

    def supports(self, model: Model, target: Target) -> list[Unsupported]:
        raise NotImplementedError

    def lower(self, model: Model, target: Target, workdir: Path, precision: str = "fp32") -> Artifact:
        raise NotImplementedError

    def open(self, artifact: Artifact, threads: int) -> Session:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("installed", "built", "says"),
    [
        ("1.31.1", "1.31.0", None),
        ("1.31.0", "1.31.1", None),  # a patch release changes no format
        ("1.31.0", "1.9.2", None),
        ("2026.4.1", "2026.5.0", "built with engine 2026.5.0, here is 2026.4.1"),
        ("1.9.0", "1.31.0", "older"),
        ("nonsense", "1.0", "older"),
        (None, "1.0", "it is not installed"),
    ],
)
def test_only_an_older_release_is_a_problem(installed: str | None, built: str, says: str | None) -> None:
    problem = fingerprint_problem(Installed(installed), {"engine": built})
    assert problem is None if says is None else says in str(problem)


def test_an_artifact_that_does_not_say_is_a_problem() -> None:
    assert "does not say" in str(fingerprint_problem(Installed("1.0"), {"other": "1.0"}))
