from __future__ import annotations

import dataclasses
import getpass
import os
import platform
from pathlib import Path

import pytest

from edgewright.benchmarks.harness import machine as own
from edgewright.benchmarks.harness.machine import Pressure, choose_cpus, disturbances, pressure, this_machine


def test_it_says_nothing_of_host_user_or_path() -> None:
    text = str(dataclasses.asdict(this_machine()))
    for secret in (platform.node(), str(Path.cwd())):
        assert secret not in text
    if getpass.getuser() != "root":
        assert getpass.getuser() not in text


def test_identity_is_of_the_kind_not_of_the_moment() -> None:
    machine = this_machine()
    assert machine.identity == this_machine().identity
    assert dataclasses.replace(machine, memory_bytes=1, os="Linux 9").identity == machine.identity
    for change in ({"cpu": "other"}, {"cores": 99}, {"governor": "powersave"}, {"isa": ("avx",)}):
        assert dataclasses.replace(machine, **change).identity != machine.identity


def test_stolen_time_is_a_share_of_all_time() -> None:
    assert Pressure(30, 1100, 0).stolen_since(Pressure(20, 1000, 0)) == pytest.approx(0.1)
    assert Pressure(0, 0, 0).stolen_since(Pressure(0, 0, 0)) == 0.0
    now = pressure()
    assert 0 <= now.stolen_ticks <= now.all_ticks


def test_stolen_time_is_of_the_cores_that_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core 1 worked and lost 5 of 105 ticks; three idle cores must not make a little of it."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(own, "_STAT", stat)

    def rows(user: int, idle: int, stolen: int) -> str:
        cores = [(0, idle, 0), (user, 0, stolen), (0, idle, 0), (0, idle, 0)]
        total = tuple(sum(one) for one in zip(*cores, strict=True))
        names = ["cpu", *(f"cpu{number}" for number in range(4))]
        values = zip(names, [total, *cores], strict=True)
        return "".join(f"{name} {u} 0 0 {i} 7 0 0 {s} 0 0\n" for name, (u, i, s) in values) + "intr 1 2\n"

    stat.write_text(rows(1000, 5000, 10))
    before = {cpus: pressure(cpus) for cpus in ((1,), (0, 1), (0,), None, (9,))}
    stat.write_text(rows(1100, 5105, 15))
    shares = {cpus: pressure(cpus).stolen_since(earlier) for cpus, earlier in before.items()}
    for cpus in ((1,), (0, 1), None, (9,)):  # a core that is not listed says nothing: all are looked at
        assert shares[cpus] == pytest.approx(5 / 105)
    assert shares[(0,)] == 0.0


def test_disturbances_name_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "x")
    monkeypatch.setattr(os, "getloadavg", lambda: (7.5, 0, 0))
    quiet = dataclasses.replace(this_machine(), cores=4, governor="powersave", virtual=False)
    text = "\n".join(disturbances(quiet, threads=8))
    for words in ("load average 7.50 on 4 cores", "'powersave'", "8 threads on 4 cores", "GLIBC_TUNABLES is set"):
        assert words in text
    assert "virtual" not in text


def test_threads_get_physical_cores_of_their_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four hardware threads on two cores: 0 and 2 share one, 1 and 3 the other.
    files = {f"cpu{cpu}/topology/thread_siblings_list": "0,2" if cpu % 2 == 0 else "1,3" for cpu in range(4)}
    monkeypatch.setattr(own, "_text", lambda path: files.get(str(path.relative_to(own._CPU)), ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert choose_cpus(2) == (0, 1)
    assert choose_cpus(3) == (0, 1, 2)
    assert choose_cpus(4) is None
    files |= {f"cpu{cpu}/cpu_capacity": "1024" if cpu in (1, 3) else "400" for cpu in range(4)}
    assert choose_cpus(1) == (1,)
