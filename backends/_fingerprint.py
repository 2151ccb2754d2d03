"""Whether the engines on this machine can be expected to read what was built with others."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgewright.backends._base import Backend


def fingerprint_problem(backend: Backend, built_with: Mapping[str, str]) -> str | None:
    """Says what is wrong with opening an artifact here, or None.

    The rule: the installed release (major and minor number) must not be older than the one it was built with. ONNX
    Runtime and OpenVINO read what their older releases wrote; neither promises it the other way round. A newer release
    may choose other kernels, so its numbers are for the golden samples to judge, not for this.

    Args:
        backend: the backend that is to open it.
        built_with: the versions in the artifact or manifest, by package; only the backend's own is compared.
    """
    here = backend.installed()
    if not here.present:
        return here.reason
    package = "onnx" if backend.name == "reference" else backend.name
    built, installed = built_with.get(package), here.version or ""
    if built is None:
        return f"it does not say which version of {package} it was built with"
    if _release(installed) < _release(built):
        return f"it was built with {package} {built}, here is {installed}, which is older"
    return None


def _release(version: str) -> tuple[int, ...]:
    """Major and minor number; a version that is not numbers compares as the oldest."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else (-1,)
