"""Searches for how to train: learning rate, temperature, how pruning orders and spares, within a stated budget.

Off unless it is asked for. Every trial is the chain without ``qat``, trained for a third of its epochs, judged by the
metric's drop on the selection set; the settings of the best one are then trained in full. Optuna's TPE proposes them
(Bergstra et al. 2011, https://papers.nips.cc/paper/4443); the study lies in the work folder, so that a search that was
stopped goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.core.errors import EdgewrightError, UnavailableError
from edgewright.driver.chain import Chain
from edgewright.driver.search_budget import SearchBudget

if TYPE_CHECKING:
    import optuna

Settings = Mapping[str, Mapping[str, object]]
"""Pass -> option -> value."""
_SHORT = 3
_FEWEST_EPOCHS = 2


def search_settings(chain: Chain, budget: SearchBudget) -> Settings:
    """The settings of the best trial; those of the recipe are the first one tried.

    Raises:
        UnavailableError: optuna is not installed, or no trial came to an end.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise UnavailableError("--search-settings needs optuna", "pip install 'edgewright[train]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    job = chain.job
    log = job.request.log
    storage = JournalStorage(JournalFileBackend(str(chain.folder / "settings.log")))
    name = job.recipe_digest(chain.lanes[0][1].target)
    study = optuna.create_study(
        study_name=name, storage=storage, load_if_exists=True, direction="minimize", sampler=_sampler(job.request.seed)
    )
    done = len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)))
    if done:
        log(f"settings: {done} trials of an earlier run are taken as they are")
        # Seeded anew, so that a search that goes on does not propose again what it began with.
        study.sampler = _sampler(job.request.seed + done)
    else:
        study.enqueue_trial(_first(chain))
    deadline = time.monotonic() + budget.amount * 60 if budget.unit == "minutes" else math.inf
    most = int(budget.amount) if budget.unit == "trials" else None
    while (most is None or done < most) and time.monotonic() < deadline:
        trial = study.ask()
        log(f"settings: trial {done + 1}{'' if most is None else f' of {most}'}: {_shown(trial, chain)}")
        drop = _drop(chain, _proposed(trial, chain))
        if drop is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, drop)
            log(f"settings: trial {done + 1}: drop {drop:+.4f}, best so far {study.best_value:+.4f}")
        done += 1
    if not study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        raise UnavailableError("no trial of --search-settings came to an end", "Leave it out, or look at what it said.")
    best = _proposed(optuna.trial.FixedTrial(study.best_params), chain)
    log(f"settings: trained with {_text(best)}, the best of {done} trials; as a recipe:")
    for stage, options in best.items():
        log(f'  [[passes]]\n  name = "{stage}"')
        for key, value in options.items():
            log(f"  {key} = {_toml(value)}")
    return best


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)


def _first(chain: Chain) -> dict[str, object]:
    """The recipe's own settings, or what stands for "by itself" in the middle of each range."""
    found: dict[str, object] = {}
    if "distil" in chain.stages:
        given = chain.job.recipe.options_of("distil")
        found["learning_rate"] = given.get("learning_rate", 1e-3)
        found["temperature"] = given.get("temperature", 2.0)
    if "prune" in chain.stages:
        given = chain.job.recipe.options_of("prune")
        found["importance"] = given.get("importance", "activation")
        found["floor"] = given.get("floor", 0.1)
    return found


def _proposed(trial: optuna.trial.BaseTrial, chain: Chain) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    if "prune" in chain.stages and not chain.widths:
        importance = trial.suggest_categorical("importance", ["activation", "magnitude", "taylor"])
        found["prune"] = {"importance": importance, "floor": trial.suggest_categorical("floor", [0.1, 0.2, 0.35])}
    if "distil" in chain.stages:
        found["distil"] = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True),
            "temperature": trial.suggest_float("temperature", 1.0, 8.0, log=True),
        }
    return found


def _drop(chain: Chain, settings: Settings) -> float | None:
    """What a short training with ``settings`` costs; None where it fails."""
    epochs = int(str(chain.job.recipe.options_of("distil").get("epochs", 0)))
    short = max(_FEWEST_EPOCHS, math.ceil(epochs / _SHORT))
    trial = {
        stage: {**options, **({"epochs": short} if stage == "distil" else {})} for stage, options in settings.items()
    }
    stages = tuple(stage for stage in chain.stages if stage != "qat")
    try:
        variants = replace(chain, stages=stages, settings=trial).run()
    except EdgewrightError as error:
        chain.job.request.log(f"settings: this trial is out: {error.problem}")
        return None
    return variants[-1].drop if variants else None


def _shown(trial: optuna.trial.Trial, chain: Chain) -> str:
    return _text(_proposed(trial, chain))


def _text(settings: Settings) -> str:
    parts = [f"{stage}.{key}={_toml(value)}" for stage, options in settings.items() for key, value in options.items()]
    return ", ".join(parts)


def _toml(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f'"{value}"' if isinstance(value, str) else str(value)
