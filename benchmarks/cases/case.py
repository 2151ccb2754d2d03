"""What a case is, and how one is written to and read from a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

import numpy as np

HERE = Path(__file__).parent
RECORD = "case.json"


class CaseUnavailable(Exception):  # noqa: N818  an answer, not a fault
    """The model or the data of a case is not on this machine; the text says what to install or to set."""


@dataclass(frozen=True)
class Case:
    """One model with the data and the metric that judge it.

    Attributes:
        name: the case's name, `fashion-classifier`.
        model: the ONNX file.
        data: calibration `.npz`, arrays named after the inputs, first axis the sample.
        eval_data: evaluation `.npz` in the same form, `labels` where the metric compares with labels.
        metric: `top1`, `agreement`, `cosine`, or `file.py:factory` of an object as described in `judges/`.
        max_drop: how much the metric may lose, absolute, in the metric's unit.
        shapes: `input=1,3,224,224` for models with open dimensions, separated by spaces; None where all are fixed.
        source: where the model comes from and its licence.
        note: what a reader of a result should know.
        factory: `file.py:function` of the PyTorch source, or None.
        train: training `.npz` for passes that train, or None; some have `training.py:samples` instead, which makes
            them as they are read.
        second_metric: another view of the same outputs that should hold too, or None.
        second_max_drop: its limit.
    """

    name: str
    model: Path
    data: Path
    eval_data: Path
    metric: str
    max_drop: float
    shapes: str | None
    source: str
    note: str
    factory: str | None = None
    train: Path | None = None
    second_metric: str | None = None
    second_max_drop: float | None = None

    @property
    def folder(self) -> Path:
        return self.model.parent


@dataclass(frozen=True)
class Plan:
    """The parts of a `Case` that do not depend on where it is built.

    `net` and `judge` name files of `nets/` and `judges/` that are copied beside the model as `factory.py` and
    `metric.py`.
    """

    name: str
    metric: str
    max_drop: float
    source: str
    note: str
    shapes: str | None = None
    factory: str | None = None
    net: str | None = None
    judge: str | None = None
    train: bool = False
    second_metric: str | None = None
    second_max_drop: float | None = None

    def at(self, folder: Path) -> Case:
        """The case as it stands, or will stand, in `folder`."""

        def located(reference: str | None) -> str | None:
            return str(folder / reference) if reference and ".py:" in reference else reference

        return Case(
            name=self.name,
            model=folder / "model.onnx",
            data=folder / "calibration.npz",
            eval_data=folder / "evaluation.npz",
            metric=located(self.metric) or self.metric,
            max_drop=self.max_drop,
            shapes=self.shapes,
            source=self.source,
            note=self.note,
            factory=located(self.factory),
            train=folder / "training.npz" if self.train else None,
            second_metric=located(self.second_metric),
            second_max_drop=self.second_max_drop,
        )

    def is_built(self, folder: Path) -> bool:
        """True where `folder` holds this case as the present source would build it."""
        try:
            found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found == self._record()

    def finish(self, folder: Path) -> Case:
        """Write `case.json`, last of all files: a folder that has it is complete."""
        case = self.at(folder)
        for path in (case.model, case.data, case.eval_data):
            if not path.is_file():
                raise FileNotFoundError(f"{self.name} did not write {path.name}")
        _replace_text(folder / RECORD, json.dumps(self._record(), indent=1, sort_keys=True) + "\n")
        return case

    def start(self, folder: Path) -> None:
        """First step of a `build` with work to do: the folder, the copied files, no mark of completeness."""
        print(f"building {self.name}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        for source, copy in zip(self._copied(), ("factory.py", "metric.py", "training.py", "loss.py"), strict=True):
            if source is not None:
                shutil.copyfile(source, folder / copy)

    def _copied(self) -> tuple[Path | None, ...]:
        net = HERE / "nets" / f"{self.net}.py" if self.net else None
        judge = HERE / "judges" / f"{self.judge}.py" if self.judge else None
        beside = (HERE / "nets" / f"{self.net}_{kind}.py" for kind in ("training", "loss"))
        return net, judge, *(path if path.is_file() else None for path in beside)

    def _record(self) -> dict[str, str | float | bool | None]:
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        digest = hashlib.sha256((HERE / f"{self.name.replace('-', '_')}.py").read_bytes())
        for path in self._copied():
            digest.update(path.read_bytes() if path else b"")
        record["built_from"] = digest.hexdigest()[:16]
        return record


def read_case(folder: Path) -> Case:
    """The case that an earlier `build` left in `folder`; needs none of what building needs."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    record.pop("built_from")
    return Plan(**record).at(folder)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An `.npz` of arrays whose first axes agree; float arrays are stored as float32."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"{path.name}: unequal numbers of samples {counts}")
    if any(array.dtype == object for array in arrays.values()):
        raise TypeError(f"{path.name}: object arrays cannot be loaded without pickle; pad instead")
    stored = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}
    np.savez_compressed(path, allow_pickle=False, **stored)


def load_file(path: Path) -> ModuleType:
    """A Python file as a module of its own, by path."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_of_{path.parent.name.replace('-', '_')}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
