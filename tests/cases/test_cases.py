from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from .conftest import ROOT, RunScript

# Metric and tolerance of the float model. Where the data is made here from a seed the figure is what was measured when
# the case was written; magika's data is of the machine, so only a floor holds.
FLOAT_FIGURES = {
    "fashion-classifier": (0.9098, 0.0002),
    "fashion-detector": (0.8139, 0.0005),
    "mnist-opset8": (0.9935, 0.0003),
    "minilm": (0.7289, 0.0005),
    "crepe-tiny": (0.9905, 0.001),
    "pp-ocr-rec": (0.0026, 0.001),
    "magika": (0.95, 0.05),
    "blazeface": (1.0, 0.0),
    "silero-vad": (0.0, 0.0),
    "efficientnet-lite0": (1.0, 0.0),
    "resnet18": (1.0, 0.0),
}
# Minutes of training each: their figures are in the record of the chain.
TRAINED_HERE = {"fashion-resnet", "fashion-mobile"}


def test_list_names_every_case_file(run_script: RunScript) -> None:
    listed = run_script("cases", "list")
    assert listed.returncode == 0, listed.stderr
    names = {line.split()[0] for line in listed.stdout.splitlines()}
    files = (ROOT / "benchmarks" / "cases").glob("*.py")
    declared = {found[1] for file in files if (found := re.search(r'^NAME = "(.+)"', file.read_text(), re.MULTILINE))}
    assert names == declared
    assert names == {*FLOAT_FIGURES, *TRAINED_HERE, "digits", "custom-op"}


def test_digits_scores_what_a_small_net_should(run_script: RunScript, digits: Path) -> None:
    checked = run_script("cases", "check", "digits", "--into", digits.parent)
    assert checked.returncode == 0, checked.stderr
    found = re.search(r"top1 ([\d.]+)", checked.stdout)
    assert found, checked.stdout
    assert float(found[1]) >= 0.98  # 12 of 597 images: sums differ between CPUs, a broken net is far below
    assert "building" not in checked.stderr  # the fixture built it: nothing is written twice


@pytest.mark.full
def test_a_folder_without_its_mark_is_built_again(run_script: RunScript, digits: Path, tmp_path: Path) -> None:
    copy = tmp_path / "digits"
    shutil.copytree(digits, copy)
    (copy / "case.json").write_text("{", encoding="utf-8")
    assert "building digits" in run_script("cases", "build", "digits", "--into", tmp_path).stderr
    assert json.loads((copy / "case.json").read_text())["name"] == "digits"


def test_no_sample_is_in_two_sets(digits: Path) -> None:
    rows = [
        image.tobytes()
        for name in ("training", "calibration", "evaluation")
        for image in np.load(digits / f"{name}.npz")["image"]
    ]
    assert len(rows) == 1797
    assert len(set(rows)) == len(rows)


def test_an_absent_model_is_said_with_what_to_set(run_script: RunScript, tmp_path: Path) -> None:
    answer = run_script("cases", "build", "fashion-classifier", "--into", tmp_path, unset=("EDGEWRIGHT_MODELS",))
    assert answer.returncode == 77
    assert "set EDGEWRIGHT_MODELS" in answer.stderr
    assert not (tmp_path / "fashion-classifier").exists()


def test_an_unknown_case_is_a_wrong_use(run_script: RunScript, tmp_path: Path) -> None:
    answer = run_script("cases", "build", "fashion-clasifier", "--into", tmp_path)
    assert answer.returncode == 2
    assert "fashion-classifier" in answer.stderr


@pytest.mark.full
@pytest.mark.parametrize("name", FLOAT_FIGURES)
def test_float_figure(name: str, run_script: RunScript, models_folder: Path, tmp_path: Path) -> None:
    assert models_folder.is_dir()
    checked = run_script("cases", "check", name, "--into", tmp_path)
    if checked.returncode == 77:
        pytest.skip(checked.stderr.strip().splitlines()[-1])
    assert checked.returncode == 0, checked.stderr
    figure = re.search(r" (-?[\d.]+), may lose", checked.stdout)
    assert figure, checked.stdout
    expected, tolerance = FLOAT_FIGURES[name]
    assert float(figure[1]) == pytest.approx(expected, abs=tolerance + 1e-9)


@pytest.mark.full
def test_custom_op_is_refused_by_onnxruntime(run_script: RunScript, models_folder: Path, tmp_path: Path) -> None:
    assert models_folder.is_dir()
    assert "onnx.brevitas:Quant" in run_script("cases", "check", "custom-op", "--into", tmp_path).stdout
