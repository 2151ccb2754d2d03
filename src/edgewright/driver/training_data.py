"""What is trained, and on what: the module by its source, and the samples of ``--train-data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.compiler.intake.source import LoadedModel
from edgewright.core.data import DataSet, Preprocessing, open_data
from edgewright.core.errors import UsageError
from edgewright.core.model import TorchSource
from edgewright.core.tensors import TensorSpec
from edgewright.driver.request import CompileRequest
from edgewright.driver.sets import DataSets


def torch_source(loaded: LoadedModel, text: str, shapes: Sequence[str], *, trust: bool) -> TorchSource | None:
    """Where the model's torch form comes from; None for one that was given as ONNX."""
    if loaded.form == "onnx":
        return None
    model = loaded.model
    return TorchSource(loaded.form, text, model.name, tuple(shapes), trust, model.inputs, model.outputs)


def open_train(
    request: CompileRequest,
    stages: Sequence[str],
    specs: tuple[TensorSpec, ...],
    preprocessing: Mapping[str, Preprocessing],
    sets: DataSets | None,
) -> DataSet | None:
    """``--train-data``, or None where there is none.

    Raises:
        UsageError: stages that train, and nothing to judge them on.
        BadInputError: data that is broken or does not fit the model.
    """
    if stages and sets is None:
        raise UsageError(
            f"{', '.join(stages)} change what the model answers, and there is no data to judge that on",
            "Give --data, or --data and --eval-data.",
        )
    return None if request.train_data is None else open_data(request.train_data, specs, preprocessing)
