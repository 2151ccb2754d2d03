"""Turns a torch module, or an exported program, into an ONNX file; run as a program in a process of its own.

The parent (:mod:`edgewright.compiler.intake.torch_child`) never imports torch: it writes a request, starts this
module, and reads the ONNX file and the answer. Whatever user code or torch prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import random
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edgewright.compiler.intake.normalise import strip_remarks
from edgewright.compiler.intake.shapes import Bound, parse_shapes
from edgewright.compiler.intake.torch_answers import SUFFIX, save_answers
from edgewright.compiler.intake.torch_examples import batch_inputs, example_inputs
from edgewright.compiler.intake.torch_files import first_lines, load_exported, load_pickle
from edgewright.compiler.intake.torch_request import OPSET, ExportAnswer, ExportRequest
from edgewright.core import offline
from edgewright.core.errors import EdgewrightError, UnavailableError, UsageError
from edgewright.core.files_opened import inputs_among, listening
from edgewright.core.model import OnnxModel, TorchModel
from edgewright.core.user_code import blaming_user, load_function, user_frames

if TYPE_CHECKING:
    import torch
    from torch.export import Dim, ExportedProgram


def load_torch(request: ExportRequest) -> TorchModel:
    """The module or program that the request names, in evaluation mode.

    Raises:
        UsageError: a factory that is missing, raises, or returns something else.
        BadInputError: a file that cannot be read, or that holds code nobody said to trust.
    """
    import torch

    # A factory that initialises weights by chance gives the same model in every compile.
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    if request.kind == "pt2":
        return TorchModel(load_exported(Path(request.text), trust=request.trust_pickle), None, request.name)
    if request.kind == "pickle":
        return _from_result(load_pickle(Path(request.text)), request)
    factory = load_function(request.text, "model")
    with blaming_user(f"the model factory {request.text}"):
        result = factory()
    return _from_result(result, request)


def export(
    model: TorchModel,
    out: Path,
    *,
    shapes: Sequence[str] = (),
    opset: int = OPSET,
    keep_program: Path | None = None,
    answers: bool = True,
) -> list[str]:
    """Writes ``out``, an ONNX file whose bytes depend on the module alone.

    The first dimension of every input stays dynamic where all inputs agree on it and the module allows it; otherwise,
    and for inputs named in ``shapes``, sizes are what they are given as.

    Args:
        keep_program: where the exported program (``.pt2``) is written too.
        answers: write what torch answers beside ``out`` too, for the export to be judged by.

    Returns:
        Lines for the journal.

    Raises:
        UsageError: no example inputs, and none can be made from ``shapes``.
        UnavailableError: what torch cannot export.
    """
    import torch

    notes: list[str] = []
    program = model.program
    if isinstance(program, torch.nn.Module):
        if not isinstance(program, torch.fx.GraphModule):  # what comes of an exported program has no modes to set
            program.eval()
        inputs = example_inputs(program, model.example_inputs, parse_shapes(shapes))
        program = _export_program(program, inputs, parse_shapes(shapes), notes)
    if keep_program is not None:
        torch.export.save(program, keep_program)
    try:
        written = torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False)
    except Exception as error:
        raise UnavailableError(
            f"torch cannot write '{model.name:.100}' as ONNX: {first_lines(error)}",
            "The operators it names have no ONNX form: replace them in the module.",
        ) from error
    assert written is not None
    _name_symbols(written.model)
    strip_remarks(written.model)
    written.model.metadata_props.clear()
    OnnxModel(written.model, model.name).save(out)
    if not answers:
        return notes
    try:
        unchecked = save_answers(program, out.with_name(out.name + SUFFIX))
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything; the export itself stands
        unchecked = f"{type(error).__name__}: {first_lines(error)}"
    if unchecked:
        notes.append(f"the export was not compared with torch: {unchecked}")
    return notes


def _name_symbols(model: ir.Model) -> None:
    """Calls torch's symbols (``s31``) ``batch`` where they are the first size of an input, else ``NAME_AXIS``."""
    names: dict[str, str] = {}
    for value in model.graph.inputs:
        for axis, dim in enumerate(value.shape or ()):
            if not isinstance(dim, int) and re.fullmatch(r"[su]\d+", dim.value or ""):
                assert dim.value is not None
                names.setdefault(dim.value, f"{value.name}_{axis}" if axis or "batch" in names.values() else "batch")
    for value in (*model.graph.inputs, *(value for node in model.graph.all_nodes() for value in node.outputs)):
        if value.shape is not None and not value.is_initializer():
            value.shape = ir.Shape([_renamed(dim, names) for dim in value.shape])


def _renamed(dim: int | ir.SymbolicDim, names: Mapping[str, str]) -> int | str | None:
    if isinstance(dim, int) or dim.value is None:
        return dim if isinstance(dim, int) else None
    return re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), dim.value)


