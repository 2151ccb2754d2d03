"""Cuts the smallest piece that still fails out of a model, and writes it where the user wants it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewright.compiler.blame.branches import taken_branch
from edgewright.compiler.blame.extraction import Piece, extracted, node_names, recorded, working_nodes
from edgewright.compiler.blame.reduction import Reduction
from edgewright.core.errors import CannotWriteError, EngineError, IOFailureError
from edgewright.core.foreign_text import spelt_out
from edgewright.core.model import OnnxModel
from edgewright.driver.blame.judges import AFTER, INPUTS, MODEL, write_feeds
from edgewright.driver.blame.report import Reproducer
from edgewright.driver.blame.scene import Scene

MOST_JUDGED = 500
"""Pieces; a graph of a thousand nodes takes some 20 to be bisected, and the rest what is left to be thinned out."""
README = "README.txt"
_SAID_EVERY = 20


def reproduce(scene: Scene, whole: Piece, fails: Callable[[Piece], bool]) -> tuple[Piece, Reproducer] | None:
    """The smallest piece of ``whole`` that was found to fail; None where not even the whole does.

    Where all that is left is an If, the branch that it takes is cut further. A model that the reference engine cannot
    run is only cut from behind: nobody knows its inner tensors.
    """
    found = _cut(scene, whole, fails, MOST_JUDGED)
    if found is None:
        return None
    piece, search = found
    judged, exhausted = search.judged, search.exhausted
    while judged < MOST_JUDGED and (branch := taken_branch(piece)) is not None:
        deeper = _cut(scene, branch, fails, MOST_JUDGED - judged)
        if deeper is None:
            judged += 1
            break
        scene.log("  the branch that the If takes fails by itself")
        piece, search = deeper
        judged, exhausted = judged + search.judged, search.exhausted
    names = tuple(node_names(piece.model, working_nodes(piece.model)))
    return piece, Reproducer("", names, len(working_nodes(whole.model)), judged, not exhausted)


def _cut(scene: Scene, whole: Piece, fails: Callable[[Piece], bool], most: int) -> tuple[Piece, Reduction] | None:
    """The smallest piece, bodies left whole, with as few outputs as it fails with."""
    model = whole.model
    try:
        tensors = recorded(model, whole.feeds, scene.run)
    except EngineError as error:
        scene.notes.append(f"the model was only cut from behind, its inner tensors are not known: {error.problem}")
        tensors = dict(whole.feeds)

    def still_fails(part: tuple[int, ...]) -> bool:
        piece = extracted(model, part, tensors)
        return piece is not None and fails(piece)

    def said(size: int, judged: int) -> None:
        if judged == 1 or judged % _SAID_EVERY == 0:
            scene.log(f"  {size} nodes still fail, {judged} pieces judged")

    nodes = working_nodes(model)
    search = Reduction(still_fails, most, said)
    part = search.smallest(nodes) if nodes else None
    if part is None:
        return None
    piece = extracted(model, part, tensors)
    assert piece is not None
    for spec in piece.model.outputs if len(piece.model.outputs) > 1 else ():
        one = extracted(model, part, tensors, [spec.name])
        if one is not None and fails(one):
            return one, search
    return piece, search


def written(out: Path, piece: Piece, found: Reproducer, text: str, after: OnnxModel | None = None) -> Reproducer:
    """Writes model, inputs and a page of how to run them into ``out``, whole or not at all.

    Args:
        text: why it fails and how to see that; names in it may be foreign.
        after: for a pass, what it makes of the piece.

    Raises:
        CannotWriteError, IOFailureError: saying what stands in the way.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise CannotWriteError(f"cannot write {out}: {error.strerror}", "Choose a folder you may write to.") from error
    try:
        piece.model.save(folder / MODEL)
        write_feeds(folder / INPUTS, piece.feeds)
        if after is not None:
            after.save(folder / AFTER)
        (folder / README).write_text(_page(piece, found, text), "utf-8")
        folder.chmod(0o755)
        folder.replace(out)
    except OSError as error:
        raise IOFailureError(f"writing {out} failed: {error.strerror}", "Free some space and run it again.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return replace(found, folder=str(out))


def _page(piece: Piece, found: Reproducer, text: str) -> str:
    nodes = [f"  {spelt_out(name)}" for name in found.nodes]
    inputs = [f"  {spelt_out(spec.name)}: {spec.dtype} {spec.shape_text}" for spec in piece.model.inputs]
    least = (
        "nothing can be left out of it" if found.minimal else "the search was ended early: smaller ones may fail too"
    )
    return "\n".join(
        [
            f"{len(found.nodes)} of {found.of} nodes still fail ({found.judged} pieces judged; {least}).",
            "",
            text,
            "",
            f"{MODEL} has, in the order of execution:",
            *nodes,
            f"{INPUTS} has what the whole model computed where it was cut:",
            *inputs,
            "",
            "To run it by itself:",
            "  import numpy, onnxruntime",
            f'  feeds = dict(numpy.load("{INPUTS}"))',
            f'  print(onnxruntime.InferenceSession("{MODEL}").run(None, feeds))',
            "",
        ]
    )
