"""Models whose channels were rescaled by powers of two: what int8 makes of them, usual and ours.

Record, schema "edgewright.study-collapse/1", JSON without host, user or path:

created, machine, versions
rows [{...}], and a row is

model, seed, widest    which model, and that factors are random powers of two from 2**-widest to 2**widest
tensors, channels      how many sets of tied tensors were rescaled, and how many channels they have together
float {original, rescaled, difference}     accuracy of each, and max|difference of answers| / max|answer|
naive {original, rescaled}   accuracy in int8 with one scale per tensor, by onnxruntime's quantiser (QDQ, min and max)
max_drop, n            what `edgewright compile --precision int8` was held to, and how many samples judged
exit_code              of that one compile for both runtimes
runtimes {name: {...}}, each with
    exit_code, candidate, precision, held, problem   as benchmarks/cases has them
    value, drop        over all evaluation data, against the rescaled model in float
    kept_float         layers left in float to keep the accuracy
    float_reasons      what else stayed float, and why
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import ROOT, built, load_cases, others, write
from rescaled import rescale

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.intake.source import load_model
from edgewright.compiler.pass_base import registry
from edgewright.compiler.quantization.prepare import prepare
from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.model import OnnxModel
from edgewright.targets.load import load_targets

SCHEMA = "edgewright.study-collapse/1"
MAX_DROP = 0.005
DIGITS = ROOT / "examples" / "digits.py"


def run(names: list[str], into: Path, cases: Path | None, seeds: int, widest: int) -> int:
    """Prints a line for each model and seed and completes the record; 1 where a limit was missed."""
    load_cases()
    rows = others(into, names)
    for name in names:
        with TemporaryDirectory(prefix="edgewright-collapse-") as folder:
            case = digits(Path(folder)) if name == "digits" else built(name, cases or Path(folder))
            for seed in range(seeds):
                rows.append(_row(case, seed, widest, Path(folder) / f"seed-{seed}"))
                print(line(rows[-1]), flush=True)
                write(into, SCHEMA, {"rows": rows})
    return 0 if all(one["held"] for row in rows for one in row["runtimes"].values()) else 1


def line(row: dict[str, Any]) -> str:
    """One row in words."""
    ours = ", ".join(
        f"{name}: {one['problem']}"
        if one["value"] is None
        else f"{name} {one['value']:.4f} ({len(one['kept_float'])} layers float)"
        for name, one in row["runtimes"].items()
    )
    return (
        f"{row['model']} seed {row['seed']}: float {row['float']['rescaled']:.4f}, naive int8"
        f" {row['naive']['original']:.4f} -> {row['naive']['rescaled']:.4f}, ours {ours}"
    )


def _row(case: Any, seed: int, widest: int, folder: Path) -> dict[str, Any]:
    from edgewright_cases.proving import prove
    from edgewright_cases.scoring import onnxruntime_runner

    folder.mkdir()
    plain, other = folder / "plain.onnx", folder / "rescaled.onnx"
    model = normal_form(case.model)
    model.save(plain)
    channels = rescale(model.ir, seed, widest)
    replace(model).save(other)
    assert channels, f"nothing in {case.name} can be rescaled"
    runners = [onnxruntime_runner(path, threads=1)[0] for path in (plain, other)]
    accuracies = [accuracy(case, path) for path in (plain, other)]
    naive = [accuracy(case, naively(path, case)) for path in (plain, other)]
    proven = prove(replace(case, model=other, max_drop=MAX_DROP), "int8", folder / "ours", {})
    return {
        "model": case.name,
        "seed": seed,
        "widest": widest,
        "tensors": len(channels),
        "channels": sum(channels),
        "float": {
            "original": accuracies[0],
            "rescaled": accuracies[1],
            "difference": difference(case, runners),
        },
        "naive": {"original": naive[0], "rescaled": naive[1]},
        "max_drop": MAX_DROP,
        "exit_code": proven["exit_code"],
        "problem": proven["problem"],
        "runtimes": {runtime: _ours(one) for runtime, one in proven["runtimes"].items()},
    }


def _ours(one: dict[str, Any]) -> dict[str, Any]:
    whole = one["whole"] or {"value": None, "drop": None}
    kept = ("exit_code", "candidate", "precision", "held", "problem", "kept_float", "float_reasons")
    return {**{key: one[key] for key in kept}, "value": whole["value"], "drop": whole["drop"]}


def digits(folder: Path) -> Any:
    """The committed model of examples/ with its own data, as a case."""
    from edgewright_cases.case import Case, write_arrays

    spec = importlib.util.spec_from_file_location("edgewright_example_digits", DIGITS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = load_model(f"{DIGITS}:model", workdir=folder).model
    model.save(folder / "model.onnx")
    for name, samples in (("calibration", module.calibration()), ("evaluation", module.evaluation())):
        images = np.concatenate([feeds["x"] for feeds, _ in samples])
        labels = np.array([label for _, label in samples])
        write_arrays(folder / f"{name}.npz", **{model.inputs[0].name: images, "labels": labels})
    data, judged = folder / "calibration.npz", folder / "evaluation.npz"
    shapes = None if model.inputs[0].is_static else f"{model.inputs[0].name}=1,1,8,8"
    return Case("digits", folder / "model.onnx", data, judged, "top1", MAX_DROP, shapes, "examples/digits.py", "")


def normal_form(path: Path) -> OnnxModel:
    """The model with its batch norms in the convolutions, its weights as initializers and its shapes known."""
    model = read_onnx(path)
    absent = Absent("a study has no need of it")
    site = Site(load_targets("onnx")[0], model, absent, absent, absent, absent, Budget(), 0, path.parent)
    for name in ("fold-constants", "fold-batchnorm"):
        outcome = registry().find(name)()(model, site)
        assert isinstance(outcome.model, OnnxModel)
        model = outcome.model
    return prepare(model)


def accuracy(case: Any, path: Path) -> float:
    """The case's metric over all its evaluation data, by onnxruntime."""
    from edgewright_cases.scoring import onnxruntime_runner, score

    run, ranks = onnxruntime_runner(path, threads=1)
    return float(score(case, run, ranks, run))


def difference(case: Any, runners: list[Any]) -> float:
    """How far two models' first answers are apart on the calibration data, of the largest answer."""
    furthest = largest = 0.0
    for feeds in feeds_of(case):
        one, two = (next(iter(run(feeds).values())) for run in runners)
        furthest, largest = max(furthest, float(np.abs(one - two).max())), max(largest, float(np.abs(one).max()))
    return furthest / largest


def feeds_of(case: Any) -> Iterator[dict[str, np.ndarray]]:
    """The case's calibration data."""
    from edgewright_cases.scoring import onnxruntime_runner, samples

    _, ranks = onnxruntime_runner(case.model, threads=1)
    for feeds, _ in samples(case.data, ranks):
        yield feeds


def naively(path: Path, case: Any) -> Path:
    """The model at ``path`` in int8 as onnxruntime's quantiser writes it, one scale per tensor."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = feeds_of(case)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    out = path.with_name(f"{path.stem}-naive.onnx")
    reader = Reader()
    with contextlib.chdir(path.parent):  # it litters the folder it is called from
        quantize_static(
            path.name,
            out.name,
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return out
