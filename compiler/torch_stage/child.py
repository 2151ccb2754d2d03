"""The process in which one stage runs: loads the module, does the stage, and tells the parent what it needs to know.

Whatever torch or the user's code prints goes to stderr; words for the parent go through a pipe of their own, one JSON
document a line. Started by ``parent.py``.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np

from edgewright.compiler.pass_base import NoOptions, registry
from edgewright.compiler.site import Absent, Goal
from edgewright.compiler.torch_stage.arrays import Arrays, read_arrays
from edgewright.compiler.torch_stage.context import StageContext, StoppedError
from edgewright.compiler.torch_stage.request import STAGES, StageRequest, StageResult
from edgewright.core import offline
from edgewright.core.errors import EdgewrightError, UsageError
from edgewright.core.model import OnnxModel, TorchModel
from edgewright.core.tensors import Outputs, TensorSpec
from edgewright.core.user_code import user_frames
from edgewright.targets.load import load_targets
from edgewright.targets.parse import target_from_json

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Of malloc.h."""
STOPPED = 143
"""Exit code of a stage that saved what it needs and ended because it was asked to."""


class Line:
    """The way to the parent and back."""

    def __init__(self, out: TextIO, back: TextIO, exchange: Path) -> None:
        self._out, self._back, self._exchange = out, back, exchange
        self._asked = 0

    def tell(self, **words: object) -> None:
        """Sends one word; nothing comes back."""
        self._out.write(json.dumps(words) + "\n")
        self._out.flush()

    def ask(self, **words: object) -> object:
        """Sends a question and waits for the answer.

        Raises:
            EdgewrightError: what the parent found.
        """
        self.tell(**words)
        answer = json.loads(self._back.readline() or '{"error": "the compile that asked for this stage is gone"}')
        if "error" in answer:
            raise EdgewrightError(str(answer["error"]))
        return answer["answer"]

    def measure(self, models: Sequence[OnnxModel]) -> list[Mapping[str, float]]:
        """See ``site.Measure``."""
        paths = []
        for model in models:
            self._asked += 1
            path = self._exchange / f"candidate-{self._asked}.onnx"
            model.save(path)
            paths.append(str(path))
        return cast("list[Mapping[str, float]]", self.ask(say="measure", paths=paths))

    def drop(self, answers: Sequence[Outputs]) -> float:
        """See ``site.Selection``."""
        self._asked += 1
        path = self._exchange / f"answers-{self._asked}.npz"
        names = list(answers[0])
        arrays = {str(place): np.stack([one[name] for one in answers]) for place, name in enumerate(names)}
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return float(cast("float", self.ask(say="drop", path=str(path), names=names)))


def context_of(request: StageRequest, line: Line, stopping: Callable[[], bool]) -> StageContext:
    """Everything the stage is given.

    Raises:
        EdgewrightError: the source makes no module any more, or another one.
    """
    import torch

    from edgewright.compiler.intake.torch_examples import batch_inputs
    from edgewright.compiler.torch_stage.exporting import export_module
    from edgewright.compiler.torch_stage.state import load_state

    source = request.source
    state = source["state"]

    def original() -> torch.nn.Module:
        return _module(_loaded(request))

    def fresh() -> torch.nn.Module:
        module = original()
        if state is not None:
            load_state(Path(str(state)), module)
        return module

    loaded = _loaded(request)
    shapes = tuple(str(text) for text in cast("Sequence[str]", source["shapes"]))
    module = fresh()
    named = _examples(loaded, module, shapes)
    # An exported program takes the batch it was exported with.
    batched = batch_inputs(named) if not shapes and isinstance(loaded.program, torch.nn.Module) else None
    examples = tuple({**named, **(batched or {})}.values())
    given = tuple(named.values())
    name = str(source["name"])
    return StageContext(
        module=module,
        example_inputs=examples,
        fresh=fresh,
        original=original,
        inputs=tuple(TensorSpec.from_json(item) for item in request.inputs),
        outputs=tuple(TensorSpec.from_json(item) for item in request.outputs),
        options=_options(request),
        # An export is for no target; what it is given says nothing that an export asks for.
        target=load_targets("onnx")[0] if request.target is None else target_from_json(request.target),
        goal=Goal(**cast("dict[str, float]", request.goal)),  # type: ignore[arg-type]
        max_drop=request.max_drop,
        keep=tuple(request.keep),
        seed=request.seed,
        threads=request.threads,
        resume=request.resume,
        folder=Path(request.folder),
        calibration=_arrays(request.calibration, "no data was given"),
        train=_arrays(request.train, "no --train-data was given"),
        select=_arrays(request.select, "no data was given"),
        metric=request.metric or "",
        measure=line.measure if request.can_measure else Absent("nothing can be timed here"),
        drop=line.drop if request.can_judge else Absent("no data was given"),
        export=lambda one: export_module(one, given, name, shapes),
        progress=lambda word: line.tell(say="progress", **asdict(word)),
        log=lambda text: line.tell(say="log", text=text),
        stopping=stopping,
        extra={word: Path(path) for word, path in request.extra.items()},
    )


