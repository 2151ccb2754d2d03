"""Calibration data that is read from a file, which the rule has to declare."""

from pathlib import Path

import numpy as np


def samples():
    table = np.loadtxt(Path(__file__).with_name("samples.csv"), delimiter=",", dtype=np.float32)
    return [({"x": row[None]}, None) for row in table]
