"""Short trials of settings: what a search asks before the whole training is run with what did best."""

from __future__ import annotations

from dataclasses import replace

from edgewright.compiler.recovery.loop import train
from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.result import Score
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext

_FILE = "trial.pt"


def short_trial(
    context: StageContext, arrays: Arrays, options: TrainOptions, *, epochs: int = 2, samples: int = 4000
) -> Score:
    """The score that a fresh student reaches with ``options`` in a short run; the context's module is not touched.

    The learning rate rises and falls within these few epochs, so that trials end where whole runs end. The first
    ``samples`` are trained on. Scores of two trials compare with ``Score.better_than`` where both have a drop, or the
    same temperature and kind of loss; a drop is comparable between any.

    Raises:
        UsageError: as :func:`train`.
        StoppedError: the context was stopping; a trial is not resumed but done again.
    """
    path = context.folder / _FILE
    fewer = replace(options, epochs=epochs, patience=0)
    part = Arrays(
        {name: array[:samples] for name, array in arrays.inputs.items()},
        None if arrays.labels is None else arrays.labels[:samples],
        arrays.rows,
    )
    quiet = replace(context, resume=False, progress=lambda _word: None)
    try:
        result = train(context.fresh().eval(), context.original(), part, fewer, context=quiet, checkpoint=path)
    finally:
        path.unlink(missing_ok=True)
    return result.best
