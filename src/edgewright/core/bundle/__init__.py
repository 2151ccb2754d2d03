"""The deliverable, ``NAME.ewb``: a zip of engine, manifest, journal and golden samples; same content, same bytes.

Members: ``manifest.json``, ``journal.json``, ``engine/*``, ``golden/{inputs,original,engine}.npz``.

What the manifest has (:class:`Manifest` is its typed form, ``Manifest.to_json`` writes it)::

    schema        "edgewright.bundle/1"                                            (the writer's)
    model         {name, digest}
    target        {name, description: the whole frozen target as JSON}
    backend       {name, versions: {package: version}, entry: file under engine/, properties: {name: text}}
    precision     "fp32" | "fp16" | "bf16" | "int8" | ...
    inputs        [{name, dtype, shape}]            outputs  likewise; shape entries are sizes, symbols or null
    preprocessing object | null                     state    [{output, input}]
    passes        [{name, options}]
    accuracy      {metric, reference, value, drop, n, data_digest, mark} | null
                  mark: "measured" | "host-proxy" | "unmeasured" (then value and drop are null)
    data          {calibrate, select, prove, train}, each a digest | null
    limits        {max_drop, drop_met, max_bytes, bytes_met}, each null where there is none
    size_bytes    bytes of the engine's files
    recipe_digest, plan_digest, parent | null       SHA-256 in hex
    tolerances    {engine, original}: largest max|a - b| / max(1, max|b|)
    created       UTC text from SOURCE_DATE_EPOCH | null                           (the writer's)
    files         [{path, sha256, bytes}] of every member but the manifest         (the writer's)
"""

from __future__ import annotations

from edgewright.core.bundle.golden import Golden
from edgewright.core.bundle.manifest import (
    Accuracy,
    BackendRecord,
    DataRecord,
    FileRecord,
    Limits,
    Manifest,
    ModelRecord,
    PassRecord,
    StateLink,
    TargetRecord,
    Tolerances,
)
from edgewright.core.bundle.read import Bundle, open_bundle
from edgewright.core.bundle.write import write_bundle

__all__ = [
    "Accuracy",
    "BackendRecord",
    "Bundle",
    "DataRecord",
    "FileRecord",
    "Golden",
    "Limits",
    "Manifest",
    "ModelRecord",
    "PassRecord",
    "StateLink",
    "TargetRecord",
    "Tolerances",
    "open_bundle",
    "write_bundle",
]
