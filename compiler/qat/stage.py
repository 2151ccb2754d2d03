"""Quantisation-aware training of one module, in the child process of its stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.answers import answers_of, batches_of, error_for
from edgewright.compiler.qat.correction import correct_biases
from edgewright.compiler.qat.evening import even_out
from edgewright.compiler.qat.extraction import LAYERS, put_back, save_grids, save_layers, trained_grids
from edgewright.compiler.qat.folding import fold_batch_norms
from edgewright.compiler.qat.mapping import Located, locate, split_operators
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.program import exported, fixed_batch
from edgewright.compiler.qat.quantizer import Prepared, prepare
from edgewright.compiler.qat.schedule import Schedule
from edgewright.compiler.qat.taps import answers_of_modules, tap
from edgewright.compiler.qat.wanted import Wanted, load_wanted
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import GRIDS, save_state

CHECKED = 4
"""Samples that the trained graph's answers are kept of."""
CORRECTED = 64
"""Samples that biases are corrected on."""
LEAST_FOR_MEANS = 8
"""Fewer samples say too little of a channel's mean."""
_SHARE_OF_EPOCHS = 0.25
"""Of what a whole recovery would be given: weights are close to where they end already."""
_SHARE_OF_RATE = 0.1
"""Of a whole recovery's learning rate. Where rounding costs much, larger steps bring more back; where it costs little,
they lose what was there, and in a few steps."""
_NAMED = 3


def train(context: StageContext) -> StageResult:
    """Trains ``context.module`` with the codes that ``context.extra`` wants, and leaves state and grids behind.

    Raises:
        UsageError: there is nothing to train with.
        StoppedError: the stage was asked to end.
    """
    from edgewright.compiler.recovery.loop import train as run
    from edgewright.compiler.recovery.stage import data_of

    options = context.options
    assert isinstance(options, QatOptions)
    arrays, kind = data_of(context)
    wanted = load_wanted(context.extra["wanted"])
    prepared, located, wanted = prepare_module(context, wanted, options)
    notes = _notes(wanted, located, prepared)
    if kind == "calibration":
        notes.append(Note("warning", "training data", f"{len(arrays)} calibration samples alone were trained on"))
    if not prepared.quantised:
        return StageResult(0, (*notes, Note("warning", "qat", "nothing was quantised, so nothing was trained")))
    batch = fixed_batch(prepared.graph)
    if options.bias_correction:
        notes.append(_corrected(prepared, context, arrays, batch))
    if batch is not None:
        text = f"the module can be traced for one batch size only: it is trained in batches of {batch}"
        notes.append(Note("warning", "graph", text))
    result = run(
        prepared.graph,
        context.original(),
        arrays,
        settled(options, context, arrays, batch),
        context=context,
        checkpoint=context.folder / "training.pt",
        hooks=Schedule(prepared, options).hooks(),
    )
    notes += list(result.notes)
    if result.best_epoch == 0:
        text = "training with codes made nothing better: the module stays as it was and is quantised from calibration"
        return StageResult(0, (*notes, Note("warning", "qat", text)), figures=result.figures())
    module = context.fresh()
    put_back(prepared, module)
    save_state(context.folder, module, context.original())
    save_grids(trained_grids(prepared, wanted), wanted.unfit, context.folder / GRIDS)
    judged = arrays if isinstance(context.calibration, Absent) else context.calibration
    samples = [judged.batch([index]) for index in range(min(CHECKED, len(judged)))]
    save_layers(prepared, wanted, context.outputs, samples, context.folder / LAYERS)
    parameters = list(module.parameters())
    return StageResult(
        len(located.places),
        tuple(notes),
        parameters=sum(one.numel() for one in parameters),
        size_bytes=sum(one.numel() * one.element_size() for one in parameters),
        figures={**result.figures(), "operators": len(located.places), "grids": len(prepared.grids)},
        timings=result.timings(),
    )


