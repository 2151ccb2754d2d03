"""What AOTInductor is told of a target's instruction sets."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest

from edgewright.backends import _aotinductor_host as host
from edgewright.backends._aotinductor_build import _flags

from .conftest import make_target


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks about x86-64")
@pytest.mark.parametrize(
    ("isa", "level"),
    [
        ((), "x86-64"),
        (("sse4_2",), "x86-64-v2"),
        (("avx", "avx2", "fma"), "x86-64-v3"),
        (("avx2", "avx512f", "avx512_vnni"), "x86-64-v4"),
    ],
)
def test_the_compiler_is_told_the_level_of_the_target(isa: tuple[str, ...], level: str) -> None:
    assert host.march(replace(make_target(), isa=frozenset(isa))) == level


def test_a_compilers_flags_are_told_in_linuxs_names() -> None:
    assert _flags("-mavx512f -mavx512vnni -mamx-tile  -mfma") == {"avx512f", "avx512_vnni", "amx_tile", "fma"}
