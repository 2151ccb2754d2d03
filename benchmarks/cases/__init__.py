"""Real trained models, the data to judge them with, and an honest metric for each. Development only: not in the wheel.

    python benchmarks/cases list
    python benchmarks/cases build fashion-classifier --into DIR
    python benchmarks/cases check fashion-classifier --into DIR
    python benchmarks/cases prove fashion-classifier --into DIR --record FILE

A case is one file here with a `NAME` and a `build(folder) -> Case`; files are found by listing, there is no second
ledger. What `build` leaves in the folder is self-contained: `model.onnx`, `calibration.npz`, `evaluation.npz`,
`case.json`, and where they apply `metric.py` (a copy of a file of `judges/`), `factory.py` and `weights.pt` (a copy of
a file of `nets/`, with its weights), `training.npz` or, made as it is read, `training.py:samples`, and `loss.py` for
answers whose loss nobody could guess. Those two folders hold files that import no sibling, so that a path is enough to
load them. The package is loaded under the name `edgewright_cases` (see `__main__`), never as `benchmarks.cases`.
"""