def prepare_module(context: StageContext, wanted: Wanted, options: QatOptions) -> tuple[Prepared, Located, Wanted]:
    """The module as a graph that computes with codes, where in it what is wanted was found, and what is wanted of it
    once channels are evened out."""
    import torch

    with np.load(context.extra["values"], allow_pickle=False) as found:
        values = {name: found[name] for name in found.files}
    arrays = [values[f"i{place}"] for place in range(len(wanted.inputs))]
    sample = [torch.from_numpy(one) for one in arrays]
    graph = exported(context.module, context.example_inputs, arrays)
    split_operators(graph, wanted)
    located = locate(graph, wanted, values)
    wanted = even_out(graph, located, wanted, sample)
    if options.batchnorm_until == 0:
        located = fold_batch_norms(graph, located)
    followed = options.loss in ("features", "both")
    answers = answers_of_modules(graph, context.fresh().eval(), sample) if followed else {}
    prepared = prepare(graph, located, wanted, options.ranges)
    tap(prepared.graph, answers)
    return prepared, located, wanted


def settled(options: QatOptions, context: StageContext, arrays: Arrays, batch: int | None) -> QatOptions:
    """``options`` with what the training loop would choose by the module, which it cannot see in a graph."""
    from edgewright.compiler.recovery.settings import choose

    chosen = choose(options, context.original(), context.example_inputs, len(arrays))
    if batch is not None:  # exported for one size only
        options = replace(options, batch=max(1, batch // (arrays.rows or 1)))
    return replace(
        options,
        epochs=options.epochs or max(2, round(chosen.epochs * _SHARE_OF_EPOCHS)),
        batch=options.batch or chosen.batch,
        epoch_samples=options.epoch_samples or chosen.per_epoch,
        learning_rate=options.learning_rate or chosen.learning_rate * _SHARE_OF_RATE,
        # What bfloat16 rounds away is at most half a step of the codes, either way; answers are judged in float32.
        precision="bfloat16" if chosen.bfloat16 else "float32",
    )


def _corrected(prepared: Prepared, context: StageContext, arrays: Arrays, fixed: int | None) -> Note:
    """Corrects biases, and says what came of it; ``fixed`` is the batch size of a graph that takes no other."""
    batches = batches_of(arrays, context.inputs, CORRECTED, fixed or CORRECTED)
    if not batches or (rows := len(batches[0][0])) < LEAST_FOR_MEANS or (fixed or rows) != rows:
        return Note("skipped", "graph", "biases: means over as few samples as the graph takes at once say too little")
    # What was fitted to samples is judged on others where there are any.
    others = context.select if not isinstance(context.select, Absent) else arrays
    judged = [one for one in batches_of(others, context.inputs, CORRECTED, rows) if fixed in (None, len(one[0]))]
    if not judged:
        return Note("skipped", "graph", "biases: there is no data to see by whether correcting them helps")
    error = error_for(context.metric, answers_of(prepared.graph, judged[:1]))
    count = correct_biases(prepared.graph, batches[0], judged, error)
    if not count:
        return Note("skipped", "graph", "biases: corrected for what codes add to them, they answer no better")
    return Note("did", "graph", f"{count} biases were corrected for what codes add to the mean of their channels")


def _notes(wanted: Wanted, located: Located, prepared: Prepared) -> list[Note]:
    notes = [
        Note("did", "graph", f"{len(located.places)} of {len(wanted.ops)} operators compute with codes in training")
    ]
    if wanted.evenings:
        notes.append(Note("did", "graph", f"{len(wanted.evenings)} tensors were evened out before training"))
    reasons: dict[str, list[str]] = {}
    for name, reason in located.missing.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        listed = ", ".join(name[:60] for name in names[:_NAMED])
        notes.append(Note("skipped", names[0], f"{listed}{more}: float in training: {reason}"))
    lost = [name for name, one in wanted.tensors.items() if one.produced and one.group not in prepared.grids]
    if lost:
        text = f"{len(lost)} tensors that will be codes are float in training, such as '{lost[0]:.60}'"
        notes.append(Note("skipped", lost[0], text))
    return notes


__all__ = ["CHECKED", "prepare_module", "settled", "train"]