def _loaded(request: StageRequest) -> TorchModel:
    from edgewright.compiler.intake.torch_export import load_torch
    from edgewright.compiler.intake.torch_request import ExportRequest

    source = request.source
    shapes = tuple(str(text) for text in cast("Sequence[str]", source["shapes"]))
    kind, text, name = (str(source[key]) for key in ("kind", "text", "name"))
    return load_torch(ExportRequest(kind, text, name, shapes, trust_pickle=bool(source["trust_pickle"])))


def _module(loaded: TorchModel) -> torch.nn.Module:
    import torch

    program = loaded.program
    module = program if isinstance(program, torch.nn.Module) else program.module()
    return module.eval() if isinstance(program, torch.nn.Module) else module


def _examples(loaded: TorchModel, module: torch.nn.Module, shapes: Sequence[str]) -> dict[str, torch.Tensor]:
    import torch

    from edgewright.compiler.intake.shapes import parse_shapes
    from edgewright.compiler.intake.torch_examples import example_inputs

    if isinstance(loaded.program, torch.nn.Module):
        return example_inputs(module, loaded.example_inputs, parse_shapes(shapes))
    example = loaded.program.example_inputs
    return {} if example is None else {str(place): one for place, one in enumerate(example[0])}


def _arrays(folder: str | None, reason: str) -> Arrays | Absent:
    return Absent(reason) if folder is None else read_arrays(Path(folder))


def _options(request: StageRequest) -> object:
    if request.stage not in registry().names():
        return NoOptions()
    kind = registry().find(request.stage).options_type
    known = {item.name for item in fields(kind)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in request.options.items()}
    return kind(**{name: value for name, value in given.items() if name in known})


class _Stop:
    """Set by SIGTERM; SIGINT is the parent's business, which asks us to end in its own way."""

    asked = False

    def __call__(self) -> bool:
        return self.asked

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "asked", True))
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(request_file: str, out_fd: str, back_fd: str) -> int:
    """The child's program."""
    from edgewright.compiler.intake.torch_export import end_with_parent

    os.dup2(2, 1)
    end_with_parent()
    offline.require_where_wished()
    _keep_memory()
    stop = _Stop()
    stop.listen()
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    request = StageRequest(**json.loads(Path(request_file).read_text()))
    line = Line(os.fdopen(int(out_fd), "w"), os.fdopen(int(back_fd)), Path(request_file).parent)
    import torch

    torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    try:
        result = _do(request, line, stop)
    except StoppedError:
        return STOPPED
    except EdgewrightError as error:
        line.tell(say="failed", kind=type(error).__name__, problem=error.problem, remedy=error.remedy)
        return 0
    except Exception as error:
        traceback.print_exc()
        if not (frames := user_frames(error)):
            raise
        problem = f"the module failed while the stage '{request.stage}' used it: {type(error).__name__}: {error!s:.300}"
        line.tell(say="failed", kind=UsageError.__name__, problem=problem, remedy="\n".join(frames))
        return 0
    document = asdict(result)
    document["notes"] = [[note.kind, note.subject, note.text] for note in result.notes]
    line.tell(say="done", result=document)
    return 0


def _keep_memory() -> None:
    """Lets the process keep what it frees.

    glibc maps each large tensor anew and gives it back page by page: of EfficientNet-Lite0 that was half of the time of
    inferences, and a third of that of training steps. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * 2**20)):
            mallopt(parameter, value)


def _do(request: StageRequest, line: Line, stop: _Stop) -> StageResult:
    context = context_of(request, line, stop)
    module, _, function = STAGES[request.stage].partition(":")
    result = getattr(importlib.import_module(module), function)(context)
    assert isinstance(result, StageResult)
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
