"""Reads an ONNX file: validated first, then brought into the one form that passes work on.

That form: opset domain ``""``; weights are initializers (Constant nodes are lifted) and never graph inputs; the
model's own functions are written out; nodes stand in executable order; declared shapes that contradict the graph are
corrected; no doc strings or per-node metadata (exporters write stack traces with the author's paths there). The
model's own metadata stays: a character set or label list lives there. Weights beside the file stay there, mapped
lazily.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Collection, Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgewright.compiler.intake.content import Content, recognise
from edgewright.compiler.intake.declared import reconcile
from edgewright.compiler.intake.normalise import name_domains, normalise, tell_nodes_apart, write_defaults
from edgewright.compiler.intake.validate import validate
from edgewright.compiler.intake.validate.operators import is_standard
from edgewright.compiler.pass_base import Note
from edgewright.core.errors import BadInputError
from edgewright.core.files import open_regular
from edgewright.core.model import OnnxModel

_PROTOBUF_LIMIT_BYTES = (1 << 31) - 1


def read_onnx(path: Path, *, allow_nonfinite: bool = False, notes: list[Note] | None = None) -> OnnxModel:
    """The model in ``path``, once nothing is found wrong with it.

    Args:
        path: an ONNX file of opset 7 to 25, recognised by its content.
        allow_nonfinite: let NaN and infinite weights pass, with a note.
        notes: takes what is worth telling: what was corrected or let through.

    Raises:
        UsageError: when there is nothing at ``path``.
        BadInputError: a file that is something else, broken or contradictory: names the file, the node or tensor,
            the rule and the mend.
        UnavailableError: operators of the standard domain that ONNX does not have.
    """
    if (content := recognise(path)) is not Content.ONNX:
        raise BadInputError(f"{path} is not an ONNX file: {content.title}", "Export it to ONNX.")
    said: list[Note] = [] if notes is None else notes
    with _no_collection():
        return _read(path, said, allow_nonfinite=allow_nonfinite)


def _read(path: Path, said: list[Note], *, allow_nonfinite: bool) -> OnnxModel:
    proto = _parse(path)
    try:
        findings = validate(proto, path.parent, str(path), allow_nonfinite=allow_nonfinite)
        said.extend(Note("warning", path.name, line) for line in findings.lines)
        name_domains(proto)
        write_defaults(proto)
        model = _to_ir(proto, path)
        if not findings.in_order:
            model.graph.sort()
            proto = ir.to_proto(model)
            said.append(Note("did", path.name, "sorted its nodes: they did not stand in the order of execution"))
        inferred = reconcile(proto, str(path), said)
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{path}: a name or text in it is not UTF-8: {error.object[:80]!r}", "Export the model again."
        ) from error
    normalise(model, inferred)
    if renamed := tell_nodes_apart(model):
        said.append(Note("did", path.name, f"renamed {renamed} nodes that had the name of another one"))
    # Absolute, so that a later change of the current folder cannot point it elsewhere.
    ir.external_data.set_base_dir(model.graph, path.parent.absolute())
    return OnnxModel(model, path.stem)


def unknown_operators(model: OnnxModel, known_domains: Collection[str]) -> list[str]:
    """Operators of ``model`` that are neither ONNX's own nor of a domain in ``known_domains``.

    Returns:
        ``domain::Name``, each once, sorted; [] is good.
    """
    nodes = ir.traversal.RecursiveGraphIterator(model.ir.graph)
    found = {(node.domain, node.op_type) for node in nodes if node.domain not in known_domains}
    opset = model.ir.opset_imports.get("", 0)
    return sorted(f"{domain or 'ai.onnx'}::{op}" for domain, op in found if domain or not is_standard(op, opset))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage is made while a graph is built, only objects to be walked in search of it: a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse(path: Path) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    with open_regular(path, "model") as file:
        size = file.seek(0, 2)
        if size > _PROTOBUF_LIMIT_BYTES:
            raise BadInputError(
                f"{path} has {size} bytes, an ONNX file ends at 2 GiB", "Save it with its weights as external data."
            )
        file.seek(0)
        try:
            proto.ParseFromString(file.read())
        except (DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadInputError(
                f"{path} is no ONNX model, or is corrupt, truncated, or nests graphs deeper than the 100 levels that "
                f"protobuf takes: its {size} bytes cannot be parsed",
                "Copy it again, comparing its size, or export the model again.",
            ) from error
    return proto


def _to_ir(proto: onnx.ModelProto, path: Path) -> ir.Model:
    try:
        model = ir.from_proto(proto)
    except UnicodeDecodeError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        text = str(cause).split("\n", 1)[0]
        raise BadInputError(f"{path} cannot be represented: {text:.300}", "Export the model again.") from error
    return model
