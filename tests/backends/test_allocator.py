from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PIECES = """
import ctypes
from edgewright.backends._allocator import giving_back
from edgewright.backends._limits import resident_bytes
import os, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def leave_over():
    "40 MB in pieces of 200 kB, of which every other one is freed: what is kept of them is never at the heap's end."
    pieces = [libc.malloc(200_000) for _ in range(200)]
    for piece in pieces:
        ctypes.memset(piece, 1, 200_000)
    for piece in pieces[::2]:
        libc.free(piece)
def held(run):
    before = resident_bytes(os.getpid())
    run()
    return resident_bytes(os.getpid()) - before
libc.mallopt(-3, 32 << 20)  # as glibc's own threshold is once large pieces were freed
if sys.argv[1] == "inside":
    with giving_back():
        print(held(leave_over))
print(held(leave_over))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc's allocator")
def test_freed_pieces_go_back_inside_and_are_kept_outside() -> None:
    (usual,), (inside, afterwards) = held("outside"), held("inside")
    assert usual > 35e6
    assert 15e6 < inside < 25e6, "half of 40 MB is still in use"
    assert afterwards > 35e6, "what is freed later is kept as usual"


def held(where: str) -> list[int]:
    command = [sys.executable, "-c", PIECES, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]
