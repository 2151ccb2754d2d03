"""What users would otherwise take to make an int8 model: four post-training schemes, each with its own defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Feeds = dict[str, np.ndarray]
PER_CHANNEL_OPSET, RAISED_OPSET = 13, 17


@dataclass(frozen=True)
class Scheme:
    """`build(model, feeds, folder)` writes a model for `engine` and returns its path."""

    name: str
    engine: str
    what: str
    build: Callable[[Path, Iterable[Feeds], Path], Path]


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


SCHEMES = (
    Scheme("nncf-onnxruntime", "onnxruntime", "NNCF default on ONNX", nncf_onnx),
    Scheme("nncf-openvino", "openvino", "NNCF default on OpenVINO", nncf_openvino),
    Scheme("ort-u8s8", "onnxruntime", "quantize_static, u8s8 per channel, opset raised to 17 where below 13", ort_u8s8),
    Scheme("ort-s8s8", "onnxruntime", "quantize_static, no option given", ort_s8s8),
)
