"""What is inside a compiled bundle, read without the product: the engine as its runtime opens it, and the journal."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .kernels import float_kernels_onnxruntime, float_kernels_openvino
from .scoring import Feeds, Runner, onnxruntime_runner

Json = dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """A bundle taken apart.

    Attributes:
        manifest: its `manifest.json`.
        journal: its `journal.json`.
        run: the engine in this process, from feeds to outputs under the model's own names.
        float_kernels: layers that the runtime computes in float, by kind.
    """

    manifest: Json
    journal: Json
    run: Runner
    float_kernels: dict[str, int]

    @property
    def kept_float(self) -> list[str]:
        """Layers that were left in float because they cost too much accuracy."""
        return list(self.journal["plan"]["choice"]["options"].get("keep_float", []))

    @property
    def float_reasons(self) -> list[str]:
        """What the journal says of operators that stayed float, one line for each kind and reason."""
        notes = [
            note for entry in self.journal["passes"] if entry["stage"] == "quantize" for note in entry.get("notes", [])
        ]
        return [note["text"] for note in notes if note["kind"] == "skipped"]


@contextmanager
def opened(bundle: Path) -> Iterator[Compiled]:
    """The parts of `bundle`, its engine loaded with one thread: two engines take turns and idle threads would spin."""
    with TemporaryDirectory(prefix="edgewright-prove-") as folder, zipfile.ZipFile(bundle) as members:
        members.extractall(folder, [name for name in members.namelist() if name.startswith("engine/")])
        manifest, journal = (json.loads(members.read(f"{name}.json")) for name in ("manifest", "journal"))
        backend = manifest["backend"]
        model = Path(folder) / "engine" / backend["entry"]
        if backend["name"] == "openvino":
            names = [[spec["name"] for spec in manifest[kind]] for kind in ("inputs", "outputs")]
            hint = backend["properties"].get("INFERENCE_PRECISION_HINT", "f32")
            run, kernels = openvino_runner(model, hint, *names), float_kernels_openvino(model, hint)
        else:
            (run, _), kernels = onnxruntime_runner(model, threads=1), float_kernels_onnxruntime(model)
        yield Compiled(manifest, journal, run, kernels)


def openvino_runner(model: Path, hint: str, inputs: Sequence[str], outputs: Sequence[str], threads: int = 1) -> Runner:
    """A function from feeds to outputs. OpenVINO keeps the order of a model's ports and may cut their names short."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    compiled = openvino.Core().compile_model(str(model), "CPU", settings)
    request = compiled.create_infer_request()
    known = [next((name for name in inputs if name in port.get_names()), None) for port in compiled.inputs]
    fed = list(inputs) if len(known) == len(inputs) else known

    def run(feeds: Feeds) -> Feeds:
        request.infer({index: feeds[name] for index, name in enumerate(fed) if name is not None})
        return {name: request.get_output_tensor(index).data.copy() for index, name in enumerate(outputs)}

    return run
