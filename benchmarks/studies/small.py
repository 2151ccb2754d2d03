"""What a device installs and pays: sizes, start, and the memory of verify, run and load, in a fresh environment.

Record, schema "edgewright.study-small/1", JSON without host, user or path:

created, machine, versions
wheel    {file, bytes, pure, native: names of machine code in it}
install  {packages: {name: version}, bytes, block_bytes, compiled_bytes, largest: {folder: bytes}}
    of the packages, pip and setuptools left out; bytes are the files' own, block_bytes what the disk gives them,
    compiled_bytes the part that is Python's own cache
start    {import_s, bare_s, verify_help_s}: the least of several processes; import_s is the import alone
rows     [{model, precision, backend, engine_bytes, limit_bytes, verify, run, load, load_here}]
    each {exit_code, wall_s, pss_bytes, rss_bytes}: the most memory of the process and its children at any instant,
    looked at every few milliseconds, the largest of several processes; in pss_bytes, which the limit is for, pages
    that processes share count once, in rss_bytes for each of them; wall_s is the median of others that nobody looked
    at. load and load_here (`isolated=False`) are a program that runs inferences, and have `inference_us`, the least
arm      {platform, files: {name: file}, skipped}: what pip would install on an Arm device with the same versions
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import ROOT, write
from small_table import lines

from edgewright.backends._limits import peak_bytes

SCHEMA = "edgewright.study-small/1"
LIMIT_BYTES = 120_000_000
"""Beyond the engine's own files."""
INSTALL_LIMIT_BYTES, IMPORT_LIMIT_S = 180_000_000, 0.15
REPEATS, STARTS = 3, 9
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "wheel")
ARM = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
LOAD = """
import json, sys, time
begun = time.perf_counter()
import numpy, edgewright
with numpy.load(sys.argv[2]) as file:
    feeds = {name: file[name][0] for name in file.files}
with edgewright.load(sys.argv[1], isolated=sys.argv[3] == "1") as model:
    model.run(feeds)
    first = time.perf_counter() - begun
    took = []
    for _ in range(int(sys.argv[4])):
        begun = time.perf_counter_ns()
        model.run(feeds)
        took.append(time.perf_counter_ns() - begun)
    time.sleep(0.1)
print(json.dumps({"first_s": first, "inference_us": min(took) / 1000}))
"""
Json = dict[str, Any]


def run(bundles: Sequence[Path], into: Path) -> int:
    """Prints what was found and writes the record; 1 where a limit is not kept."""
    with tempfile.TemporaryDirectory(prefix="edgewright-small-") as folder:
        work = Path(folder)
        wheel = built_wheel(work)
        python = installed(wheel, work)
        record = {
            "wheel": wheel_of(wheel),
            "install": install_of(python),
            "start": start_of(python),
            "rows": [row_of(path, python, work) for path in bundles],
            "arm": arm_of(wheel, python, work),
        }
    write(into, SCHEMA, record, ("edgewright", "numpy", "onnxruntime", "rich"))
    print("\n".join(lines(json.loads(into.read_text(encoding="utf-8")))))
    return 0 if kept(record) else 1


def kept(record: Json) -> bool:
    """Whether every limit is kept, and every command came to its end."""
    install, start = record["install"]["bytes"], record["start"]["import_s"]
    used = [(row, row[what]) for row in record["rows"] for what in ("verify", "run", "load")]
    return (
        record["wheel"]["pure"]
        and install <= INSTALL_LIMIT_BYTES
        and start <= IMPORT_LIMIT_S
        and all(one["exit_code"] == 0 and one["pss_bytes"] <= row["limit_bytes"] for row, one in used)
    )


def built_wheel(work: Path) -> Path:
    """The wheel of this checkout, built from a copy: building writes beside the sources."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, copy = ROOT / name, work / "checkout" / name
        if source.is_symlink() or source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy, follow_symlinks=False)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(work),
        str(work / "checkout"),
    ]
    subprocess.run(command, capture_output=True, check=True)
    (wheel,) = work.glob("*.whl")
    return wheel


def wheel_of(wheel: Path) -> Json:
    """Its tag, and machine code in it."""
    with zipfile.ZipFile(wheel) as file:
        native = [name for name in file.namelist() if name.endswith((".so", ".pyd", ".dll", ".dylib", ".a"))]
    pure = wheel.name.endswith("-py3-none-any.whl") and not native
    return {"file": wheel.name, "bytes": wheel.stat().st_size, "pure": pure, "native": native}


def installed(wheel: Path, work: Path) -> Path:
    """A fresh environment with the wheel and what it needs, no extras; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True)
    python = work / "venv" / "bin" / "python"
    pip(python, "install", "-c", str(ROOT / "constraints.txt"), str(wheel))
    return python


