"""What a build counts on: parallel compiles do the same thing once, and one plan gives one result everywhere.

Record, schema "edgewright.study-builds/1", JSON without host, user or path:

created, machine, versions
parallel {models, processes, distinct [{model, precision, compiled, equal_bytes}], failures, waited, leftovers}
    so many processes start at once with one empty cache, as many for each distinct compile; `compiled` counts those
    that did not take it from the cache, `waited` those that said that they wait for another
reproducible [{runtime, target, precision, environments [names], equal_bytes, equal_digests, problem}]
    one bundle is the plan of a compile in each of ENVIRONMENTS; the rest is equal where it is in all of them

Times are left out: they depend on what else the machine does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import PACKAGES, built, edgewright, load_cases, write

from edgewright.core.bundle import open_bundle

__all__ = ["load_cases", "parallel", "reproducible", "run"]
SCHEMA = "edgewright.study-builds/1"
PROCESSES = 16
EPOCH = "1700000000"
NOBODY = 65534
RUNTIMES = (
    ("onnx/onnxruntime", ("fp32", "int8")),
    ("x86-avx2/openvino", ("fp32", "int8")),
    ("rtx-ampere/tensorrt", ("fp32",)),
    ("x86-avx2/aotinductor", ("fp32",)),
)
"""Targets that say how many threads they have, wherever they are built."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Environment:
    """Where one of the builds runs, and as whom."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    without: Sequence[str] = ()
    before: Sequence[str] = ()
    umask: int = 0o022
    user: int | None = None


def environments() -> list[Environment]:
    """The first is the one that the others are compared with; what this machine cannot do is left out."""
    few = ("setsid", "-w", "sh", "-c", 'ulimit -n 256; exec "$@" <&-', "sh")
    other = {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4242"}
    bare = ("HOME", "USER", "LOGNAME", "TERM", "LANG")
    found = [
        Environment("as it is", {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"}),
        Environment("zone, locale, hash seed, umask, no home, no terminal", other, bare, few, 0o077),
    ]
    if shutil.which("taskset"):
        core = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
        found.append(Environment("one core", {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}, before=core))
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    becoming = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *reading)
    if os.geteuid() == 0 and shutil.which("setpriv"):
        found.append(Environment("another user", other, bare, becoming, user=NOBODY))
    return found


def run(names: Sequence[str], into: Path, cases: Path) -> int:
    """Prints a line for each part and writes the record."""
    chosen = [built(name, cases) for name in names]
    with TemporaryDirectory(prefix="edgewright-builds-") as folder:
        first = parallel(chosen, Path(folder))
        print(f"{first['processes']} processes, {first['failures']} failed, {first['distinct']}", flush=True)
        rows = []
        for target, precisions in RUNTIMES:
            for precision in precisions:
                rows.append(reproducible(chosen[0], target, precision, Path(folder) / f"{len(rows)}"))
                print(rows[-1], flush=True)
    packages = (*PACKAGES, *(name for name in ("torch", "tensorrt_rtx_cu13") if _installed(name)))
    write(into, SCHEMA, {"parallel": first, "reproducible": rows}, packages)
    once = all(one["compiled"] == 1 and one["equal_bytes"] for one in first["distinct"])
    alike = all(one["problem"] or one["equal_digests"] for one in rows)
    return 0 if once and alike and not first["failures"] else 1


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def parallel(
    chosen: Sequence[Any], folder: Path, processes: int = PROCESSES, target: str = "native/onnxruntime"
) -> Json:
    """Each of ``chosen`` in float and in int8, all at once."""
    distinct = [(case, precision) for case in chosen for precision in ("fp32", "int8")]
    cache = folder / "cache"
    environment = {**os.environ, "EDGEWRIGHT_CACHE_DIR": str(cache), "EDGEWRIGHT_CACHE_SIZE": "5GB"}
    started = []
    for number in range(processes):
        case, precision = distinct[number % len(distinct)]
        out = folder / f"{number}.ewb"
        words = ["compile", str(case.model), "--target", target, "--precision", precision, "--data", str(case.data)]
        with out.with_suffix(".json").open("w") as told, out.with_suffix(".log").open("w") as said:
            command = [*edgewright(), *words, "--max-drop", "50%", "-o", str(out), "--json"]
            started.append(subprocess.Popen(command, env=environment, stdout=told, stderr=said))
    codes = [one.wait() for one in started]
    made = [folder / f"{number}.ewb" for number in range(processes)]
    rows = []
    for number, (case, precision) in enumerate(distinct):
        own = [out for out in made[number :: len(distinct)] if out.exists()]
        compiled = sum(_target(out)["from_cache"] is None for out in own)
        equal = len({out.read_bytes() for out in own}) == 1
        rows.append({"model": case.name, "precision": precision, "compiled": compiled, "equal_bytes": equal})
    return {
        "models": [case.name for case in chosen],
        "processes": processes,
        "distinct": rows,
        "failures": sum(code != 0 for code in codes),
        "waited": sum("its result is waited for" in out.with_suffix(".log").read_text() for out in made),
        "leftovers": len(list((cache / "store" / "tmp").iterdir())),
    }


def _target(out: Path) -> Json:
    (found,) = json.loads(out.with_suffix(".json").read_text())["targets"]
    return dict(found)


def reproducible(case: Any, target: str, precision: str, folder: Path) -> Json:
    """One plan in every environment."""
    row: Json = {"runtime": target.partition("/")[2], "target": target, "precision": precision}
    wanted = environments()
    row |= {"environments": [one.name for one in wanted], "equal_bytes": None, "equal_digests": None, "problem": None}
    try:
        inputs, words = _inputs(case, target, folder)
        plan = _build(folder, wanted[0], inputs, [*words, "--precision", precision], "plan")
        inputs.append(plan.rename(folder / "plan.ewb"))
        bundles = [_build(folder, one, inputs, [*words, "--plan", "plan.ewb"], f"place {one.name}") for one in wanted]
    except _BuildError as error:
        return {**row, "problem": str(error)}
    digests = {(found.recipe_digest, found.plan_digest) for found in (open_bundle(one).manifest for one in bundles)}
    return {**row, "equal_bytes": len({one.read_bytes() for one in bundles}) == 1, "equal_digests": len(digests) == 1}


class _BuildError(Exception):
    """What the command said."""


def _inputs(case: Any, target: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Files that go in, and the words that name them in the folder where they lie."""
    folder.mkdir()
    folder.chmod(0o755)
    model, data = Path(case.model), Path(case.data)
    name = model.name
    inputs = [model, data]
    if target.endswith("aotinductor"):  # takes torch form alone
        if not case.factory:
            raise _BuildError(f"{case.name} has no torch form")
        source = Path(case.factory.rpartition(":")[0])
        inputs, name = (
            [source, *source.parent.glob("weights.*"), data],
            f"{source.name}:{case.factory.rpartition(':')[2]}",
        )
    words = [name, "--target", target, "--data", data.name, "--max-drop", "50%"]
    if target.endswith("tensorrt"):  # builds for stated sizes alone
        words += [word for shape in _fixed(model) for word in ("--shape", shape)]
    return inputs, words


