"""MODEL as the command line has it: ``file.onnx``, ``file.pt2``, ``package.module:factory`` or ``file.py:factory``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.compiler.intake.content import Content, recognise
from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.intake.shapes import Bounds, fix_shapes
from edgewright.compiler.intake.torch_answers import SUFFIX, read_answers
from edgewright.compiler.intake.torch_child import export_in_child
from edgewright.compiler.intake.torch_request import ExportRequest
from edgewright.compiler.pass_base import Note
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.model import OnnxModel, TorchFile
from edgewright.core.tensors import Feeds, Outputs
from edgewright.core.user_code import is_reference


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from, before anything of it is read."""

    text: str
    content: Content | None
    """None for a factory."""

    @property
    def name(self) -> str:
        """What people call the model: the file's stem, or the factory's name."""
        return Path(self.text).stem if self.content else self.text.rpartition(":")[2]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for passes, what is worth telling about it, and the bounds of the sizes that stay dynamic."""

    model: OnnxModel
    notes: tuple[Note, ...]
    bounds: Bounds
    form: str
    """What the user gave: ``onnx``, ``pt2``, ``pickle`` or ``factory``."""
    answers: tuple[Feeds, Outputs] | None = None
    """For a torch model: its example inputs and what torch answers to them, for the export to be judged by."""
    program: TorchFile | None = None
    """For a torch model, where it was asked for: the torch form."""


def parse_model(text: str) -> ModelSource:
    """What kind of model ``text`` names; files are recognised by their content, and not yet read.

    Raises:
        UsageError: there is neither such a file nor does it name a factory.
        BadInputError: a file that is no model.
    """
    path = Path(text)
    if _exists(path):
        return ModelSource(text, recognise(path))
    if is_reference(text):
        return ModelSource(text, None)
    near = difflib.get_close_matches(path.name, _neighbours(path), n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Give a file, or module:factory."
    raise UsageError(f"model {text:.300} does not exist", hint)


def load_model(
    text: str,
    *,
    trust_pickle: bool = False,
    allow_nonfinite: bool = False,
    shapes: Sequence[str] = (),
    workdir: Path,
    keep_program: bool = False,
) -> LoadedModel:
    """The model that MODEL names, validated, in the one form that passes work on.

    Args:
        text: what the user typed.
        trust_pickle: run the code in a ``.pt`` file or in the pickled parts of a ``.pt2``.
        allow_nonfinite: let NaN and infinite weights pass.
        shapes: as ``--shape`` has them: ``x=1,3,224,224`` or with ranges.
        workdir: takes the exported file of a torch model, whose weights may stay there: it must outlive the model.
        keep_program: keep the torch form of a torch model too, in ``workdir``.

    Raises:
        UsageError: a wrong name, factory or shape.
        BadInputError: a file that is broken, contradictory or not trusted.
        UnavailableError: what torch cannot export, or operators ONNX does not have.
    """
    source = parse_model(text)
    notes: list[Note] = []
    answers: tuple[Feeds, Outputs] | None = None
    kept: Path | None = None
    if source.content is Content.ONNX:
        model = read_onnx(Path(text), allow_nonfinite=allow_nonfinite, notes=notes)
        form = "onnx"
    else:
        form = source.content.value if source.content else "factory"
        if form == "pickle" and not trust_pickle:
            raise BadInputError(
                f"{text} is a pickle, which runs whatever code it holds when it is loaded",
                "Pass --trust-pickle if you trust where it comes from; better, give file.py:factory or a .pt2.",
            )
        out = workdir / "exported.onnx"
        kept = workdir / "program.pt2" if keep_program else None
        request = ExportRequest(
            form,
            text,
            source.name,
            tuple(shapes),
            trust_pickle=trust_pickle,
            program=None if kept is None else str(kept),
        )
        notes.extend(Note("warning", source.name, line) for line in export_in_child(request, out))
        read = read_onnx(out, allow_nonfinite=allow_nonfinite, notes=notes)
        model = OnnxModel(read.ir, source.name)
        answers = read_answers(out.with_name(out.name + SUFFIX), model.inputs, model.outputs)
    shaped = fix_shapes(model, shapes)
    program = None if kept is None else TorchFile(kept, source.name, shaped.model.inputs, shaped.model.outputs)
    return LoadedModel(shaped.model, tuple(notes), shaped.bounds, form, answers, program)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _neighbours(path: Path) -> list[str]:
    try:
        return [item.name for item in path.parent.iterdir()]
    except OSError:
        return []
