"""A bundle's bill of materials: CycloneDX 1.6 JSON with a model card (https://cyclonedx.org/docs/1.6/json/).

All of it is taken from the bundle, so the same bundle gives the same bytes, whenever and wherever it is asked. What the
bundle does not state (task, licence of the model, what it was trained on) is absent, never guessed. A tool's licence is
what the installed package of that very version states, else what our notices say of it, else absent.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import edgewright
from edgewright.core import jsontext
from edgewright.core.bundle import Bundle, Manifest, open_bundle
from edgewright.core.files import sha256_file, write_atomically
from edgewright.core.tensors import TensorSpec

Json = dict[str, object]
_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "edgewright.bundle")
_DATA = {
    "calibrate": "what value ranges were measured on",
    "select": "what choices were made by",
    "prove": "what accuracy was proven on",
    "train": "what passes could train on",
}
_BUNDLE, _MODEL, _PARENT = "bundle", "original-model", "parent-bundle"


@dataclass(frozen=True)
class Notice:
    """What is known of a package that manifests name: its name on PyPI, and what docs/third-party-notices.md says."""

    distribution: str
    expression: str | None = None
    """An SPDX licence expression."""
    terms: str | None = None
    """The name of a licence that SPDX has none for."""


NOTICES = {
    "edgewright": Notice("edgewright", "Apache-2.0"),
    "onnx": Notice("onnx", "Apache-2.0"),
    "onnxruntime": Notice("onnxruntime", "MIT"),
    "openvino": Notice("openvino", "Apache-2.0"),
    "tensorrt_rtx": Notice("tensorrt-rtx-cu13", terms="NVIDIA's software licence agreement"),
    "torch": Notice("torch", "BSD-3-Clause"),
}


def write_sbom(path: Path, out: Path, *, made_here: bool = False) -> None:
    """Writes the bill of materials of the bundle at ``path``, whole or not at all.

    Raises:
        BadInputError: the bundle is damaged.
        CannotWriteError, IOFailureError: ``out`` cannot be written.
    """
    write_atomically(out, sbom_bytes(open_bundle(path, made_here=made_here)))


def sbom_bytes(bundle: Bundle) -> bytes:
    """The document as it is written: sorted keys, two blanks of indent."""
    return jsontext.pretty(sbom_of(bundle))


def sbom_of(bundle: Bundle) -> Json:
    """The bill of materials of a bundle."""
    manifest = bundle.manifest
    about: Json = {
        "tools": {"components": [_tool("edgewright", edgewright.__version__, "application", ref="tool:edgewright")]},
        "lifecycles": [{"phase": "build"}],
        "component": _subject(bundle),
    }
    if manifest.created is not None:
        about["timestamp"] = manifest.created
    tools = [_runtime(name, version) for name, version in sorted(manifest.backend.versions.items())]
    needed = [str(tool["bom-ref"]) for tool in tools if tool["scope"] == "required"]
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, bundle.digest)}",
        "metadata": about,
        "components": tools,
        "dependencies": [{"ref": _BUNDLE, "dependsOn": needed}, *({"ref": str(tool["bom-ref"])} for tool in tools)],
    }


def _subject(bundle: Bundle) -> Json:
    """The bundle itself: its members, what it was made from, its model card."""
    manifest = bundle.manifest
    found: Json = {
        "type": "machine-learning-model",
        "bom-ref": _BUNDLE,
        "name": manifest.model.name,
        "pedigree": _pedigree(manifest),
        "modelCard": _card(manifest),
        "properties": _properties(_statements(bundle)),
        "components": [
            {
                "type": "file",
                "bom-ref": f"member:{record.path}",
                "name": record.path,
                "hashes": [{"alg": "SHA-256", "content": record.sha256}],
                "properties": _properties([("file:bytes", str(record.bytes))]),
            }
            for record in manifest.files
        ],
    }
    if bundle.path.is_file():  # an unzipped folder has no hash of its own
        found["hashes"] = [{"alg": "SHA-256", "content": sha256_file(bundle.path)}]
    return found


def _statements(bundle: Bundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    stated = [
        ("bundle:schema", manifest.schema),
        ("bundle:digest", bundle.digest),
        ("bundle:recipe-digest", manifest.recipe_digest),
        ("bundle:plan-digest", manifest.plan_digest),
        ("target", manifest.target.name),
        ("backend", manifest.backend.name),
        ("precision", manifest.precision),
        ("engine:bytes", str(manifest.size_bytes)),
    ]
    stated += [("engine:pending", manifest.backend.pending)] if manifest.backend.pending else []
    stated += [
        (f"pass:{number}", f"{one.name} {json.dumps(one.options, sort_keys=True)}" if one.options else one.name)
        for number, one in enumerate(manifest.passes, 1)
    ]
    return stated


def _pedigree(manifest: Manifest) -> Json:
    """What it was made from: the model of whoever trained it, and the bundle that was finished on the device."""
    model: Json = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": manifest.model.name,
        # No hash: this digest is of graph and weights, wherever they were stored, and of no file.
        "properties": _properties([("model:digest", manifest.model.digest)]),
    }
    ancestors: list[Json] = [model]
    if manifest.parent is not None:
        parent: Json = {"type": "machine-learning-model", "bom-ref": _PARENT, "name": manifest.model.name}
        ancestors.append({**parent, "properties": _properties([("bundle:digest", manifest.parent)])})
    return {"ancestors": ancestors}


def _card(manifest: Manifest) -> Json:
    """Tensors, data by its digest, and accuracy as far as it was measured."""
    parameters: Json = {
        "inputs": [{"format": _tensor(spec)} for spec in manifest.inputs],
        "outputs": [{"format": _tensor(spec)} for spec in manifest.outputs],
    }
    card: Json = {"modelParameters": parameters}
    if datasets := _datasets(manifest):
        parameters["datasets"] = datasets
    accuracy = manifest.accuracy
    if accuracy is None:
        return card
    where = f"{accuracy.n} samples of the proof data"
    rows = [(accuracy.metric, accuracy.value, f"the engine on {where}, {accuracy.mark}")]
    rows += [(accuracy.metric, accuracy.reference, f"the original model on {where}")]
    rows += [(f"{accuracy.metric} lost", accuracy.drop, f"of the original, on {where}, {accuracy.mark}")]
    metrics = [
        {"type": name, "value": json.dumps(value), "slice": text} for name, value, text in rows if value is not None
    ]
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _datasets(manifest: Manifest) -> list[Json]:
    """The samples that were given here, by their digests; what the original was trained on, nobody knows here."""
    given, accuracy = manifest.data, manifest.accuracy
    digests = dict.fromkeys(_DATA) if given is None else {name: getattr(given, name) for name in _DATA}
    if accuracy is not None and accuracy.data_digest is not None:
        digests["prove"] = accuracy.data_digest
    found: list[Json] = []
    for name, digest in digests.items():
        if digest is None:
            continue
        stated = [("data:digest", digest)]
        if name == "prove" and accuracy is not None:
            stated.append(("data:samples", str(accuracy.n)))
        about: Json = {"type": "dataset", "bom-ref": f"data:{name}", "name": name, "description": _DATA[name]}
        found.append({**about, "contents": {"properties": _properties(stated)}})
    return found


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype} {spec.shape_text}"


def _runtime(name: str, version: str) -> Json:
    """A package that the engine was built with: what opens it is needed, what compiled it is not."""
    compiler = name == "edgewright"
    found = _tool(name, version, "application" if compiler else "library", ref=f"package:{name}")
    return {**found, "scope": "excluded" if compiler else "required"}


def _tool(name: str, version: str, kind: str, *, ref: str) -> Json:
    notice = NOTICES.get(name)
    found: Json = {"type": kind, "bom-ref": ref, "name": name, "version": version}
    if notice is None:
        return found
    found["purl"] = f"pkg:pypi/{notice.distribution}@{quote(version, safe='.')}"
    licence = _licence(notice, version)
    return {**found, "licenses": [licence]} if licence is not None else found


def _licence(notice: Notice, version: str) -> Json | None:
    """``declared`` is the package's own word, ``concluded`` that of our notices."""
    try:
        about = metadata.metadata(notice.distribution)
        if about["Version"] == version and "License-Expression" in about:
            return {"expression": about["License-Expression"], "acknowledgement": "declared"}
    except metadata.PackageNotFoundError:
        pass
    if notice.expression is not None:
        return {"expression": notice.expression, "acknowledgement": "concluded"}
    return None if notice.terms is None else {"license": {"name": notice.terms, "acknowledgement": "concluded"}}


def _properties(stated: list[tuple[str, str]]) -> list[Json]:
    return [{"name": f"edgewright:{name}", "value": value} for name, value in stated]
