"""Results of passes, engines and rankings of layers, kept by everything that they are made from."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from edgewright.backends import Artifact, Backend
from edgewright.backends._wire import Json
from edgewright.compiler.journal import JournalEntry, ModelCounts
from edgewright.compiler.pass_base import LayerDamage, Note, Pass, Tunable
from edgewright.compiler.pipeline import AnyPass, run_pipeline
from edgewright.compiler.site import Absent, Site
from edgewright.core.cache import Hit, Part
from edgewright.core.model import EXTERNAL_DATA_THRESHOLD_BYTES, Model, OnnxModel, read_model
from edgewright.driver.cache_steps import Clock, Steps
from edgewright.targets.schema import Target

_MODEL = "model.onnx"


def piped(
    steps: Steps, passes: Sequence[AnyPass], start: OnnxModel, site: Site
) -> tuple[OnnxModel, list[JournalEntry]]:
    """As :func:`edgewright.compiler.pipeline.run_pipeline`, with what is kept of it."""
    if not passes:
        return start, []
    if steps.store is None:
        model, entries = run_pipeline(passes, start, site)
        assert isinstance(model, OnnxModel)
        return model, entries
    names = [one.name for one in passes]
    parts = {**_site_parts(start, site), "passes": {one.name: one.options_json() for one in passes}, "order": names}
    with steps.found_or_owned("passes", parts, f"what {names[0]} to {names[-1]} make of {start.name}") as hit:
        if hit is not None and (kept := _model_of(hit, start)) is not None:
            return kept
        clock = Clock()
        model, entries = run_pipeline(passes, start, site)
        assert isinstance(model, OnnxModel)
        took_s = clock.seconds
        if took_s >= steps.worth_s and model.sizes == start.sizes and model.size_bytes < EXTERNAL_DATA_THRESHOLD_BYTES:
            with tempfile.TemporaryDirectory(dir=site.workdir) as folder:
                path = Path(folder) / _MODEL
                model.save(path)
                value = {"digest": model.digest, "name": model.name, "journal": [entry_json(one) for one in entries]}
                steps.keep("passes", parts, value, {_MODEL: path}, took_s=took_s)
        return model, entries


def engine(steps: Steps, backend: Backend, model: Model, target: Target, folder: Path, *, precision: str) -> Artifact:
    """As :meth:`Backend.lower`, with what is kept of it; machine code and what only a device can build never is."""
    if steps.store is None or backend.native_code or not isinstance(model, OnnxModel):
        return backend.lower(model, target, folder, precision)
    parts = {
        "model": model.digest,
        "name": model.name,
        "sizes": _sizes(model),
        "backend": backend.name,
        "target": target.to_json(),
        "precision": precision,
    }
    with steps.found_or_owned("engine", parts, f"the engine of {model.name} for {target.name}") as hit:
        if hit is not None:
            return _artifact_of(hit, folder)
        clock = Clock()
        artifact = backend.lower(model, target, folder, precision)
        if not artifact.pending:
            value = {"artifact": {**artifact.to_json(), "folder": ""}, "remarks": list(artifact.remarks)}
            files = {name: artifact.folder / name for name in artifact.files}
            steps.keep("engine", parts, value, files, took_s=clock.seconds)
        return artifact


def damage(steps: Steps, pass_: Tunable, model: OnnxModel, site: Site) -> list[LayerDamage]:
    """As :meth:`Tunable.damage`, with what is kept of it."""
    if steps.store is None or not isinstance(pass_, Pass):
        return pass_.damage(model, site)
    parts = {**_site_parts(model, site), "pass": pass_.name, "options": pass_.options_json()}
    with steps.found_or_owned("damage", parts, f"the ranking of {model.name}'s layers") as hit:
        if hit is not None:
            return [LayerDamage(name, error) for name, error in cast("list[tuple[str, float]]", hit.value)]
        clock = Clock()
        found = pass_.damage(model, site)
        steps.keep("damage", parts, [[one.layer, one.error] for one in found], took_s=clock.seconds)
        return found


def _site_parts(model: OnnxModel, site: Site) -> dict[str, Part]:
    samples = site.samples
    return {
        "model": model.digest,
        "name": model.name,
        "sizes": _sizes(model),
        "original": site.original.digest if isinstance(site.original, OnnxModel) else None,
        "target": site.target.to_json(),
        "samples": None if isinstance(samples, Absent) else samples.digest,
        "seed": site.seed,
    }


def _sizes(model: OnnxModel) -> dict[str, Part]:
    return {name: [vars(item) for item in ranges] for name, ranges in model.sizes.items()}


def _model_of(hit: Hit, start: OnnxModel) -> tuple[OnnxModel, list[JournalEntry]] | None:
    """None for one that reads back as another model: then it is made again."""
    value = cast("Mapping[str, object]", hit.value)
    model = read_model(hit.read(_MODEL), str(value["name"]), start.sizes)
    entries = [read_entry(one) for one in cast("list[dict[str, object]]", value["journal"])]
    return (model, entries) if model.digest == value["digest"] else None


def _artifact_of(hit: Hit, folder: Path) -> Artifact:
    value = cast("Mapping[str, object]", hit.value)
    hit.copy_into(folder)
    found = Artifact.from_json({**cast("dict[str, Json]", value["artifact"]), "folder": str(folder)})
    return replace(found, remarks=tuple(cast("list[str]", value["remarks"])))


def entry_json(entry: JournalEntry) -> dict[str, Part]:
    """Every field of a journal's entry, unrounded; an infinite error is text."""
    found = asdict(entry)
    found["error"] = "infinite" if entry.error is not None and math.isinf(entry.error) else entry.error
    return found


def read_entry(found: Mapping[str, object]) -> JournalEntry:
    """The entry that :func:`entry_json` wrote."""
    values = dict(found)
    values["notes"] = tuple(Note(**one) for one in cast("list[dict[str, str]]", found["notes"]))
    for name in ("before", "after"):
        values[name] = ModelCounts(**cast("dict[str, int | None]", found[name]))
    if found["error"] == "infinite":
        values["error"] = math.inf
    return JournalEntry(**values)  # type: ignore[arg-type]
