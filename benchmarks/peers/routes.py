"""What users would otherwise take: the float model on either runtime, or a quantiser, each with its own defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

Feeds = dict[str, np.ndarray]
PER_CHANNEL_OPSET, RAISED_OPSET = 13, 17


@dataclass(frozen=True)
class Route:
    """One way from a float ONNX file to something that runs.

    Attributes:
        name: what the record calls it.
        title: what tables call it.
        engine: which runtime runs the outcome, `onnxruntime` or `openvino`.
        what: what is done, for people.
        kind: `float` runs the file as it is; `int8` makes another.
        build: `build(model, feeds, folder)` writes a model for `engine` and returns its path; None for `float`.
        properties: OpenVINO properties it is opened with.
    """

    name: str
    title: str
    engine: str
    what: str
    kind: Literal["float", "int8"] = "int8"
    build: Callable[[Path, Iterable[Feeds], Path], Path] | None = None
    properties: dict[str, str] = field(default_factory=dict)


def nncf_onnx(model: Path, feeds: Iterable[Feeds], folder: Path) -> Path:
    """`nncf.quantize` with its defaults on the ONNX model."""
    nncf = import_nncf()
    import onnx

    quantised = nncf.quantize(onnx.load(model), nncf.Dataset(list(feeds)))  # type: ignore[attr-defined]
    path = folder / "nncf-onnxruntime.onnx"
    onnx.save(quantised, path)
    return path


def nncf_openvino(model: Path, feeds: Iterable[Feeds], folder: Path) -> Path:
    """`nncf.quantize` with its defaults on OpenVINO's reading of the ONNX model."""
    nncf = import_nncf()
    import openvino

    read = openvino.Core().read_model(model)
    quantised = nncf.quantize(read, nncf.Dataset(list(feeds)))  # type: ignore[attr-defined]
    path = folder / "nncf-openvino.xml"
    openvino.save_model(quantised, path, compress_to_fp16=False)
    return path


def import_nncf() -> object:
    # NNCF reports home at every call unless told not to before it is imported.
    os.environ["NNCF_CI"] = "1"
    import nncf

    return nncf


class Reader:
    """onnxruntime's calibration reader protocol over feeds."""

    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def ort_u8s8(model: Path, feeds: Iterable[Feeds], folder: Path) -> Path:
    """`quantize_static` with what onnxruntime's own guide advises for x86: uint8 activations, int8 weights per channel.

    Per-channel scales need opset 13, so an older model is first raised to 17 by onnx's converter: with less, this
    scheme has no artifact to show.
    """
    import onnx
    import onnx.version_converter
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    loaded = onnx.load(model)
    if max(entry.version for entry in loaded.opset_import if entry.domain in ("", "ai.onnx")) < PER_CHANNEL_OPSET:
        model = folder / "raised.onnx"
        onnx.save(onnx.version_converter.convert_version(loaded, RAISED_OPSET), model)
    prepared, path = prepare(model, folder), folder / "ort-u8s8.onnx"
    quantize_static(
        prepared,
        path,
        Reader(feeds),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def ort_s8s8(model: Path, feeds: Iterable[Feeds], folder: Path) -> Path:
    """`quantize_static` with no option given: int8 activations and weights, per tensor."""
    from onnxruntime.quantization import quantize_static

    prepared, path = prepare(model, folder), folder / "ort-s8s8.onnx"
    quantize_static(prepared, path, Reader(feeds))
    return path


def prepare(model: Path, folder: Path) -> Path:
    """onnxruntime's recommended pre-processing, without symbolic shapes where their inference gives up."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = folder / "prepared.onnx"
    try:
        quant_pre_process(model, path)
    except Exception:  # noqa: BLE001  it raises bare Exception for incomplete inference
        quant_pre_process(model, path, skip_symbolic_shape=True)
    return path


def olive_static(model: Path, feeds: Iterable[Feeds], folder: Path) -> Path:
    """Olive's `OnnxStaticQuantization` with nothing but the data given, run as a workflow."""
    # Olive reports home unless told not to before it is imported.
    os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"
    import torch
    from olive.data.registry import Registry
    from olive.workflows import run

    samples = [{name: torch.from_numpy(array) for name, array in one.items()} for one in feeds]
    Registry.register_dataset("calibration_feeds")(lambda **_: samples)
    config = {
        "input_model": {"type": "ONNXModel", "model_path": str(model)},
        "data_configs": [
            {
                "name": "calibration",
                "load_dataset_config": {"type": "calibration_feeds"},
                "dataloader_config": {"type": "no_auto_batch_dataloader"},
            }
        ],
        "passes": {"quantize": {"type": "OnnxStaticQuantization", "data_config": "calibration"}},
        "output_dir": str(folder / "olive"),
        "cache_dir": str(folder / "olive-cache"),
        "log_severity_level": 3,
    }
    outcome = run(config)
    best = outcome.get_best_candidate()
    if best is None:
        raise RuntimeError("the workflow has no output model; Olive logs why")
    return Path(best.model_path)


ROUTES = (
    Route("float-onnxruntime", "ONNX Runtime float32", "onnxruntime", "the ONNX file as it is", "float"),
    Route(
        "float-openvino",
        "OpenVINO float32",
        "openvino",
        "the ONNX file as it is, INFERENCE_PRECISION_HINT f32",
        "float",
        properties={"INFERENCE_PRECISION_HINT": "f32"},
    ),
    Route(
        "default-openvino",
        "OpenVINO, its default precision",
        "openvino",
        "the ONNX file as it is, the precision left to OpenVINO",
        "float",
    ),
    Route("nncf-onnxruntime", "NNCF, ONNX Runtime", "onnxruntime", "nncf.quantize on the ONNX model", build=nncf_onnx),
    Route("nncf-openvino", "NNCF, OpenVINO", "openvino", "nncf.quantize on OpenVINO's model", build=nncf_openvino),
    Route(
        "ort-u8s8",
        "ONNX Runtime quantiser, u8s8",
        "onnxruntime",
        "quantize_static, u8s8 per channel, opset raised to 17 where below 13",
        build=ort_u8s8,
    ),
    Route(
        "ort-s8s8", "ONNX Runtime quantiser, s8s8", "onnxruntime", "quantize_static, no option given", build=ort_s8s8
    ),
    Route("olive", "Olive, static", "onnxruntime", "OnnxStaticQuantization, no option given", build=olive_static),
)


def route(name: str) -> Route:
    """The route of that name; KeyError where there is none."""
    return {one.name: one for one in ROUTES}[name]