def _fixed(model: Path) -> list[str]:
    import onnx

    fixed = []
    for one in onnx.load(model, load_external_data=False).graph.input:
        sizes = [item.dim_value for item in one.type.tensor_type.shape.dim]
        fixed += [] if all(sizes) else [f"{one.name}={','.join(str(size or 1) for size in sizes)}"]
    return fixed


def _build(folder: Path, where: Environment, inputs: Sequence[Path], words: Sequence[str], name: str) -> Path:
    # torch's compiler does not build where TMPDIR has spaces in its name.
    place, scratch = folder / name, folder / f"tmp-{len(list(folder.iterdir()))}"
    for made in (place, scratch):
        made.mkdir()
    for path in inputs:
        shutil.copy(path, place / path.name)
    if where.user is not None:
        for path in (place, scratch, *place.iterdir()):
            os.chown(path, where.user, where.user)
    kept = {key: value for key, value in os.environ.items() if key not in where.without}
    more = {"EDGEWRIGHT_CACHE_SIZE": "0", "SOURCE_DATE_EPOCH": EPOCH, "TMPDIR": str(scratch)}
    done = subprocess.run(
        [*where.before, *edgewright(), "compile", *words, "-o", "net.ewb"],
        cwd=place,
        env={**kept, **where.variables, **more},
        umask=where.umask,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        print(done.stderr[-2000:], file=sys.stderr)
        raise _BuildError((said or ["error: it failed"])[0].replace(str(folder), "FOLDER"))
    return place / "net.ewb"
