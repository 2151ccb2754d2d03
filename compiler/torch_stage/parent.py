"""Starts the child of one stage, answers what it asks, and keeps what it leaves; this process never imports torch."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, cast

import onnx_ir as ir

from edgewright.compiler.pass_base import Note, Outcome
from edgewright.compiler.site import Absent, Site, Training
from edgewright.compiler.torch_stage.exchange import read_answers, read_candidate, spooled
from edgewright.compiler.torch_stage.keys import stage_key
from edgewright.compiler.torch_stage.request import StageRequest, StageResult
from edgewright.core import errors
from edgewright.core.errors import EdgewrightError, EngineError, UnavailableError
from edgewright.core.model import OnnxModel, TorchSource

RESULT = "result.json"
"""In a stage's folder once the stage is through: what it came to."""
SILENCE_S = 3600.0
"""A child that says nothing for so long is taken to hang: stages say something every few seconds."""
GRACE_S = 60.0
"""What a child is given to save a checkpoint once it is asked to end."""
_TAIL_LINES = 8


def run_stage(
    stage: str, model: TorchSource, options: object, site: Site, extra: Mapping[str, Path] | None = None
) -> Outcome[TorchSource]:
    """What ``stage`` makes of ``model``; a stage that was finished before with the very same inputs is not done again.

    Args:
        stage: one of ``request.STAGES``.
        model: stays as it is.
        options: the pass's options dataclass.
        site: ``training`` must be there.
        extra: further files for the stage, by a word both sides know.

    Raises:
        UnavailableError: torch, or what the stage needs beside it, is not installed.
        EngineError: the child crashed, hung or ran out of memory.
        EdgewrightError: as the stage found.
    """
    training = site.training
    if isinstance(training, Absent):
        raise UnavailableError(f"'{stage}' trains, and there is nothing to train with: {training.reason}")
    folder = training.checkpoints / f"{stage}-{stage_key(stage, model, options, site, extra or {})[:16]}"
    if not training.resume:
        shutil.rmtree(folder, ignore_errors=True)
    known = read_result(folder)
    if known is None:
        if folder.exists():
            site.log(f"  {stage}: goes on from where it was stopped")
        folder.mkdir(parents=True, exist_ok=True)
        known = _run(_request(stage, model, options, site=site, folder=folder, extra=extra or {}), site, training)
        _write_result(folder, known)
    else:
        site.log(f"  {stage}: finished before with the same inputs, taken as it is")
    if known.changed == 0:
        return Outcome(model, 0, known.notes, known.figures, known.timings)
    after = replace(model, state=folder, parameters=known.parameters, size_bytes=known.size_bytes)
    return Outcome(after, known.changed, known.notes, known.figures, known.timings)


def export_source(source: TorchSource, workdir: Path, threads: int = 1) -> OnnxModel:
    """``source`` as ONNX, with what was trained into it.

    Raises:
        UnavailableError: what torch cannot export.
        EngineError: the child crashed.
    """
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=workdir))
    request = StageRequest(
        stage="export",
        source=_source_json(source),
        inputs=tuple(spec.to_json() for spec in source.inputs),
        outputs=tuple(spec.to_json() for spec in source.outputs),
        options={},
        target=None,
        goal={},
        max_drop=0.0,
        keep=(),
        seed=0,
        threads=threads,
        resume=False,
        folder=str(folder),
        calibration=None,
        train=None,
        select=None,
        metric=None,
        can_measure=False,
        can_judge=False,
        extra={} if source.state is None else {"state": str(source.state)},
    )
    talk = _Conversation({}, lambda _what, _share: None, lambda _line: None)
    _converse(request, talk, folder)
    return OnnxModel(ir.load(folder / "model.onnx"), source.name)


def read_result(folder: Path) -> StageResult | None:
    """What the stage in ``folder`` came to; None where it is not through."""
    try:
        found = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError):
        return None
    return _result(found)


def _write_result(folder: Path, result: StageResult) -> None:
    document = asdict(result)
    document["notes"] = [[note.kind, note.subject, note.text] for note in result.notes]
    partial = folder / f"{RESULT}.partial"
    with partial.open("w") as file:
        json.dump(document, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / RESULT)


def _result(found: Mapping[str, object]) -> StageResult:
    notes = tuple(Note(*one) for one in cast("list[list[str]]", found["notes"]))
    return replace(StageResult(**cast("dict[str, int]", found)), notes=notes)  # type: ignore[arg-type]


def _request(
    stage: str, model: TorchSource, options: object, *, site: Site, folder: Path, extra: Mapping[str, Path]
) -> StageRequest:
    training = site.training
    assert isinstance(training, Training)
    select = training.select
    return StageRequest(
        stage=stage,
        source=_source_json(model),
        inputs=tuple(spec.to_json() for spec in model.inputs),
        outputs=tuple(spec.to_json() for spec in model.outputs),
        options=asdict(options),  # type: ignore[call-overload]
        target=site.target.to_json(),
        goal=asdict(training.goal),
        max_drop=site.budget.max_drop,
        keep=training.keep,
        seed=site.seed,
        threads=training.threads,
        resume=training.resume,
        folder=str(folder),
        calibration=spooled(site.samples, model, site, frozenset()),
        train=spooled(training.train, model, site, training.exclude),
        select=None if isinstance(select, Absent) else spooled(select.samples, model, site, frozenset()),
        metric=None if isinstance(select, Absent) else select.metric,
        can_measure=not isinstance(site.measure, Absent),
        can_judge=not isinstance(select, Absent),
        extra={word: str(path) for word, path in extra.items()},
    )


