"""One plan, two environments that have as little in common as two build machines: the same bytes, the same digests.

With OpenVINO, TensorRT and AOTInductor the engine is the vendor's to make, so that only the digests are promised.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgewright.core.bundle import open_bundle

if TYPE_CHECKING:
    import onnx

    from edgewright.core.tensors import Feeds
    from tests.conftest import RunCli

COMMAND = Path(sys.executable).with_name("edgewright")
NOBODY = 65534
SOON_S = 240
EPOCH = "1700000000"
ANYWHERE = "onnx/onnxruntime"
"""Says by itself how many threads there are; ``native`` says how many cores the machine has."""


@dataclass(frozen=True)
class Place:
    """Where a build runs, and as whom: everything that must not matter."""

    folder: str
    variables: dict[str, str]
    umask: int
    before: Sequence[str] = ()
    """Words that start the command."""
    without: Sequence[str] = field(default=("EDGEWRIGHT_CACHE_DIR", "LANG", "LANGUAGE", "LC_ALL", "TZ"))
    """Variables that are not there."""
    user: int | None = None


def locale_that_differs() -> str:
    """One with other words and numbers where one is installed, else C with another encoding."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    return next((one for one in listed if not one.startswith(("C", "POSIX"))), "C.UTF-8")


HERE = Place("build", {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"}, 0o022)
THERE = Place(
    "ein anderer Ordner, größer",
    {"TZ": "Asia/Kathmandu", "LC_ALL": locale_that_differs(), "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "4242"},
    0o077,
    # Few files, no stdin at all, no terminal.
    ("setsid", "-w", "sh", "-c", 'ulimit -n 256; exec "$@" <&-', "sh"),
    ("EDGEWRIGHT_CACHE_DIR", "HOME", "LANGUAGE", "LOGNAME", "USER", "TERM"),
)


def one_core(place: Place) -> Place:
    """The same place with one core, where that can be had."""
    if shutil.which("taskset") is None:
        return place
    core = min(os.sched_getaffinity(0))
    return Place(
        f"{place.folder}, one core",
        {**place.variables, "OMP_NUM_THREADS": "1"},
        place.umask,
        ("taskset", "-c", str(core), *place.before),
        place.without,
    )


class Build:
    """A compile in one place; the inputs are copied there."""

    def __init__(self, root: Path, place: Place, inputs: Sequence[Path], words: Sequence[str], epoch: str = "") -> None:
        folder = root / place.folder
        # torch's compiler does not build in a folder with spaces in its name.
        scratch = root / f"tmp-{place.umask}" if "native/aotinductor" in words else folder / "tmp"
        folder.mkdir(parents=True)
        scratch.mkdir()
        for path in inputs:
            shutil.copy(path, folder / path.name)
        if place.user is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, place.user, place.user)
        kept = {name: value for name, value in os.environ.items() if name not in place.without}
        environment = {**kept, **place.variables, "TMPDIR": str(scratch), "EDGEWRIGHT_CACHE_SIZE": "0"}
        if epoch:
            environment["SOURCE_DATE_EPOCH"] = epoch
        beside = ["-o", "net.ewb", "--depfile", "net.d", "--record", "net.json"]
        self.folder = folder
        self.child = subprocess.Popen(
            [*place.before, str(COMMAND), "compile", *words, *beside],
            cwd=folder,
            env=environment,
            umask=place.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def bundle(self) -> Path:
        """The bundle, once it is there."""
        _, said = self.child.communicate(timeout=SOON_S)
        assert self.child.returncode == 0, said
        return self.folder / "net.ewb"


def built(
    root: Path, places: Sequence[Place], inputs: Sequence[Path], words: Sequence[str], epoch: str = ""
) -> list[Path]:
    """The bundles of these places, made side by side."""
    builds = [Build(root, place, inputs, words, epoch) for place in places]
    return [one.bundle for one in builds]


def digests(bundle: Path) -> tuple[str, str, object]:
    manifest = open_bundle(bundle).manifest
    return manifest.recipe_digest, manifest.plan_digest, manifest.created


def words_of(model: Path, target: str, *more: str) -> list[str]:
    return [model.name, "--target", target, "--max-drop", "50%", *more]


def only_int8(plan: Path) -> None:
    """Leaves one candidate with calibrated ranges in a plan, as one who edits it does."""
    document: dict[str, Any] = json.loads(plan.read_text())
    (target,) = document["targets"]
    target["candidates"] = [one for one in target["candidates"] if "static-quantize" in one["passes"]][:1]
    assert target["candidates"]
    plan.write_text(json.dumps(document))


def test_int8_by_an_edited_plan_and_by_its_bundle(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    """With the plan's file and with the bundle that came of it; on all cores and on one."""
    words = words_of(conv_net_path, ANYWHERE, "--data", conv_net_data.name)
    planned = run_cli("plan", *words, "-o", "plan.json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    only_int8(tmp_path / "plan.json")
    inputs = [conv_net_path, conv_net_data, tmp_path / "plan.json"]
    first, second = built(tmp_path / "edited", [HERE, one_core(THERE)], inputs, [*words, "--plan", "plan.json"], EPOCH)
    assert first.read_bytes() == second.read_bytes()
    assert open_bundle(first).manifest.precision == "int8"
    assert open_bundle(first).manifest.created == "2023-11-14T22:13:20Z"

    inputs[-1] = first.rename(tmp_path / "plan.ewb")
    again, elsewhere = built(
        tmp_path / "repeated", [HERE, one_core(THERE)], inputs, [*words, "--plan", "plan.ewb"], EPOCH
    )
    assert again.read_bytes() == elsewhere.read_bytes()
    assert digests(again)[1] == digests(inputs[-1])[1]


@dataclass(frozen=True)
class Planned:
    """A float bundle that was built by a plan, and what it was built from."""

    inputs: Sequence[Path]
    words: Sequence[str]
    bundle: Path


@pytest.fixture(scope="module")
def planned(
    conv_net: onnx.ModelProto, conv_net_feeds: list[Feeds], tmp_path_factory: pytest.TempPathFactory
) -> Planned:
    root = tmp_path_factory.mktemp("planned")
    model, data = root / "conv_net.onnx", root / "conv_net.npz"
    model.write_bytes(conv_net.SerializeToString(deterministic=True))
    np.savez(data, x=np.concatenate([one["x"] for one in conv_net_feeds]))
    words = words_of(model, "native/onnxruntime", "--data", data.name)
    (plan,) = built(root / "first", [HERE], [model, data], [*words, "--precision", "fp32"])
    inputs, words = [model, data, plan.rename(root / "plan.ewb")], [*words, "--plan", "plan.ewb"]
    (bundle,) = built(root, [HERE], inputs, words)
    return Planned(inputs, words, bundle)


def test_float_and_nothing_tells_where_or_when_or_by_whom(planned: Planned, tmp_path: Path) -> None:
    (second,) = built(tmp_path, [THERE], planned.inputs, planned.words)
    assert second.read_bytes() == planned.bundle.read_bytes()
    assert digests(second)[2] is None, "no date that SOURCE_DATE_EPOCH does not give"
    said = second.read_bytes() + (second.parent / "net.json").read_bytes() + (second.parent / "net.d").read_bytes()
    secrets = [str(tmp_path), THERE.folder, platform.node(), str(COMMAND.parent.parent), f"/{getpass.getuser()}/"]
    assert [one for one in secrets if len(one) > 3 and one.encode() in said] == []
    assert (second.parent / "net.d").read_text().startswith("net.ewb: ")
    assert not list((second.parent / "tmp").iterdir())


def as_nobody() -> list[str]:
    """Words that start a command as another user, who may still read what this one's Python is made of."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    for tried in (words, [*words, *reading]):
        try:
            done = subprocess.run([*tried, *THERE.before, str(COMMAND), "--version"], capture_output=True, check=False)
        except OSError:
            pytest.skip("there is no setpriv to become another user with")
        if done.returncode == 0:
            return tried
    pytest.skip("another user cannot be given this Python to read")


def test_another_user(planned: Planned) -> None:
    other = Place(THERE.folder, THERE.variables, THERE.umask, [*as_nobody(), *THERE.before], THERE.without, NOBODY)
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may be entered by this user alone
        Path(folder).chmod(0o755)
        (second,) = built(Path(folder), [other], planned.inputs, planned.words)
        assert second.stat().st_uid == NOBODY
        assert second.read_bytes() == planned.bundle.read_bytes()


FACTORY = """
import torch

def net():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 10)).eval(), (torch.zeros(1, 3, 16, 16),)
"""


@pytest.mark.full
@pytest.mark.parametrize("target", ["native/openvino", "rtx-ampere/tensorrt", "native/aotinductor"])
def test_digests_of_other_runtimes(target: str, conv_net_path: Path, tmp_path: Path) -> None:
    inputs, model = [conv_net_path], conv_net_path.name
    if target.endswith("aotinductor"):
        inputs, model = [tmp_path / "net.py"], "net.py:net"
        inputs[0].write_text(FACTORY)
    words = [model, "--target", target, *(["--shape", "x=1,3,16,16"] if target.endswith("tensorrt") else [])]
    (plan,) = built(tmp_path / "first", [HERE], inputs, [*words, "--precision", "fp32"])
    inputs.append(plan.rename(tmp_path / "plan.ewb"))
    first, second = built(tmp_path, [HERE, THERE], inputs, [*words, "--plan", "plan.ewb"], EPOCH)
    assert digests(first) == digests(second)
