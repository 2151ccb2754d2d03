"""The committed record of a GPU, where there is one, and what the README says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.benchmarks.gpu_check.record import cells_of, read, with_cell
from edgewright.benchmarks.gpu_check.table import summary

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / "benchmarks" / "results" / "gpu.json"
BEGIN, END = "<!-- figures: gpu -->\n", "<!-- end: gpu -->"
NONE_YET = "No GPU has been measured yet"


def test_the_readme_quotes_the_record_or_says_that_there_is_none() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    said = readme.partition(BEGIN)[2].partition(END)[0].strip()
    if RECORD.is_file():
        assert said == summary(read(RECORD)).strip()
    else:
        assert said.startswith(NONE_YET)
        assert not any(figure.isdigit() for figure in said)


def test_the_records_figures_follow_from_its_samples() -> None:
    if not RECORD.is_file():
        pytest.skip("there is no record from a GPU yet")
    record = read(RECORD)
    for cell in cells_of(record):
        assert cell["device"] == "cuda"
        assert cell["machine"]["gpu"], "not measured on a GPU"  # type: ignore[index]
        again = with_cell({**record, "cells": []}, {key: value for key, value in cell.items() if key != "figures"})
        assert cells_of(json.loads(json.dumps(again))) == [cell]