def pip(python: Path, *words: str) -> str:
    """What pip prints."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def install_of(python: Path) -> Json:
    """What the environment holds beyond Python, pip and setuptools."""
    (packages,) = (python.parent.parent / "lib").glob("python3*/site-packages")
    sizes, blocks, compiled = {}, 0, 0
    for top in sorted(packages.iterdir()):
        if top.name.partition("-")[0] in NOT_OURS or top.name in NOT_OURS:
            continue
        files = [path for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]
        sizes[top.name] = sum(path.lstat().st_size for path in files)
        blocks += sum(path.lstat().st_blocks * 512 for path in files)
        compiled += sum(path.lstat().st_size for path in files if path.suffix == ".pyc")
    found = json.loads(pip(python, "list", "--format", "json"))
    return {
        "packages": {one["name"]: one["version"] for one in found if one["name"] not in NOT_OURS},
        "bytes": sum(sizes.values()),
        "block_bytes": blocks,
        "compiled_bytes": compiled,
        "largest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:8]),
    }


def start_of(python: Path) -> Json:
    """Least seconds: another program on the machine only adds."""
    code = "import time; t = time.perf_counter(); import edgewright; print(time.perf_counter() - t)"
    imports = [float(subprocess.check_output([str(python), "-c", code])) for _ in range(STARTS)]
    edgewright = str(python.with_name("edgewright"))
    return {
        "import_s": round(min(imports), 4),
        "bare_s": round(min(seconds([str(python), "-c", "pass"]) for _ in range(STARTS)), 4),
        "verify_help_s": round(min(seconds([edgewright, "verify", "--help"]) for _ in range(STARTS)), 4),
    }


def row_of(bundle: Path, python: Path, work: Path) -> Json:
    """One bundle: verified, run, and loaded by a program."""
    from edgewright.core.bundle import open_bundle

    opened = open_bundle(bundle)
    inputs = work / "inputs.npz"
    golden = opened.golden().inputs
    import numpy as np

    np.savez(inputs, **{spec.name: np.stack([one[spec.name] for one in golden]) for spec in opened.manifest.inputs})
    edgewright, here = str(python.with_name("edgewright")), str(bundle)
    load = [str(python), "-c", LOAD, here, str(inputs)]
    row = {
        "model": opened.manifest.model.name if opened.manifest.model.name != "model" else bundle.stem,
        "precision": opened.manifest.precision,
        "backend": opened.manifest.backend.name,
        "engine_bytes": opened.manifest.size_bytes,
        "limit_bytes": opened.manifest.size_bytes + LIMIT_BYTES,
        "verify": measured([edgewright, "verify", here]),
        "run": measured([edgewright, "run", here, "--input", str(inputs), "-o", str(work / "answers.npz")]),
        "load": measured([*load, "1", "200"]),
        "load_here": measured([*load, "0", "200"]),
    }
    print(f"{row['model']}: {row['verify']['pss_bytes'] / 1e6:.0f} MB to verify", flush=True)
    return row


def measured(command: Sequence[str]) -> Json:
    """One command in fresh processes: watched for its memory, and not watched for its time."""
    watched = [memory_of(command) for _ in range(REPEATS)]
    walls, said, codes = [], [], [one[0] for one in watched]
    for _ in range(REPEATS):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        walls.append(time.perf_counter() - begun)
        codes.append(done.returncode)
        said.append(done.stdout)
    found = {
        "exit_code": max(codes, key=abs),
        "wall_s": round(statistics.median(walls), 3),
        "pss_bytes": max(one[1] for one in watched),
        "rss_bytes": max(one[2] for one in watched),
    }
    if said[0].startswith('{"first_s"'):
        found["inference_us"] = round(min(json.loads(one)["inference_us"] for one in said), 1)
    return found


def memory_of(command: Sequence[str]) -> tuple[int, int, int]:
    """Exit code, and the most memory of its tree: shared pages once, and for each process.

    What rose and fell between two looks shows in the kernel's high-water marks, and is added to both.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pss = rss = 0
    seen: dict[int, int] = {}
    highest: dict[int, int] = {}
    while process.poll() is None:
        held = {pid: rollup(pid) for pid in tree(process.pid)}
        pss, rss = max(pss, sum(one[0] for one in held.values())), max(rss, sum(one[1] for one in held.values()))
        for pid, (_, resident) in held.items():
            seen[pid] = max(resident, seen.get(pid, 0))
            highest[pid] = max(peak_bytes(pid) or 0, highest.get(pid, 0))
        time.sleep(0.001)
    missed = sum(max(0, highest[pid] - seen[pid]) for pid in seen)
    return process.returncode, pss + missed, rss + missed


def tree(root: int) -> Iterator[int]:
    """``root`` and its descendants, by the kernel's own lists of children."""
    yield root
    try:
        for task in os.listdir(f"/proc/{root}/task"):  # noqa: PTH208 - looked at all the time
            for child in Path(f"/proc/{root}/task/{task}/children").read_text(encoding="ascii").split():
                yield from tree(int(child))
    except OSError:  # it ended meanwhile
        return


def rollup(pid: int) -> tuple[int, int]:
    """PSS and RSS of one process, in bytes; 0 when it is gone."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0, 0
    found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (row.partition(":") for row in rows)}
    return found.get("Pss", 0), found.get("Rss", 0)


def seconds(command: Sequence[str]) -> float:
    """Wall time of one command."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def arm_of(wheel: Path, python: Path, work: Path) -> Json:
    """What pip finds for an Arm device at the very versions of this environment; nothing is installed."""
    report = work / "arm.json"
    words = ["install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", str(work / "arm")]
    words += [part for tag in ARM for part in ("--platform", tag)]
    words += ["--python-version", f"{sys.version_info[0]}.{sys.version_info[1]}", "--report", str(report)]
    try:
        pip(python, *words, "-c", str(ROOT / "constraints.txt"), str(wheel))
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["pip failed"])[-1]
        return {"platform": ARM[0], "files": {}, "skipped": last.replace(str(work), "")}
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    files = {one["metadata"]["name"]: one["download_info"]["url"].rpartition("/")[2] for one in found}
    return {"platform": ARM[0], "files": dict(sorted(files.items())), "skipped": None}