def _from_result(result: object, request: ExportRequest) -> TorchModel:
    import torch

    examples: object = None
    if isinstance(result, tuple) and len(result) == 2:
        result, examples = result
    if isinstance(result, torch.export.ExportedProgram):
        return TorchModel(result, None, request.name)
    if isinstance(result, torch.jit.ScriptModule):
        raise UsageError(f"{request.text} is TorchScript, which cannot be exported", "Return the module itself.")
    if not isinstance(result, torch.nn.Module):
        holds = "weights only (a state dict)" if isinstance(result, Mapping) else f"a {type(result).__name__}"
        raise UsageError(
            f"{request.text} gives {holds}, not a torch module",
            "Write a function that returns the module, or the module and a tuple of example inputs; give file.py:NAME.",
        )
    return TorchModel(result, _as_tuple(examples, result, request), request.name)


def _as_tuple(examples: object, module: torch.nn.Module, request: ExportRequest) -> tuple[torch.Tensor, ...] | None:
    import torch

    if examples is None or isinstance(examples, torch.Tensor):
        return None if examples is None else (examples,)
    if isinstance(examples, Mapping):
        names = [name for name in inspect.signature(module.forward).parameters if name in examples]
        if len(names) == len(examples):
            return tuple(examples[name] for name in names)
    elif isinstance(examples, tuple | list):
        return tuple(examples)
    raise UsageError(
        f"{request.text} gives example inputs of type {type(examples).__name__}",
        "Return (module, (input, ...)) or (module, {parameter: input}).",
    )


def _export_program(
    module: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    bounds: Mapping[str, tuple[Bound, ...]],
    notes: list[str],
) -> ExportedProgram:
    import torch

    ranges = {name: _dims_of_ranges(sizes) for name, sizes in bounds.items() if name in inputs}
    batch = batch_inputs({name: value for name, value in inputs.items() if name not in bounds})
    if batch is not None:
        dimension = torch.export.Dim("batch")
        dynamic = {name: ranges.get(name, {0: dimension} if name in batch else None) for name in inputs}
        try:
            return torch.export.export(module, tuple({**inputs, **batch}.values()), dynamic_shapes=_ordered(dynamic))
        except Exception as error:  # noqa: BLE001 - torch refuses in many types; the static export says what is wrong
            notes.append(f"the batch size is fixed, torch cannot leave it open: {first_lines(error)}")
    dynamic = {name: ranges.get(name) for name in inputs}
    with _unexportable():
        return torch.export.export(module, tuple(inputs.values()), dynamic_shapes=_ordered(dynamic))


def _ordered(dynamic: Mapping[str, dict[int, Dim] | None]) -> tuple[dict[int, Dim] | None, ...]:
    return tuple(dynamic.values())


def _dims_of_ranges(bounds: tuple[Bound, ...]) -> dict[int, Dim] | None:
    import torch

    found = {
        # DYNAMIC and not a named Dim: torch finds by itself which sizes of several inputs must be equal.
        axis: torch.export.Dim.DYNAMIC(min=bound.low, max=bound.high)
        for axis, bound in enumerate(bounds)
        if bound.low != bound.high
    }
    return found or None


@contextlib.contextmanager
def _unexportable() -> Iterator[None]:
    try:
        yield
    except EdgewrightError:
        raise
    except Exception as error:
        raise UnavailableError(
            f"torch.export cannot trace the model: {first_lines(error)}",
            "\n".join(
                [*user_frames(error), "Rewrite what depends on values (torch.cond, masks), or give an ONNX file."]
            ),
        ) from error


def main(request_file: str, out: str, answer_file: str) -> None:
    """The child's program: does what the request says and writes the answer."""
    os.dup2(2, 1)  # torch and the user's code print; stdout belongs to the parent's results
    end_with_parent()
    offline.require_where_wished()
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    request = ExportRequest(**json.loads(Path(request_file).read_text()))
    answer = ExportAnswer()
    with listening() if request.listen else contextlib.nullcontext(set[str]()) as opened:
        try:
            model = load_torch(request)
            kept = None if request.program is None else Path(request.program)
            answer.notes = export(model, Path(out), shapes=request.shapes, opset=request.opset, keep_program=kept)
        except EdgewrightError as error:
            answer.error = (type(error).__name__, error.problem, error.remedy)
    answer.opened = [str(one) for one in inputs_among(sorted(opened), [Path(request_file).parent.parent])]
    Path(answer_file).write_text(json.dumps(asdict(answer)))


def end_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies, so that ``kill -9`` there leaves nothing running."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: prctl(2)


if __name__ == "__main__":
    main(*sys.argv[1:4])
