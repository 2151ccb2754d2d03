from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.targets import detect
from edgewright.targets.detect import Host, is_present, read_host, stands_in, this_host
from edgewright.targets.load import load_targets
from edgewright.targets.schema import Sign

X86 = Host("x86_64", "a chip", frozenset({"avx", "avx2", "f16c", "fma", "sse4_2"}), 4, None)


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_flags_of_all_processors_and_memory(tmp_path: Path) -> None:
    put(
        tmp_path,
        "proc/cpuinfo",
        "model name\t: Chip 1\nflags\t: avx2 fma amx\n\nmodel name\t: Chip 1\nflags\t: avx2 fma\n",
    )
    put(tmp_path, "proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\n")
    host = read_host(tmp_path)
    assert (host.cpu, host.isa, host.memory_bytes) == ("Chip 1", frozenset({"avx2", "fma"}), 2048 * 1024)
    assert host.quota_cores is None


def test_arm_features(tmp_path: Path) -> None:
    put(tmp_path, "proc/cpuinfo", "processor: 0\nFeatures\t: fp asimd asimddp\nModel\t\t: Raspberry Pi 5 Model B\n")
    host = read_host(tmp_path)
    assert host.isa == {"fp", "asimd", "asimddp"}
    assert host.cpu == "Raspberry Pi 5 Model B"


@pytest.mark.parametrize(
    ("inner", "outer", "cores"), [("150000 100000", "max 100000", 1.5), ("max 100000", "50000 100000", 0.5)]
)
def test_a_quota_of_any_parent_binds(tmp_path: Path, inner: str, outer: str, cores: float) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/box/inner\n")
    put(tmp_path, "sys/fs/cgroup/box/inner/cpu.max", inner)
    put(tmp_path, "sys/fs/cgroup/box/cpu.max", outer)
    put(tmp_path, "sys/fs/cgroup/box/memory.max", "1000")
    put(tmp_path, "proc/meminfo", "MemTotal:  2048 kB\n")
    host = read_host(tmp_path)
    assert (host.quota_cores, host.cores, host.memory_bytes) == (cores, 1, 1000)


def test_version_1_of_cgroups(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "5:memory:/d\n4:cpu,cpuacct:/d\n")
    put(tmp_path, "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us", "-1")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    put(tmp_path, "sys/fs/cgroup/memory/d/memory.limit_in_bytes", "4096")
    host = read_host(tmp_path)
    assert (host.quota_cores, host.cores, host.memory_bytes) == (1.0, 1, 4096)


def test_a_machine_that_tells_nothing_still_has_a_core(tmp_path: Path) -> None:
    host = read_host(tmp_path)
    assert host.cores >= 1
    assert (host.isa, host.memory_bytes) == (frozenset(), None)


class TestPresence:
    def test_a_cpu_is_here_when_its_instruction_sets_are(self) -> None:
        assert is_present(load_targets("x86-avx2/openvino")[0], X86) is None
        reason = is_present(load_targets("x86-avx512-vnni/openvino")[0], X86)
        assert reason is not None
        assert "avx512_vnni" in reason
        assert is_present(load_targets("rpi5/onnxruntime")[0], X86) == "rpi5 is aarch64, this machine is x86_64"
        assert is_present(load_targets("onnx")[0], X86) is None

    def test_this_machine_is_present_and_stands_in_for_nobody(self) -> None:
        for target in load_targets("native"):
            assert is_present(target) is None
            assert stands_in(target) is None

    def test_a_described_cpu_is_measured_on_a_stand_in(self) -> None:
        reason = stands_in(load_targets("x86-avx2/openvino")[0])
        assert reason is not None
        assert "x86-64 CPU with AVX2" in reason

    def test_a_device_shows_by_a_file(self, tmp_path: Path) -> None:
        target = load_targets("intel-gpu")[0]
        sign = Sign(f"{tmp_path}/render*/vendor", ("0x8086",))
        with_sign = replace(target, signs=(sign,))
        assert is_present(with_sign, X86) == "no Intel GPU on this machine"
        put(tmp_path, "render128/vendor", "0x10de\n")
        assert is_present(with_sign, X86) == "no Intel GPU on this machine"
        put(tmp_path, "render129/vendor", "0x8086\n")
        assert is_present(with_sign, X86) is None

    def test_a_device_tree_is_read_past_its_nul_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "compatible").write_bytes(b"nvidia,p3737\0nvidia,tegra234\0")
        target = replace(load_targets("intel-npu")[0], signs=(Sign(f"{tmp_path}/compatible", ("nvidia,tegra234",)),))
        assert is_present(target, X86) is None


def test_the_host_is_looked_at_once() -> None:
    assert this_host() is this_host()
    assert detect.this_host().cores >= 1