def _source_json(source: TorchSource) -> dict[str, object]:
    return {
        "kind": source.kind,
        "text": source.text,
        "name": source.name,
        "shapes": list(source.shapes),
        "trust_pickle": source.trust_pickle,
        "state": None if source.state is None else str(source.state),
    }


@dataclass(frozen=True)
class _Conversation:
    """What the parent does with the child's words."""

    answers: Mapping[str, Callable[[Mapping[str, object]], object]]
    progress: Callable[[str, float], None]
    log: Callable[[str], None]


def _run(request: StageRequest, site: Site, training: Training) -> StageResult:
    answers: dict[str, Callable[[Mapping[str, object]], object]] = {}
    if not isinstance(measure := site.measure, Absent):
        timed = measure
        answers["measure"] = lambda word: timed([read_candidate(path) for path in cast("list[str]", word["paths"])])
    if not isinstance(select := training.select, Absent):
        judge = select.drop
        answers["drop"] = lambda word: judge(read_answers(Path(str(word["path"])), cast("list[str]", word["names"])))
    talk = _Conversation(answers, lambda what, share: site.progress(f"{request.stage}: {what}", share), site.log)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=site.workdir) as exchange:
        return _converse(request, talk, Path(exchange))


def _converse(request: StageRequest, talk: _Conversation, exchange: Path) -> StageResult:
    _check_installed(request.stage)
    question, said = exchange / "request.json", exchange / "talk.txt"
    question.write_text(json.dumps(asdict(request)))
    ours, theirs = os.pipe()
    their_back, our_back = os.pipe()
    module = "edgewright.compiler.torch_stage.child"
    command = [sys.executable, "-P", "-m", module, str(question), str(theirs), str(their_back)]
    with said.open("wb") as stream:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, pass_fds=(theirs, their_back)
        )
        os.close(theirs)
        os.close(their_back)
        try:
            with os.fdopen(our_back, "w") as back:
                result = _listen(_words(ours, request.stage), back, talk)
            code = child.wait()
        finally:
            os.close(ours)
            _end(child)
    if result is None:
        raise _crashed(request.stage, code, said)
    return result


def _words(pipe: int, stage: str) -> Iterator[dict[str, object]]:
    """What the child says, until it closes the pipe.

    Read by hand: a buffered file would hold back a question that came together with the word before it.

    Raises:
        EngineError: it has been silent for too long.
    """
    waiting = selectors.DefaultSelector()
    waiting.register(pipe, selectors.EVENT_READ)
    rest = b""
    while True:
        if not waiting.select(SILENCE_S):
            raise EngineError(f"'{stage}' said nothing for {SILENCE_S:.0f} s", "Run it again: it goes on.", "timeout")
        read = os.read(pipe, 1 << 16)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            yield {"stage": stage, **json.loads(line)}


def _listen(words: Iterator[dict[str, object]], back: IO[str], talk: _Conversation) -> StageResult | None:
    """Serves the child until it is through; None where it ended without a word.

    Raises:
        EngineError: it has been silent for too long.
        EdgewrightError: what the child says is wrong.
    """
    for word in words:
        if word["say"] == "done":
            return _result(cast("Mapping[str, object]", word["result"]))
        if word["say"] == "failed":
            raise cast("EdgewrightError", getattr(errors, str(word["kind"]))(word["problem"], word["remedy"]))
        if word["say"] == "log":
            talk.log(f"  {word['stage']}: {word['text']}")
        elif word["say"] == "progress":
            talk.progress(str(word["text"]), cast("float", word["done"]))
            if word["lasting"]:
                talk.log(f"  {word['stage']}: {word['text']}")
        else:
            back.write(json.dumps(_answer(talk, word)) + "\n")
            back.flush()
    return None


def _answer(talk: _Conversation, word: Mapping[str, object]) -> dict[str, object]:
    try:
        return {"answer": talk.answers[str(word["say"])](word)}
    except EdgewrightError as error:
        return {"error": error.problem}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leaves no child behind, and lets it save its work first."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
        return
    child.kill()
    child.wait()


def _check_installed(stage: str) -> None:
    import importlib.util

    needs = {"prune": ["torch_pruning"], "qat": ["torchao"]}.get(stage, [])
    missing = [name for name in ("torch", "onnxscript", *needs) if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"'{stage}' needs {' and '.join(missing)}", "pip install 'edgewright[train]'")


def _crashed(stage: str, code: int, said: Path) -> EngineError:
    tail = "\n".join(said.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    kind = "memory" if code == -signal.SIGKILL else "crashed"
    return EngineError(f"the process of '{stage}' {how}", tail or "It said nothing. Run it again: it goes on.", kind)
